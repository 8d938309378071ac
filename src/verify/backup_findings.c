#include "backup_findings.h"

#include "crew.h"
#include "manifests_read.h"
#include "marks.h"
#include "pack_job.h"
#include "packs.h"
#include "remembered.h"
#include "troubles.h"

#include "base/interrupt.h"
#include "repo/layout.h"
#include "stream/digest.h"

#include <inttypes.h>

static bool is_registered(const VerifyRun *run, const ManifestHeader *header)
{
    for (size_t i = 0; i < run->identity_count; i++) {
        const Identity *identity = &run->identities[i];

        if (identity->system_identifier == header->system_identifier &&
            identity->major == header->major &&
            identity->wal_segment_size == header->wal_segment_size)
            return true;
    }
    return false;
}

static void keep_facts(VerifyRun *run, BackupFacts *facts, const ManifestHeader *header)
{
    facts->is_readable = true;
    facts->timeline = header->timeline;
    facts->start = header->start;
    facts->stop = header->stop;
    facts->stopped_at = header->stopped_at;
    facts->history = arena_text(&run->arena, header->history);
    facts->segment_size = header->wal_segment_size;
    facts->bad_pages = header->bad_pages;
}

static void findings_complain(VerifyRun *run, size_t backup, const char *object, const char *what,
                              const char *expected, const char *found)
{
    trouble_at_backup(trouble_add(run, FINDING_INCONSISTENT, object, what, expected, found),
                      backup);
}

/* What it says of itself, and of the cluster. */
static void findings_check_header(VerifyRun *run, size_t backup, const ManifestHeader *header,
                                  const char *object)
{
    ManifestFault fault;
    char found[96];

    if (manifest_find_head_fault(header, &fault))
        findings_complain(run, backup, object, fault.what, fault.expected, fault.found);
    if (!is_registered(run, header)) {
        snprintf(found, sizeof found, "system identifier %" PRIu64 ", version %u",
                 header->system_identifier, header->major);
        findings_complain(run, backup, object, "the manifest is of another cluster",
                          "a registered one", found);
    }
}

/* A head or a whole manifest that can't be read: a finding, unless it was not seen at all. */
static bool findings_take_unread(VerifyRun *run, size_t backup, const Error *attempt, Error *err)
{
    CLEANUP(text_freep) char *object = layout_manifest(run->cluster->name, run->backups[backup].id);

    if (!is_finding(attempt))
        return error_pass(err, attempt);
    run->backups[backup].is_hurt = true;
    trouble_at_backup(trouble_of_error(run, object, attempt), backup);
    remember_backup(run, backup, NULL, false);
    mark_backup(run, backup, NULL, false);
    return true;
}

static bool survey_backup(VerifyRun *run, size_t backup, Error *err)
{
    CLEANUP(text_freep) char *object = layout_manifest(run->cluster->name, run->backups[backup].id);
    CLEANUP(manifest_head_done) ManifestHead head = {0};
    BackupFacts *facts = &run->backups[backup];
    const size_t troubles = run->trouble_count;
    Error attempt = {0};

    if (!interrupt_check(err))
        return false;
    if (!manifest_head_load(&head, run->cluster, facts->id, &attempt))
        return findings_take_unread(run, backup, &attempt, err);
    keep_facts(run, facts, &head.header);
    findings_check_header(run, backup, &head.header, object);
    facts->is_suspect = run->trouble_count > troubles;
    if (!facts->is_suspect && !is_marked_backup(run, backup))
        believe_backup(run, backup, &head);
    packs_add(run, &head, object, facts->is_believed ? 0 : 1);
    facts->is_suspect = run->trouble_count > troubles;
    return true;
}

bool survey_backups(VerifyRun *run, Error *err)
{
    run->backups = arena_alloc(&run->arena, (run->list.count + 1) * sizeof run->backups[0]);
    for (size_t i = 0; i < run->list.count; i++) {
        BackupFacts *backup = &run->backups[run->backup_count];

        if (!layout_backup_id_of(run->cluster->name, run->list.objects[i].name, backup->id) ||
            (run->request->backup != NULL && strcmp(run->request->backup, backup->id) != 0))
            continue;
        run->backup_count++;
        run->report->objects++;
        run->report->backups++;
        run->report->bytes += run->list.objects[i].size;
        if (!survey_backup(run, run->backup_count - 1, err))
            return false;
    }
    if (run->request->backup != NULL && run->backup_count == 0) {
        error_set(err, ERR_NOT_FOUND, "there is no backup \"%s\" of cluster \"%s\"",
                  run->request->backup, run->cluster->name);
        return error_hint(err, "`pgcairn list` shows which there are");
    }
    doubt_shared(run);
    return true;
}

static void take_problems(VerifyRun *run, const PackJob *job, const char *object)
{
    CLEANUP(text_freep) char *more = NULL;
    char expected[SHA256_TEXT_SIZE];
    char found[SHA256_TEXT_SIZE];

    for (size_t i = 0; i < job->problem_count && i < PACK_PROBLEMS_KEPT; i++) {
        const PackProblem *problem = &job->problems[i];

        Trouble *trouble = trouble_add(run, problem->severity, object, problem->what,
                                       problem->expected, problem->found);
        trouble->is_newer = problem->is_newer;
        trouble_at_pack(trouble, job->pack);
    }
    if (job->problem_count > PACK_PROBLEMS_KEPT) {
        more =
            text_format("and %zu more frames like these", job->problem_count - PACK_PROBLEMS_KEPT);
        trouble_at_pack(trouble_add(run, FINDING_DAMAGE, object, more, NULL, NULL), job->pack);
    }
    if (!job->is_readable)
        trouble_at_pack(trouble_of_error(run, object, &job->error), job->pack);
    /* Damaged frames show in the digest too; that is told once. */
    if (job->is_other && job->problem_count == 0) {
        trouble_at_pack(trouble_add(run, FINDING_DAMAGE, object, "SHA-256 of the whole pack",
                                    sha256_text(job->info.sha256, expected),
                                    sha256_text(job->sha256, found)),
                        job->pack);
    }
}

static bool take_pack(VerifyRun *run, void *context, void *work, Error *err)
{
    PackJob *job = work;
    PackFacts *pack = &run->packs[job->pack];
    CLEANUP(text_freep) char *object = layout_pack(run->cluster->name, job->info.id);

    (void)context;
    (void)err;
    pack->is_scanned = true;
    pack->is_readable = job->is_readable;
    pack->frames = TAKE(job->frames);
    pack->frame_count = job->frame_count;
    run->report->objects++;
    run->report->packs++;
    run->report->frames += job->frames_seen;
    run->report->bytes += job->error.code == ERR_NOT_FOUND ? 0 : job->info.size;
    run->report->bytes_raw += job->bytes_raw;
    const size_t troubles = run->trouble_count;
    take_problems(run, job, object);
    pack->is_bad = run->trouble_count > troubles;
    pack_job_done(job);
    return true;
}

static void prepare_pack(VerifyRun *run, void *context, size_t index, void *job)
{
    const size_t *wanted = context;

    pack_job_begin(job, run, wanted[index]);
}

typedef struct PackCrew {
    PackJob *jobs; /* It has 2 * threads elements. */
    void *job_places[CREW_JOBS_MAX];
    PackWorker *workers[CREW_JOBS_MAX / 2];
    unsigned threads;
    size_t *wanted; /* They are the packs to read. */
} PackCrew;

static void pack_crew_init(PackCrew *crew, unsigned threads, bool is_stored_only)
{
    crew->threads = threads;
    crew->jobs = mem_alloc(2 * (size_t)threads * sizeof crew->jobs[0]);
    for (unsigned i = 0; i < 2 * threads; i++)
        crew->job_places[i] = &crew->jobs[i];
    for (unsigned i = 0; i < threads; i++)
        crew->workers[i] = pack_worker_new(is_stored_only);
}

static void pack_crew_done(PackCrew *crew)
{
    for (unsigned i = 0; i < crew->threads; i++)
        pack_worker_freep(&crew->workers[i]);
    for (unsigned i = 0; i < 2 * crew->threads; i++)
        pack_job_done(&crew->jobs[i]);
    mem_free(crew->jobs);
    mem_free(crew->wanted);
}

/* Those of this backup that no backup before it had. */
static bool read_packs(VerifyRun *run, PackCrew *crew, const Manifest *manifest, Error *err)
{
    CrewPlan plan = {.threads = crew->threads,
                     .work = pack_job_run,
                     .workers = (void *const *)crew->workers,
                     .jobs = crew->job_places,
                     .prepare = prepare_pack,
                     .take = take_pack};

    crew->wanted = mem_resize(crew->wanted, (manifest->pack_count + 1) * sizeof crew->wanted[0]);
    for (size_t i = 0; i < manifest->pack_count; i++) {
        const PackFacts *pack = pack_find(run, manifest->packs[i].id);

        if (pack != NULL && !pack->is_scanned)
            crew->wanted[plan.count++] = (size_t)(pack - run->packs);
    }
    plan.context = crew->wanted;
    return crew_work(run, &plan, err);
}

/* What its files say against it; what its head says was told when it was surveyed. */
static void findings_check_files(VerifyRun *run, size_t backup, const Manifest *manifest)
{
    CLEANUP(text_freep) char *object = layout_manifest(run->cluster->name, run->backups[backup].id);
    ManifestFault fault;

    if (!manifest_find_head_fault(&manifest->header, &fault) &&
        manifest_find_fault(manifest, &fault))
        findings_complain(run, backup, object, fault.what, fault.expected, fault.found);
}

static bool verify_backup(VerifyRun *run, PackCrew *crew, size_t backup, Error *err)
{
    CLEANUP(manifest_done) Manifest manifest = {0};
    const size_t troubles = run->trouble_count;
    Error attempt = {0};

    if (!manifest_load(&manifest, run->cluster, run->backups[backup].id, &attempt))
        return findings_take_unread(run, backup, &attempt, err);
    findings_check_files(run, backup, &manifest);
    if (!read_packs(run, crew, &manifest, err) ||
        !verify_check_manifest(run, backup, &manifest, err))
        return error_context(err, "backup %s", run->backups[backup].id);
    const bool is_good = run->trouble_count == troubles && !run->backups[backup].is_suspect &&
                         !packs_have_bad(run, &manifest);
    if (!is_good || !run->request->is_stored_only) { /* stored bytes alone prove nothing good */
        remember_backup(run, backup, &manifest, is_good);
        mark_backup(run, backup, &manifest, is_good);
    }
    packs_release(run, &manifest);
    return true;
}

/*
 * Backup by backup: of a manifest's files only those of one backup are in memory at a time, and of
 * a pack's frames only what a backup still to come needs.
 */
bool verify_backups(VerifyRun *run, Error *err)
{
    CLEANUP(pack_crew_done) PackCrew crew = {.jobs = NULL};

    pack_crew_init(&crew, crew_threads(run), run->request->is_stored_only);
    for (size_t i = 0; i < run->backup_count; i++) {
        if (run->backups[i].is_readable && !run->backups[i].is_believed &&
            !verify_backup(run, &crew, i, err))
            return false;
    }
    forget_lost_backups(run);
    return true;
}
