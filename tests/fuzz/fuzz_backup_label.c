/* backup_label and tablespace_map. Input: server version, the one up to a zero, then the other. */
#include "fuzz.h"
#include "postgres/backup_label.h"
#include "postgres/version.h"

static void print_label(const BackupLabel *label, Buffer *text)
{
    char start[LSN_TEXT_SIZE];
    char checkpoint[LSN_TEXT_SIZE];

    buffer_print(text,
                 "START WAL LOCATION: %s (file %08X0000000000000002)\nCHECKPOINT LOCATION: %s\n"
                 "BACKUP METHOD: streamed\nBACKUP FROM: %s\n"
                 "START TIME: 2026-11-22 03:15:00 UTC\nLABEL: pgcairn\nSTART TIMELINE: %u\n%s",
                 lsn_text(label->start, start), label->timeline,
                 lsn_text(label->checkpoint, checkpoint),
                 label->from_standby ? "standby" : "primary", label->timeline,
                 label->is_incremental ? "INCREMENTAL FROM LSN: 0/28\n" : "");
}

static void try_label(const char *text)
{
    CLEANUP(buffer_done) Buffer printed = {0};
    BackupLabel label;
    BackupLabel again;
    Error err = {0};

    if (!backup_label_parse(text, &label, &err)) {
        assert(err.code == ERR_CORRUPT);
        return;
    }
    assert(label.start > 0 && label.checkpoint >= label.start && label.timeline > 0);
    print_label(&label, &printed);
    bool is_label = backup_label_parse((char *)printed.data, &again, &err);
    assert(is_label && again.start == label.start && again.checkpoint == label.checkpoint &&
           again.timeline == label.timeline && again.from_standby == label.from_standby &&
           again.is_incremental == label.is_incremental);
    fuzz_accepted();
}

/* As do_pg_backup_start() writes it (access/transam/xlog.c). */
static void print_map(const TablespaceList *list, unsigned major, Buffer *text)
{
    buffer_print(text, "%s", "");
    for (size_t i = 0; i < list->count; i++) {
        buffer_print(text, "%u ", list->items[i].oid);
        for (const char *at = list->items[i].path; *at != '\0'; at++) {
            if (*at == '\n' || *at == '\r' || (*at == '\\' && major >= 14))
                buffer_append(text, "\\", 1);
            buffer_append(text, at, 1);
        }
        buffer_print(text, "\n");
    }
}

static void try_map(const char *text, unsigned major)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(buffer_done) Buffer printed = {0};
    TablespaceList list;
    TablespaceList again;
    Error err = {0};

    if (!tablespace_map_parse(text, major, &arena, &list, &err)) {
        assert(err.code == ERR_CORRUPT);
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        assert(list.items[i].path[0] == '/' && list.items[i].oid > 0);
        /* What 13 writes for a backslash at the end of a line, 13 itself can't read. */
        if (major == 13 && strchr(list.items[i].path, '\\') != NULL)
            return;
    }
    print_map(&list, major, &printed);
    bool is_map = tablespace_map_parse((char *)printed.data, major, &arena, &again, &err);
    assert(is_map && again.count == list.count);
    for (size_t i = 0; i < list.count; i++) {
        assert(again.items[i].oid == list.items[i].oid);
        assert(strcmp(again.items[i].path, list.items[i].path) == 0);
    }
    if (list.count > 0)
        fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    unsigned major = PG_MAJOR_MIN + fuzz_u8(&input) % 6;
    CLEANUP(text_freep) char *label = fuzz_text(&input);
    CLEANUP(text_freep) char *map = fuzz_rest_text(&input);

    try_label(label);
    try_map(map, major);
    return 0;
}

static void seed(const char *name, uint8_t version, const BackupLabel *label, const char *map)
{
    CLEANUP(buffer_done) Buffer bytes = {0};

    buffer_append(&bytes, &version, 1);
    print_label(label, &bytes);
    buffer_append(&bytes, "", 1);
    buffer_append(&bytes, map, strlen(map));
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    seed("primary", 2, &(BackupLabel){.start = 0x2000028, .checkpoint = 0x2000060, .timeline = 1},
         "16384 /srv/fast disk\n16385 /srv/a\\\\b\\\nc\n");
    seed("standby", 0,
         &(BackupLabel){.start = 0xA94000028,
                        .checkpoint = 0xA94000028,
                        .timeline = 3,
                        .from_standby = true,
                        .is_incremental = true},
         "4294967295 /a\\b\n\n1 /srv/\\\r\n");
}
