#include "repo/mark.h"

#include "fixture.h"
#include "repo/layout.h"
#include "stream/digest.h"

static const char id[] = "20261122T031500Z-k3v7qa";

static Mark mark_of(MarkSubject what, const char *subject, const char *reason)
{
    return (Mark){.kind = MARK_DAMAGE,
                  .what = what,
                  .subject = subject,
                  .at = 1795354200123456,
                  .until = TIME_US_NONE,
                  .by = "verify",
                  .host = "db1",
                  .reason = reason,
                  .evidence = ""};
}

static void put(const Fixture *fixture, Mark mark)
{
    Error err = {0};

    if (!mark_store(&fixture->cluster, &mark, &err))
        fail_msg("%s", err.message);
}

static void load(const Fixture *fixture, MarkList *list)
{
    Error err = {0};

    if (!mark_list_load(list, &fixture->cluster, &err))
        fail_msg("%s", err.message);
}

static void what_is_written_is_read(void **state)
{
    static const char *const kinds[] = {MARK_DAMAGE, "suspect", "proven", "pin"};
    CLEANUP(fixture_done) Fixture fixture;

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        CLEANUP(record_writer_done) RecordWriter text = {0};
        CLEANUP(arena_done) Arena arena = {0};
        Mark mark = mark_of((MarkSubject)i, id, "a reason\twith % and \xc3\xa4");
        Mark found;
        Error err = {0};

        mark.kind = kinds[i];
        mark.is_void = i % 2 == 1;
        mark.until = i == 3 ? 1795354200123457 : TIME_US_NONE;
        mark.evidence = i == 2 ? "main/evidence/1" : "";
        mark_encode(&mark, &fixture.cluster, &text);
        assert_true(mark_decode(&found, &fixture.cluster, (char *)text.text.data, text.text.size,
                                &arena, &err));
        assert_string_equal(found.kind, mark.kind);
        assert_int_equal(found.what, mark.what);
        assert_string_equal(found.subject, mark.subject);
        assert_int_equal(found.is_void, mark.is_void);
        assert_int_equal(found.at, mark.at);
        assert_int_equal(found.until, mark.until);
        assert_string_equal(found.by, mark.by);
        assert_string_equal(found.host, mark.host);
        assert_string_equal(found.reason, mark.reason);
        assert_string_equal(found.evidence, mark.evidence);
    }
}

static void any_changed_byte_is_noticed(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(record_writer_done) RecordWriter text = {0};
    const Mark mark = mark_of(MARK_OF_BACKUP, id, "why");

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    mark_encode(&mark, &fixture.cluster, &text);
    for (size_t i = 0; i < text.text.size; i++) {
        CLEANUP(arena_done) Arena arena = {0};
        Mark found;
        Error err = {0};

        text.text.data[i] ^= 0x04;
        assert_false(mark_decode(&found, &fixture.cluster, (char *)text.text.data, text.text.size,
                                 &arena, &err));
        text.text.data[i] ^= 0x04;
    }
}

static void the_last_word_about_a_thing_counts(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(mark_list_done) MarkList first = {.count = 0};
    CLEANUP(mark_list_done) MarkList second = {.count = 0};
    CLEANUP(mark_list_done) MarkList third = {.count = 0};
    Mark mark = mark_of(MARK_OF_BACKUP, id, "bad");

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    load(&fixture, &first);
    assert_int_equal(first.count, 0);

    put(&fixture, mark);
    load(&fixture, &second);
    assert_string_equal(mark_find(&second, MARK_DAMAGE, MARK_OF_BACKUP, id)->reason, "bad");
    assert_null(mark_find(&second, "pin", MARK_OF_BACKUP, id));
    assert_null(mark_find(&second, MARK_DAMAGE, MARK_OF_WAL, id));

    mark.is_void = true;
    mark.at -= 1000000; /* a clock that was set back does not matter */
    put(&fixture, mark);
    load(&fixture, &third);
    assert_null(mark_find(&third, MARK_DAMAGE, MARK_OF_BACKUP, id));
    assert_int_equal(object_count(&fixture, "main/mark/"), 1);
}

/* "....42" and "....42.partial" begin alike. */
static void things_with_like_names_are_told_apart(void **state)
{
    static const char *const names[] = {"000000010000000100000042",
                                        "000000010000000100000042.partial",
                                        "000000010000000100000042.00000028.backup"};
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(mark_list_done) MarkList list = {.count = 0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        put(&fixture, mark_of(MARK_OF_WAL, names[i], names[i]));
    put(&fixture, mark_of(MARK_OF_WAL, names[0], "again"));
    load(&fixture, &list);
    assert_int_equal(list.count, 3);
    assert_int_equal(object_count(&fixture, "main/mark/"), 3);
    assert_string_equal(mark_find(&list, MARK_DAMAGE, MARK_OF_WAL, names[0])->reason, "again");
    for (size_t i = 1; i < ARRAY_SIZE(names); i++)
        assert_string_equal(mark_find(&list, MARK_DAMAGE, MARK_OF_WAL, names[i])->reason, names[i]);
}

static void store_as(const Fixture *fixture, const Mark *mark, unsigned number, uint32_t random)
{
    CLEANUP(record_writer_done) RecordWriter text = {0};
    CLEANUP(text_freep)
    char *object = layout_mark("main", mark->kind, "backup", mark->subject, number, random);

    mark_encode(mark, &fixture->cluster, &text);
    object_put(fixture, object, text.text.data, text.text.size);
}

/* Those before the last word stay when a run was killed: they count for nothing. */
static void among_many_the_highest_number_of_each_counts(void **state)
{
    static const char *const ids[] = {"20261122T031500Z-k3v7qa", "20261122T031500Z-k3v7qb",
                                      "20261123T031500Z-aaaaaa"};
    static const unsigned numbers[] = {3, 10, 2, 9};
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(mark_list_done) MarkList list = {.count = 0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        for (size_t n = 0; n < ARRAY_SIZE(numbers); n++) {
            Mark mark = mark_of(MARK_OF_BACKUP, ids[i], numbers[n] == 10 ? "last" : "before");

            mark.is_void = (numbers[n] == 10) == (i == 1);
            store_as(&fixture, &mark, numbers[n], (uint32_t)(17 * n));
            mark.kind = MARK_PROVEN;
            store_as(&fixture, &mark, numbers[n], (uint32_t)(17 * n));
        }
    }
    load(&fixture, &list);
    assert_int_equal(list.count, 2 * ARRAY_SIZE(ids));
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        const Mark *damage = mark_find(&list, MARK_DAMAGE, MARK_OF_BACKUP, ids[i]);
        const Mark *proven = mark_find(&list, MARK_PROVEN, MARK_OF_BACKUP, ids[i]);

        assert_true((damage == NULL) == (i == 1) && (proven == NULL) == (i == 1));
        assert_true(damage == NULL || strcmp(damage->reason, "last") == 0);
    }
}

static void of_two_side_by_side_damage_is_believed(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Mark bad = mark_of(MARK_OF_BACKUP, id, "bad");
    Mark good = bad;

    (void)state;
    good.is_void = true;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    for (uint32_t i = 0; i < 2; i++) {
        CLEANUP(mark_list_done) MarkList list = {.count = 0};

        store_as(&fixture, &good, 7, i);
        store_as(&fixture, &bad, 7, 1 - i);
        load(&fixture, &list);
        assert_non_null(mark_find(&list, MARK_DAMAGE, MARK_OF_BACKUP, id));
    }
}

/* To forget damage would be worse than to tell it once too often. */
static void what_cannot_be_read_holds_until_the_next_word(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(mark_list_done) MarkList list = {.count = 0};
    CLEANUP(mark_list_done) MarkList again = {.count = 0};
    CLEANUP(text_freep) char *object = layout_mark("main", MARK_DAMAGE, "backup", id, 1, 0);
    CLEANUP(text_freep) char *newer = layout_mark("main", "tomorrow", "moon", id, 1, 0);
    Mark good = mark_of(MARK_OF_BACKUP, id, "good");

    (void)state;
    good.is_void = true;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    object_put(&fixture, object, "nonsense", 8);
    object_put(&fixture, newer, "nonsense", 8);
    object_put(&fixture, "main/mark/foreign", "nonsense", 8);
    load(&fixture, &list);
    assert_int_equal(list.count, 1);
    assert_non_null(
        strstr(mark_find(&list, MARK_DAMAGE, MARK_OF_BACKUP, id)->reason, "can't be read"));

    put(&fixture, good);
    load(&fixture, &again);
    assert_null(mark_find(&again, MARK_DAMAGE, MARK_OF_BACKUP, id));
    assert_int_equal(object_count(&fixture, "main/mark/"), 3);
}

/* As a newer version would write it: its first line, and one more. */
static void store_newer(const Fixture *fixture, const Mark *mark, unsigned version,
                        const char *line)
{
    CLEANUP(record_writer_done) RecordWriter text = {0};
    CLEANUP(buffer_done) Buffer newer = {0};
    CLEANUP(text_freep)
    char *object = layout_mark("main", mark->kind, "backup", mark->subject, 1, 0);
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_TEXT_SIZE];

    mark_encode(mark, &fixture->cluster, &text);
    buffer_print(&newer, "pgcairn mark %u\n%s", version, line);
    const char *rest = memchr(text.text.data, '\n', text.text.size);
    const size_t head = (size_t)(rest + 1 - (const char *)text.text.data);
    buffer_append(&newer, rest + 1, text.text.size - head - (sizeof "sha256=" + 64));
    sha256_of(newer.data, newer.size, digest);
    buffer_print(&newer, "sha256=%s\n", sha256_text(digest, hex));
    object_put(fixture, object, newer.data, newer.size);
}

static void a_newer_mark_is_read_or_holds(void **state)
{
    static const struct {
        unsigned version;
        const char *line;
        bool holds; /* although it says that it is void */
    } cases[] = {{1, "", false}, {1, "newer=x\n", false}, {1, "!newer=x\n", true}, {2, "", true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(fixture_done) Fixture fixture;
        CLEANUP(mark_list_done) MarkList list = {.count = 0};
        Mark good = mark_of(MARK_OF_BACKUP, id, "good");

        good.is_void = true;
        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        store_newer(&fixture, &good, cases[i].version, cases[i].line);
        load(&fixture, &list);
        assert_int_equal(list.count, 1);
        assert_int_equal(mark_find(&list, MARK_DAMAGE, MARK_OF_BACKUP, id) != NULL, cases[i].holds);
    }
}

/* A mark that was copied from elsewhere speaks of something else. */
static void another_repositorys_marks_say_nothing(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(mark_list_done) MarkList list = {.count = 0};
    Mark bad = mark_of(MARK_OF_BACKUP, id, "bad");
    char kept[sizeof fixture.repo.id];

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    memcpy(kept, fixture.repo.id, sizeof kept);
    memset(fixture.repo.id, 'f', sizeof kept - 1);
    store_as(&fixture, &bad, 1, 1);
    memcpy(fixture.repo.id, kept, sizeof kept);
    load(&fixture, &list);
    assert_int_equal(list.count, 0);
}

static void names_of_marks_are_read_back(void **state)
{
    static const char *const wrong[] = {
        "main/mark/damage.backup.x.00000000-01234567",
        "main/mark/damage.backup.x.0000001-01234567",
        "main/mark/damage.backup.x.00000001-0123456",
        "main/mark/Damage.backup.x.00000001-01234567",
        "main/mark/damage.backup..00000001-01234567",
        "main/mark/damage.x.00000001-01234567",
        "main/mark/damage.backup.x/y.00000001-01234567",
        "other/mark/damage.backup.x.00000001-01234567",
        "main/marks/damage.backup.x.00000001-01234567",
    };
    MarkName name;

    (void)state;
    assert_true(layout_mark_of("main", "main/mark/damage.wal.a.b-c_D.00000012-0123abcd", &name));
    assert_string_equal(name.kind, "damage");
    assert_string_equal(name.what, "wal");
    assert_string_equal(name.subject, "a.b-c_D");
    assert_int_equal(name.number, 12);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        if (layout_mark_of("main", wrong[i], &name))
            fail_msg("%s was taken", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(any_changed_byte_is_noticed),
        cmocka_unit_test(the_last_word_about_a_thing_counts),
        cmocka_unit_test(things_with_like_names_are_told_apart),
        cmocka_unit_test(among_many_the_highest_number_of_each_counts),
        cmocka_unit_test(of_two_side_by_side_damage_is_believed),
        cmocka_unit_test(what_cannot_be_read_holds_until_the_next_word),
        cmocka_unit_test(a_newer_mark_is_read_or_holds),
        cmocka_unit_test(another_repositorys_marks_say_nothing),
        cmocka_unit_test(names_of_marks_are_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
