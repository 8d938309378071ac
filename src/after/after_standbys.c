#include "after_parts.h"

static bool names_have(const char *names, const char *name, size_t length)
{
    while (*names != '\0') {
        names += strspn(names, ", ");
        const size_t size = strcspn(names, ", ");
        if (size == length && strncmp(names, name, length) == 0)
            return true;
        names += size;
    }
    return false;
}

const char *names_missing(const char *wanted, const char *there, Arena *arena)
{
    const char *missing = "";

    while (*wanted != '\0') {
        wanted += strspn(wanted, ", ");
        const size_t length = strcspn(wanted, ", ");
        if (length > 0 && !names_have(there, wanted, length)) {
            missing = arena_format(arena, "%s%s%.*s", missing, *missing != '\0' ? ", " : "",
                                   (int)length, wanted);
        }
        wanted += length;
    }
    return missing;
}

/* Names with commas between; "" */
typedef struct StandbySight {
    const char *slots, *standbys;
    const char *synchronous; /* It is the setting synchronous_standby_names. */
    bool has_synchronous;    /* One of the standbys that it names is connected. */
} StandbySight;

static bool standbys_ask(const AfterLook *look, Arena *arena, StandbySight *seen, Error *err)
{
    static const char query[] =
        "SELECT (SELECT string_agg(slot_name::text, ',') FROM pg_replication_slots),"
        " (SELECT string_agg(application_name, ',') FROM pg_stat_replication"
        " WHERE state IN ('streaming', 'catchup')),"
        " current_setting('synchronous_standby_names'),"
        " EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))";
    const char *values[4] = {0};
    bool found;

    if (!session_row(look->session, query, arena, values, ARRAY_SIZE(values), &found, err))
        return false;
    *seen = (StandbySight){
        .slots = values[0] != NULL ? values[0] : "",
        .standbys = values[1] != NULL ? values[1] : "",
        .synchronous = values[2] != NULL ? values[2] : "",
        .has_synchronous = values[3] != NULL && strcmp(values[3], "t") == 0,
    };
    return true;
}

/* One that nobody has asked for, but that was there before: a backup has none. */
static void slots_compare(AfterLook *look, const StandbySight *seen, Arena *arena)
{
    const char *const *before = look->request->slots_before;
    const char *gone = "";

    for (size_t i = 0; before != NULL && before[i] != NULL; i++) {
        if (!names_have(seen->slots, before[i], strlen(before[i])))
            gone = arena_format(arena, "%s%s%s", gone, *gone != '\0' ? ", " : "", before[i]);
    }
    if (*gone != '\0') {
        checks_put(look->list, CHECK_STANDBYS, CHECK_NOTED,
                   arena_format(arena,
                                "no backup has replication slots, and these were there "
                                "before: %s",
                                gone),
                   "make those anew that are still needed; a logical subscriber must begin anew");
    }
}

static size_t standbys_judge(AfterLook *look, const StandbySight *seen, Arena *arena)
{
    const AfterRequest *request = look->request;
    size_t failed = 0;
    const struct {
        const char *wanted, *there, *what, *next;
    } lists[] = {
        {request->slots, seen->slots, "replication slots are missing",
         "SELECT pg_create_physical_replication_slot('NAME') makes one"},
        {request->standbys, seen->standbys, "standbys are not connected",
         "a standby that was further than the target has to be made anew, or by pg_rewind"}};

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const char *missing =
            lists[i].wanted != NULL ? names_missing(lists[i].wanted, lists[i].there, arena) : "";
        if (*missing == '\0')
            continue;
        checks_put(look->list, CHECK_STANDBYS, CHECK_FAILED,
                   arena_format(arena, "%s: %s", lists[i].what, missing), lists[i].next);
        failed++;
    }
    if (*seen->synchronous != '\0' && !seen->has_synchronous) {
        checks_put(look->list, CHECK_STANDBYS, CHECK_FAILED,
                   arena_format(arena,
                                "synchronous_standby_names is '%s' and none of them is "
                                "connected: each commit waits",
                                seen->synchronous),
                   "connect one, or ALTER SYSTEM SET synchronous_standby_names = '' and SELECT "
                   "pg_reload_conf()");
        failed++;
    }
    return failed;
}

bool after_standbys(AfterLook *look, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    StandbySight seen;
    Error attempt = {0};

    if (!standbys_ask(look, &arena, &seen, &attempt))
        return after_unknown(look, CHECK_STANDBYS, &attempt, err);
    const size_t failed = standbys_judge(look, &seen, &arena);
    slots_compare(look, &seen, &arena);
    if (failed == 0) {
        checks_put(look->list, CHECK_STANDBYS, CHECK_PASSED,
                   arena_format(&arena, "slots: %s; standbys: %s",
                                *seen.slots != '\0' ? seen.slots : "none",
                                *seen.standbys != '\0' ? seen.standbys : "none"),
                   "");
    }
    return true;
}
