#include "changed/own_wal.h"

#include "../folder.h"
#include "../walk/archive_builder.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

/* Segments 2 to 5 of timeline 1 are written, the server is in 6; it begins a backup there. */
typedef struct Server {
    Archive archive;
    WalBuilder wal;
} Server;

static void write_segments(WalBuilder *wal, uint32_t block)
{
    for (int i = 0; i < 4; i++) {
        wal_builder_reference(wal, 16384, block, 100);
        wal_builder_switch(wal);
    }
}

static void server_init(Server *server)
{
    *server = (Server){.wal = wal_builder_begin(15, MIB, 2 * MIB, 1)};
    archive_init(&server->archive);
    write_segments(&server->wal, 7);
}

static void server_done(Server *server)
{
    archive_done(&server->archive);
    wal_builder_done(&server->wal);
}

static char *segment_path(uint64_t named)
{
    char name[WAL_NAME_SIZE];

    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = 1, .segment = named}, MIB, name);
    return text_format("%s/%s", folder_path(), name);
}

/* The server has this file still, or has it under the name of one to come. */
static void keep_file_as(const WalBuilder *wal, uint64_t segment, uint64_t named)
{
    CLEANUP(text_freep) char *path = segment_path(named);
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;
    Error err = {0};

    (void)unlink(path);
    assert_true(file_writer_open(&file, path, 0600, &err) &&
                file_writer_write(&file, wal_builder_segment(wal, segment), MIB, &err) &&
                file_writer_commit(&file, &err));
}

static void keep_file(const WalBuilder *wal, uint64_t segment)
{
    keep_file_as(wal, segment, segment);
}

/* since_after: the backup was about to begin so long after the newest segment was stored. */
static char *ask_owner(Server *server, TimeUs since_after)
{
    Archive *archive = &server->archive;
    char *why_not = NULL;
    Error err = {0};

    archive_look(archive);
    const WalInventory *inventory = &archive->inventory;
    const WalRun *run =
        inventory->run_count == 0 ? NULL : &inventory->runs[inventory->run_count - 1];
    const OwnWalQuestion question = {
        .cluster = &archive->cluster,
        .inventory = inventory,
        .timeline = 1,
        .insert = 6 * (Lsn)MIB + 1000,
        .start = 6 * (Lsn)MIB + WAL_SEGMENT_HEADER_SIZE,
        .pg_wal = folder_path(),
        .since = run == NULL ? 0 : wal_inventory_stored(inventory, 1, run->last)->at + since_after,
        .wait_ms = 1,
    };
    assert_true(own_wal_check(&question, &why_not, &err));
    return why_not;
}

static void assert_owner(Server *server, TimeUs since_after, const char *wanted)
{
    CLEANUP(text_freep) char *found = ask_owner(server, since_after);

    if ((found == NULL) != (wanted == NULL) || (found != NULL && strstr(found, wanted) == NULL))
        fail_msg("%s instead of %s", found != NULL ? found : "its own",
                 wanted != NULL ? wanted : "its own");
}

static void an_archive_without_wal_says_nothing_wrong(void **state)
{
    CLEANUP(server_done) Server server;

    (void)state;
    server_init(&server);
    assert_owner(&server, 0, NULL);
}

static void the_servers_own_file_proves_it(void **state)
{
    CLEANUP(server_done) Server server;

    (void)state;
    server_init(&server);
    archive_put_segments(&server.archive, &server.wal, 1, 2, 5);
    keep_file(&server.wal, 5);
    assert_owner(&server, 1000, NULL);
}

/* A file that was in use before, and waits for its turn, or has come to it. */
static void a_file_that_waits_to_be_used_again_proves_it(void **state)
{
    CLEANUP(server_done) Server server;
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, 2 * MIB, 1);

    (void)state;
    server_init(&server);
    archive_put_segments(&server.archive, &server.wal, 1, 2, 5);
    keep_file_as(&server.wal, 4, 8);
    assert_owner(&server, 1000, "nothing shows");
    keep_file_as(&server.wal, 5, 9);
    assert_owner(&server, 1000, NULL);
    write_segments(&other, 8);
    keep_file_as(&other, 5, 9);
    assert_owner(&server, -1, "is not what the server wrote");
}

/* Positions are the same, record by record: another block is in them. */
static void wal_of_a_like_history_is_told_apart(void **state)
{
    CLEANUP(server_done) Server server;
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, 2 * MIB, 1);

    (void)state;
    server_init(&server);
    write_segments(&other, 8);
    archive_put_segments(&server.archive, &server.wal, 1, 2, 5);
    keep_file(&other, 5);
    assert_owner(&server, -1, "is not what the server wrote");
}

static void what_was_archived_since_the_backup_began_is_the_servers(void **state)
{
    CLEANUP(server_done) Server server;

    (void)state;
    server_init(&server);
    archive_put_segments(&server.archive, &server.wal, 1, 2, 5);
    assert_owner(&server, -1, NULL);
    assert_owner(&server, 0, "nothing shows");
    assert_owner(&server, 1000, "nothing shows");
}

/* The last one that is listed was there before; the one before the backup's came after that. */
static void the_segment_before_the_backup_is_waited_for(void **state)
{
    CLEANUP(server_done) Server server;

    (void)state;
    server_init(&server);
    archive_put_segments(&server.archive, &server.wal, 1, 2, 4);
    assert_owner(&server, 1000, "nothing shows");
    keep_file(&server.wal, 4);
    assert_owner(&server, 1000, NULL);
}

static void wal_that_is_ahead_of_the_server_is_not_its_own(void **state)
{
    CLEANUP(server_done) Server server;

    (void)state;
    server_init(&server);
    wal_builder_reference(&server.wal, 16384, 7, 100);
    wal_builder_switch(&server.wal);
    archive_put_segments(&server.archive, &server.wal, 1, 2, 6);
    keep_file(&server.wal, 6);
    assert_owner(&server, -1, "not written yet");
}

static void a_damaged_object_proves_nothing(void **state)
{
    CLEANUP(server_done) Server server;

    (void)state;
    server_init(&server);
    archive_put_segments(&server.archive, &server.wal, 1, 2, 5);
    keep_file(&server.wal, 5);
    archive_look(&server.archive);
    archive_damage(&server.archive, 1, 5,
                   wal_inventory_stored(&server.archive.inventory, 1, 5)->size - 100);
    assert_owner(&server, -1, "or is damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_archive_without_wal_says_nothing_wrong, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(the_servers_own_file_proves_it, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_file_that_waits_to_be_used_again_proves_it, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(wal_of_a_like_history_is_told_apart, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(what_was_archived_since_the_backup_began_is_the_servers,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(the_segment_before_the_backup_is_waited_for, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(wal_that_is_ahead_of_the_server_is_not_its_own,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_damaged_object_proves_nothing, enter_folder,
                                        leave_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
