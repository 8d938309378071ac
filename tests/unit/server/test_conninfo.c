#include "server/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const ServerLock here = {.port = 5433, .socket_directory = "/run/pg", .listen_address = "*"};

static int forget_environment(void **state)
{
    (void)state;
    return unsetenv("PGHOST") | unsetenv("PGHOSTADDR") | unsetenv("PGSERVICE");
}

static void expect(const ServerLock *lock, const char *given, const char *database,
                   const char *conninfo)
{
    CLEANUP(buffer_done) Buffer built = {0};

    server_conninfo(lock, given, database, &built);
    assert_string_equal(built.data != NULL ? (const char *)built.data : "", conninfo);
}

/* Names of directories can hold anything that a connection string gives a meaning to. */
static void a_lock_file_tells_how_to_connect(void **state)
{
    static const struct {
        const char *socket, *address, *conninfo;
    } cases[] = {
        {"/run/postgresql", "*", "host='/run/postgresql' port=5433 "},
        {"/it's a \\ dir", "", "host='/it\\'s a \\\\ dir' port=5433 "},
        {"", "10.0.0.1", "host='10.0.0.1' port=5433 "},
        {"", "*", "host='localhost' port=5433 "},
        {"", "0.0.0.0", "host='localhost' port=5433 "},
        {"", "", "host='localhost' port=5433 "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buffer_done) Buffer conninfo = {0};
        ServerLock lock = {
            .port = 5433, .socket_directory = cases[i].socket, .listen_address = cases[i].address};

        server_conninfo(&lock, NULL, NULL, &conninfo);
        assert_string_equal((const char *)conninfo.data, cases[i].conninfo);
    }
}

static void the_socket_is_taken_where_no_place_is_given(void **state)
{
    (void)state;
    expect(&here, "user=a dbname=b", NULL, "user='a' dbname='b' host='/run/pg' port=5433 ");
    expect(&here, "", NULL, "host='/run/pg' port=5433 ");
    expect(&here, "postgresql:///b?user=a", NULL, "user='a' dbname='b' host='/run/pg' port=5433 ");
    expect(&here, "password='it\\'s'", NULL, "password='it\\'s' host='/run/pg' port=5433 ");
    expect(&here, "host='' user=a", NULL, "user='a' host='' host='/run/pg' port=5433 ");
    expect(&here, "port=5999", NULL, "port='5999' host='/run/pg' ");
}

static void a_place_that_is_given_stays(void **state)
{
    (void)state;
    expect(&here, "host=db1 user=a", NULL, "user='a' host='db1' ");
    expect(&here, "hostaddr=10.0.0.1", NULL, "hostaddr='10.0.0.1' ");
    expect(&here, "service=main", NULL, "service='main' ");
    expect(&here, "postgresql://db1:5999/b", NULL, "dbname='b' host='db1' port='5999' ");
    expect(NULL, "user=a", NULL, "user='a' ");
}

static void a_place_in_the_environment_counts_beside_a_string(void **state)
{
    static const char *const variables[] = {"PGHOST", "PGHOSTADDR", "PGSERVICE"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
        assert_int_equal(setenv(variables[i], "elsewhere", 1), 0);
        expect(&here, "user=a", NULL, "user='a' ");
        expect(&here, NULL, NULL, "host='/run/pg' port=5433 ");
        assert_int_equal(setenv(variables[i], "", 1), 0);
        expect(&here, "user=a", NULL, "user='a' host='/run/pg' port=5433 ");
        assert_int_equal(unsetenv(variables[i]), 0);
    }
}

static void a_database_takes_the_place_of_the_one_given(void **state)
{
    (void)state;
    expect(&here, "host=db1 dbname=b", "c d", "host='db1' dbname='c d' ");
    expect(&here, "postgresql://db1/b", "c", "host='db1' dbname='c' ");
    expect(&here, NULL, "it's", "host='/run/pg' port=5433 dbname='it\\'s' ");
    expect(NULL, NULL, "c", "dbname='c' ");
}

static void what_libpq_cannot_read_stays_as_it_is(void **state)
{
    (void)state;
    expect(&here, "nonsense", "c", "nonsense");
    expect(&here, "host=db1 colour=red", NULL, "host=db1 colour=red");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_file_tells_how_to_connect),
        cmocka_unit_test(the_socket_is_taken_where_no_place_is_given),
        cmocka_unit_test(a_place_that_is_given_stays),
        cmocka_unit_test(a_place_in_the_environment_counts_beside_a_string),
        cmocka_unit_test(a_database_takes_the_place_of_the_one_given),
        cmocka_unit_test(what_libpq_cannot_read_stays_as_it_is),
    };

    return cmocka_run_group_tests(tests, forget_environment, NULL);
}
