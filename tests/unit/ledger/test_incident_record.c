#include "ledger/incident_record.h"

#include "../repo/fixture.h"

static const TimeUs second = 1000000;

#define FIRST  "20261122T031500Z-aaaaaa"
#define SECOND "20261122T041500Z-bbbbbb"

static void put(const Fixture *fixture, const char *id, IncidentEventKind kind, TimeUs at)
{
    IncidentNote note = {.kind = kind,
                         .at = at,
                         .text = kind == INCIDENT_CLOSE ? "cause" : "text",
                         .severity = "SEV1",
                         .began = at - 60 * second};
    Error err = {0};

    (void)snprintf(note.id, sizeof note.id, "%s", id);
    assert_true(incident_note_store(&fixture->cluster, &note, &err));
}

static void notes_come_back_as_incidents(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(incident_list_done) IncidentList list = {0};
    Error err = {0};
    TimeUs now = 1800000000LL * second;

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    put(&fixture, FIRST, INCIDENT_OPEN, now);
    put(&fixture, SECOND, INCIDENT_OPEN, now + second);
    put(&fixture, FIRST, INCIDENT_UPDATE, now + 2 * second);
    put(&fixture, FIRST, INCIDENT_CLOSE, now + 3 * second);
    put(&fixture, "20261122T051500Z-cccccc", INCIDENT_UPDATE, now); /* its opening is not there */
    object_put(&fixture, "main/incident/" FIRST "/20270115T080004.000Z-update-00000000", "x", 1);

    assert_true(incident_list_load(&list, &fixture.cluster, &err));

    assert_int_equal(list.count, 2);
    assert_int_equal(list.unreadable, 2);
    const Incident *first = &list.items[0];
    assert_string_equal(first->id, FIRST);
    assert_string_equal(first->severity, "SEV1");
    assert_int_equal(first->began, now - 60 * second);
    assert_int_equal(first->closed_at, now + 3 * second);
    assert_string_equal(first->cause, "cause");
    assert_int_equal(first->count, 3);
    assert_int_equal(first->notes[1].kind, INCIDENT_UPDATE);
    assert_int_equal(list.items[1].closed_at, TIME_US_NONE);
}

static void the_one_that_is_meant_is_found(void **state)
{
    static const struct {
        bool first_open, second_open;
        const char *id;
        bool must_be_open;
        const char *expected; /* NULL: refused with this: */
        ErrorCode code;
    } cases[] = {
        {false, true, NULL, true, SECOND, ERR_NONE},
        {true, false, NULL, true, FIRST, ERR_NONE},
        {true, true, NULL, true, NULL, ERR_REFUSED},
        {true, true, FIRST, true, FIRST, ERR_NONE},
        {false, false, NULL, true, NULL, ERR_NOT_FOUND},
        {false, false, NULL, false, SECOND, ERR_NONE},
        {false, true, FIRST, true, NULL, ERR_REFUSED},
        {false, true, FIRST, false, FIRST, ERR_NONE},
        {true, true, "20261122T061500Z-dddddd", false, NULL, ERR_NOT_FOUND},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Incident items[] = {{.id = FIRST, .closed_at = cases[i].first_open ? TIME_US_NONE : 1},
                            {.id = SECOND, .closed_at = cases[i].second_open ? TIME_US_NONE : 1}};
        const IncidentList list = {.items = items, .count = 2};
        const Incident *chosen = NULL;
        Error err = {0};

        assert_int_equal(incident_choose(&list, cases[i].id, cases[i].must_be_open, &chosen, &err),
                         cases[i].expected != NULL);
        assert_int_equal(err.code, cases[i].code);
        if (cases[i].expected != NULL) {
            assert_string_equal(chosen->id, cases[i].expected);
        } else {
            assert_int_not_equal(err.hint[0], '\0');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notes_come_back_as_incidents),
        cmocka_unit_test(the_one_that_is_meant_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
