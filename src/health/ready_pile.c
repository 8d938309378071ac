#include "look.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static const char suffix[] = ".ready";

/* Names of segments order as their positions do within a timeline, and timelines come in order. */
static bool ready_is_before(const WalName *a, const WalName *b)
{
    return a->timeline != b->timeline ? a->timeline < b->timeline : a->segment < b->segment;
}

void ready_pile_add(ReadyPile *pile, const char *name, TimeUs marked_at, uint32_t segment_size)
{
    size_t length = strlen(name);
    char text[WAL_NAME_SIZE];
    Error ignored = {0}; /* no WAL file's name */
    WalName parsed;

    if (length < sizeof suffix || strcmp(name + length - (sizeof suffix - 1), suffix) != 0)
        return;
    (void)snprintf(text, sizeof text, "%.*s", (int)(length - (sizeof suffix - 1)), name);
    if (!wal_name_parse(text, segment_size, &parsed, &ignored))
        return;
    if (parsed.kind != WAL_SEGMENT) {
        pile->others++;
        return;
    }
    if (pile->count == 0 || ready_is_before(&parsed, &pile->oldest_name)) {
        memcpy(pile->oldest, text, sizeof text);
        pile->oldest_name = parsed;
    }
    if (pile->count == 0 || marked_at < pile->oldest_at)
        pile->oldest_at = marked_at;
    pile->count++;
    pile->bytes += segment_size;
}

void ready_pile_measure(ReadyPile *pile, uint32_t segment_size, TimeUs now, TimeUs last_archived_at)
{
    static const TimeUs shortest = 1000000;

    pile->full_in = TIME_US_NONE;
    pile->growth_bytes_per_s = 0;
    pile->measured = pile->count > 0 && now > pile->oldest_at ? now - pile->oldest_at : 0;
    /* What was archived since took segments away: then the marks that are left measure nothing. */
    if (pile->count < 2 || pile->measured < shortest ||
        (last_archived_at != TIME_US_NONE && last_archived_at > pile->oldest_at))
        return;
    /* Since the first one was marked, all but that one were. */
    pile->growth_bytes_per_s =
        (double)(pile->count - 1) * segment_size / ((double)pile->measured / 1e6);
    if (pile->knows_free)
        pile->full_in = (TimeUs)((double)pile->free_bytes / pile->growth_bytes_per_s * 1e6);
}

static bool add_by_directory(const ServerLook *server, ReadyPile *pile, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal/archive_status", server->data);
    CLEANUP(directory_done) DIR *directory = opendir(path);
    const struct dirent *entry;

    if (directory == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", path);
    while ((errno = 0, entry = readdir(directory)) != NULL) {
        struct stat status;

        /* It may be archived by now, and the mark renamed. */
        if (fstatat(dirfd(directory), entry->d_name, &status, 0) == 0) {
            ready_pile_add(pile, entry->d_name,
                           (TimeUs)status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000,
                           server->wal_segment_size);
        }
    }
    return errno == 0 || error_set_errno(err, ERR_IO, errno, "list %s", path);
}

typedef struct Adding {
    ReadyPile *pile;
    uint32_t segment_size;
} Adding;

static bool add_row(void *context, const char *const *values, Error *err)
{
    const Adding *adding = context;

    (void)err;
    if (values[0] != NULL && values[1] != NULL) {
        ready_pile_add(adding->pile, values[0], (TimeUs)strtoll(values[1], NULL, 10),
                       adding->segment_size);
    }
    return true;
}

static bool add_by_sql(const ServerLook *server, Session *session, ReadyPile *pile, Error *err)
{
    Adding adding = {.pile = pile, .segment_size = server->wal_segment_size};

    return session_rows(session,
                        "SELECT name, (extract(epoch FROM modification) * 1000000)::bigint"
                        " FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'",
                        2, add_row, &adding, err);
}

static void look_at_space(const ServerLook *server, ReadyPile *pile)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal", server->data);
    struct statvfs status;

    pile->knows_free = statvfs(path, &status) == 0;
    if (pile->knows_free)
        pile->free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
}

bool ready_pile_look(const ServerLook *server, Session *session, Arena *arena, ReadyPile *pile,
                     Error *err)
{
    Error attempt = {0};

    *pile = (ReadyPile){.reason = "", .full_in = TIME_US_NONE};
    if (server->data == NULL && session == NULL) {
        pile->reason = "neither the server nor its data directory can be reached";
        return true;
    }
    pile->is_known = server->data != NULL ? add_by_directory(server, pile, &attempt)
                                          : add_by_sql(server, session, pile, &attempt);
    if (!pile->is_known) {
        pile->reason = arena_text(arena, attempt.message);
        if (!is_final(&attempt))
            return true;
        return error_pass(err, &attempt);
    }
    if (server->data != NULL)
        look_at_space(server, pile);
    /* Unless it answers nobody knows what was archived since. */
    ready_pile_measure(pile, server->wal_segment_size, server_look_now(server),
                       server->answers ? server->archiver.last_archived_at : TIME_US_MAX);
    return true;
}
