#include "rebuild/fork_wal.h"

#include "rebuild/held_places.h"
#include "rebuild/recovery_settings.h"
#include "rebuild/restored_file.h"

#include "base/log.h"
#include "walk/wal_source.h"

static bool take_bytes(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

/* Marked as archived, as the server marks what restore_command gives it: it comes from there. */
static bool put_segment(const RestorePlan *plan, const char *name, const Buffer *content,
                        Error *err)
{
    CLEANUP(text_freep) char *path = text_format("pg_wal/%s", name);
    CLEANUP(text_freep) char *mark = text_format("pg_wal/archive_status/%s.done", name);
    FileAttributes attributes = {.mode = data_file_mode(&plan->placement), .mtime = TIME_US_NONE};
    const HeldDirectory *data = &plan->placement.held->data;

    return restored_file_put(held_at(data, mark), "", 0, &attributes, true, err) &&
           restored_file_put(held_at(data, path), content->data, content->size, &attributes, true,
                             err);
}

/*
 * A server that was promoted leaves its parent's last segment unfinished forever: then it comes
 * from wherever as much as there was of it is, the child's own first segment at the least.
 */
static bool read_parents(const Cluster *cluster, const RestoreRequest *request,
                         const WalInventory *inventory, const WalSource *source, Buffer *content,
                         Error *err)
{
    const uint32_t size = cluster->wal_segment_size;
    uint64_t stored_size;

    buffer_reserve(content, size);
    if (!wal_source_read(cluster, inventory, source, request->jobs, take_bytes, content,
                         &stored_size, err))
        return false;
    buffer_reserve(content, size - content->size);
    memset(content->data + content->size, 0, size - content->size);
    content->size = size;
    return true;
}

/* What is damaged need not be in the way: no transaction may have been prepared there. */
static bool put_parents(const Cluster *cluster, const RestoreRequest *request,
                        const RestorePlan *plan, const WalInventory *inventory,
                        const WalName *segment, Lsn fork, Error *err)
{
    const uint32_t needed = (uint32_t)(fork % cluster->wal_segment_size);
    CLEANUP(buffer_done) Buffer content = {0};
    char name[WAL_NAME_SIZE];
    WalSource source;
    Error attempt = {0};

    wal_name_text(segment, cluster->wal_segment_size, name);
    if (!wal_source_find(cluster, inventory, segment->timeline, segment->segment, &source, err))
        return error_context(err, "get %s", name);
    if (source.size < needed) {
        log_debug("the parent's segment at a fork is not available", log_str("segment", name));
        return true;
    }
    if (read_parents(cluster, request, inventory, &source, &content, &attempt))
        return put_segment(plan, name, &content, err);
    if (attempt.code != ERR_NOT_FOUND && attempt.code != ERR_CORRUPT) {
        *err = attempt;
        return error_context(err, "get %s", name);
    }
    log_debug("the parent's segment at a fork is not available", log_str("segment", name),
              log_str("reason", attempt.message));
    return true;
}

/* Two timelines can fork at one place: the path then has a step of nothing, and the same segment.
 */
static bool is_put_already(const RestorePlan *plan, size_t fork, const WalName *segment,
                           uint32_t size)
{
    for (size_t i = 1; i < fork; i++) {
        Lsn earlier = plan->decision.path.steps[i].begin;

        if (wal_segment_of(earlier, size) == segment->segment &&
            path_step_at(&plan->decision.path, earlier - 1)->timeline == segment->timeline)
            return true;
    }
    return false;
}

bool fork_wal_put(const Cluster *cluster, const RestoreRequest *request, const RestorePlan *plan,
                  Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    uint32_t size = cluster->wal_segment_size;

    if (plan->decision.path.count > 1 && !wal_inventory_load(&inventory, cluster, err))
        return false;
    for (size_t i = 1; i < plan->decision.path.count; i++) {
        Lsn fork = plan->decision.path.steps[i].begin;
        WalName segment = {.kind = WAL_SEGMENT, .segment = wal_segment_of(fork, size)};

        if (fork % size == 0 || fork <= plan->decision.manifest.header.start)
            continue;
        if (plan->decision.target.kind != TARGET_LATEST &&
            segment.segment > plan->decision.point.segment)
            continue;
        segment.timeline = path_step_at(&plan->decision.path, fork - 1)->timeline;
        if (segment.timeline !=
                path_timeline_of_segment(&plan->decision.path, segment.segment, size) &&
            !is_put_already(plan, i, &segment, size) &&
            !put_parents(cluster, request, plan, &inventory, &segment, fork, err))
            return false;
    }
    return true;
}
