#include "past.h"

#include "listing.h"
#include "troubles.h"

#include "repo/condemned.h"
#include "repo/layout.h"

#include <inttypes.h>

/*
 * What the journal says of backups that were taken: of one whose manifest is gone nothing else
 * knows, and which pages were bad when it was taken stands only there.
 */

enum { DONE = 0, PAGES_TOLD = 20 };

static void take_pages(VerifyRun *run, const Record *record, PastBackup *past)
{
    past->pages = arena_alloc(&run->arena, (record->count + 1) * sizeof past->pages[0]);
    for (size_t i = 0; i < record->count; i++) {
        if (strcmp(record->fields[i].key, "bad_page") == 0)
            past->pages[past->page_count++] = arena_text(&run->arena, record->fields[i].value);
    }
}

static void note_removed(VerifyRun *run, const Record *record)
{
    run->removed =
        mem_resize(run->removed, (run->removed_count + record->count) * sizeof run->removed[0]);
    for (size_t i = 0; i < record->count; i++) {
        if (strcmp(record->fields[i].key, "removed") == 0)
            run->removed[run->removed_count++] = arena_text(&run->arena, record->fields[i].value);
    }
}

/* By the journal; or it is going just now, or a run was killed before it could say so. */
static bool was_removed(const VerifyRun *run, const CondemnedList *condemned, const char *id)
{
    for (size_t i = 0; i < run->removed_count; i++) {
        if (strcmp(run->removed[i], id) == 0)
            return true;
    }
    return condemned_find(condemned, id) != NULL;
}

void note_past_backup(VerifyRun *run, const char *object, const Record *record)
{
    const char *operation = record_find(record, "operation");
    const char *id = record_find(record, "backup");
    PastBackup past = {.finished = TIME_US_NONE};
    uint64_t status;
    Error ignored = {0}; /* an entry that says less than it could */

    if (operation != NULL && strcmp(operation, "expire") == 0)
        note_removed(run, record);
    if (operation == NULL || strcmp(operation, "backup") != 0 || id == NULL ||
        !backup_id_is_valid(id, strlen(id)) ||
        !record_get_u64(record, "status", &status, &ignored) ||
        (status != DONE && status != ERR_DEGRADED))
        return;
    memcpy(past.id, id, sizeof past.id);
    past.object = arena_text(&run->arena, object);
    if (!record_get_time(record, "finished", &past.finished, &ignored))
        past.finished = TIME_US_NONE;
    take_pages(run, record, &past);
    run->past = mem_resize(run->past, (run->past_count + 1) * sizeof run->past[0]);
    run->past[run->past_count++] = past;
}

static const PastBackup *find_past(const VerifyRun *run, const char *id)
{
    for (size_t i = 0; i < run->past_count; i++) {
        if (strcmp(run->past[i].id, id) == 0)
            return &run->past[i];
    }
    return NULL;
}

bool is_lost_backup(const VerifyRun *run, const char *id)
{
    const PastBackup *past = find_past(run, id);

    return past != NULL && past->is_lost;
}

static void past_tell_lost(VerifyRun *run, PastBackup *past, const char *manifest)
{
    char time[TIME_TEXT_SIZE];
    CLEANUP(text_freep)
    char *known = text_format("backup %s, which ended at %s by %s", past->id,
                              time_text(past->finished, time), past->object);
    CLEANUP(text_freep)
    char *meaning =
        text_format("Backup %s can't be restored: its files can't be told from its packs. Bring "
                    "back a copy of its manifest. If it was removed on purpose, remove %s, too: "
                    "then nothing misses it.",
                    past->id, past->object);

    past->is_lost = true;
    trouble_means(run,
                  trouble_add(run, FINDING_MISSING, manifest, "the object is missing", known, NULL),
                  meaning);
}

/* One that was taken after the listing had come by where it is now has one all the same. */
bool verify_past_backups(VerifyRun *run, Error *err)
{
    CLEANUP(condemned_list_done) CondemnedList condemned = {.count = 0};

    if (!condemned_load(&condemned, run->cluster, err))
        return false;
    for (size_t i = 0; run->request->backup == NULL && i < run->past_count; i++) {
        PastBackup *past = &run->past[i];
        CLEANUP(text_freep) char *manifest = layout_manifest(run->cluster->name, past->id);
        uint64_t size;
        Error attempt = {0};

        if (listing_find(run, manifest) != NULL || was_removed(run, &condemned, past->id) ||
            storage_stat(run->cluster->repo->storage, manifest, &size, NULL, &attempt))
            continue;
        if (attempt.code != ERR_NOT_FOUND)
            return error_pass(err, &attempt);
        past_tell_lost(run, past, manifest);
    }
    return true;
}

/* "base/5/16384 block 5, base/5/16384 block 7 and 3 more" */
static void list_pages(const PastBackup *past, uint64_t count, Buffer *text)
{
    size_t shown = 0;

    for (; past != NULL && shown < past->page_count && shown < PAGES_TOLD; shown++) {
        const char *path = strchr(past->pages[shown], ' ');

        if (path == NULL)
            break;
        buffer_print(text, "%s%s block %.*s", shown > 0 ? ", " : "", path + 1,
                     (int)(path - past->pages[shown]), past->pages[shown]);
    }
    if (shown == 0)
        buffer_print(text, "%" PRIu64 "; the journal no longer says which", count);
    if (shown > 0 && count > shown)
        buffer_print(text, " and %" PRIu64 " more", count - shown);
}

void past_tell_bad_pages(VerifyRun *run)
{
    for (size_t i = 0; i < run->backup_count; i++) {
        const BackupFacts *backup = &run->backups[i];
        CLEANUP(text_freep) char *object = NULL;
        CLEANUP(text_freep) char *meaning = NULL;
        CLEANUP(buffer_done) Buffer pages = {0};

        if (!backup->is_readable || backup->bad_pages == 0)
            continue;
        object = layout_manifest(run->cluster->name, backup->id);
        list_pages(find_past(run, backup->id), backup->bad_pages, &pages);
        meaning = text_format("These pages of backup %s were bad on the server's disk when it was "
                              "taken, and are restored so. The server still has them so unless "
                              "somebody mended them. A backup from before may have them whole.",
                              backup->id);
        trouble_means(run,
                      trouble_add(run, FINDING_DEGRADED, object,
                                  "pages had a wrong checksum when the backup was taken", NULL,
                                  (const char *)pages.data),
                      meaning);
    }
}
