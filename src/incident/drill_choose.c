#include "drill_parts.h"

#include "base/random.h"

#include <errno.h>
#include <stdlib.h>

/* Easy to type again. */
enum { SEED_LIMIT = 1000000000 };

typedef struct DrillArchive {
    WalInventory inventory;
    BackupList backups;
    InstantList instants;
} DrillArchive;

static void drill_archive_done(DrillArchive *archive)
{
    instant_list_done(&archive->instants);
    backup_list_done(&archive->backups);
    wal_inventory_done(&archive->inventory);
}

static bool word_is(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

static bool find_seed(Drill *drill, Error *err)
{
    const char *text = drill->asked->seed;
    char *rest;

    drill->evidence.has_seed = true;
    if (text == NULL) {
        uint64_t number;
        if (!random_u64(&number, err))
            return false;
        drill->evidence.seed = number % SEED_LIMIT;
        return true;
    }
    errno = 0;
    drill->evidence.seed = strtoull(text, &rest, 10);
    return (*text >= '0' && *text <= '9' && *rest == '\0' && errno == 0) ||
           error_set(err, ERR_USAGE, "--seed=%s is not a number", text);
}

static bool can_be_drawn(const BackupInfo *backup)
{
    return backup->state == BACKUP_RESTORABLE;
}

static bool refuse_no_backup(Error *err)
{
    error_set(err, ERR_NOT_FOUND, "there is no backup that can be restored");
    return error_hint(err, "`pgcairn list` shows what there is");
}

/* The newest by when it ended; a random one by the seed; or the one that was named. */
static bool drill_choose_backup(const Drill *drill, const DrillArchive *archive,
                                const BackupInfo **chosen, Error *err)
{
    const BackupList *list = &archive->backups;
    const char *wanted = drill->asked->backup;
    size_t count = 0, left;

    *chosen = NULL;
    if (wanted == NULL)
        return true;
    if (!word_is(wanted, "newest") && !word_is(wanted, "random")) {
        *chosen = backup_list_find(list, wanted);
        if (*chosen != NULL)
            return true;
        error_set(err, ERR_NOT_FOUND, "there is no backup %s", wanted);
        return error_hint(err, "`pgcairn list` shows what there is");
    }
    for (size_t i = 0; i < list->count; i++)
        count += can_be_drawn(&list->items[i]);
    if (count == 0)
        return refuse_no_backup(err);
    left = instant_draw_one(count, drill->evidence.seed);
    for (size_t i = 0; i < list->count; i++) {
        const BackupInfo *backup = &list->items[i];

        if (!can_be_drawn(backup))
            continue;
        if (word_is(wanted, "newest")
                ? *chosen == NULL || backup->header.stopped_at > (*chosen)->header.stopped_at
                : left-- == 0)
            *chosen = backup;
    }
    return true;
}

static bool draw_instant(Drill *drill, DrillArchive *archive, const BackupInfo *backup, Error *err)
{
    InstantDraw draw;
    InstantTarget target;
    char lsn[LSN_TEXT_SIZE];

    if (!instant_list_load(&archive->instants, drill->cluster, &archive->inventory,
                           &archive->backups, backup, err))
        return false;
    if (!instant_draw(&archive->instants, drill->evidence.seed, &draw)) {
        error_set(err, ERR_NOT_FOUND, "there is no instant that could be drawn");
        return error_hint(err, "without --seed and --target=random the newest one is tried");
    }
    if (!instant_resolve(&archive->instants, drill->cluster, &archive->inventory, &draw, &target,
                         err))
        return false;
    drill->options.target = NULL;
    drill->options.target_lsn = arena_text(&drill->arena, lsn_text(target.target.lsn, lsn));
    drill->options.target_timeline = arena_format(&drill->arena, "%u", target.timeline);
    drill->evidence.chosen = arena_text(&drill->arena, target.text);
    return true;
}

bool drill_choose(Drill *drill, Error *err)
{
    CLEANUP(drill_archive_done) DrillArchive archive = {.backups = {.count = 0}};
    const Options *asked = drill->asked;
    const bool is_random = asked->seed != NULL || word_is(asked->target, "random");
    const BackupInfo *backup;

    if (!is_random && !word_is(asked->backup, "newest") && !word_is(asked->backup, "random"))
        return true; /* restore_plan() does it */
    if ((is_random || word_is(asked->backup, "random")) && !find_seed(drill, err))
        return false;
    if (!wal_inventory_load(&archive.inventory, drill->cluster, err) ||
        !backup_list_load(&archive.backups, drill->cluster, &archive.inventory, err) ||
        !drill_choose_backup(drill, &archive, &backup, err))
        return false;
    if (backup != NULL)
        drill->options.backup = arena_text(&drill->arena, backup->header.id);
    return !is_random || draw_instant(drill, &archive, backup, err);
}
