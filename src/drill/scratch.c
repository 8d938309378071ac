#include "drill/scratch.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/held.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/process.h"
#include "base/shell_word.h"
#include "base/tree.h"
#include "leftover.h"
#include "repo/record.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_NAME "record"

enum {
    /* It is the size of sun_path in sockaddr_un without its zero (pqcomm.h). */
    SOCKET_PATH_MAX = 107,
    RECORD_SIZE_MAX = 64 << 10,
    TRIES = 5,
};

static bool is_record_name(const char *name)
{
    return strcmp(name, RECORD_NAME) == 0 ||
           strncmp(name, RECORD_NAME ".tmp-", strlen(RECORD_NAME ".tmp-")) == 0;
}

static bool scratch_resolve(const char *directory, Arena *arena, const char **path, Error *err)
{
    if (!file_make_directories(directory, 0700, err))
        return false;
    char *real = realpath(directory, NULL);
    if (real == NULL)
        return error_set_errno(err, ERR_IO, errno, "find %s", directory);
    *path = arena_text(arena, real);
    free(real);
    return true;
}

static bool check_length(const Scratch *scratch, Error *err)
{
    if (strlen(scratch->socket) + strlen("/.s.PGSQL.65535") <= SOCKET_PATH_MAX)
        return true;
    error_set(err, ERR_REFUSED, "the path of a socket in %s would be longer than %d bytes",
              scratch->socket, (int)SOCKET_PATH_MAX);
    return error_hint(err, "choose a shorter path for --scratch");
}

static void scratch_name_parts(Scratch *scratch, const char *directory)
{
    Arena *arena = &scratch->arena;

    scratch->place = strcmp(directory, "/") == 0
                         ? arena_text(arena, "/" SCRATCH_NAME)
                         : arena_format(arena, "%s/" SCRATCH_NAME, directory);
    scratch->data = arena_format(arena, "%s/data", scratch->place);
    scratch->tablespaces = arena_format(arena, "%s/tablespace", scratch->place);
    scratch->socket = arena_format(arena, "%s/socket", scratch->place);
    scratch->conf = arena_format(arena, "%s/conf", scratch->place);
    scratch->log = arena_format(arena, "%s/server.log", scratch->place);
}

static bool scratch_refuse_busy(const Scratch *scratch, Error *err)
{
    error_set(err, ERR_BUSY, "another drill works in %s", scratch->place);
    return error_hint(err, "wait until it has ended, or give another directory: --scratch=DIR");
}

/* What we lock must be what the path leads to: one that ends meanwhile removes its directory. */
static bool scratch_is_in_place(const Scratch *scratch, int fd)
{
    struct stat ours, there;

    return fstat(fd, &ours) == 0 && lstat(scratch->place, &there) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* *fd stays -1 when there is none and none is to be made, or it went while we came. */
static bool scratch_lock(const Scratch *scratch, int *fd, Error *err)
{
    CLEANUP(fd_done)
    int place = open(scratch->place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat found;

    if (place < 0 && errno == ENOENT)
        return true;
    if (place < 0)
        return error_set_errno(err, ERR_REFUSED, errno, "open %s", scratch->place);
    if (fstat(place, &found) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", scratch->place);
    if (found.st_uid != geteuid() || (found.st_mode & 022) != 0) {
        return error_set(err, ERR_REFUSED, "%s belongs to another user, or others can write to it",
                         scratch->place);
    }
    if (flock(place, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? scratch_refuse_busy(scratch, err)
                   : error_set_errno(err, ERR_IO, errno, "lock %s", scratch->place);
    }
    if (scratch_is_in_place(scratch, place))
        *fd = fd_take(&place);
    return true;
}

static bool make_and_lock(Scratch *scratch, Error *err)
{
    for (int i = 0; i < TRIES && scratch->fd < 0; i++) {
        if (mkdir(scratch->place, 0700) != 0 && errno != EEXIST)
            return error_set_errno(err, ERR_IO, errno, "make %s", scratch->place);
        if (!scratch_lock(scratch, &scratch->fd, err))
            return false;
    }
    return scratch->fd >= 0 || scratch_refuse_busy(scratch, err);
}

static bool scratch_hold(const Scratch *scratch, HeldDirectory *held, Error *err)
{
    return held_open(held, scratch->place, err);
}

/* pid 0: no server yet. */
static bool scratch_write_record(const Scratch *scratch, pid_t server, Error *err)
{
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;
    CLEANUP(record_writer_done) RecordWriter record = {0};

    record_begin(&record, "drill", 1);
    record_text(&record, "host", process_host_name());
    record_text(&record, "boot_id", process_boot_id());
    record_u64(&record, "pid", (uint64_t)getpid());
    record_u64(&record, "process_start", process_start_time(getpid()));
    record_u64(&record, "server_pid", (uint64_t)server);
    record_u64(&record, "server_start", server > 0 ? process_start_time(server) : 0);
    record_finish(&record);
    return (scratch_hold(scratch, &held, err) &&
            held_writer_open(&file, held_at(&held, RECORD_NAME), 0600, err) &&
            file_writer_write(&file, record.text.data, record.text.size, err) &&
            file_writer_replace(&file, err)) ||
           error_context(err, "note that a drill works in %s", scratch->place);
}

bool scratch_note_server(const Scratch *scratch, pid_t pid, Error *err)
{
    return scratch_write_record(scratch, pid, err);
}

static uint64_t scratch_number(const Record *record, const char *key)
{
    const char *text = record_find(record, key);

    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

/* The server that the record names, if that very process still runs; else 0. */
static pid_t recorded_server(const Scratch *scratch, const HeldDirectory *held)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(record_done) Record record = {0};
    Error unread = {0}; /* the server is found by where it works as well */

    (void)scratch;
    if (!held_read_whole(held_at(held, RECORD_NAME), RECORD_SIZE_MAX, &text, &unread) ||
        !record_parse((const char *)text.data, text.size, "drill", 1, &record, &unread))
        return 0;
    const char *boot = record_find(&record, "boot_id");
    const pid_t pid = (pid_t)scratch_number(&record, "server_pid");
    if (boot == NULL || strcmp(boot, process_boot_id()) != 0 || pid <= 0 ||
        process_start_time(pid) != scratch_number(&record, "server_start"))
        return 0;
    return pid;
}

/* Others' things under our name: everything in it but a record that is being written. */
static bool check_ours(const Scratch *scratch, const HeldDirectory *held, Error *err)
{
    CLEANUP(directory_done) DIR *list = NULL;
    const int fd = openat(held->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (held_has(held_at(held, RECORD_NAME))) {
        if (fd >= 0)
            (void)close(fd);
        return true;
    }
    list = fd >= 0 ? fdopendir(fd) : NULL;
    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", scratch->place);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            is_record_name(entry->d_name))
            continue;
        CLEANUP(text_freep) char *place = shell_word(scratch->place);
        error_set(err, ERR_REFUSED, "%s is there, and was not made by a drill", scratch->place);
        return error_hint(err,
                          "give another directory: --scratch=DIR; or, if nobody needs it, "
                          "`rm -r %s`",
                          place);
    }
    return true;
}

static bool scratch_has_content(const HeldDirectory *held)
{
    return held_has(held_at(held, RECORD_NAME));
}

/* A TreeVisit. context: whether the record stays. */
static bool scratch_remove_part(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    const bool *keeps_record = context;

    *descends = false;
    return (*keeps_record && is_record_name(entry->name)) || tree_remove_entry(entry, err);
}

static bool scratch_remove_content(const HeldDirectory *held, bool keeps_record, Error *err)
{
    const TreeVisitor visitor = {.before = scratch_remove_part, .context = &keeps_record};

    return tree_walk_in(held, &visitor, err);
}

/* The record goes last: what it does not stand beside is somebody else's. */
static bool scratch_empty(Scratch *scratch, bool *found, Error *err)
{
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;

    if (!scratch_hold(scratch, &held, err) || !check_ours(scratch, &held, err))
        return false;
    *found = scratch_has_content(&held);
    return leftover_end_server(scratch->data, recorded_server(scratch, &held), err) &&
           FAULT_POINT("drill.before-remove", err) && scratch_remove_content(&held, true, err) &&
           FAULT_POINT("drill.half-removed", err) &&
           held_remove(held_at(&held, RECORD_NAME), err) &&
           scratch_remove_content(&held, false, err);
}

static bool scratch_make_parts(const Scratch *scratch, Error *err)
{
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;

    return scratch_hold(scratch, &held, err) &&
           held_make_directory(held_at(&held, "socket"), err) &&
           held_make_directory(held_at(&held, "conf"), err);
}

bool scratch_name(Scratch *scratch, const char *directory, Error *err)
{
    char *real = realpath(directory, NULL);

    if (real == NULL && errno != ENOENT)
        return error_set_errno(err, ERR_IO, errno, "find %s", directory);
    scratch_name_parts(scratch, real != NULL ? real : directory);
    free(real);
    return true;
}

bool scratch_take(Scratch *scratch, const char *directory, Error *err)
{
    const char *parent;
    bool found = false;

    if (!scratch_resolve(directory, &scratch->arena, &parent, err))
        return error_context(err, "--scratch");
    scratch_name_parts(scratch, parent);
    if (!check_length(scratch, err) || !make_and_lock(scratch, err) ||
        !scratch_empty(scratch, &found, err)) {
        scratch->keeps = true; /* it is not ours */
        return false;
    }
    if (found)
        log_info("removed what a killed drill had left", log_str("directory", scratch->place));
    return scratch_write_record(scratch, 0, err) && FAULT_POINT("drill.after-record", err) &&
           scratch_make_parts(scratch, err);
}

bool scratch_remove(Scratch *scratch, Error *err)
{
    bool found;

    if (scratch->fd < 0)
        return true;
    if (!scratch_empty(scratch, &found, err))
        return error_context(err, "remove %s", scratch->place);
    if (rmdir(scratch->place) != 0)
        return error_set_errno(err, ERR_IO, errno, "remove %s", scratch->place);
    fd_done(&scratch->fd);
    return true;
}

void scratch_done(Scratch *scratch)
{
    Error failure = {0};

    interrupt_heard();
    if (!scratch->keeps && !scratch_remove(scratch, &failure)) {
        log_warn("the drill's directory could not be removed: `pgcairn drill --clean` does it",
                 log_str("directory", scratch->place), log_str("reason", failure.message));
    }
    fd_done(&scratch->fd);
    arena_done(&scratch->arena);
}

bool scratch_clean(const char *directory, bool *found, Error *err)
{
    CLEANUP(scratch_done) Scratch scratch = {.fd = -1, .keeps = true};
    char *real = realpath(directory, NULL);

    *found = false;
    if (real == NULL && errno == ENOENT)
        return true;
    if (real == NULL)
        return error_set_errno(err, ERR_IO, errno, "find %s", directory);
    scratch_name_parts(&scratch, real);
    free(real);
    if (!scratch_lock(&scratch, &scratch.fd, err))
        return false;
    if (scratch.fd < 0)
        return true;
    *found = true;
    return scratch_remove(&scratch, err);
}
