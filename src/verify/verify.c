#include "verify/verify.h"

#include "backup_findings.h"
#include "branch_findings.h"
#include "holes.h"
#include "marks.h"
#include "meaning.h"
#include "objects.h"
#include "packs.h"
#include "past.h"
#include "pieces.h"
#include "timelines.h"
#include "troubles.h"
#include "wal.h"

#include "repo/layout.h"

static void verify_run_done(VerifyRun *run)
{
    packs_done(run);
    mem_free(run->past);
    mem_free(run->removed);
    mark_list_done(&run->marks);
    object_list_done(&run->list);
    troubles_done(run);
    arena_done(&run->arena);
}

static bool list_objects(VerifyRun *run, Error *err)
{
    CLEANUP(text_freep) char *prefix = text_format("%s/", run->cluster->name);

    progress_phase(run->request->progress, "list", 0);
    return storage_list(run->cluster->repo->storage, prefix, &run->list, err) ||
           error_context(err, "list what cluster \"%s\" has", run->cluster->name);
}

/* Now that it is known what will be read. */
static void verify_announce(VerifyRun *run)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < run->pack_count; i++)
        bytes += run->packs[i].users > 0 ? run->packs[i].info.size : 0;
    for (size_t i = 0; i < run->list.count; i++) {
        const ObjectInfo *object = &run->list.objects[i];
        WalName name;

        if (layout_wal_name_of(run->cluster->name, object->name, run->cluster->wal_segment_size,
                               &name) &&
            (run->request->backup == NULL || is_wal_wanted(run, name.timeline, name.segment)))
            bytes += object->size;
    }
    progress_phase(run->request->progress, "verify", bytes);
}

/*
 * The listing comes first, so what is stored meanwhile is not looked at. Backups and timelines are
 * surveyed before the long reading begins: by then it is known how much it will be, and what each
 * pack and segment must be.
 */
static bool read_all(VerifyRun *run, Error *err)
{
    if (!mark_list_load(&run->marks, run->cluster, err) || !list_objects(run, err) ||
        !verify_records(run, err) || !survey_backups(run, err) || !survey_timelines(run, err))
        return false;
    verify_announce(run);
    bool ok = verify_past_backups(run, err);
    mark_lost_backups(run); /* also of those that were found before it broke off */
    if (!ok)
        return false;
    return verify_backups(run, err) && verify_wal(run, err) && verify_pieces(run, err) &&
           verify_holes(run, err) && verify_branches(run, err) && verify_leftovers(run, err);
}

bool verify_run(const Cluster *cluster, const VerifyRequest *request, VerifyReport *report,
                Error *err)
{
    CLEANUP(verify_run_done)
    VerifyRun run = {.cluster = cluster, .request = request, .report = report};

    run.now = request->now != 0 ? request->now : time_now();
    *report = (VerifyReport){.believed.oldest_at = TIME_US_NONE};
    report->is_complete = read_all(&run, err);
    if (report->is_complete)
        forget_marks_of_nothing(&run);
    /* Also of a run that broke off: what was found until then is true. */
    past_tell_bad_pages(&run);
    troubles_tell(&run);
    troubles_publish(&run);
    return report->is_complete || error_context(err, "verify");
}
