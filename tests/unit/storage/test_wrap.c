#include "storage/wrap.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/tree.h"
#include "base/work_queue.h"
#include "storage/driver.h"
#include "stores.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

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

/* Every operation that is repeated, on an object "there" that holds "content". */
static bool do_create(Storage *storage, Error *err)
{
    return storage_create(storage, err);
}

static bool do_begin_write(Storage *storage, Error *err)
{
    CLEANUP(object_writer_freep) ObjectWriter *out = NULL;

    return storage_write(storage, "main/new", WRITE_NEW, &out, err);
}

static bool do_read(Storage *storage, Error *err)
{
    CLEANUP(buffer_done) Buffer content = {0};

    if (!storage_read(storage, "there", 100, &content, err))
        return false;
    assert_int_equal(content.size, 7);
    assert_memory_equal(content.data, "content", 7);
    return true;
}

static bool do_read_suffix(Storage *storage, Error *err)
{
    CLEANUP(buffer_done) Buffer content = {0};
    uint64_t size;

    if (!storage_read_suffix(storage, "there", 3, &content, &size, err))
        return false;
    assert_int_equal(content.size, 3);
    assert_memory_equal(content.data, "ent", 3);
    return true;
}

static bool do_read_range(Storage *storage, Error *err)
{
    char got[3];

    if (!storage_read_range(storage, "there", 1, 3, got, err))
        return false;
    assert_memory_equal(got, "ont", 3);
    return true;
}

static bool do_list(Storage *storage, Error *err)
{
    CLEANUP(object_list_done) ObjectList list = {0};

    if (!storage_list(storage, "", &list, err))
        return false;
    assert_int_equal(list.count, 1);
    return true;
}

static bool do_stat(Storage *storage, Error *err)
{
    return storage_stat(storage, "there", NULL, NULL, err);
}

static bool do_sync(Storage *storage, Error *err)
{
    return storage_sync(storage, "there", err);
}

static bool do_identify(Storage *storage, Error *err)
{
    char identity[OBJECT_IDENTITY_SIZE];

    return storage_identify(storage, "there", identity, err);
}

static bool do_room(Storage *storage, Error *err)
{
    StorageRoom room;

    return storage_room(storage, &room, err);
}

static bool do_remove(Storage *storage, Error *err)
{
    return storage_remove(storage, "not-there", err);
}

static bool (*const operations[])(Storage *, Error *) = {
    do_create, do_begin_write, do_read, do_read_suffix, do_read_range, do_list,
    do_stat,   do_identify,    do_sync, do_remove,      do_room,
};

/* memory, in fault, in retry; `fault` is what the test changes. */
static Storage *make_faulty(const StorageFault *fault, Storage **faulty)
{
    Storage *memory = storage_memory_new();
    Error err = {0};

    assert_done(storage_put(memory, "there", WRITE_NEW, "content", 7, &err), &err);
    *faulty = storage_fault_new(memory, fault);
    return storage_retry_new(*faulty, 4, 1);
}

static void what_may_work_later_is_tried_again(void **state)
{
    static const ErrorCode codes[] = {ERR_UNREACHABLE, ERR_IO};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        for (uint64_t failures = 0; failures <= 5; failures++) {
            StorageFault fault = {
                .fail_at = failures > 0, .fail_count = failures, .code = codes[failures % 2]};
            Storage *faulty = NULL;
            CLEANUP(storage_freep) Storage *storage = make_faulty(&fault, &faulty);
            Error err = {0};

            bool is_done = operations[i](storage, &err);
            if (failures < 4) {
                assert_done(is_done, &err);
            } else {
                assert_refused(is_done, fault.code, &err);
            }
            assert_int_equal(storage_fault_calls(faulty), failures < 4 ? failures + 1 : 4);
        }
    }
}

static void what_will_not_work_later_is_not(void **state)
{
    static const ErrorCode codes[] = {ERR_NOT_FOUND, ERR_CORRUPT,  ERR_EXISTS,
                                      ERR_REFUSED,   ERR_INTERNAL, ERR_INTERRUPTED};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        for (size_t code = 0; code < ARRAY_SIZE(codes); code++) {
            StorageFault fault = {.fail_at = 1, .fail_count = 1, .code = codes[code]};
            Storage *faulty = NULL;
            CLEANUP(storage_freep) Storage *storage = make_faulty(&fault, &faulty);
            Error err = {0};

            assert_refused(operations[i](storage, &err), codes[code], &err);
            assert_int_equal(storage_fault_calls(faulty), 1);
        }
    }
}

/* As a wrong permission or a full disk is: here a name that no file system takes. */
static void what_only_a_person_can_change_is_not_tried_again(void **state)
{
    CLEANUP(text_freep) char *name = text_format("%0300d", 0);
    StorageFault fault = {0};
    Error err = {0};
    char root[] = "/tmp/test-wrap-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(root));
    Storage *faulty =
        storage_fault_new(storage_open(&(StorageSetup){.address = root}, &err), &fault);
    CLEANUP(storage_freep) Storage *storage = storage_retry_new(faulty, 4, 60000);
    assert_refused(storage_put(storage, name, WRITE_NEW, "x", 1, &err), ERR_IO, &err);
    assert_int_equal(storage_fault_calls(faulty), 1);
    assert_done(tree_remove(root, &err), &err);
}

static void a_stream_that_broke_is_its_callers(void **state)
{
    StorageFault fault = {.fail_at = 2, .code = ERR_UNREACHABLE};
    Storage *faulty = NULL;
    CLEANUP(storage_freep) Storage *storage = make_faulty(&fault, &faulty);
    CLEANUP(object_writer_freep) ObjectWriter *out = NULL;
    Error err = {0};

    (void)state;
    assert_done(storage_write(storage, "new", WRITE_NEW, &out, &err), &err);
    assert_refused(object_writer_write(out, "x", 1, &err), ERR_UNREACHABLE, &err);
    object_writer_freep(&out);
    assert_int_equal(storage_fault_calls(faulty), 2);
    assert_refused(storage_stat(storage, "new", NULL, NULL, &err), ERR_NOT_FOUND, &err);
}

static void the_nth_call_fails_and_only_that(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 6; nth++) {
        StorageFault fault = {.fail_at = nth, .code = ERR_IO};
        CLEANUP(storage_freep) Storage *storage = storage_fault_new(storage_memory_new(), &fault);
        Error err = {0};

        bool is_written = storage_put(storage, "a", WRITE_NEW, "x", 1, &err); /* three calls */
        assert_int_equal(is_written, nth > 3);
        assert_int_equal(err.code, nth > 3 ? ERR_NONE : ERR_IO);
        error_clear(&err);
        fault.fail_at = 0;
        assert_int_equal(storage_stat(storage, "a", NULL, NULL, &err), is_written);
        assert_int_equal(storage_fault_calls(storage), nth < 3 ? nth + 1 : 4);
    }
}

static void a_lost_answer_is_a_failure_that_took_place(void **state)
{
    StorageFault fault = {.fail_at = 3, .code = ERR_UNREACHABLE, .lose_answer = true};
    CLEANUP(storage_freep) Storage *storage = storage_fault_new(storage_memory_new(), &fault);
    Error err = {0};

    (void)state;
    assert_refused(storage_put(storage, "a", WRITE_NEW, "x", 1, &err), ERR_UNREACHABLE, &err);
    assert_done(storage_stat(storage, "a", NULL, NULL, &err), &err);
    fault.fail_at = 5;
    assert_refused(storage_remove(storage, "a", &err), ERR_UNREACHABLE, &err);
    assert_refused(storage_stat(storage, "a", NULL, NULL, &err), ERR_NOT_FOUND, &err);
}

static void a_cut_read_gives_nothing(void **state)
{
    StorageFault fault = {.cut_at = 2};
    CLEANUP(storage_freep) Storage *storage = storage_fault_new(storage_memory_new(), &fault);
    CLEANUP(buffer_done) Buffer content = {0};
    char range[8];
    Error err = {0};

    (void)state;
    assert_done(storage_put(storage, "a", WRITE_NEW, "12345678", 8, &err), &err);
    assert_done(storage_read(storage, "a", 8, &content, &err), &err);
    assert_refused(storage_read(storage, "a", 8, &content, &err), ERR_CORRUPT, &err);
    assert_int_equal(content.size, 8);
    fault.cut_at = 3;
    assert_refused(storage_read_range(storage, "a", 0, 8, range, &err), ERR_CORRUPT, &err);
    assert_done(storage_read_range(storage, "a", 0, 8, range, &err), &err);
}

enum { LIMITED_THREADS = 4, LIMITED_BYTES = 50000, LIMIT_PER_S = 400000 };

static bool move_bytes(void *worker, void *job, Error *err)
{
    CLEANUP(buffer_done) Buffer content = {0};
    char bytes[LIMITED_BYTES / 4] = {0};
    char name[2] = {*(char *)job, '\0'};
    Storage *storage = *(Storage **)worker;

    return storage_put(storage, name, WRITE_NEW, bytes, sizeof(bytes), err) &&
           storage_read(storage, name, sizeof(bytes), &content, err) &&
           storage_read_range(storage, name, 0, sizeof(bytes), bytes, err) &&
           storage_read_suffix(storage, name, sizeof(bytes), &content, NULL, err);
}

static void all_threads_together_keep_to_the_rate(void **state)
{
    TimeUs started = time_monotonic();
    CLEANUP(storage_freep) Storage *storage = storage_limit_new(storage_memory_new(), LIMIT_PER_S);
    void *workers[LIMITED_THREADS] = {&storage, &storage, &storage, &storage};
    char names[] = "abcd";
    Error err = {0};

    (void)state;
    WorkQueue *queue = work_queue_new(&(WorkQueueSetup){.threads = LIMITED_THREADS,
                                                        .capacity = LIMITED_THREADS,
                                                        .run = move_bytes,
                                                        .workers = workers},
                                      &err);
    assert_non_null(queue);
    for (size_t i = 0; i < LIMITED_THREADS; i++)
        assert_done(work_queue_submit(queue, &names[i], &err), &err);
    assert_done(work_queue_finish(queue, &err), &err);
    work_queue_free(queue);

    /* Half a second for all bytes; a storage just opened has saved up no burst yet. */
    assert_true(time_monotonic() - started >= 490000);
}

/* A driver of a store that cannot do "must not exist yet". */
typedef struct Careless {
    Storage storage;
    Storage *inner;
} Careless;

static StorageOps careless_ops;

static bool careless_write(Storage *storage, const char *name, WriteMode mode,
                           ObjectWriter **writer, Error *err)
{
    (void)mode;
    return storage_write(((Careless *)storage)->inner, name, WRITE_REPLACE, writer, err);
}

static bool careless_list(Storage *storage, const ListRequest *request, ObjectList *list,
                          Error *err)
{
    Storage *inner = ((Careless *)storage)->inner;

    return inner->ops->list(inner, request, list, err);
}

static bool careless_remove(Storage *storage, const char *name, Error *err)
{
    return storage_remove(((Careless *)storage)->inner, name, err);
}

static void the_probe_refuses_a_store_that_replaces(void **state)
{
    CLEANUP(storage_freep) Storage *memory = storage_memory_new();
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    (void)state;
    careless_ops = (StorageOps){.kind = "careless",
                                .write = careless_write,
                                .list = careless_list,
                                .remove = careless_remove};
    char address[] = "careless:";
    Careless careless = {.storage = {.ops = &careless_ops, .address = address, .can = memory->can},
                         .inner = memory};

    assert_false(storage_probe(&careless.storage, &err));
    assert_non_null(strstr(err.message, "take the name"));
    assert_refused(false, ERR_REFUSED, &err);
    assert_done(storage_list(memory, "", &list, &err), &err);
    assert_int_equal(list.count, 0);
}

static void the_probe_passes_on_what_failed_and_cleans_up(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        StorageFault fault = {.fail_at = nth, .code = ERR_UNREACHABLE};
        CLEANUP(storage_freep) Storage *storage = storage_fault_new(storage_memory_new(), &fault);
        CLEANUP(object_list_done) ObjectList list = {0};
        Error err = {0};

        bool is_done = storage_probe(storage, &err);
        if (storage_fault_calls(storage) < nth) {
            assert_done(is_done, &err);
            assert_true(nth > 8);
            break;
        }
        assert_refused(is_done, ERR_UNREACHABLE, &err);
        fault.fail_at = 0;
        assert_done(storage_list(storage, "", &list, &err), &err);
        assert_int_equal(list.count, 0);
    }
}

/* The last test: the signal stays. */
static void a_signal_ends_waiting(void **state)
{
    StorageFault fault = {.fail_at = 1, .fail_count = UINT64_MAX, .code = ERR_UNREACHABLE};
    CLEANUP(storage_freep)
    Storage *storage =
        storage_retry_new(storage_fault_new(storage_memory_new(), &fault), 1000, 5000);
    CLEANUP(storage_freep) Storage *slow = storage_limit_new(storage_memory_new(), 1);
    char thousand[1000] = {0};
    Error err = {0};

    /* Without the signal either would take a quarter of an hour at least: meson would end it. */

    (void)state;
    interrupt_setup();
    assert_int_equal(raise(SIGTERM), 0);
    assert_refused(storage_stat(storage, "a", NULL, NULL, &err), ERR_INTERRUPTED, &err);
    assert_refused(storage_put(slow, "a", WRITE_NEW, thousand, sizeof thousand, &err),
                   ERR_INTERRUPTED, &err);
}

/* Each member of a setup does what it says, and one that is left out does nothing. */
static void a_setup_gets_the_wrappers_that_it_asks_for(void **state)
{
    static const struct {
        StorageSetup setup;
        const char *outermost;
    } cases[] = {
        {{.address = "/srv/backup"}, "posix"},
        {{.address = "/srv/backup", .attempts = 1}, "posix"},
        {{.address = "/srv/backup", .attempts = 2}, "retry"},
        {{.address = "/srv/backup", .bytes_per_s = 1}, "limit"},
        {{.address = "/srv/backup", .attempts = 2, .bytes_per_s = 1}, "retry"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};
        CLEANUP(storage_freep) Storage *storage = storage_open(&cases[i].setup, &err);

        assert_non_null(storage);
        assert_string_equal(storage->ops->kind, cases[i].outermost);
        assert_string_equal(storage_address(storage), "/srv/backup");
    }
}

/* A driver that lists otherwise than it was asked: what it does, storage.h notices. */
typedef struct Sloppy {
    Storage storage;
    const char *const *names;
} Sloppy;

static bool sloppy_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    (void)request, (void)err;
    for (size_t i = 0; ((Sloppy *)storage)->names[i] != NULL; i++)
        object_list_add(list, ((Sloppy *)storage)->names[i], 1, 0);
    return true;
}

static void a_listing_that_was_not_asked_for_is_not_believed(void **state)
{
    static const StorageOps ops = {.kind = "sloppy", .list = sloppy_list};
    static const struct {
        ListRequest request;
        const char *names[4];
        bool is_good;
    } cases[] = {
        {{.prefix = "m/"}, {"m/a", "m/b"}, true},
        {{.prefix = "m/"}, {"m/b", "m/a"}, false},
        {{.prefix = "m/"}, {"m/a", "m/a"}, false},
        {{.prefix = "m/"}, {"m/a", "n/a"}, false},
        {{.prefix = "m/", .after = "m/a"}, {"m/b", "m/c"}, true},
        {{.prefix = "m/", .after = "m/a"}, {"m/a", "m/b"}, false},
        {{.prefix = "m/", .limit = 2}, {"m/a", "m/b"}, true},
        {{.prefix = "m/", .limit = 1}, {"m/a", "m/b"}, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(object_list_done) ObjectList list = {0};
        Sloppy sloppy = {.storage = {.ops = &ops, .address = (char[]){"x:"}, .can = CAN_LIST_AFTER},
                         .names = cases[i].names};
        Error err = {0};

        assert_int_equal(storage_list_part(&sloppy.storage, &cases[i].request, &list, &err),
                         cases[i].is_good);
        assert_int_equal(err.code, cases[i].is_good ? ERR_NONE : ERR_REFUSED);
        assert_int_equal(list.count, cases[i].is_good ? 2 : 0);
    }
}

/* Without it two servers could take the same name. */
static void a_store_that_can_not_refuse_a_second_is_refused(void **state)
{
    CLEANUP(storage_freep) Storage *memory = storage_memory_new();
    Error err = {0};

    (void)state;
    storage_memory_limit(memory, CAN_READ_SUFFIX | CAN_LIST_AFTER);
    assert_done(storage_put(memory, "a", WRITE_REPLACE, "x", 1, &err), &err);
    assert_refused(storage_put(memory, "b", WRITE_NEW, "x", 1, &err), ERR_REFUSED, &err);
}

/* Of a limit no more is asked than it says, and a hidden object does not count for it. */
static bool is_a_or_b(const void *context, const char *name)
{
    (void)context;
    return strcmp(name, "a") == 0 || strcmp(name, "f/b") == 0;
}

static void what_is_hidden_counts_for_no_limit_and_makes_no_folder(void **state)
{
    static const char *const names[] = {"a", "c", "d", "f/b", "g/b"};
    CLEANUP(storage_freep) Storage *memory = storage_memory_new();
    CLEANUP(storage_freep) Storage *view = storage_hide_new(memory, is_a_or_b, NULL);
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_done(storage_put(memory, names[i], WRITE_NEW, "x", 1, &err), &err);
    assert_done(storage_list_part(view, &(ListRequest){.prefix = "", .limit = 2}, &list, &err),
                &err);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.objects[0].name, "c");
    assert_string_equal(list.objects[1].name, "d");
    assert_done(storage_list_folders(view, "", &list, &err), &err);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.objects[0].name, "g/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setup_gets_the_wrappers_that_it_asks_for),
        cmocka_unit_test(a_listing_that_was_not_asked_for_is_not_believed),
        cmocka_unit_test(a_store_that_can_not_refuse_a_second_is_refused),
        cmocka_unit_test(what_is_hidden_counts_for_no_limit_and_makes_no_folder),
        cmocka_unit_test(what_may_work_later_is_tried_again),
        cmocka_unit_test(what_will_not_work_later_is_not),
        cmocka_unit_test(what_only_a_person_can_change_is_not_tried_again),
        cmocka_unit_test(a_stream_that_broke_is_its_callers),
        cmocka_unit_test(the_nth_call_fails_and_only_that),
        cmocka_unit_test(a_lost_answer_is_a_failure_that_took_place),
        cmocka_unit_test(a_cut_read_gives_nothing),
        cmocka_unit_test(all_threads_together_keep_to_the_rate),
        cmocka_unit_test(the_probe_refuses_a_store_that_replaces),
        cmocka_unit_test(the_probe_passes_on_what_failed_and_cleans_up),
        cmocka_unit_test(a_signal_ends_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
