/* What it means that the archive does not have a file: law 7 is decided here. */
#include "get_parts.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "postgres/wal_reader.h"
#include "prefetch_request.h"
#include "repo/layout.h"
#include "wal/wal_check.h"
#include "walk/absence.h"
#include "walk/set_aside.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum {
    LOOK_AGAIN_MS = 500, /* It lies between two looks at a hole. */
    NAP_MS = 50,         /* It is short so that a signal ends the waiting soon. */
    HISTORY_TEXT_MAX = 4 << 20,
};

static bool wait_ms(uint64_t ms, Error *err)
{
    for (uint64_t waited = 0; waited < ms; waited += NAP_MS) {
        if (!interrupt_check(err))
            return false;
        time_sleep_ms(NAP_MS);
    }
    return interrupt_check(err);
}

/*
 * pg_wal's own file of this segment of the name's timeline, if it holds that: restore keeps the
 * tail there that was never archived, and the server reads it when the archive has none.
 */
static bool open_in_pg_wal(const Get *get, uint64_t segment, char **path, int *fd)
{
    const uint32_t size = get->cluster->wal_segment_size;
    WalName name = {.kind = WAL_SEGMENT, .timeline = get->name.timeline, .segment = segment};
    char text[WAL_NAME_SIZE];
    uint8_t head[WAL_SEGMENT_HEADER_SIZE];
    WalSegmentHeader header;
    Error ignored = {0}; /* then it is useless to the server either */
    size_t got;

    if (get->view.data == NULL)
        return false;
    *path = text_format("%s/pg_wal/%s", get->view.data, wal_name_text(&name, size, text));
    return file_open(*path, fd, &ignored) &&
           file_read_at(*fd, head, sizeof head, 0, &got, *path, &ignored) &&
           wal_check_header(get->cluster, &name, ERR_CORRUPT, head, got, &header, &ignored);
}

static bool is_in_pg_wal(const Get *get, uint64_t segment)
{
    CLEANUP(text_freep) char *path = NULL;
    CLEANUP(fd_done) int fd = -1;

    return open_in_pg_wal(get, segment, &path, &fd);
}

/* Whether WAL goes through to its end, or to where the path leaves its timeline. */
static bool reads_through(const Get *get, const char *path, int fd)
{
    const Cluster *cluster = get->cluster;
    const PathStep *step = path_step_of(&get->view.path, get->name.timeline);
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(wal_reader_freep)
    WalReader *reader = wal_reader_new(&(WalReaderSetup){
        .version = pg_version_of_major(cluster->major),
        .system_identifier = cluster->system_identifier,
        .segment_size = cluster->wal_segment_size,
        .start = wal_segment_start(get->name.segment, cluster->wal_segment_size),
    });
    Error ignored = {0}; /* then the server can't read it either */
    size_t got;

    buffer_reserve(&content, cluster->wal_segment_size);
    if (step == NULL ||
        !file_read_at(fd, content.data, cluster->wal_segment_size, 0, &got, path, &ignored) ||
        got != cluster->wal_segment_size || !wal_reader_feed(reader, content.data, got, &ignored))
        return false;
    const WalReaderState *state = wal_reader_state(reader);
    return state->end != WAL_END_BROKEN || (step->end != 0 && state->broken_at >= step->end);
}

/* The server was told that the archive has it: if the archive has not, it lost it. */
static bool was_archived(const Get *get, const char *name)
{
    CLEANUP(text_freep)
    char *mark = text_format("%s/pg_wal/archive_status/%s.done", get->view.data, name);

    return file_exists(mark);
}

/*
 * A hole in the archive is none for a server whose pg_wal has the whole segment, never archived:
 * restore puts there what it found in the old directory and could not archive. The server reads it
 * when it is told that the archive has none.
 */
static bool is_whole_in_pg_wal(const Get *get)
{
    CLEANUP(text_freep) char *path = NULL;
    CLEANUP(fd_done) int fd = -1;

    return open_in_pg_wal(get, get->name.segment, &path, &fd) &&
           !was_archived(get, get->request->name) && reads_through(get, path, fd);
}

/* The server takes a history from pg_wal when the archive has none (timeline.c). */
static bool is_history_in_pg_wal(const Get *get)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep) char *path = NULL;
    TimelinePath steps;
    Error ignored = {0}; /* then the server could not read it either */

    if (get->request->data == NULL)
        return false;
    path = text_format("%s/pg_wal/%s", get->request->data, get->request->name);
    return file_read_whole(path, HISTORY_TEXT_MAX, &text, &ignored) &&
           timeline_path_parse(get->name.timeline, (const char *)text.data, &arena, &steps,
                               &ignored);
}

/*
 * A timeline of which the archive has nothing from here on need not be lost: it may have begun in
 * the tail that is in pg_wal. With this segment or the one before it there, "no such file" makes
 * the server read the tail, and end where it ends.
 */
static bool is_in_tail(const Get *get, const WalInventory *inventory)
{
    const uint32_t timeline = get->name.timeline;
    const uint64_t segment = get->name.segment;
    const PathStep *step = path_step_of(&get->view.path, timeline);

    if (step == NULL || step->end != 0 || wal_inventory_has_later(inventory, timeline, segment))
        return false;
    return is_in_pg_wal(get, segment) ||
           (segment > wal_segment_of(step->begin, get->cluster->wal_segment_size) &&
            is_in_pg_wal(get, segment - 1));
}

/*
 * A segment of an ancestor that a later timeline of the path owns as well, missing while more of
 * the ancestor is there. A server on our path has no business here, so it is on another one, where
 * this is a hole.
 */
static bool is_hole_of_ancestor(const Get *get, const WalInventory *inventory)
{
    const PathStep *step = path_step_of(&get->view.path, get->name.timeline);
    const uint32_t size = get->cluster->wal_segment_size;

    return step != NULL && step->end != 0 &&
           wal_segment_of(step->begin, size) <= get->name.segment &&
           wal_inventory_has_later(inventory, get->name.timeline, get->name.segment);
}

bool get_is_needed(const Get *get)
{
    return get->view.bound_segment == 0 || get->name.segment <= get->view.bound_segment;
}

static bool absence_of(const Get *get, const WalInventory *inventory, Absence *absence, Error *err)
{
    if (!wal_source_absence(get->cluster, inventory, &get->view.path, &get->name,
                            get->view.bound_segment, absence, err))
        return false;
    if ((*absence == ABSENCE_FORK && is_in_tail(get, inventory)) ||
        (*absence != ABSENCE_PROVEN && is_whole_in_pg_wal(get))) {
        *absence = ABSENCE_PROVEN;
    } else if (*absence == ABSENCE_PROVEN && get_is_needed(get) &&
               is_hole_of_ancestor(get, inventory) && !is_whole_in_pg_wal(get)) {
        *absence = ABSENCE_HOLE;
    }
    return true;
}

/*
 * A history that is not in the archive although a higher one is, and no WAL of its timeline.
 *
 * A server that was told its timeline as a number asks for those of lower numbers only to copy them
 * (timeline.c, restoreTimeLineHistoryFiles): one that is not on its path changes nothing. Those of
 * higher numbers it asks for to find one that is free (findNewestTimeLine): that of a timeline that
 * was set aside is.
 */
static bool find_history_absence(Get *get, const WalInventory *inventory, Absence *absence,
                                 Error *err)
{
    const uint32_t timeline = get->name.timeline;
    char id[BACKUP_ID_SIZE] = "";

    *absence = ABSENCE_HISTORY;
    if (wal_inventory_has_history(inventory, timeline))
        return true;
    *absence = is_history_in_pg_wal(get) ? ABSENCE_PROVEN : absence_of_history(inventory, timeline);
    if (*absence != ABSENCE_HISTORY || wal_inventory_has_later(inventory, timeline, 0))
        return true;
    if (get->view.timeline == 0 &&
        !recovery_view_load(get->cluster, get->request, &get->name, &get->view, err))
        return false;
    if (!get->view.is_pinned)
        return true;
    if (!recovery_view_path(get->cluster, &get->view, err))
        return false;
    if (path_step_of(&get->view.path, timeline) != NULL)
        return true;
    if (timeline > get->view.timeline && !wal_set_aside_as(get->cluster, &get->name, id, err))
        return false;
    if (timeline < get->view.timeline || *id != '\0')
        *absence = ABSENCE_PROVEN;
    return true;
}

/*
 * The archive may list what could not be read a moment later: archive-push sets a damaged object
 * aside before it stores it again. That is not an absence.
 */
static bool find_absence(Get *get, const WalInventory *inventory, Absence *absence, Error *err)
{
    *absence = ABSENCE_HOLE;
    switch (get->name.kind) {
    case WAL_SEGMENT:
        return wal_inventory_has(inventory, get->name.timeline, get->name.segment) ||
               absence_of(get, inventory, absence, err);
    case WAL_HISTORY:
        return find_history_absence(get, inventory, absence, err);
    case WAL_PARTIAL:
    case WAL_BACKUP_HISTORY:
        /* Recovery asks for neither; a listing that was had whole is the proof. */
        *absence = ABSENCE_PROVEN;
        return true;
    }
    return true;
}

/*
 * Whether the file was once here, was found damaged and set aside, and was never stored again. Its
 * name is free then, but it was acknowledged to the server: saying "no such file" would end a
 * recovery early.
 */
static bool refuse_set_aside(const Get *get, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(get->cluster->name, get->request->name);
    CLEANUP(text_freep) char *prefix = text_format("%s.damaged-", object);
    CLEANUP(object_list_done) ObjectList list = {0};

    if (!storage_list(get->cluster->repo->storage, prefix, &list, err))
        return error_context(err, "list the archive");
    if (list.count == 0)
        return true;
    error_set(err, ERR_CORRUPT, "it was damaged, set aside as %s, and not stored anew",
              list.objects[0].name);
    return error_hint(err, "look for it in pg_wal of the old server or in another copy and put it "
                           "in with archive-push");
}

/* This segment or a later one of its timeline; what is not whole counts too. */
static bool has_from(const Get *get, const WalInventory *inventory, const WalName *name, bool *has,
                     Error *err)
{
    WalSource source;

    *has = wal_inventory_has_later(inventory, name->timeline, name->segment);
    if (*has)
        return true;
    if (!wal_source_find(get->cluster, inventory, name->timeline, name->segment, &source, err))
        return false;
    *has = source.form != WAL_NOWHERE;
    return true;
}

/* The last one that the archive gave to this recovery; the one asked for when that is not known. */
static WalName last_given(const Get *get)
{
    WalName given = get->name;

    (void)prefetch_given(get->request->ahead, get->cluster, &given);
    return given;
}

/* Whether the archive has what it gave, or WAL after it: true also when it is not known to have. */
static bool has_given(const Get *get, const WalInventory *inventory, bool *has, Error *err)
{
    WalName given;

    *has = true;
    return !prefetch_given(get->request->ahead, get->cluster, &given) ||
           has_from(get, inventory, &given, has, err);
}

/*
 * Whether the archive has lost what it had: it was rolled back to an older copy or emptied, or its
 * folder of WAL is not mounted. Its end is not the end of the WAL then, nor are its histories all
 * there were. Two things are known of it: what it gave to this recovery, and, without a target,
 * what it had when restore planned. What the target does not need may be missing.
 */
static bool refuse_loss(const Get *get, bool has_what_it_gave, Error *err)
{
    const WalName lost = last_given(get);
    char text[WAL_NAME_SIZE];

    if (!get_is_needed(get))
        return true;
    if (!has_what_it_gave) {
        error_set(err, ERR_CORRUPT,
                  "it is not in the archive, and neither is %s, which the archive gave to this "
                  "recovery: the repository is an older copy, or has lost WAL",
                  wal_name_text(&lost, get->cluster->wal_segment_size, text));
        return error_hint(err, "bring the repository back and start the server again; to make do "
                               "with what is left in it, remove pg_wal/" PREFETCH_FOLDER " first");
    }
    if (get->name.kind == WAL_SEGMENT && get->name.segment <= get->view.archive_end &&
        !is_whole_in_pg_wal(get) &&
        path_timeline_of_segment(&get->view.path, get->name.segment,
                                 get->cluster->wal_segment_size) == get->name.timeline) {
        error_set(err, ERR_CORRUPT,
                  "it is not in the archive, and was when this recovery was planned: the "
                  "repository is an older copy, or has lost WAL");
        return error_hint(err, "bring the repository back and start the server again; to make do "
                               "with what is left in it, restore once more");
    }
    return true;
}

/* The first segment of this timeline that the archive has after the one asked for; 0: none. */
static uint64_t first_later(const WalInventory *inventory, const WalName *name)
{
    uint64_t first = 0;

    for (size_t i = 0; i < inventory->run_count; i++) {
        const WalRun *run = &inventory->runs[i];

        if (run->timeline == name->timeline && run->first > name->segment &&
            (first == 0 || run->first < first)) {
            first = run->first;
        }
    }
    return first;
}

/* What retention took away: it is in no other place that this recovery could be given it from. */
static bool is_marked_removed(const Get *get)
{
    CLEANUP(mark_list_done) MarkList marks = {.count = 0};
    Error ignored = {0}; /* it is missing, whoever took it */
    uint64_t last;

    return mark_list_load(&marks, get->cluster, &ignored) &&
           wal_marked_removed(&marks, get->cluster->wal_segment_size, get->name.timeline,
                              get->name.segment, &last);
}

static bool explain_expired(Error *err)
{
    error_set(err, ERR_CORRUPT,
              "retention has removed it (pgcairn expire), since no backup that is kept needs it; "
              "this is not the end of the WAL");
    return error_hint(err, "restore again, from a backup that `pgcairn list` shows; a standby that "
                           "needs it has to be made anew");
}

static bool explain_hole(const Get *get, const WalInventory *inventory, Error *err)
{
    WalName later = get->name;
    char text[WAL_NAME_SIZE] = "WAL of a timeline that this recovery goes on to";

    if (is_marked_removed(get))
        return explain_expired(err);
    later.segment = first_later(inventory, &get->name);
    if (later.segment != 0)
        wal_name_text(&later, get->cluster->wal_segment_size, text);
    error_set(err, ERR_CORRUPT, "a hole in the archive: it is missing, and %s is there", text);
    return error_hint(err, "look for it in pg_wal of the old server or in another copy, put it in "
                           "with archive-push, and start the server again: recovery goes on");
}

static bool explain_left(const Get *get, Error *err)
{
    return error_set(err, ERR_ABSENT,
                     "it is not in the archive; the server takes the one in %s/pg_wal",
                     get->request->data != NULL ? get->request->data : get->view.data);
}

/* Why the server may be told that there is none; what is there nevertheless is not denied. */
static bool explain_proven(const Get *get, const WalInventory *inventory, Error *err)
{
    const uint32_t timeline = get->name.timeline;
    const bool is_history = get->name.kind == WAL_HISTORY;

    if (!is_history && get->name.kind != WAL_SEGMENT)
        return error_set(err, ERR_ABSENT, "it is not in the archive");
    if (is_history ? is_history_in_pg_wal(get) : is_in_pg_wal(get, get->name.segment))
        return explain_left(get, err);
    if (is_history ? inventory->timeline_max > timeline
                   : wal_inventory_has_later(inventory, timeline, get->name.segment)) {
        return error_set(err, ERR_ABSENT,
                         "it is not in the archive, and this recovery does not need it");
    }
    if (is_history)
        return error_set(err, ERR_ABSENT, "it is not in the archive, and no later timeline is");
    return error_set(err, ERR_ABSENT,
                     "it is not in the archive, and nothing of timeline %" PRIu32 " after it is",
                     timeline);
}

static bool explain_absence(const Get *get, const WalInventory *inventory, Absence absence,
                            Error *err)
{
    switch (absence) {
    case ABSENCE_PROVEN:
        return explain_proven(get, inventory, err);
    case ABSENCE_HOLE:
        return explain_hole(get, inventory, err);
    case ABSENCE_FORK:
        error_set(err, ERR_CORRUPT,
                  "timeline %" PRIu32 " begins here or before, and its WAL is missing: the server "
                  "would go on with what its parent did after the fork",
                  get->name.timeline);
        return error_hint(err,
                          "put the WAL of timeline %" PRIu32 " in with archive-push, or "
                          "restore to an older timeline (--target-timeline)",
                          get->name.timeline);
    case ABSENCE_HISTORY:
        error_set(err, ERR_CORRUPT,
                  "timeline %" PRIu32 " or a later one exists, and this history is missing",
                  get->name.timeline);
        return error_hint(err,
                          "look for it in pg_wal of a server that was on timeline %" PRIu32
                          " and put it in with archive-push",
                          get->name.timeline);
    }
    return error_set(err, ERR_INTERNAL, "absence %d", (int)absence);
}

/* What the archive's listing says of a file that it was asked for and did not have. */
typedef struct AbsenceLook {
    WalSource open; /* Some of the file is there. */
    Absence absence;
    /* The archive still has what it gave last, or later WAL. It counts only with ABSENCE_PROVEN. */
    bool has_given;
} AbsenceLook;

/* Decides nothing yet, and gives nothing: the inventory may turn out not to know enough. */
static bool look_for_absence(Get *get, const WalInventory *inventory, AbsenceLook *found,
                             Error *err)
{
    *found = (AbsenceLook){.has_given = true};
    if (!get_find_open(get, inventory, &found->open, err))
        return false;
    if (found->open.form != WAL_NOWHERE)
        return true;
    return find_absence(get, inventory, &found->absence, err) &&
           (found->absence != ABSENCE_PROVEN || !get_is_needed(get) ||
            has_given(get, inventory, &found->has_given, err));
}

/* One that another look in a moment would not change. */
static bool is_answer(const AbsenceLook *found)
{
    return found->open.form != WAL_NOWHERE || found->absence == ABSENCE_PROVEN;
}

static bool answer_absence(Get *get, const WalInventory *inventory, const AbsenceLook *found,
                           Error *err)
{
    if (is_answer(found) && !refuse_set_aside(get, err))
        return false;
    if (found->open.form != WAL_NOWHERE)
        return get_answer_open(get, inventory, &found->open, err);
    if (found->absence == ABSENCE_PROVEN && !refuse_loss(get, found->has_given, err))
        return false;
    return explain_absence(get, inventory, found->absence, err);
}

/* Around the file, and what the archive gave last; all of it when that is not enough. */
static bool load_archive(const Get *get, bool is_whole, WalInventory *inventory, Error *err)
{
    const WalName names[] = {get->name, last_given(get)};

    return (is_whole ? wal_inventory_load(inventory, get->cluster, err)
                     : wal_inventory_load_around(inventory, get->cluster, names, ARRAY_SIZE(names),
                                                 err)) ||
           error_context(err, "list the archive");
}

/*
 * The archive was asked and does not have it; find out what that means. "No such file" ends the
 * recovery and opens the database, so it takes a listing that was had whole. A hole may be one that
 * a parallel push is just filling, and so may a missing history or first segment: look again for
 * hole_wait_ms before saying so.
 */
bool get_prove_absence(Get *get, Error *err)
{
    const TimeUs deadline = time_monotonic() + (TimeUs)get->request->hole_wait_ms * 1000;
    bool is_whole = false;

    if (get->name.kind == WAL_SEGMENT && !recovery_view_path(get->cluster, &get->view, err))
        return false;
    for (;;) {
        CLEANUP(wal_inventory_done) WalInventory inventory = {0};
        Error attempt = {0};
        AbsenceLook found;

        if (!load_archive(get, is_whole, &inventory, err))
            return false;
        /* After the listing: what came in between is given, whatever the listing says. */
        if (get_deliver(get, &attempt))
            return true;
        if (attempt.code != ERR_NOT_FOUND)
            return error_pass(err, &attempt);
        error_clear(&attempt);
        const bool is_found = look_for_absence(get, &inventory, &found, &attempt);
        if (!wal_inventory_suffices(&inventory)) { /* whatever it says: it does not know */
            is_whole = true;
            continue;
        }
        if (!is_found)
            return error_pass(err, &attempt);
        if (is_answer(&found) || time_monotonic() >= deadline)
            return answer_absence(get, &inventory, &found, err);
        log_debug("not in the archive although later WAL is; looking again",
                  log_str("segment", get->request->name));
        if (!wait_ms(LOOK_AGAIN_MS, err))
            return false;
    }
}
