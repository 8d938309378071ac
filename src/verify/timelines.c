#include "timelines.h"

#include "troubles.h"

#include "base/interrupt.h"
#include "base/order.h"
#include "repo/layout.h"

#include <inttypes.h>

enum { HISTORY_SIZE_MAX = 4 << 20 };

/* A new timeline's first segment is archived once it is full; its history is archived at once. */
static const TimeUs first_segment_due = INT64_C(3600) * 1000000;

const TimelineFacts *timeline_find(const VerifyRun *run, uint32_t timeline)
{
    for (size_t i = 0; i < run->timeline_count; i++) {
        if (run->timelines[i].timeline == timeline)
            return &run->timelines[i];
    }
    return NULL;
}

bool is_backup_on_path(const BackupFacts *backup, const TimelinePath *path)
{
    const PathStep *step = path_step_of(path, backup->timeline);

    return backup->is_readable && step != NULL && (step->end == 0 || backup->stop <= step->end);
}

bool is_wal_wanted(const VerifyRun *run, uint32_t timeline, uint64_t segment)
{
    const BackupFacts *backup = &run->backups[0];

    if (run->request->backup == NULL)
        return true;
    if (run->backup_count == 0 || !backup->is_readable)
        return false;
    const TimelineFacts *facts = timeline_find(run, backup->timeline);
    return segment >= wal_segment_of(backup->start, backup->segment_size) &&
           segment <= wal_segment_before(backup->stop, backup->segment_size) &&
           path_timeline_of_segment(&facts->path, segment, backup->segment_size) == timeline;
}

/* Of every WAL file, history and backup, each number once, ascending. */
static void timelines_collect(VerifyRun *run)
{
    uint32_t *numbers =
        arena_alloc(&run->arena, (run->list.count + run->backup_count + 1) * sizeof numbers[0]);
    size_t count = 0;

    for (size_t i = 0; i < run->list.count; i++) {
        WalName name;

        if (!layout_wal_name_of(run->cluster->name, run->list.objects[i].name,
                                run->cluster->wal_segment_size, &name))
            continue;
        if (count == 0 || numbers[count - 1] != name.timeline)
            numbers[count++] = name.timeline;
    }
    for (size_t i = 0; i < run->backup_count; i++) {
        if (run->backups[i].is_readable)
            numbers[count++] = run->backups[i].timeline;
    }
    if (count > 1)
        qsort(numbers, count, sizeof numbers[0], order_numbers);
    run->timelines = arena_alloc(&run->arena, (count + 1) * sizeof run->timelines[0]);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || numbers[i] != numbers[i - 1])
            run->timelines[run->timeline_count++].timeline = numbers[i];
    }
}

static bool timeline_take_text(void *context, const void *data, size_t size, Error *err)
{
    Buffer *text = context;

    if (text->size + size > HISTORY_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "far too large for a history file");
    buffer_append(text, data, size);
    return true;
}

static bool parse_history(VerifyRun *run, TimelineFacts *facts, Buffer *text, Error *err)
{
    TimelinePath path;

    buffer_append(text, "", 1);
    if (strlen((const char *)text->data) + 1 != text->size)
        return error_set(err, ERR_CORRUPT, "it is not text");
    if (!timeline_path_parse(facts->timeline, (const char *)text->data, &run->arena, &path, err))
        return false;
    if (path.count < 2)
        return error_set(err, ERR_CORRUPT, "it names no parent");
    facts->text = arena_text(&run->arena, (const char *)text->data);
    facts->path = path;
    facts->has_path = true;
    return true;
}

/* false with err of a finding: the caller tells it. */
static bool timeline_read_history(VerifyRun *run, TimelineFacts *facts, const char *name,
                                  Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    WalTrailer trailer;

    if (!wal_object_read(run->cluster, name, 1, timeline_take_text, &text, &trailer, err))
        return false;
    run->report->bytes_raw += trailer.raw_size;
    if (trailer.kind != WAL_HISTORY || trailer.timeline != facts->timeline)
        return error_set(err, ERR_CORRUPT, "the stored object is not this history");
    return parse_history(run, facts, &text, err);
}

static char *history_object(const VerifyRun *run, uint32_t timeline)
{
    char name[WAL_NAME_SIZE];

    wal_name_text(&(WalName){.kind = WAL_HISTORY, .timeline = timeline},
                  run->cluster->wal_segment_size, name);
    return layout_wal(run->cluster->name, name);
}

static bool load_history(VerifyRun *run, TimelineFacts *facts, Error *err)
{
    CLEANUP(text_freep) char *object = history_object(run, facts->timeline);
    char name[WAL_NAME_SIZE];
    Error attempt = {0};
    uint64_t size;

    if (!storage_stat(run->cluster->repo->storage, object, &size, &facts->stored_at, &attempt)) {
        if (attempt.code == ERR_NOT_FOUND)
            return true;
        return error_pass(err, &attempt);
    }
    facts->has_history = true;
    run->report->objects++;
    run->report->histories++;
    run->report->bytes += size;
    progress_add(run->request->progress, size, size);
    wal_name_text(&(WalName){.kind = WAL_HISTORY, .timeline = facts->timeline},
                  run->cluster->wal_segment_size, name);
    if (timeline_read_history(run, facts, name, &attempt))
        return true;
    if (!is_finding(&attempt))
        return error_pass(err, &attempt);
    trouble_at_timeline(trouble_of_error(run, object, &attempt), facts->timeline);
    return true;
}

/* A backup carries its timeline's history: it must be the archive's, and stands in for it. */
static void compare_with_backup(VerifyRun *run, TimelineFacts *facts, size_t index)
{
    const BackupFacts *backup = &run->backups[index];
    CLEANUP(text_freep) char *object = layout_manifest(run->cluster->name, backup->id);
    Error problem = {0};
    TimelinePath path;

    if (!backup->is_readable || backup->timeline != facts->timeline)
        return;
    if (!timeline_path_parse(backup->timeline, backup->history, &run->arena, &path, &problem)) {
        trouble_at_backup(trouble_add(run, FINDING_INCONSISTENT, object,
                                      "the history of its timeline in the manifest",
                                      "one that a server reads", problem.message),
                          index);
        return;
    }
    if (facts->text != NULL && strcmp(facts->text, backup->history) != 0) {
        trouble_at_backup(trouble_add(run, FINDING_INCONSISTENT, object,
                                      "the history of its timeline in the manifest", facts->text,
                                      backup->history),
                          index);
    }
    if (!facts->has_path && (path.count > 1 || facts->timeline == 1)) {
        facts->path = path;
        facts->has_path = true;
    }
}

static bool load_timeline(VerifyRun *run, TimelineFacts *facts, Error *err)
{
    /* Asked for one backup, only where its timeline comes from matters. */
    bool is_wanted = run->request->backup == NULL || facts->timeline == run->backups[0].timeline;

    if (!interrupt_check(err) || (is_wanted && !load_history(run, facts, err)))
        return false;
    if (facts->timeline > 1) {
        for (size_t i = 0; i < run->backup_count; i++)
            compare_with_backup(run, facts, i);
    }
    if (facts->has_path)
        return true;
    facts->has_path = facts->timeline == 1;
    return timeline_path_parse(facts->timeline, NULL, &run->arena, &facts->path, err);
}

/* Each ancestor's own history must tell the same of the ancestors before it. */
static void compare_with_ancestors(VerifyRun *run, const TimelineFacts *facts)
{
    CLEANUP(text_freep) char *object = history_object(run, facts->timeline);
    CLEANUP(text_freep) char *what = NULL;
    char expected[LSN_TEXT_SIZE];
    char found[LSN_TEXT_SIZE];

    for (size_t i = 1; i + 1 < facts->path.count; i++) {
        const PathStep *step = &facts->path.steps[i];
        const TimelineFacts *ancestor = timeline_find(run, step->timeline);

        if (ancestor == NULL || ancestor->text == NULL || path_step_is_empty(step))
            continue;
        const PathStep *own = path_step_of(&ancestor->path, step->timeline);
        if (own->begin == step->begin)
            continue;
        text_freep(&what);
        what = text_format("where timeline %" PRIu32 " begins", step->timeline);
        trouble_at_timeline(trouble_add(run, FINDING_INCONSISTENT, object, what,
                                        lsn_text(own->begin, expected),
                                        lsn_text(step->begin, found)),
                            facts->timeline);
    }
}

static bool timeline_has_wal(const VerifyRun *run, uint32_t timeline)
{
    for (size_t i = 0; i < run->list.count; i++) {
        WalName name;

        if (layout_wal_name_of(run->cluster->name, run->list.objects[i].name,
                               run->cluster->wal_segment_size, &name) &&
            name.kind == WAL_SEGMENT && name.timeline == timeline)
            return true;
    }
    return false;
}

/* Somebody goes on from it: a backup, or a later timeline. */
static bool is_built_upon(const VerifyRun *run, uint32_t timeline)
{
    for (size_t i = 0; i < run->backup_count; i++) {
        if (run->backups[i].is_readable && run->backups[i].timeline == timeline)
            return true;
    }
    for (size_t i = 0; i < run->timeline_count; i++) {
        const TimelineFacts *other = &run->timelines[i];
        const PathStep *step = path_step_of(&other->path, timeline);

        if (other->timeline != timeline && step != NULL && !path_step_is_empty(step))
            return true;
    }
    return false;
}

bool timeline_has_only_begun(const VerifyRun *run, uint32_t timeline)
{
    return !timeline_has_wal(run, timeline) && !is_built_upon(run, timeline);
}

/*
 * A history without any WAL: the server would replay what its parent did after the fork. That is
 * how every timeline begins, for as long as its first segment takes to fill; holes.c sees to those
 * that others build upon.
 */
static void check_beginning(VerifyRun *run, const TimelineFacts *facts)
{
    CLEANUP(text_freep) char *object = history_object(run, facts->timeline);
    CLEANUP(text_freep) char *what = NULL;
    bool is_last = facts == &run->timelines[run->timeline_count - 1];
    bool is_old = time_now() - facts->stored_at > first_segment_due;

    if (!timeline_has_only_begun(run, facts->timeline))
        return;
    what = text_format("the first segment of timeline %" PRIu32 " is not in the archive",
                       facts->timeline);
    trouble_means(run,
                  trouble_add(run, is_last && is_old ? FINDING_MISSING : FINDING_NOTE, object, what,
                              NULL, NULL),
                  is_last ? "What was committed on this timeline is nowhere but at its server: no "
                            "recovery can go there until the first segment has arrived. Look at "
                            "the server's archiving if that takes long."
                          : "No recovery can go there. A timeline that was given up at once looks "
                            "like this.");
}

static void timeline_check(VerifyRun *run, const TimelineFacts *facts)
{
    CLEANUP(text_freep) char *object = history_object(run, facts->timeline);

    if (facts->timeline == 1)
        return;
    if (!facts->has_history) {
        trouble_at_timeline(trouble_add(run, FINDING_MISSING, object,
                                        "the history of a timeline is missing", NULL, NULL),
                            facts->timeline);
        return;
    }
    compare_with_ancestors(run, facts);
    check_beginning(run, facts);
}

bool survey_timelines(VerifyRun *run, Error *err)
{
    timelines_collect(run);
    for (size_t i = 0; i < run->timeline_count; i++) {
        if (!load_timeline(run, &run->timelines[i], err))
            return false;
    }
    for (size_t i = 0; i < run->timeline_count; i++) {
        const TimelineFacts *facts = &run->timelines[i];

        if (run->request->backup == NULL || facts->timeline == run->backups[0].timeline)
            timeline_check(run, facts);
    }
    return true;
}
