#include "marks.h"

#include "listing.h"
#include "past.h"

#include "base/process.h"

/*
 * What is found bad is marked in the repository at once, so that list, status and restore know it
 * until it is read good again: repo/mark.h. A run that breaks off has marked what it found.
 *
 * A backup that may be of a newer version is not marked: the program that took it would believe us,
 * and whoever can't read its manifest either meets what we met. A WAL file is: list and status
 * can't go on at what they can't read, and by the mark they know that a window ends there.
 */

static void note_unmarked(VerifyRun *run, const Error *problem)
{
    VerifyReport *report = run->report;

    if (report->unmarked[0] == '\0') {
        (void)snprintf(report->unmarked, sizeof report->unmarked, "%.*s",
                       (int)sizeof report->unmarked - 1, problem->message);
    }
}

/* After the first failure nothing is tried again: most often nothing may be written here. */
static void marks_store(VerifyRun *run, MarkSubject what, const char *subject, bool is_void,
                        const char *reason)
{
    const Mark mark = {.kind = MARK_DAMAGE,
                       .what = what,
                       .subject = subject,
                       .is_void = is_void,
                       .at = run->now,
                       .until = TIME_US_NONE,
                       .by = "verify",
                       .host = process_host_name(),
                       .reason = reason,
                       .evidence = ""};
    Error problem = {0};

    if (run->report->unmarked[0] == '\0' && !mark_store(run->cluster, &mark, &problem))
        note_unmarked(run, &problem);
}

static void marks_set(VerifyRun *run, MarkSubject what, const char *subject, const char *reason)
{
    const Mark *known = mark_find(&run->marks, MARK_DAMAGE, what, subject);

    if (known == NULL || strcmp(known->reason, reason) != 0)
        marks_store(run, what, subject, false, reason);
}

static void marks_take_back(VerifyRun *run, MarkSubject what, const char *subject,
                            const char *reason)
{
    if (mark_find(&run->marks, MARK_DAMAGE, what, subject) != NULL)
        marks_store(run, what, subject, true, reason);
}

static bool is_of_pack(const VerifyRun *run, const Trouble *trouble, const Manifest *manifest)
{
    if (trouble->place != PLACE_PACK || manifest == NULL)
        return false;
    for (size_t i = 0; i < manifest->pack_count; i++) {
        if (strcmp(run->packs[trouble->index].info.id, manifest->packs[i].id) == 0)
            return true;
    }
    return false;
}

/* The worst that was found about it. */
static const Finding *worst_of(const VerifyRun *run, size_t backup, const Manifest *manifest)
{
    const Finding *worst = NULL;

    for (size_t i = 0; i < run->trouble_count; i++) {
        const Trouble *trouble = &run->troubles[i];

        if (trouble->is_newer || ((trouble->place != PLACE_BACKUP || trouble->index != backup) &&
                                  !is_of_pack(run, trouble, manifest)))
            continue;
        if (worst == NULL || trouble->finding.severity > worst->severity)
            worst = &trouble->finding;
    }
    return worst;
}

void mark_backup(VerifyRun *run, size_t backup, const Manifest *manifest, bool is_good)
{
    const char *id = run->backups[backup].id;
    const Finding *worst = is_good ? NULL : worst_of(run, backup, manifest);

    if (is_good) {
        marks_take_back(run, MARK_OF_BACKUP, id, "read whole, and good");
    } else if (worst != NULL) {
        CLEANUP(text_freep) char *reason = text_format("%s: %s", worst->object, worst->what);
        marks_set(run, MARK_OF_BACKUP, id, reason);
    }
}

void mark_lost_backups(VerifyRun *run)
{
    for (size_t i = 0; i < run->past_count; i++) {
        if (run->past[i].is_lost)
            marks_set(run, MARK_OF_BACKUP, run->past[i].id, "its manifest is missing");
    }
}

void mark_wal(VerifyRun *run, const WalName *name, const Error *problem)
{
    char text[WAL_NAME_SIZE];

    wal_name_text(name, run->cluster->wal_segment_size, text);
    if (problem->code == ERR_NONE) {
        marks_take_back(run, MARK_OF_WAL, text, "read whole, and good");
    } else {
        marks_set(run, MARK_OF_WAL, text, problem->message);
    }
}

bool is_marked_wal(const VerifyRun *run, const WalName *name)
{
    char text[WAL_NAME_SIZE];

    return mark_find(&run->marks, MARK_DAMAGE, MARK_OF_WAL,
                     wal_name_text(name, run->cluster->wal_segment_size, text)) != NULL;
}

bool is_marked_backup(const VerifyRun *run, size_t backup)
{
    return mark_find(&run->marks, MARK_DAMAGE, MARK_OF_BACKUP, run->backups[backup].id) != NULL;
}

static bool is_wal_there(const VerifyRun *run, const char *name)
{
    CLEANUP(text_freep) char *object = layout_wal(run->cluster->name, name);

    return listing_find(run, object) != NULL;
}

static bool is_backup_there(const VerifyRun *run, const char *id)
{
    CLEANUP(text_freep) char *object = layout_manifest(run->cluster->name, id);

    return listing_find(run, object) != NULL || is_lost_backup(run, id);
}

void forget_marks_of_nothing(VerifyRun *run)
{
    for (size_t i = 0; run->request->backup == NULL && i < run->marks.count; i++) {
        const Mark *mark = &run->marks.items[i];

        if (mark->is_void || strcmp(mark->kind, MARK_DAMAGE) != 0)
            continue;
        if ((mark->what == MARK_OF_WAL && !is_wal_there(run, mark->subject)) ||
            (mark->what == MARK_OF_BACKUP && !is_backup_there(run, mark->subject)))
            marks_take_back(run, mark->what, mark->subject, "nothing of it is there any more");
    }
}
