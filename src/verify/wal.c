#include "wal.h"

#include "crew.h"
#include "marks.h"
#include "remembered.h"
#include "timelines.h"
#include "troubles.h"
#include "wal_job.h"

#include "repo/layout.h"
#include "walk/known_folders.h"
#include "walk/wal_chain.h"

#include <inttypes.h>

/*
 * What the WAL pass remembers of segments that a timeline forks from, or forks in: their
 * neighbours are on another timeline, and come much later.
 */
typedef struct ForkFact {
    uint32_t timeline;
    uint64_t segment;
    bool is_known;
    WalChain chain; /* It is the chain after that segment. */
    Lsn first_record, first_prev;
} ForkFact;

typedef struct WalPass {
    VerifyRun *run;
    const ObjectInfo **objects; /* They are to be read, in this order. */
    WalName *names;
    size_t count;
    WalJob *jobs;
    ForkFact *forks;
    size_t fork_count;
    WalChain chain; /* It is the chain after the segment before. */
    uint32_t timeline;
    uint64_t next; /* The chain leads to this segment. */
    WalKnowledge *known;
    WalLearning *learning; /* NULL means that it failed. */
} WalPass;

static void wal_pass_done(WalPass *pass)
{
    wal_learning_freep(&pass->learning);
    wal_knowledge_freep(&pass->known);
    mem_free(pass->objects);
    mem_free(pass->names);
    mem_free(pass->jobs);
    mem_free(pass->forks);
}

static void choose_objects(WalPass *pass)
{
    VerifyRun *run = pass->run;

    pass->objects = mem_alloc((run->list.count + 1) * sizeof(ObjectInfo *));
    pass->names = mem_alloc((run->list.count + 1) * sizeof(WalName));
    for (size_t i = 0; i < run->list.count; i++) {
        WalName *name = &pass->names[pass->count];

        if (!layout_wal_name_of(run->cluster->name, run->list.objects[i].name,
                                run->cluster->wal_segment_size, name) ||
            name->kind == WAL_HISTORY) /* timelines.c has read it */
            continue;
        if (run->request->backup != NULL &&
            (name->kind != WAL_SEGMENT || !is_wal_wanted(run, name->timeline, name->segment)))
            continue;
        pass->objects[pass->count++] = &run->list.objects[i];
    }
    run->segments = arena_alloc(&run->arena, (pass->count + 1) * sizeof run->segments[0]);
}

static void want_fork(WalPass *pass, uint32_t timeline, uint64_t segment)
{
    pass->forks = mem_resize(pass->forks, (pass->fork_count + 1) * sizeof pass->forks[0]);
    pass->forks[pass->fork_count++] = (ForkFact){.timeline = timeline, .segment = segment};
}

static void choose_forks(WalPass *pass)
{
    uint32_t size = pass->run->cluster->wal_segment_size;

    for (size_t i = 0; i < pass->run->timeline_count; i++) {
        const TimelinePath *path = &pass->run->timelines[i].path;

        if (path->count < 2)
            continue;
        uint64_t fork = wal_segment_of(path->steps[path->count - 1].begin, size);
        want_fork(pass, path->steps[path->count - 2].timeline, fork);
        if (fork > 0)
            want_fork(pass, path_timeline_of_segment(path, fork - 1, size), fork - 1);
    }
}

static const ForkFact *wal_find_fork(const WalPass *pass, uint32_t timeline, uint64_t segment)
{
    for (size_t i = 0; i < pass->fork_count; i++) {
        const ForkFact *fork = &pass->forks[i];

        if (fork->is_known && fork->timeline == timeline && fork->segment == segment)
            return fork;
    }
    return NULL;
}

static void keep_fork(WalPass *pass, const WalName *name, const WalReaderState *state)
{
    for (size_t i = 0; i < pass->fork_count; i++) {
        ForkFact *fork = &pass->forks[i];

        if (fork->timeline != name->timeline || fork->segment != name->segment)
            continue;
        fork->is_known = true;
        fork->chain = pass->chain;
        fork->first_record = state->first_record;
        fork->first_prev = state->first_prev;
    }
}

static void wal_complain(WalPass *pass, const WalJob *job, const char *what, const char *expected,
                         const char *found)
{
    trouble_at_wal(
        trouble_add(pass->run, FINDING_INCONSISTENT, job->object->name, what, expected, found),
        job->name.timeline, job->name.segment, job->name.segment);
}

static void check_summary(WalPass *pass, const WalJob *job)
{
    char text[96];

    if (!job->is_summary_other)
        return;
    snprintf(text, sizeof text, "byte %" PRIu32 " of the trailer is the first that differs",
             job->first_difference);
    trouble_means(pass->run,
                  trouble_add(pass->run, FINDING_INCONSISTENT, job->object->name,
                              "what the trailer tells of the WAL is not what is in it", NULL, text),
                  "The WAL itself is whole and can be replayed; but which instants can be reached "
                  "is answered from trailers, and may be answered wrongly here.");
}

static void check_list(WalPass *pass, const WalJob *job)
{
    if (job->list_error.code == ERR_NONE)
        return;
    trouble_means(
        pass->run,
        trouble_add(pass->run, FINDING_INCONSISTENT, job->object->name,
                    "the list of changed blocks that is stored with the WAL can't be read", NULL,
                    job->list_error.message),
        "The WAL itself is whole and can be replayed; a backup that needs the list reads "
        "the WAL instead.");
}

static void check_broken(WalPass *pass, const WalJob *job)
{
    const WalReaderState *state = &job->summary.reader;
    CLEANUP(text_freep) char *what = NULL;
    char lsn[LSN_TEXT_SIZE];

    if (state->end != WAL_END_BROKEN)
        return;
    what = text_format("WAL is invalid at %s, as the server wrote it",
                       lsn_text(state->broken_at, lsn));
    trouble_at_wal(
        trouble_add(pass->run, FINDING_DAMAGE, job->object->name, what, NULL, state->reason),
        job->name.timeline, job->name.segment, job->name.segment);
}

/* Of the page header: the timeline that wrote the first record of the segment. */
static void check_page_timeline(WalPass *pass, const WalJob *job, const TimelineFacts *facts)
{
    uint32_t size = pass->run->cluster->wal_segment_size;
    Lsn start = wal_segment_start(job->name.segment, size);
    uint32_t expected = path_step_at(&facts->path, start)->timeline;
    uint32_t found = job->summary.reader.first_page_timeline;
    char text[2][32];

    if (!facts->has_path || found == expected)
        return;
    snprintf(text[0], sizeof text[0], "timeline %" PRIu32, expected);
    snprintf(text[1], sizeof text[1], "timeline %" PRIu32, found);
    wal_complain(pass, job, "the timeline of the first page is not what the history says", text[0],
                 text[1]);
}

/*
 * The record that ends recovery is the first or nearly the first of a timeline (xlog.c,
 * StartupXLOG), and it names the parent.
 */
static void check_switch(WalPass *pass, const WalJob *job, const TimelineFacts *facts)
{
    const TimelinePath *path = &facts->path;
    const PathStep *last = &path->steps[path->count - 1];
    char expected[96];
    char found[96];
    char lsn[2][LSN_TEXT_SIZE];

    if (path->count < 2 || job->switch_lsn == 0 || job->switch_to != facts->timeline)
        return;
    if (job->switch_lsn >= last->begin &&
        job->switch_lsn - last->begin < pass->run->cluster->wal_segment_size &&
        path_step_of(path, job->switch_from) != NULL)
        return;
    snprintf(expected, sizeof expected, "from timeline %" PRIu32 " at %s",
             path->steps[path->count - 2].timeline, lsn_text(last->begin, lsn[0]));
    snprintf(found, sizeof found, "from timeline %" PRIu32 " at %s", job->switch_from,
             lsn_text(job->switch_lsn, lsn[1]));
    wal_complain(pass, job, "the WAL goes over to its timeline elsewhere than the history says",
                 expected, found);
}

/* The first segment of a timeline begins with a copy of its parent's. */
static void check_copy(WalPass *pass, const WalJob *job, const TimelineFacts *facts)
{
    const TimelinePath *path = &facts->path;
    const WalReaderState *state = &job->summary.reader;
    const PathStep *last = &path->steps[path->count - 1];
    const ForkFact *parent;

    if (path->count < 2 ||
        wal_segment_of(last->begin, pass->run->cluster->wal_segment_size) != job->name.segment)
        return;
    parent = wal_find_fork(pass, path->steps[path->count - 2].timeline, job->name.segment);
    if (parent == NULL || parent->first_record == 0 || parent->first_record >= last->begin ||
        (parent->first_record == state->first_record && parent->first_prev == state->first_prev))
        return;
    wal_complain(pass, job, "up to the fork it is not a copy of its parent's segment", NULL, NULL);
}

static bool is_next(const WalPass *pass, const WalName *name)
{
    return pass->timeline == name->timeline && pass->next == name->segment;
}

/* What leads here: the segment before on its timeline, or the one that the timeline forks after.
 */
static void find_chain(WalPass *pass, const WalName *name, const TimelineFacts *facts)
{
    uint32_t size = pass->run->cluster->wal_segment_size;
    const ForkFact *before = NULL;

    if (is_next(pass, name))
        return;
    if (name->segment > 0 && facts->has_path) {
        before =
            wal_find_fork(pass, path_timeline_of_segment(&facts->path, name->segment - 1, size),
                          name->segment - 1);
    }
    pass->chain = before != NULL ? before->chain : (WalChain){0};
}

static void check_chain(WalPass *pass, const WalJob *job, const TimelineFacts *facts)
{
    const WalReaderState *state = &job->summary.reader;
    char expected[96];
    char found[96];
    char lsn[2][LSN_TEXT_SIZE];

    find_chain(pass, &job->name, facts);
    if (!wal_chain_fits(&pass->chain, state)) {
        snprintf(expected, sizeof expected,
                 "%" PRIu64 " bytes of a record, then one that follows %s",
                 pass->chain.pending != 0 ? pass->chain.missing : 0,
                 lsn_text(pass->chain.pending != 0 ? pass->chain.pending : pass->chain.last_record,
                          lsn[0]));
        snprintf(found, sizeof found, "%" PRIu32 " bytes of a record, then one that follows %s",
                 state->head_size, lsn_text(state->first_prev, lsn[1]));
        wal_complain(
            pass, job,
            "it does not go on where the segment before it ends: two servers archived as one, "
            "or WAL was reset (`pgcairn wal-quarantine` takes a wrong history out of the way)",
            expected, found);
        pass->chain = (WalChain){0};
    }
    wal_chain_add(&pass->chain, state, pass->run->cluster->wal_segment_size);
    if (state->end == WAL_END_BROKEN)
        pass->chain = (WalChain){0};
    pass->timeline = job->name.timeline;
    pass->next = job->name.segment + 1;
    keep_fork(pass, &job->name, state);
}

static void take_segment(WalPass *pass, const WalJob *job)
{
    VerifyRun *run = pass->run;
    const TimelineFacts *facts = timeline_find(run, job->name.timeline);

    run->report->segments += !job->is_believed;
    run->segments[run->segment_count++] = (SegmentFact){
        .segment = job->name.segment,
        .timeline = job->name.timeline,
        .is_good = job->error.code == ERR_NONE,
        .commit_time_max =
            job->error.code == ERR_NONE ? job->summary.commit_time_max : TIME_US_NONE,
    };
    if (job->error.code != ERR_NONE)
        return;
    check_summary(pass, job);
    check_list(pass, job);
    check_broken(pass, job);
    check_page_timeline(pass, job, facts);
    check_switch(pass, job, facts);
    check_copy(pass, job, facts);
    check_chain(pass, job, facts);
}

/*
 * A segment with which a timeline begins is always read: where it does is in its records only. A
 * time that is yet to come was told by a clock that was wrong.
 */
static void wal_believe(const WalPass *pass, WalJob *job)
{
    const VerifyRun *run = pass->run;
    const WalStored stored = {.size = job->object->size, .at = job->object->stored_at};

    if (run->request->believe_since == 0 || job->name.kind != WAL_SEGMENT ||
        is_marked_wal(run, &job->name) ||
        !wal_knowledge_find(pass->known, job->name.timeline, job->name.segment, &stored,
                            &job->trailer, &job->verified_at))
        return;
    job->is_believed = job->verified_at != TIME_US_NONE &&
                       job->verified_at >= run->request->believe_since &&
                       job->verified_at <= run->now && job->trailer.summary.new_timeline == 0;
}

static void wal_learn(WalPass *pass, const WalJob *job)
{
    const bool is_bad =
        job->error.code != ERR_NONE || job->is_summary_other || job->list_error.code != ERR_NONE;
    Error problem = {0};
    const WalLesson lesson = {
        .kind = is_bad                                    ? LESSON_BAD
                : job->is_believed || job->is_stored_only ? LESSON_BELIEVED
                                                          : LESSON_WHOLE,
        .timeline = job->name.timeline,
        .segment = job->name.segment,
        .stored = {.size = job->object->size, .at = job->object->stored_at},
        .trailer = &job->trailer,
    };

    if (pass->learning == NULL || wal_learning_note(pass->learning, &lesson, &problem))
        return;
    note_unremembered(pass->run, &problem);
    wal_learning_freep(&pass->learning);
}

static void finish_learning(WalPass *pass)
{
    Error problem = {0};

    if (pass->learning != NULL &&
        (!wal_learning_finish(pass->learning, &problem) ||
         !known_folders_refresh(pass->run->cluster, pass->run->now, &problem)))
        note_unremembered(pass->run, &problem);
}

static void tell_damage(WalPass *pass, const WalJob *job)
{
    Trouble *trouble = trouble_of_error(pass->run, job->object->name, &job->error);

    if (job->name.kind == WAL_SEGMENT) {
        trouble_at_wal(trouble, job->name.timeline, job->name.segment, job->name.segment);
        return;
    }
    trouble_means(pass->run, trouble,
                  job->name.kind == WAL_PARTIAL
                      ? "No recovery reads a partial segment by itself: what is in it beyond the "
                        "complete ones is lost."
                      : "No recovery reads it: it only tells of a backup that was taken.");
}

static bool take_wal(VerifyRun *run, void *context, void *work, Error *err)
{
    WalPass *pass = context;
    const WalJob *job = work;

    (void)err;
    if (job->is_believed) {
        count_believed(run, job->object->size, job->verified_at);
        run->report->believed.segments++;
    } else {
        run->report->objects++;
        run->report->bytes += job->object->size;
        run->report->bytes_raw +=
            job->error.code == ERR_NONE && !job->is_stored_only ? job->trailer.raw_size : 0;
    }
    if (job->error.code != ERR_NONE)
        tell_damage(pass, job);
    if (!job->is_believed && (!job->is_stored_only || job->error.code != ERR_NONE))
        mark_wal(run, &job->name, &job->error);
    if (job->name.kind == WAL_SEGMENT) {
        take_segment(pass, job);
        wal_learn(pass, job);
    }
    return true;
}

static void prepare_wal(VerifyRun *run, void *context, size_t index, void *work)
{
    const WalPass *pass = context;
    WalJob *job = work;

    *job = (WalJob){.cluster = run->cluster,
                    .identities = run->identities,
                    .identity_count = run->identity_count,
                    .progress = run->request->progress,
                    .is_stored_only = run->request->is_stored_only,
                    .object = pass->objects[index],
                    .name = pass->names[index]};
    wal_believe(pass, job);
}

bool verify_wal(VerifyRun *run, Error *err)
{
    CLEANUP(wal_pass_done) WalPass pass = {.run = run};
    unsigned threads = crew_threads(run);
    void *places[CREW_JOBS_MAX];
    bool ok;

    choose_objects(&pass);
    choose_forks(&pass);
    pass.jobs = mem_alloc(2 * (size_t)threads * sizeof pass.jobs[0]);
    for (unsigned i = 0; i < 2 * threads; i++)
        places[i] = &pass.jobs[i];
    pass.known = wal_knowledge_new(run->cluster);
    pass.learning = wal_learning_new(run->cluster, run->request->backup != NULL, run->now);
    ok = crew_work(run,
                   &(CrewPlan){.count = pass.count,
                               .threads = threads,
                               .work = wal_job_run,
                               .jobs = places,
                               .prepare = prepare_wal,
                               .take = take_wal,
                               .context = &pass},
                   err);
    if (ok)
        finish_learning(&pass);
    return ok;
}
