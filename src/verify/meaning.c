#include "meaning.h"

#include "timelines.h"
#include "troubles.h"

#include <inttypes.h>

enum { NAMES_MAX = 5 };

/* "A, B, C and 4 more" as they come. */
typedef struct NameList {
    Buffer text;
    size_t count;
} NameList;

static void name_list_done(NameList *list)
{
    buffer_done(&list->text);
}

static void name_list_add(NameList *list, const char *name)
{
    if (list->count < NAMES_MAX)
        buffer_print(&list->text, "%s%s", list->count > 0 ? ", " : "", name);
    list->count++;
}

static const char *name_list_text(NameList *list)
{
    if (list->count > NAMES_MAX)
        buffer_print(&list->text, " and %zu more", list->count - NAMES_MAX);
    return (const char *)list->text.data;
}

static const char *names_plural(const NameList *list)
{
    return list->count == 1 ? "" : "s";
}

static uint64_t start_segment(const BackupFacts *backup)
{
    return wal_segment_of(backup->start, backup->segment_size);
}

static uint64_t stop_segment(const BackupFacts *backup)
{
    return wal_segment_before(backup->stop, backup->segment_size);
}

/* Whether recoveries along the path read any of the place's segments. */
static bool is_read_by(const VerifyRun *run, const TimelinePath *path, const WalPlace *place)
{
    uint32_t size = run->cluster->wal_segment_size;

    if (path_step_of(path, place->timeline) == NULL)
        return false;
    return path_timeline_of_segment(path, place->first, size) == place->timeline ||
           path_timeline_of_segment(path, place->last, size) == place->timeline;
}

/* What breaks off at a place in the WAL, over all paths that go through it. */
typedef struct Break {
    const VerifyRun *run;
    const WalPlace *place;
    NameList cut;   /* These backups need it to become consistent. */
    NameList ended; /* Recoveries of these backups end there. */
    /* It is the last commit before it. TIME_US_NONE means that there is none. */
    TimeUs before;
    TimeUs behind;           /* It is the last commit known after it. */
    const BackupFacts *next; /* It is the first backup that begins after it. */
} Break;

static void break_done(Break *cut)
{
    name_list_done(&cut->cut);
    name_list_done(&cut->ended);
}

/* The worst comes last. */
typedef enum Hit { HIT_NOT, HIT_BEHIND, HIT_ENDED, HIT_CUT } Hit;

static Hit hit_along(const VerifyRun *run, const TimelinePath *path, const WalPlace *place,
                     const BackupFacts *backup)
{
    if (!is_read_by(run, path, place))
        return HIT_NOT;
    if (start_segment(backup) > place->last)
        return HIT_BEHIND;
    return stop_segment(backup) >= place->first ? HIT_CUT : HIT_ENDED;
}

/* How it touches a backup: the worst over all paths, but one of them is enough to restore it. */
static Hit hit_of(const VerifyRun *run, const WalPlace *place, const BackupFacts *backup)
{
    Hit worst = HIT_NOT;
    bool is_restorable = false;

    for (size_t i = 0; i < run->timeline_count; i++) {
        const TimelinePath *path = &run->timelines[i].path;

        if (!is_backup_on_path(backup, path))
            continue;
        const Hit hit = hit_along(run, path, place, backup);
        is_restorable |= hit != HIT_CUT;
        if (hit > worst)
            worst = hit;
    }
    return worst == HIT_CUT && is_restorable ? HIT_ENDED : worst;
}

static void find_backups(Break *cut)
{
    for (size_t i = 0; i < cut->run->backup_count; i++) {
        const BackupFacts *backup = &cut->run->backups[i];

        switch (hit_of(cut->run, cut->place, backup)) {
        case HIT_NOT:
            break;
        case HIT_CUT:
            name_list_add(&cut->cut, backup->id);
            break;
        case HIT_ENDED:
            name_list_add(&cut->ended, backup->id);
            break;
        case HIT_BEHIND:
            if (cut->next == NULL || backup->stop < cut->next->stop)
                cut->next = backup;
            break;
        }
    }
}

static void find_times(Break *cut)
{
    const VerifyRun *run = cut->run;
    uint32_t size = run->cluster->wal_segment_size;

    cut->before = cut->behind = TIME_US_NONE;
    for (size_t t = 0; t < run->timeline_count; t++) {
        const TimelinePath *path = &run->timelines[t].path;

        if (!is_read_by(run, path, cut->place))
            continue;
        for (size_t i = 0; i < run->segment_count; i++) {
            const SegmentFact *fact = &run->segments[i];
            TimeUs *max = fact->segment < cut->place->first ? &cut->before : &cut->behind;

            if (fact->commit_time_max > *max && /* TIME_US_NONE is the smallest */
                path_timeline_of_segment(path, fact->segment, size) == fact->timeline)
                *max = fact->commit_time_max;
        }
    }
}

static void tell_instants(Break *cut, Buffer *text)
{
    char time[TIME_TEXT_SIZE];

    if (cut->before != TIME_US_NONE) {
        buffer_print(text, " The last commit that is known before it is of %s: instants after that",
                     time_text(cut->before, time));
    } else {
        buffer_print(text, " No commit is known before it: instants after it");
    }
    if (cut->next != NULL) {
        buffer_print(text, " and before %s, when backup %s ended,",
                     time_text(cut->next->stopped_at, time), cut->next->id);
    }
    buffer_print(text, " can't be reached.");
    if (cut->next == NULL && cut->behind != TIME_US_NONE && cut->behind > cut->before) {
        buffer_print(text, " The archive holds commits up to %s after it.",
                     time_text(cut->behind, time));
    }
    if (cut->next == NULL)
        buffer_print(text, " Take a backup now.");
}

static void tell_wal(const VerifyRun *run, const WalPlace *place, Buffer *text)
{
    CLEANUP(break_done) Break cut = {.run = run, .place = place};
    char lsn[LSN_TEXT_SIZE];

    find_backups(&cut);
    find_times(&cut);
    if (cut.cut.count == 0 && cut.ended.count == 0) {
        buffer_print(text, "No backup that can be read begins before it: nothing that can be "
                           "restored is lost.");
        return;
    }
    if (cut.cut.count > 0) {
        size_t count = cut.cut.count;

        buffer_print(text, "Backup%s %s can't be restored: consistent only with this WAL.",
                     names_plural(&cut.cut), name_list_text(&cut.cut));
        buffer_print(text, count == 1 ? " It is lost unless the WAL comes back."
                                      : " They are lost unless the WAL comes back.");
    }
    if (cut.ended.count > 0) {
        buffer_print(
            text, "%sRecovery from backup%s %s can't go past %s", text->size > 0 ? " " : "",
            names_plural(&cut.ended), name_list_text(&cut.ended),
            lsn_text(wal_segment_start(place->first, run->cluster->wal_segment_size), lsn));
        if (run->timeline_count > 1)
            buffer_print(text, " on timeline %" PRIu32, place->timeline);
        buffer_print(text, ".");
    }
    tell_instants(&cut, text);
}

/* The best that is left of a backup's instants: an older one, and WAL from there on. */
static const BackupFacts *older_than(const VerifyRun *run, const BackupFacts *lost)
{
    const BackupFacts *best = NULL;

    for (size_t i = 0; i < run->backup_count; i++) {
        const BackupFacts *backup = &run->backups[i];
        const TimelineFacts *facts = timeline_find(run, lost->timeline);

        if (backup != lost && !backup->is_hurt && facts != NULL && backup->stop < lost->stop &&
            is_backup_on_path(backup, &facts->path) && (best == NULL || backup->stop > best->stop))
            best = backup;
    }
    return best;
}

static const BackupFacts *newer_than(const VerifyRun *run, const BackupFacts *lost)
{
    const BackupFacts *best = NULL;

    for (size_t i = 0; i < run->backup_count; i++) {
        const BackupFacts *backup = &run->backups[i];

        if (backup != lost && backup->is_readable && !backup->is_hurt &&
            backup->stop > lost->stop && (best == NULL || backup->stop < best->stop))
            best = backup;
    }
    return best;
}

static void meaning_tell_lost(const VerifyRun *run, const BackupFacts *lost, Buffer *text)
{
    const BackupFacts *older = lost->is_readable ? older_than(run, lost) : NULL;
    const BackupFacts *newer = lost->is_readable ? newer_than(run, lost) : NULL;
    char time[TIME_TEXT_SIZE];

    buffer_print(text, "%sBackup %s can't be restored.", text->size > 0 ? " " : "", lost->id);
    if (!lost->is_readable) {
        buffer_print(text, " When it ended is not known; what follows it in the archive needs an "
                           "older backup.");
    } else if (older != NULL) {
        buffer_print(text,
                     " Instants from its end, %s, on need backup %s and all WAL from there on.",
                     time_text(lost->stopped_at, time), older->id);
    } else {
        buffer_print(text, " No older one is there: instants from its end, %s,",
                     time_text(lost->stopped_at, time));
        if (newer != NULL) {
            buffer_print(text, " to the end of backup %s, %s,", newer->id,
                         time_text(newer->stopped_at, time));
        }
        buffer_print(text, " can't be reached.");
    }
    if (run->request->backup != NULL) {
        buffer_print(text, " Other backups were not looked at.");
    } else if (older == NULL && newer == NULL) {
        buffer_print(text, " Take a backup now.");
    }
}

static void tell_backup(const VerifyRun *run, size_t index, Buffer *text)
{
    const BackupFacts *backup = &run->backups[index];

    if (backup->is_hurt || !backup->is_readable) {
        meaning_tell_lost(run, backup, text);
    } else {
        buffer_print(text,
                     "The files of backup %s are whole, but what its manifest says contradicts "
                     "itself or the archive: do not rely on this backup.",
                     backup->id);
    }
}

static void tell_pack(const VerifyRun *run, size_t index, Buffer *text)
{
    const PackFacts *pack = &run->packs[index];

    for (size_t i = 0; i < pack->hurt_count && i < NAMES_MAX; i++)
        meaning_tell_lost(run, &run->backups[pack->hurt[i]], text);
    if (pack->hurt_count > NAMES_MAX)
        buffer_print(text, " So it is with %zu more backups.", pack->hurt_count - NAMES_MAX);
    if (pack->hurt_count == 0) {
        buffer_print(text, "No file of a backup lies in the damaged part, but the pack is not what "
                           "was stored.");
    }
}

static void tell_timeline(const VerifyRun *run, uint32_t timeline, Buffer *text)
{
    CLEANUP(name_list_done) NameList backups = {.count = 0};

    for (size_t i = 0; i < run->backup_count; i++) {
        if (run->backups[i].is_readable && run->backups[i].timeline == timeline)
            name_list_add(&backups, run->backups[i].id);
    }
    buffer_print(text,
                 "Where timeline %" PRIu32 " leaves its parent is not known: no recovery can go to "
                 "an instant on it.",
                 timeline);
    if (backups.count > 0) {
        size_t count = backups.count;

        buffer_print(text, " Backup%s %s of this timeline", names_plural(&backups),
                     name_list_text(&backups));
        buffer_print(text, count == 1 ? " carries a copy of the history."
                                      : " carry copies of the history.");
    }
    buffer_print(text, " Instants on its parents are not touched. The server can archive the "
                       "history again if its pg_wal still has it.");
}

void troubles_tell(VerifyRun *run)
{
    for (size_t i = 0; i < run->trouble_count; i++) {
        Trouble *trouble = &run->troubles[i];
        CLEANUP(buffer_done) Buffer text = {0};

        switch (trouble->place) {
        case PLACE_TOLD:
            continue;
        case PLACE_BACKUP:
            tell_backup(run, trouble->index, &text);
            break;
        case PLACE_PACK:
            tell_pack(run, trouble->index, &text);
            break;
        case PLACE_WAL:
            tell_wal(run, &trouble->wal, &text);
            break;
        case PLACE_TIMELINE:
            tell_timeline(run, trouble->wal.timeline, &text);
            break;
        }
        trouble_means(run, trouble, (const char *)text.data);
    }
}
