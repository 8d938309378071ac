/*
 * What src/postgres says of a real server's files and answers, for the integration tests.
 *
 *     driver_postgres pages DATA              path, block of each bad page; then counts
 *     driver_postgres speed                   page checksums, GB/s
 *     driver_postgres control DATA            fields of pg_control
 *     driver_postgres manifest DATA MAJOR SYSTEM TIMELINE START END   backup_manifest of the files
 *     driver_postgres lock DATA               postmaster.pid and the startup process's title
 *     driver_postgres identify CONNINFO       who the server is
 *     driver_postgres backup CONNINFO LABEL fast|spread   start, stop, their answers
 *     driver_postgres row CONNINFO QUERY      one value
 */
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "postgres/backup_label.h"
#include "postgres/backup_manifest.h"
#include "postgres/control.h"
#include "postgres/data_directory.h"
#include "postgres/page.h"
#include "server/server.h"
#include "server/session.h"
#include "stream/digest.h"

#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <sys/stat.h>

typedef bool VisitFile(void *context, const char *path, const FTSENT *entry, Error *err);

/* Every file that a backup would copy, tablespaces included. */
static bool visit_files(const char *data, VisitFile *visit, void *context, Error *err)
{
    CLEANUP(text_freep) char *root = text_format("%s", data);
    char *const roots[] = {root, NULL};
    FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    bool ok = tree != NULL || error_set(err, ERR_IO, "can't walk %s", data);

    while (ok) {
        FTSENT *entry = fts_read(tree);
        if (entry == NULL)
            break;
        const char *path = entry->fts_path + strlen(data);
        path += *path == '/' ? 1 : 0;
        DataPlan plan = data_plan_of(path, entry->fts_info == FTS_D);
        if (entry->fts_info == FTS_D && (plan == PLAN_SKIP || plan == PLAN_EMPTY))
            (void)fts_set(tree, entry, FTS_SKIP);
        if (entry->fts_info == FTS_F && plan != PLAN_SKIP)
            ok = visit(context, path, entry, err);
    }
    (void)fts_close(tree);
    return ok;
}

typedef struct Pages {
    PgControl control;
    uint64_t good, bad;
} Pages;

static bool judge_pages(void *context, const char *path, const FTSENT *entry, Error *err)
{
    Pages *pages = context;
    const char *name = strrchr(path, '/');
    uint32_t size = pages->control.block_size;
    const PageRule rule = {.has_checksums = pages->control.checksum_version != 0};
    CLEANUP(fd_done) int fd = open(entry->fts_accpath, O_RDONLY | O_CLOEXEC);
    RelationFileName file;
    uint8_t page[32768];
    size_t got;

    if (data_plan_of(path, false) != PLAN_RELATION || !relation_file_parse(name + 1, &file))
        return true;
    for (uint32_t block = 0;; block++) {
        if (!file_read_at(fd, page, size, (uint64_t)block * size, &got, path, err))
            return false;
        if (got != size)
            return true;
        uint32_t place = file.segment * pages->control.relation_segment_blocks + block;
        bool good = page_check(page, size, place, &rule) == PAGE_GOOD;
        pages->good += good;
        pages->bad += !good;
        if (!good)
            printf("%s %u\n", path, place);
    }
}

static bool pages_of(char **words, Error *err)
{
    Pages pages = {0};

    if (!pg_control_read(words[0], &pages.control, NULL, err) ||
        !visit_files(words[0], judge_pages, &pages, err))
        return false;
    printf("good %" PRIu64 "\nbad %" PRIu64 "\n", pages.good, pages.bad);
    return true;
}

static bool speed(char **words, Error *err)
{
    enum { PAGE = 8192, COUNT = 128, ROUNDS = 4000 };
    uint8_t *pages = mem_alloc((size_t)PAGE * COUNT);
    unsigned sum = 0;

    (void)words;
    (void)err;
    TimeUs start = time_monotonic();
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < COUNT; i++)
            sum += page_checksum(pages + (size_t)i * PAGE, PAGE, round + i);
    }
    double seconds = (double)(time_monotonic() - start) / 1e6;
    printf("%.1f GB/s (%u)\n", (double)PAGE * COUNT * ROUNDS / seconds / 1e9, sum);
    mem_free(pages);
    return true;
}

static bool control_of(char **words, Error *err)
{
    PgControl control;
    char lsn[LSN_TEXT_SIZE];

    if (!pg_control_read(words[0], &control, NULL, err))
        return false;
    printf("%s\n%" PRIu64 "\n%s\n%u\n%u\n", pg_state_name(control.state), control.system_identifier,
           lsn_text(control.checkpoint, lsn), control.timeline, control.checksum_version);
    return true;
}

typedef struct Listing {
    BackupManifestWriter *writer;
} Listing;

static bool list_file(void *context, const char *path, const FTSENT *entry, Error *err)
{
    Listing *listing = context;
    CLEANUP(buffer_done) Buffer content = {0};

    if (!file_read_whole(entry->fts_accpath, (size_t)1 << 30, &content, err))
        return false;
    backup_manifest_file(listing->writer, path, content.size,
                         entry->fts_statp->st_mtime * (TimeUs)1000000,
                         crc32c_update(0, content.data, content.size));
    return true;
}

static bool manifest_of(char **words, Error *err)
{
    CLEANUP(buffer_done) Buffer out = {0};
    Lsn start, end;
    CLEANUP(backup_manifest_freep)
    BackupManifestWriter *writer = backup_manifest_new((unsigned)strtoul(words[1], NULL, 10),
                                                       strtoull(words[2], NULL, 10), &out);
    Listing listing = {.writer = writer};

    if (!lsn_parse(words[4], &start, err) || !lsn_parse(words[5], &end, err) ||
        !visit_files(words[0], list_file, &listing, err))
        return false;
    backup_manifest_finish(writer, (uint32_t)strtoul(words[3], NULL, 10), start, end);
    return fwrite(out.data, 1, out.size, stdout) == out.size;
}

static bool lock_of(char **words, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    ServerLock lock;
    bool found;
    const char *title;

    if (!server_lock_read(words[0], &arena, &lock, &found, err))
        return false;
    if (!found) {
        printf("none\n");
        return true;
    }
    (void)server_startup_title(lock.pid, &arena, &title);
    printf("%d\n%u\n%s\n%d\n%d\n%s\n", (int)lock.pid, lock.port, lock.socket_directory,
           (int)lock.status, lock.is_alive, title);
    return true;
}

static bool identify(char **words, Error *err)
{
    CLEANUP(session_freep) Session *session = session_open(words[0], err);
    CLEANUP(arena_done) Arena arena = {0};
    ServerIdentity identity;

    if (session == NULL || !session_identify(session, &arena, &identity, err))
        return false;
    printf("%u\n%u\n%" PRIu64 "\n%u\n%d\n%d\n%s\n%s\n%s\n%u\n%d\n", identity.version_number,
           identity.major, identity.system_identifier, identity.timeline, identity.in_recovery,
           identity.archiving, identity.archive_command, identity.wal_level,
           identity.data_directory, identity.wal_segment_size, identity.has_checksums);
    return true;
}

static bool backup(char **words, Error *err)
{
    CLEANUP(session_freep) Session *session = session_open(words[0], err);
    CLEANUP(arena_done) Arena arena = {0};
    char text[LSN_TEXT_SIZE];
    BackupLabel label;
    BackupStop stop;
    Lsn start, insert;

    if (session == NULL ||
        !session_backup_start(session, words[1], strcmp(words[2], "fast") == 0, &start, err) ||
        !session_insert_lsn(session, &insert, err) ||
        !session_backup_stop(session, &arena, &stop, err) ||
        !backup_label_parse(stop.label, &label, err))
        return false;
    printf("start %s\n", lsn_text(start, text));
    printf("insert %s\n", lsn_text(insert, text));
    printf("stop %s\n", lsn_text(stop.stop, text));
    printf("label start %s\n", lsn_text(label.start, text));
    printf("--\n%s--\n%s", stop.label, stop.tablespace_map);
    return true;
}

static bool row(char **words, Error *err)
{
    CLEANUP(session_freep) Session *session = session_open(words[0], err);
    CLEANUP(arena_done) Arena arena = {0};
    const char *value = NULL;
    bool found;

    if (session == NULL || !session_row(session, words[1], &arena, &value, 1, &found, err))
        return false;
    printf("%s\n", !found ? "(no row)" : value == NULL ? "(null)" : value);
    return true;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int words;
        bool (*run)(char **words, Error *err);
    } acts[] = {
        {"pages", 1, pages_of},       {"speed", 0, speed},  {"control", 1, control_of},
        {"manifest", 6, manifest_of}, {"lock", 1, lock_of}, {"identify", 1, identify},
        {"backup", 3, backup},        {"row", 2, row},
    };
    Error err = {0};

    interrupt_setup();
    log_setup(LOG_WARN, LOG_TEXT);
    for (size_t i = 0; argc >= 2 && i < ARRAY_SIZE(acts); i++) {
        if (strcmp(argv[1], acts[i].name) != 0 || argc != acts[i].words + 2)
            continue;
        bool ok = acts[i].run(argv + 2, &err);
        if (!ok)
            fprintf(stderr, "%s: %s\n%s\n", err.context, err.message, err.hint);
        return ok ? fflush(stdout) : (int)err.code;
    }
    return ERR_USAGE;
}
