#include "conformance.h"

#include "base/work_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Fixture {
    const StorageMaker *maker;
    void *place;
    Storage *storage;
} Fixture;

static Fixture fixture;

static int open_storage(void **state)
{
    Error err = {0};

    fixture.storage = fixture.maker->make(&fixture.place);
    *state = fixture.storage;
    return storage_create(fixture.storage, &err) ? 0 : -1;
}

static int close_storage(void **state)
{
    (void)state;
    storage_freep(&fixture.storage);
    if (fixture.maker->destroy != NULL)
        fixture.maker->destroy(fixture.place);
    return 0;
}

static void fail_with(const Error *err)
{
    fail_msg("%d: %s: %s", (int)err->code, err->context, err->message);
}

static void assert_done(bool is_done, Error *err)
{
    if (!is_done)
        fail_with(err);
    assert_int_equal(err->code, ERR_NONE);
}

static void assert_refused(bool is_done, ErrorCode code, Error *err)
{
    assert_false(is_done);
    if (err->code != code)
        fail_with(err);
    error_clear(err);
}

static void put(Storage *storage, const char *name, const char *text)
{
    Error err = {0};

    assert_done(storage_put(storage, name, WRITE_NEW, text, strlen(text), &err), &err);
}

static void assert_content(Storage *storage, const char *name, const char *text)
{
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0};

    assert_done(storage_read(storage, name, 1000, &content, &err), &err);
    assert_int_equal(content.size, strlen(text));
    assert_memory_equal(content.data, text, content.size);
}

static void assert_names(const ObjectList *list, const char *what, const char *const *names)
{
    size_t count = 0;

    for (; names[count] != NULL; count++) {
        if (count >= list->count)
            fail_msg("%s: %s is missing", what, names[count]);
        assert_string_equal(list->objects[count].name, names[count]);
    }
    if (list->count != count)
        fail_msg("%s: %s is too much", what, list->objects[count].name);
}

static void assert_list(Storage *storage, const char *prefix, const char *const *names)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    assert_done(storage_list(storage, prefix, &list, &err), &err);
    assert_names(&list, prefix, names);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_NAMES   ((const char *const[]){NULL})

static void what_is_written_is_read_back(void **state)
{
    put(*state, "repository", "version 1\n");
    put(*state, "main/backup/20261122T031500Z-k3v9qa/manifest", "everything");
    put(*state, "empty", "");

    assert_content(*state, "repository", "version 1\n");
    assert_content(*state, "main/backup/20261122T031500Z-k3v9qa/manifest", "everything");
    assert_content(*state, "empty", "");
}

static void an_object_appears_only_when_it_is_committed(void **state)
{
    CLEANUP(object_writer_freep) ObjectWriter *out = NULL;
    Error err = {0};

    assert_done(storage_write(*state, "main/a", WRITE_NEW, &out, &err), &err);
    assert_done(object_writer_write(out, "one ", 4, &err), &err);
    assert_done(object_writer_write(out, "", 0, &err), &err);
    assert_done(object_writer_write(out, "two", 3, &err), &err);
    assert_list(*state, "", NO_NAMES);
    assert_refused(storage_stat(*state, "main/a", NULL, NULL, &err), ERR_NOT_FOUND, &err);

    assert_done(object_writer_commit(out, &err), &err);
    assert_content(*state, "main/a", "one two");
    object_writer_freep(&out);
    assert_content(*state, "main/a", "one two"); /* cleanup takes nothing back */
    assert_list(*state, "", NAMES("main/a"));
}

static void what_is_not_committed_never_existed(void **state)
{
    ObjectWriter *out = NULL;
    Error err = {0};

    assert_done(storage_write(*state, "main/a", WRITE_NEW, &out, &err), &err);
    assert_done(object_writer_write(out, "half", 4, &err), &err);
    object_writer_freep(&out);
    assert_null(out);
    object_writer_freep(&out);

    assert_list(*state, "", NO_NAMES);
    put(*state, "main/a", "whole");
    assert_content(*state, "main/a", "whole");
}

static void the_first_to_commit_has_the_name(void **state)
{
    CLEANUP(object_writer_freep) ObjectWriter *early = NULL;
    CLEANUP(object_writer_freep) ObjectWriter *late = NULL;
    Error err = {0};

    assert_done(storage_write(*state, "a", WRITE_NEW, &early, &err), &err);
    assert_done(storage_write(*state, "a", WRITE_NEW, &late, &err), &err);
    assert_done(object_writer_write(early, "early", 5, &err), &err);
    assert_done(object_writer_write(late, "late", 4, &err), &err);
    assert_done(object_writer_commit(late, &err), &err);

    assert_refused(object_writer_commit(early, &err), ERR_EXISTS, &err);
    assert_content(*state, "a", "late");
    assert_refused(storage_put(*state, "a", WRITE_NEW, "x", 1, &err), ERR_EXISTS, &err);
    assert_refused(storage_put(*state, "a", WRITE_NEW, "late", 4, &err), ERR_EXISTS, &err);
    assert_content(*state, "a", "late");
}

static void a_replacement_takes_the_place(void **state)
{
    char range[3];
    Error err = {0};

    assert_done(storage_put(*state, "a/b", WRITE_REPLACE, "first", 5, &err), &err);
    assert_done(storage_read_range(*state, "a/b", 0, 3, range, &err), &err);
    assert_memory_equal(range, "fir", 3);
    assert_done(storage_put(*state, "a/b", WRITE_REPLACE, "second", 6, &err), &err);
    assert_content(*state, "a/b", "second");
    assert_done(storage_read_range(*state, "a/b", 0, 3, range, &err), &err);
    assert_memory_equal(range, "sec", 3);
    assert_list(*state, "", NAMES("a/b"));
}

static void what_is_missing_is_not_found(void **state)
{
    static const char *const names[] = {"a", "b/c", "there/x", "there/obj/below", "there"};
    CLEANUP(buffer_done) Buffer content = {0};
    char identity[OBJECT_IDENTITY_SIZE];
    uint64_t size;
    char byte;
    Error err = {0};

    put(*state, "there/obj", "x");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_refused(storage_read(*state, names[i], 99, &content, &err), ERR_NOT_FOUND, &err);
        assert_refused(storage_read_range(*state, names[i], 0, 1, &byte, &err), ERR_NOT_FOUND,
                       &err);
        assert_refused(storage_read_suffix(*state, names[i], 9, &content, &size, &err),
                       ERR_NOT_FOUND, &err);
        assert_refused(storage_stat(*state, names[i], NULL, NULL, &err), ERR_NOT_FOUND, &err);
        assert_refused(storage_sync(*state, names[i], &err), ERR_NOT_FOUND, &err);
        assert_refused(storage_identify(*state, names[i], identity, &err), ERR_NOT_FOUND, &err);
        assert_done(storage_remove(*state, names[i], &err), &err);
    }
    assert_int_equal(content.size, 0);
    assert_content(*state, "there/obj", "x");
}

static void every_range_gives_its_bytes(void **state)
{
    const char *text = "0123456789abcdefghij";
    const size_t size = strlen(text);
    char got[32];
    Error err = {0};

    put(*state, "pack/7f/7f3a", text);
    for (size_t offset = 0; offset <= size + 1; offset++) {
        for (size_t part = 0; part <= size + 2; part++) {
            memset(got, '?', sizeof(got));
            bool is_done = storage_read_range(*state, "pack/7f/7f3a", offset, part, got, &err);
            if (offset + part <= size) {
                assert_done(is_done, &err);
                assert_memory_equal(got, text + offset, part);
                assert_int_equal(got[part], '?');
            } else if (part > 0) {
                assert_refused(is_done, ERR_CORRUPT, &err);
            } else {
                error_clear(&err); /* nothing, asked for beyond the end: either answer is fine */
            }
        }
    }
}

static void every_suffix_gives_its_bytes(void **state)
{
    const char *text = "0123456789";
    Error err = {0};

    put(*state, "a", text);
    for (size_t part = 0; part <= 12; part++) {
        CLEANUP(buffer_done) Buffer content = {0};
        uint64_t size = 0;
        size_t expected = part < 10 ? part : 10;
        buffer_append(&content, "x", 1);
        assert_done(storage_read_suffix(*state, "a", part, &content, &size, &err), &err);
        assert_int_equal(size, 10);
        assert_int_equal(content.size, 1 + expected);
        assert_int_equal(content.data[0], 'x');
        assert_memory_equal(content.data + 1, text + 10 - expected, expected);
    }
    CLEANUP(buffer_done) Buffer content = {0};
    assert_done(storage_read_suffix(*state, "a", 3, &content, NULL, &err), &err);
    assert_memory_equal(content.data, "789", 3);
}

static void a_larger_object_than_expected_is_refused(void **state)
{
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0};

    put(*state, "a", "12345");
    buffer_append(&content, "keep", 4);
    for (size_t size_max = 0; size_max < 5; size_max++) {
        assert_refused(storage_read(*state, "a", size_max, &content, &err), ERR_REFUSED, &err);
        assert_int_equal(content.size, 4);
    }
    assert_done(storage_read(*state, "a", 5, &content, &err), &err);
    assert_done(storage_read(*state, "a", SIZE_MAX, &content, &err), &err);
    assert_int_equal(content.size, 14);
    assert_memory_equal(content.data, "keep1234512345", 14);
}

static void a_list_has_what_begins_with_the_prefix_in_order(void **state)
{
    static const char *const names[] = {
        "main/wal/00000002.history",
        "main/wal/0000000100000001/b.wal",
        "main/wal/0000000100000001/a.wal",
        "main/wal/0000000100000002/a.wal",
        "main/wal0",
        "main/wal.x",
        "other/wal/x",
        "repository",
        "main/wal-/x",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        put(*state, names[i], "x");

    assert_list(*state, "main/wal/",
                NAMES("main/wal/0000000100000001/a.wal", "main/wal/0000000100000001/b.wal",
                      "main/wal/0000000100000002/a.wal", "main/wal/00000002.history"));
    assert_list(*state, "main/wal/00000001",
                NAMES("main/wal/0000000100000001/a.wal", "main/wal/0000000100000001/b.wal",
                      "main/wal/0000000100000002/a.wal"));
    assert_list(*state, "main/wal/0000000100000001/b", NAMES("main/wal/0000000100000001/b.wal"));
    /* As strcmp() has it: "-" and "." before "/" before "0". */
    assert_list(*state, "main/wal",
                NAMES("main/wal-/x", "main/wal.x", "main/wal/0000000100000001/a.wal",
                      "main/wal/0000000100000001/b.wal", "main/wal/0000000100000002/a.wal",
                      "main/wal/00000002.history", "main/wal0"));
    assert_list(*state, "r", NAMES("repository"));
    assert_list(*state, "repository", NAMES("repository"));
    assert_list(*state, "repository0", NO_NAMES);
    assert_list(*state, "repository/", NO_NAMES);
    assert_list(*state, "nothing/here", NO_NAMES);
    assert_list(*state, "main/walx", NO_NAMES);
}

/* "-" and "." sort before "/", letters and digits after it. */
static const char *const sorted_names[] = {
    "a-b", "a.b", "a/a/a/deep", "a/b", "a/b-c", "a/b.c", "a/c/x", "a0", "aa", "b/x/y/z", "c",
};

static void put_sorted_names(Storage *storage)
{
    for (size_t i = 0; i < ARRAY_SIZE(sorted_names); i++)
        put(storage, sorted_names[ARRAY_SIZE(sorted_names) - 1 - i], "x");
}

/* What storage_list_part() is to give, from the whole listing. */
static size_t expect_part(const ListRequest *request, const char *const *expected[],
                          const char *names[])
{
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(sorted_names); i++) {
        const char *name = sorted_names[i];

        if (strncmp(name, request->prefix, strlen(request->prefix)) == 0 &&
            (request->after == NULL || strcmp(name, request->after) > 0) &&
            (request->limit == 0 || count < request->limit))
            names[count++] = name;
    }
    names[count] = NULL;
    *expected = names;
    return count;
}

/* Every beginning with every place to begin at and every limit. */
static void a_part_of_a_list_begins_after_a_name_and_ends_at_its_limit(void **state)
{
    static const char *const prefixes[] = {"", "a", "a/", "a/b", "a/a/", "b/", "b/x/y/z", "c", "d"};
    static const char *const between[] = {
        NULL,   "",     "A",   "a", "a-", "a-b0", "a/",     "a/a", "a/a/", "a/a/z", "a/b/", "a/b/x",
        "a/bb", "a/zz", "a00", "b", "b/", "b/x",  "b/x/y/", "b0",  "bb/x", "c/",    "zz"};
    const size_t places = ARRAY_SIZE(between) + ARRAY_SIZE(sorted_names);
    const char *names[ARRAY_SIZE(sorted_names) + 1];
    const char *const *expected;
    size_t shown = 0;

    put_sorted_names(*state);
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        for (size_t j = 0; j < places; j++) {
            const char *after =
                j < ARRAY_SIZE(between) ? between[j] : sorted_names[j - ARRAY_SIZE(between)];

            for (size_t limit = 0; limit <= ARRAY_SIZE(sorted_names) + 1; limit++) {
                const ListRequest request = {.prefix = prefixes[i], .after = after, .limit = limit};
                CLEANUP(object_list_done) ObjectList list = {0};
                CLEANUP(text_freep)
                char *what = text_format("\"%s\" after %s, at most %zu", prefixes[i],
                                         after != NULL ? after : "nothing", limit);
                Error err = {0};

                shown += expect_part(&request, &expected, names);
                assert_done(storage_list_part(*state, &request, &list, &err), &err);
                assert_names(&list, what, expected);
            }
        }
    }
    assert_true(shown > 1000);
}

/* A batch at a time, each from the last name of the one before, is the whole list. */
static void parts_make_the_whole(void **state)
{
    put_sorted_names(*state);
    for (size_t limit = 1; limit <= 4; limit++) {
        char last[64] = "";
        size_t count = 0;

        for (;;) {
            const ListRequest request = {.prefix = "", .after = last, .limit = limit};
            CLEANUP(object_list_done) ObjectList list = {0};
            Error err = {0};

            assert_done(storage_list_part(*state, &request, &list, &err), &err);
            for (size_t i = 0; i < list.count; i++) {
                assert_string_equal(list.objects[i].name, sorted_names[count++]);
                assert_int_equal(list.objects[i].size, 1);
            }
            if (list.count < limit)
                break;
            snprintf(last, sizeof last, "%s", list.objects[limit - 1].name);
        }
        assert_int_equal(count, ARRAY_SIZE(sorted_names));
    }
}

static void folders_are_what_has_an_object_below_it(void **state)
{
    static const struct {
        const char *prefix;
        const char *folders[3];
    } cases[] = {
        {"", {"a/", "b/"}}, {"a", {"a/"}},    {"a/", {"a/a/", "a/c/"}}, {"a/c", {"a/c/"}},
        {"a/b", {NULL}},    {"b/", {"b/x/"}}, {"b/x/y", {"b/x/y/"}},    {"b/x/y/", {NULL}},
        {"c", {NULL}},      {"c/", {NULL}},   {"nothing/", {NULL}},
    };
    Error err = {0};

    put_sorted_names(*state);
    put(*state, "d/e/f", "x"); /* leaves empty folders, where a store has such */
    assert_done(storage_remove(*state, "d/e/f", &err), &err);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(object_list_done) ObjectList list = {0};

        assert_done(storage_list_folders(*state, cases[i].prefix, &list, &err), &err);
        assert_names(&list, cases[i].prefix, cases[i].folders);
    }
}

/* Folders that come before and after their like: "m-n/" sorts before "m/". */
static void folders_come_in_order_too(void **state)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    put(*state, "m/1", "x");
    put(*state, "m-n/1", "x");
    put(*state, "m0/1", "x");
    put(*state, "m.n/1", "x");
    assert_done(storage_list_folders(*state, "", &list, &err), &err);
    assert_names(&list, "folders", NAMES("m-n/", "m.n/", "m/", "m0/"));
}

/*
 * A folder that has a time has another one when an object has come, was replaced or went; deeper
 * folders count for themselves.
 */
static TimeUs time_of_folder(Storage *storage, const char *folder)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    usleep(20000); /* longer than the step of any clock of a file system in use */
    assert_done(storage_list_folders(storage, "", &list, &err), &err);
    for (size_t i = 0; i < list.count; i++) {
        if (strcmp(list.objects[i].name, folder) == 0)
            return list.objects[i].stored_at;
    }
    fail_msg("there is no folder %s", folder);
    return TIME_US_NONE;
}

static void a_folder_tells_when_a_name_came_or_went(void **state)
{
    Error err = {0};

    put(*state, "f/a", "x");
    put(*state, "g/a", "x");
    const TimeUs first = time_of_folder(*state, "f/");
    if (first == TIME_US_NONE)
        return; /* it can not tell, and says so */
    put(*state, "f/b", "x");
    const TimeUs second = time_of_folder(*state, "f/");
    assert_int_not_equal(first, second);
    put(*state, "g/b", "x");
    assert_int_equal(time_of_folder(*state, "f/"), second);
    assert_done(storage_remove(*state, "f/a", &err), &err);
    const TimeUs third = time_of_folder(*state, "f/");
    assert_true(third != second && third != first);
    assert_done(storage_put(*state, "f/b", WRITE_REPLACE, "y", 1, &err), &err);
    assert_int_not_equal(time_of_folder(*state, "f/"), third);
}

static void a_list_tells_size_and_time(void **state)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    const TimeUs minute = 60000000;
    TimeUs before = time_now();
    uint64_t size;
    TimeUs stored_at;
    Error err = {0};

    put(*state, "a", "123");
    put(*state, "b", "");
    assert_done(storage_list(*state, "", &list, &err), &err);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.objects[0].size, 3);
    assert_int_equal(list.objects[1].size, 0);
    assert_true(list.objects[0].stored_at > before - minute);
    assert_true(list.objects[0].stored_at < before + minute);

    assert_done(storage_stat(*state, "a", &size, &stored_at, &err), &err);
    assert_int_equal(size, 3);
    assert_true(stored_at == list.objects[0].stored_at);

    put(*state, "c", "");
    assert_done(storage_list(*state, "", &list, &err), &err); /* takes the old one's place */
    assert_int_equal(list.count, 3);
}

static void long_lists_are_complete_and_sorted(void **state)
{
    enum { COUNT = 300 };
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    for (unsigned i = 0; i < COUNT; i++) {
        CLEANUP(text_freep) char *name = text_format("pack/%02x/%06x", i % 7, i * 7919 % COUNT);
        put(*state, name, "x");
    }
    assert_done(storage_list(*state, "pack/", &list, &err), &err);
    assert_int_equal(list.count, COUNT);
    for (size_t i = 1; i < COUNT; i++)
        assert_true(strcmp(list.objects[i - 1].name, list.objects[i].name) < 0);
}

static void what_is_removed_is_gone(void **state)
{
    char byte;
    Error err = {0};

    put(*state, "pack/7f/a", "x");
    put(*state, "pack/7f/b", "y");
    assert_done(storage_read_range(*state, "pack/7f/a", 0, 1, &byte, &err), &err);
    assert_done(storage_remove(*state, "pack/7f/a", &err), &err);

    assert_refused(storage_read_range(*state, "pack/7f/a", 0, 1, &byte, &err), ERR_NOT_FOUND, &err);
    assert_list(*state, "", NAMES("pack/7f/b"));
    assert_done(storage_remove(*state, "pack/7f/a", &err), &err);
    put(*state, "pack/7f/a", "z");
    assert_done(storage_read_range(*state, "pack/7f/a", 0, 1, &byte, &err), &err);
    assert_int_equal(byte, 'z');
}

static void what_is_there_can_be_synced_and_created_again(void **state)
{
    Error err = {0};

    put(*state, "main/wal/x", "x");
    assert_done(storage_sync(*state, "main/wal/x", &err), &err);
    assert_done(storage_create(*state, &err), &err);
    assert_content(*state, "main/wal/x", "x");
}

/* Whoever says that it can has numbers, all others refuse. */
static void its_room_is_told_or_refused(void **state)
{
    StorageRoom room = {0};
    Error err = {0};

    if (storage_room(*state, &room, &err)) {
        assert_true(room.size_bytes > 0 && room.free_bytes <= room.size_bytes);
    } else {
        assert_refused(false, ERR_REFUSED, &err);
    }
}

static bool is_identified(Storage *storage, const char *name, const char *as)
{
    char identity[OBJECT_IDENTITY_SIZE];
    Error err = {0};

    assert_done(storage_identify(storage, name, identity, &err), &err);
    return strcmp(identity, as) == 0;
}

/* Whatever is done to get the same object under the same name: it is a different one. */
static void an_object_is_told_from_its_like(void **state)
{
    char identity[OBJECT_IDENTITY_SIZE];
    Error err = {0};

    put(*state, "main/wal/x", "x");
    put(*state, "main/wal/y", "x");
    assert_done(storage_identify(*state, "main/wal/x", identity, &err), &err);
    assert_true(strlen(identity) > 0 && is_identified(*state, "main/wal/x", identity));
    assert_content(*state, "main/wal/x", "x");
    assert_done(storage_sync(*state, "main/wal/x", &err), &err);
    assert_true(is_identified(*state, "main/wal/x", identity));
    assert_false(is_identified(*state, "main/wal/y", identity));

    assert_done(storage_put(*state, "main/wal/x", WRITE_REPLACE, "x", 1, &err), &err);
    assert_false(is_identified(*state, "main/wal/x", identity));
}

static void other_names_are_bugs(void **state)
{
    static const char *const names[] = {
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "../a",
        ".a",
        "a/.b",
        "a b",
        "a\n",
        "a\\b",
        "a:b",
        "\xc3\xa4",
        "a*",
        "~",
        "a/b.tmp-0123456789abcdef",
    };
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(object_list_done) ObjectList list = {0};
    ObjectWriter *out = NULL;
    Error err = {0};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *name = names[i];
        assert_refused(storage_write(*state, name, WRITE_NEW, &out, &err), ERR_INTERNAL, &err);
        assert_refused(storage_read(*state, name, 1, &content, &err), ERR_INTERNAL, &err);
        assert_refused(storage_read_range(*state, name, 0, 0, NULL, &err), ERR_INTERNAL, &err);
        assert_refused(storage_read_suffix(*state, name, 1, &content, NULL, &err), ERR_INTERNAL,
                       &err);
        assert_refused(storage_stat(*state, name, NULL, NULL, &err), ERR_INTERNAL, &err);
        assert_refused(storage_remove(*state, name, &err), ERR_INTERNAL, &err);
        assert_refused(storage_sync(*state, name, &err), ERR_INTERNAL, &err);
    }
    assert_refused(storage_list(*state, "/", &list, &err), ERR_INTERNAL, &err);
    assert_refused(storage_list(*state, "a//", &list, &err), ERR_INTERNAL, &err);
    assert_refused(storage_list(*state, ".", &list, &err), ERR_INTERNAL, &err);
    assert_refused(storage_list(*state, "a/../", &list, &err), ERR_INTERNAL, &err);
    assert_refused(storage_list_folders(*state, "a//", &list, &err), ERR_INTERNAL, &err);
    assert_refused(storage_list_part(*state, &(ListRequest){.prefix = "a//"}, &list, &err),
                   ERR_INTERNAL, &err);
    assert_refused(
        storage_list_part(*state, &(ListRequest){.prefix = "", .after = "a b"}, &list, &err),
        ERR_INTERNAL, &err);
    assert_null(out);
}

static void large_objects_come_back(void **state)
{
    enum { SIZE = 9 << 20, STEP = 77777 }; /* past the windows in which a file is written */
    uint8_t *data = mem_alloc(SIZE);
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(object_writer_freep) ObjectWriter *out = NULL;
    Error err = {0};

    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761U >> 13);
    assert_done(storage_write(*state, "large", WRITE_NEW, &out, &err), &err);
    for (size_t offset = 0; offset < SIZE; offset += STEP) {
        size_t part = SIZE - offset < STEP ? SIZE - offset : STEP;
        assert_done(object_writer_write(out, data + offset, part, &err), &err);
    }
    assert_done(object_writer_commit(out, &err), &err);

    assert_done(storage_read(*state, "large", SIZE, &content, &err), &err);
    assert_int_equal(content.size, SIZE);
    assert_memory_equal(content.data, data, SIZE);
    mem_free(data);
}

static void the_probe_is_content_and_leaves_nothing(void **state)
{
    Error err = {0};

    put(*state, "probe", "mine");
    assert_done(storage_probe(*state, &err), &err);
    assert_list(*state, "", NAMES("probe"));
}

/* Of many who want a name exactly one gets it, while others read, list and remove. */
typedef struct Rival {
    Storage *storage;
    unsigned number;
    unsigned won;
} Rival;

enum { RIVALS = 4, ROUNDS = 25 };

static bool fight_for_names(void *worker, void *job, Error *err)
{
    Rival *rival = job;

    (void)worker;
    for (unsigned round = 0; round < ROUNDS; round++) {
        CLEANUP(text_freep) char *name = text_format("main/name-%u", round);
        CLEANUP(text_freep) char *own = text_format("main/own/%u-%u", rival->number, round);
        CLEANUP(object_list_done) ObjectList list = {0};
        uint8_t byte = (uint8_t)rival->number;
        uint8_t got;

        if (storage_put(rival->storage, name, WRITE_NEW, &byte, 1, err)) {
            rival->won++;
        } else if (err->code != ERR_EXISTS) {
            return false;
        }
        error_clear(err);
        if (!storage_read_range(rival->storage, name, 0, 1, &got, err) ||
            !storage_put(rival->storage, own, WRITE_NEW, "x", 1, err) ||
            !storage_list(rival->storage, "main/", &list, err) ||
            !storage_remove(rival->storage, own, err) || !storage_sync(rival->storage, name, err))
            return false;
    }
    return true;
}

static void of_many_threads_one_gets_the_name(void **state)
{
    Rival rivals[RIVALS] = {0};
    Error err = {0};
    unsigned won = 0;
    CLEANUP(work_queue_freep)
    WorkQueue *queue = work_queue_new(
        &(WorkQueueSetup){.threads = RIVALS, .capacity = RIVALS, .run = fight_for_names}, &err);

    assert_non_null(queue);
    for (unsigned i = 0; i < RIVALS; i++) {
        rivals[i] = (Rival){.storage = *state, .number = i};
        assert_done(work_queue_submit(queue, &rivals[i], &err), &err);
    }
    assert_done(work_queue_finish(queue, &err), &err);
    for (unsigned i = 0; i < RIVALS; i++)
        won += rivals[i].won;
    assert_int_equal(won, ROUNDS);
}

#define CONFORMANCE_TEST(test) cmocka_unit_test_setup_teardown(test, open_storage, close_storage)

int run_conformance(const StorageMaker *maker)
{
    const struct CMUnitTest tests[] = {
        CONFORMANCE_TEST(what_is_written_is_read_back),
        CONFORMANCE_TEST(an_object_appears_only_when_it_is_committed),
        CONFORMANCE_TEST(what_is_not_committed_never_existed),
        CONFORMANCE_TEST(the_first_to_commit_has_the_name),
        CONFORMANCE_TEST(a_replacement_takes_the_place),
        CONFORMANCE_TEST(what_is_missing_is_not_found),
        CONFORMANCE_TEST(every_range_gives_its_bytes),
        CONFORMANCE_TEST(every_suffix_gives_its_bytes),
        CONFORMANCE_TEST(a_larger_object_than_expected_is_refused),
        CONFORMANCE_TEST(a_list_has_what_begins_with_the_prefix_in_order),
        CONFORMANCE_TEST(a_part_of_a_list_begins_after_a_name_and_ends_at_its_limit),
        CONFORMANCE_TEST(parts_make_the_whole),
        CONFORMANCE_TEST(folders_are_what_has_an_object_below_it),
        CONFORMANCE_TEST(folders_come_in_order_too),
        CONFORMANCE_TEST(a_folder_tells_when_a_name_came_or_went),
        CONFORMANCE_TEST(a_list_tells_size_and_time),
        CONFORMANCE_TEST(long_lists_are_complete_and_sorted),
        CONFORMANCE_TEST(what_is_removed_is_gone),
        CONFORMANCE_TEST(what_is_there_can_be_synced_and_created_again),
        CONFORMANCE_TEST(an_object_is_told_from_its_like),
        CONFORMANCE_TEST(its_room_is_told_or_refused),
        CONFORMANCE_TEST(other_names_are_bugs),
        CONFORMANCE_TEST(large_objects_come_back),
        CONFORMANCE_TEST(the_probe_is_content_and_leaves_nothing),
        CONFORMANCE_TEST(of_many_threads_one_gets_the_name),
    };

    fixture = (Fixture){.maker = maker};
    return cmocka_run_group_tests_name(maker->name, tests, NULL, NULL);
}
