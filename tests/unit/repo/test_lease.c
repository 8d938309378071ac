#include "repo/lease.h"

#include "base/file.h"
#include "base/process.h"
#include "base/tree.h"
#include "fixture.h"
#include "repo/record.h"
#include "storage/driver.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const LeaseRequest request = {.kind = "backup", .timeline = 3, .start = 0x1600000028};

/* On disk, so that the time of an object can be set. */
typedef struct Place {
    char address[32];
    Fixture fixture;
} Place;

static void place_open(Place *place)
{
    *place = (Place){.address = "/tmp/test_lease_XXXXXX"};
    assert_non_null(mkdtemp(place->address));
    fixture_open_at(&place->fixture, place->address);
}

static void place_done(Place *place)
{
    Error err = {0};

    fixture_done(&place->fixture);
    assert_true(tree_remove(place->address, &err));
}

static bool take(Place *place, Lease **lease, Error *err)
{
    return lease_take(&place->fixture.cluster, &request, lease, err);
}

static size_t lease_objects(const Place *place)
{
    return object_count(&place->fixture, "main/lease/");
}

/* Make an object look as if it had been stored so long ago. */
static void make_old(const Place *place, const char *name, int seconds)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", place->address, name);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};

    assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[1]), 0);
    times[1].tv_sec -= seconds;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_all_old(const Place *place, int seconds)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    assert_true(storage_list(place->fixture.repo.storage, "main/lease/", &list, &err));
    for (size_t i = 0; i < list.count; i++)
        make_old(place, list.objects[i].name, seconds);
}

/* A lease of somebody else. */
typedef struct Stranger {
    const char *host, *boot_id, *purpose;
    uint64_t pid, process_start;
    int age; /* seconds */
} Stranger;

static const char stranger_name[] = "main/lease/00000000000000aa.00000007";

static void put_stranger(const Place *place, const Stranger *stranger)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    Error err = {0};

    record_begin(&record, "lease", 1);
    record_text(&record, "purpose", stranger->purpose);
    record_text(&record, "host", stranger->host);
    record_text(&record, "boot_id", stranger->boot_id);
    record_u64(&record, "pid", stranger->pid);
    record_u64(&record, "process_start", stranger->process_start);
    record_u64(&record, "timeline", 1);
    record_text(&record, "start", "0/0");
    record_time(&record, "taken", 1795000000000000);
    assert_true(record_store(&record, place->fixture.repo.storage, stranger_name, &err));
    make_old(place, stranger_name, stranger->age);
}

static void a_lease_is_stored_while_it_is_held(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(record_done) Record record = {0};
    Lease *lease = NULL;
    uint64_t number;
    Error err = {0};

    (void)state;
    place_open(&place);
    assert_true(take(&place, &lease, &err));
    assert_true(storage_list(place.fixture.repo.storage, "main/lease/", &list, &err));
    assert_int_equal(list.count, 1);
    assert_true(
        record_load(place.fixture.repo.storage, list.objects[0].name, "lease", 1, &record, &err));
    assert_string_equal(record_find(&record, "purpose"), "backup");
    assert_string_equal(record_find(&record, "host"), process_host_name());
    assert_string_equal(record_find(&record, "start"), "16/28");
    assert_true(record_get_u64(&record, "timeline", &number, &err));
    assert_int_equal(number, 3);
    assert_true(record_get_u64(&record, "pid", &number, &err));
    assert_int_equal(number, getpid());
    assert_true(lease_check(lease, &err));

    lease_freep(&lease);
    assert_null(lease);
    assert_int_equal(lease_objects(&place), 0);
}

static void there_is_one_holder_at_a_time(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(lease_freep) Lease *first = NULL;
    CLEANUP(lease_freep) Lease *second = NULL;
    Error err = {0};

    (void)state;
    place_open(&place);
    assert_true(take(&place, &first, &err));
    assert_false(take(&place, &second, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_null(second);
    assert_non_null(strstr(err.message, process_host_name()));
    assert_true(err.hint[0] != '\0');
    assert_int_equal(lease_objects(&place), 1); /* the refused one left nothing */

    lease_freep(&first);
    err = (Error){0};
    assert_true(take(&place, &second, &err));
}

static void a_holder_killed_on_this_host_is_replaced_at_once(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(lease_freep) Lease *lease = NULL;
    int status = -1;
    Error err = {0};

    (void)state;
    place_open(&place);
    pid_t child = fork();
    if (child == 0) {
        Lease *taken = NULL;

        _exit(take(&place, &taken, &err) ? 0 : 1); /* as by kill -9: nothing is given back */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(lease_objects(&place), 1);

    assert_true(take(&place, &lease, &err));
    assert_int_equal(lease_objects(&place), 1); /* the dead one's is removed */
}

static void a_running_holder_on_this_host_is_respected(void **state)
{
    CLEANUP(place_done) Place place;
    Lease *lease = NULL;
    int to_child[2];
    int to_parent[2];
    char byte = 0;
    Error err = {0};

    (void)state;
    place_open(&place);
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(to_parent), 0);
    pid_t child = fork();
    if (child == 0) {
        Lease *taken = NULL;

        byte = take(&place, &taken, &err) ? 'y' : 'n';
        (void)!write(to_parent[1], &byte, 1);
        close(to_child[1]);
        (void)!read(to_child[0], &byte, 1); /* until the parent closes its end */
        lease_freep(&taken);
        _exit(0);
    }
    assert_int_equal(read(to_parent[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_false(take(&place, &lease, &err));
    assert_int_equal(err.code, ERR_BUSY);
    close(to_child[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    err = (Error){0};
    assert_true(take(&place, &lease, &err));
    lease_freep(&lease);
    close(to_child[0]);
    close(to_parent[0]);
    close(to_parent[1]);
}

/* Of other hosts only the age is known, of this one whether the process is there. */
static void leases_of_others_count_by_what_is_known_of_them(void **state)
{
    const char *here = process_host_name();
    const char *boot = process_boot_id();
    uint64_t pid = (uint64_t)getpid();
    uint64_t start = process_start_time(getpid());
    const struct {
        Stranger stranger;
        bool is_live;
    } cases[] = {
        {{"elsewhere", "x", "backup", 1, 1, 5}, true},
        {{"elsewhere", "x", "backup", 1, 1, 9 * 60}, true},
        {{"elsewhere", "x", "backup", 1, 1, 11 * 60}, false},
        {{"elsewhere", boot, "backup", pid, start, 5}, true},
        {{here, boot, "backup", pid, start, 5}, true},
        {{here, boot, "backup", pid, start, 11 * 60}, false}, /* alive, but does not renew */
        {{here, boot, "backup", pid, start + 1, 5}, false},   /* its pid was used again */
        {{here, "another boot", "backup", pid, start, 5}, false},
        {{here, boot, "backup", 0x7ffffff0, 1, 5}, false}, /* no such process */
        {{"elsewhere", "x", "other", 1, 1, 5}, false},
        {{here, "", "backup", pid, start, 5}, true}, /* what is not known is not a proof */
        {{here, boot, "backup", pid, 0, 5}, true},
        {{"", "another boot", "backup", 0x7ffffff0, 1, 5}, true},
        {{"elsewhere", "x", "backup", 1, 1, -60}, true}, /* came later, but does not withdraw */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(place_done) Place place;
        Lease *lease = NULL;
        Error err = {0};

        place_open(&place);
        put_stranger(&place, &cases[i].stranger);
        bool is_taken = take(&place, &lease, &err);
        if (is_taken == cases[i].is_live)
            fail_msg("case %zu: %s", i, err.message);
        if (cases[i].is_live) {
            assert_int_equal(err.code, ERR_BUSY);
            assert_non_null(strstr(err.message, cases[i].stranger.host));
        }
        /* What is void is removed, what is live or of another purpose stays. */
        bool stays = cases[i].is_live || strcmp(cases[i].stranger.purpose, "backup") != 0;
        assert_int_equal(lease_objects(&place), (size_t)stays + (is_taken ? 1 : 0));
        lease_freep(&lease);
    }
}

/* Damaged, or of a newer version. */
static void an_unreadable_lease_counts_by_its_age(void **state)
{
    static const char *const contents[] = {"damaged", "pgcairn lease 2\n"};

    (void)state;
    for (int i = 0; i < 4; i++) {
        const int is_old = i % 2;
        const char *content = contents[i / 2];
        CLEANUP(place_done) Place place;
        Lease *lease = NULL;
        Error err = {0};

        place_open(&place);
        object_put(&place.fixture, stranger_name, content, strlen(content));
        make_old(&place, stranger_name, is_old ? 11 * 60 : 5);
        assert_int_equal(take(&place, &lease, &err), is_old);
        assert_int_equal(err.code, is_old ? ERR_NONE : ERR_BUSY);
        lease_freep(&lease);
    }
}

static void only_the_newest_object_of_a_holder_counts(void **state)
{
    CLEANUP(place_done) Place place;
    Lease *lease = NULL;
    Error err = {0};

    (void)state;
    place_open(&place);
    put_stranger(&place, &(Stranger){"elsewhere", "x", "backup", 1, 1, 5});
    object_put(&place.fixture, "main/lease/00000000000000aa.00000006", "older", 5);
    make_old(&place, "main/lease/00000000000000aa.00000006", 11 * 60);
    assert_false(take(&place, &lease, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_int_equal(lease_objects(&place), 2);

    /* Once the newest is old all go. */
    err = (Error){0};
    make_old(&place, stranger_name, 11 * 60);
    assert_true(take(&place, &lease, &err));
    assert_int_equal(lease_objects(&place), 1);
    lease_freep(&lease);
}

static void foreign_files_are_no_leases(void **state)
{
    CLEANUP(place_done) Place place;
    Lease *lease = NULL;
    Error err = {0};

    (void)state;
    place_open(&place);
    object_put(&place.fixture, "main/lease/README", "x", 1);
    object_put(&place.fixture, "main/lease/00000000000000aa.7", "x", 1);
    object_put(&place.fixture, "main/lease/00000000000000AA.00000007", "x", 1);
    object_put(&place.fixture, "main/lease/x/00000000000000aa.00000007", "x", 1);
    assert_true(take(&place, &lease, &err));
    lease_freep(&lease);
    assert_int_equal(lease_objects(&place), 4);
}

static void renewing_keeps_one_object_visible_at_every_instant(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(object_list_done) ObjectList before = {0};
    Lease *lease = NULL;
    Error err = {0};

    (void)state;
    place_open(&place);
    assert_true(take(&place, &lease, &err));
    assert_true(lease_renew(lease, request.timeline, request.start, &err)); /* not due */
    assert_int_equal(lease_objects(&place), 1);
    for (uint32_t i = 1; i <= 5; i++) {
        assert_true(storage_list(place.fixture.repo.storage, "main/lease/", &before, &err));
        /* A change is told at once. */
        assert_true(lease_renew(lease, request.timeline + i, request.start, &err));
        assert_int_equal(lease_objects(&place), 2);
        /* What was the newest a moment ago is still there. */
        assert_true(storage_stat(place.fixture.repo.storage, before.objects[before.count - 1].name,
                                 NULL, NULL, &err));
        object_list_done(&before);
    }
    lease_freep(&lease);
    assert_int_equal(lease_objects(&place), 0);
}

static void a_lease_that_was_taken_over_is_lost(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(object_list_done) ObjectList list = {0};
    Lease *lease = NULL;
    Error err = {0};

    (void)state;
    place_open(&place);
    assert_true(take(&place, &lease, &err));
    assert_true(storage_list(place.fixture.repo.storage, "main/lease/", &list, &err));
    assert_true(storage_remove(place.fixture.repo.storage, list.objects[0].name, &err));
    assert_false(lease_check(lease, &err));
    assert_int_equal(err.code, ERR_BUSY);
    err = (Error){0};
    assert_false(lease_renew(lease, 9, 9, &err));
    assert_int_equal(err.code, ERR_BUSY);
    lease_freep(&lease);
    assert_int_equal(lease_objects(&place), 0);
}

static void a_lease_not_renewed_in_time_is_lost(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(lease_freep) Lease *slow = NULL;
    CLEANUP(lease_freep) Lease *other = NULL;
    Error err = {0};

    (void)state;
    place_open(&place);
    assert_true(take(&place, &slow, &err));
    assert_true(lease_check(slow, &err));
    make_all_old(&place, 11 * 60);
    assert_true(take(&place, &other, &err)); /* takes over */
    assert_true(lease_check(other, &err));
    assert_false(lease_check(slow, &err));
    assert_int_equal(err.code, ERR_BUSY);
    err = (Error){0};
    lease_freep(&slow);
    assert_true(lease_check(other, &err));
}

/* A store whose clock can be turned on, and that can do worse than a real one would. */
typedef struct OddStore {
    Storage storage;
    Storage *inner;
    TimeUs clock_ahead;
    bool fails_to_read;
    bool loses_before_listing; /* whatever has a lease's name */
} OddStore;

static bool odd_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                      Error *err)
{
    return storage_write(((OddStore *)storage)->inner, name, mode, writer, err);
}

static bool odd_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                     uint64_t *object_size, Error *err)
{
    const OddStore *odd = (OddStore *)storage;

    if (odd->fails_to_read)
        return error_set(err, ERR_UNREACHABLE, "no answer");
    return odd->inner->ops->read(odd->inner, name, range, content, object_size, err);
}

static bool odd_list(Storage *storage, const ListRequest *wanted, ObjectList *list, Error *err)
{
    const OddStore *odd = (OddStore *)storage;
    CLEANUP(object_list_done) ObjectList lost = {0};

    if (odd->loses_before_listing) {
        assert_true(storage_list(odd->inner, "main/lease/", &lost, err));
        for (size_t i = 0; i < lost.count; i++)
            assert_true(storage_remove(odd->inner, lost.objects[i].name, err));
    }
    return storage_list_part(odd->inner, wanted, list, err);
}

static bool odd_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                     Error *err)
{
    const OddStore *odd = (OddStore *)storage;

    if (!storage_stat(odd->inner, name, size, stored_at, err))
        return false;
    if (stored_at != NULL)
        *stored_at += odd->clock_ahead;
    return true;
}

static bool odd_remove(Storage *storage, const char *name, Error *err)
{
    return storage_remove(((OddStore *)storage)->inner, name, err);
}

static const StorageOps odd_ops = {
    .kind = "odd",
    .write = odd_write,
    .read = odd_read,
    .list = odd_list,
    .stat = odd_stat,
    .remove = odd_remove,
};

/* The place seen through the odd store; what is opened here ends with the place. */
static OddStore odd_store(const Place *place, Cluster *cluster, Repo *repo)
{
    *repo = place->fixture.repo;
    *cluster = place->fixture.cluster;
    cluster->repo = repo;
    return (OddStore){.storage = {.ops = &odd_ops,
                                  .address = (char *)place->address,
                                  .can = place->fixture.repo.storage->can},
                      .inner = place->fixture.repo.storage};
}

static void a_lease_that_expired_is_lost_even_if_nobody_took_it(void **state)
{
    CLEANUP(place_done) Place place;
    Lease *lease = NULL;
    Cluster cluster;
    Repo repo;
    Error err = {0};

    (void)state;
    place_open(&place);
    OddStore odd = odd_store(&place, &cluster, &repo);
    repo.storage = &odd.storage;
    assert_true(lease_take(&cluster, &request, &lease, &err));
    odd.clock_ahead = INT64_C(11) * 60 * 1000000; /* another one may have come and gone */
    assert_false(lease_check(lease, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_non_null(strstr(err.message, "expired"));
    lease_freep(&lease);
}

static void what_cannot_be_looked_at_is_no_answer(void **state)
{
    CLEANUP(place_done) Place place;
    Lease *lease = NULL;
    Cluster cluster;
    Repo repo;
    Error err = {0};

    (void)state;
    place_open(&place);
    OddStore odd = odd_store(&place, &cluster, &repo);
    repo.storage = &odd.storage;
    odd.fails_to_read = true;
    put_stranger(&place, &(Stranger){"elsewhere", "x", "backup", 1, 1, 11 * 60});
    assert_false(lease_take(&cluster, &request, &lease, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_null(lease);
    assert_int_equal(lease_objects(&place), 1); /* the other one's stays */
}

static void whoever_does_not_see_its_own_lease_does_not_hold(void **state)
{
    CLEANUP(place_done) Place place;
    Lease *lease = NULL;
    Cluster cluster;
    Repo repo;
    Error err = {0};

    (void)state;
    place_open(&place);
    OddStore odd = odd_store(&place, &cluster, &repo);
    repo.storage = &odd.storage;
    odd.loses_before_listing = true;
    assert_false(lease_take(&cluster, &request, &lease, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_null(lease);
}

/* Many begin at the same instant: never two hold. */
static void a_reader_renews_its_lease_while_it_is_busy(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(lease_freep) Lease *lease = NULL;
    const char *first = NULL;
    CLEANUP(object_list_done) ObjectList begin = {0};
    Error err = {0};
    bool is_renewed = false;

    (void)state;
    place_open(&place);
    lease_take_to_read(&place.fixture.cluster, NULL, 20, &lease);
    assert_non_null(lease);
    assert_true(storage_list(place.fixture.repo.storage, "main/lease/", &begin, &err));
    first = begin.objects[begin.count - 1].name;
    for (int look = 0; look < 500 && !is_renewed; look++) {
        CLEANUP(object_list_done) ObjectList now = {0};

        time_sleep_ms(10);
        assert_true(storage_list(place.fixture.repo.storage, "main/lease/", &now, &err));
        assert_true(now.count > 0);
        is_renewed = strcmp(now.objects[now.count - 1].name, first) > 0;
    }
    assert_true(is_renewed);
    lease_freep(&lease);
    assert_int_equal(lease_objects(&place), 0);
}

static void of_many_at_once_never_two_hold(void **state)
{
    enum { RUNS = 6, CHILDREN = 4 };

    (void)state;
    for (int run = 0; run < RUNS; run++) {
        CLEANUP(place_done) Place place;
        pid_t children[CHILDREN];
        int start[2];
        int holders = 0;

        place_open(&place);
        TimeUs begin = time_monotonic();
        CLEANUP(text_freep) char *marker = text_format("%s/held", place.address);
        assert_int_equal(pipe(start), 0);
        for (int i = 0; i < CHILDREN; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                Lease *lease = NULL;
                Error err = {0};
                char byte;

                close(start[1]);
                (void)!read(start[0], &byte, 1);
                if (!take(&place, &lease, &err))
                    _exit(err.code == ERR_BUSY ? 0 : 2);
                /* Held: nobody else may be in here. */
                int fd = open(marker, O_CREAT | O_EXCL | O_WRONLY, 0600);
                if (fd < 0)
                    _exit(3);
                time_sleep_ms(50);
                unlink(marker);
                lease_freep(&lease);
                _exit(1);
            }
        }
        close(start[0]);
        close(start[1]);
        for (int i = 0; i < CHILDREN; i++) {
            int status = -1;

            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_true(WIFEXITED(status));
            assert_in_range(WEXITSTATUS(status), 0, 1);
            holders += WEXITSTATUS(status);
        }
        /* Nor do all give up, unless the disk or the processor kept one of them waiting for so long
         * that the first, who waits three seconds for the others to withdraw, had lost patience. */
        assert_true(holders >= 1 || time_monotonic() - begin >= 3000000);
        assert_int_equal(lease_objects(&place), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_stored_while_it_is_held),
        cmocka_unit_test(there_is_one_holder_at_a_time),
        cmocka_unit_test(a_holder_killed_on_this_host_is_replaced_at_once),
        cmocka_unit_test(a_running_holder_on_this_host_is_respected),
        cmocka_unit_test(leases_of_others_count_by_what_is_known_of_them),
        cmocka_unit_test(an_unreadable_lease_counts_by_its_age),
        cmocka_unit_test(only_the_newest_object_of_a_holder_counts),
        cmocka_unit_test(foreign_files_are_no_leases),
        cmocka_unit_test(renewing_keeps_one_object_visible_at_every_instant),
        cmocka_unit_test(a_lease_that_was_taken_over_is_lost),
        cmocka_unit_test(a_lease_not_renewed_in_time_is_lost),
        cmocka_unit_test(a_lease_that_expired_is_lost_even_if_nobody_took_it),
        cmocka_unit_test(what_cannot_be_looked_at_is_no_answer),
        cmocka_unit_test(whoever_does_not_see_its_own_lease_does_not_hold),
        cmocka_unit_test(a_reader_renews_its_lease_while_it_is_busy),
        cmocka_unit_test(of_many_at_once_never_two_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
