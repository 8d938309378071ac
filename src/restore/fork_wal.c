#include "fork_wal.h"

#include "restored_file.h"

#include "base/log.h"
#include "repo/wal_piece.h"

static bool take_piece(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

static bool check_trailer(const Cluster *cluster, uint32_t timeline, const WalTrailer *trailer,
                          Error *err)
{
    if (trailer->kind == WAL_SEGMENT && trailer->timeline == timeline &&
        trailer->system_identifier == cluster->system_identifier &&
        trailer->raw_size == cluster->wal_segment_size)
        return true;
    return error_set(err, ERR_CORRUPT, "the stored object is another file under this name");
}

/* Marked as archived, as the server marks what restore_command gives it: it comes from there. */
static bool put_segment(const RestorePlan *plan, const char *name, const Buffer *content,
                        Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal/%s", plan->data, name);
    CLEANUP(text_freep)
    char *mark = text_format("%s/pg_wal/archive_status/%s.done", plan->data, name);
    FileAttributes attributes = {.mode = (plan->data_mode & 0050) != 0 ? 0640 : 0600,
                                 .uid = plan->uid,
                                 .gid = plan->gid,
                                 .mtime = TIME_US_NONE};

    return restored_file_put(mark, "", 0, &attributes, true, err) &&
           restored_file_put(path, content->data, content->size, &attributes, true, err);
}

/*
 * A server that was promoted leaves its parent's last segment unfinished for ever: then pieces of
 * it may be all there is. They must reach to the fork.
 */
static bool read_pieces(const Cluster *cluster, const WalName *segment, Lsn fork, Buffer *content,
                        bool *found, Error *err)
{
    CLEANUP(wal_pieces_done) WalPieceList list = {0};
    const uint32_t needed = (uint32_t)(fork % cluster->wal_segment_size);
    uint32_t reach;

    *found = false;
    if (!wal_pieces_load(&list, cluster, err))
        return false;
    if (wal_pieces_reach(&list, segment->timeline, segment->segment) < needed)
        return true;
    content->size = 0;
    if (!wal_pieces_read(cluster, &list, segment->timeline, segment->segment, take_piece, content,
                         &reach, err))
        return false;
    buffer_reserve(content, cluster->wal_segment_size);
    memset(content->data + content->size, 0, cluster->wal_segment_size - content->size);
    content->size = cluster->wal_segment_size;
    *found = true;
    return true;
}

static bool put_parents(const Cluster *cluster, const RestoreWish *wish, const RestorePlan *plan,
                        const WalName *segment, Lsn fork, Error *err)
{
    CLEANUP(buffer_done) Buffer content = {0};
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;
    Error attempt = {0};
    bool found = false;

    wal_name_text(segment, cluster->wal_segment_size, name);
    if (wal_object_read(cluster, name, wish->jobs > 0 ? wish->jobs : 1, take_piece, &content,
                        &trailer, err) &&
        check_trailer(cluster, segment->timeline, &trailer, err))
        return put_segment(plan, name, &content, err);
    if (err->code != ERR_NOT_FOUND && err->code != ERR_CORRUPT)
        return error_context(err, "get %s", name);
    if (read_pieces(cluster, segment, fork, &content, &found, &attempt) && found) {
        error_clear(err);
        return put_segment(plan, name, &content, err);
    }
    log_debug("the parent's segment at a fork is not to be had", log_str("segment", name),
              log_str("reason", err->message));
    error_clear(err);
    return true;
}

bool fork_wal_put(const Cluster *cluster, const RestoreWish *wish, const RestorePlan *plan,
                  Error *err)
{
    uint32_t size = cluster->wal_segment_size;

    for (size_t i = 1; i < plan->path.count; i++) {
        Lsn fork = plan->path.steps[i].begin;
        WalName segment = {.kind = WAL_SEGMENT, .segment = wal_segment_of(fork, size)};

        if (fork % size == 0 || fork <= plan->manifest.header.start)
            continue;
        if (plan->target.kind != TARGET_LATEST && segment.segment > plan->point.segment)
            continue;
        segment.timeline = path_step_at(&plan->path, fork - 1)->timeline;
        if (segment.timeline != path_timeline_of_segment(&plan->path, segment.segment, size) &&
            !put_parents(cluster, wish, plan, &segment, fork, err))
            return false;
    }
    return true;
}
