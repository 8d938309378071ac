#include "pieces.h"

#include "troubles.h"

#include "repo/layout.h"

#include <inttypes.h>

/*
 * Pieces of segments that were still being written. The listing is of the beginning: a piece that
 * has vanished since was replaced by a larger one, or by the whole segment.
 */
typedef struct PiecePass {
    VerifyRun *run;
    CodecContext *codec;
    Buffer raw;
} PiecePass;

static void pieces_pass_done(PiecePass *pass)
{
    codec_context_freep(&pass->codec);
    buffer_done(&pass->raw);
}

static const char damage_meaning[] =
    "It is of a segment that was not whole yet. Once that is archived nobody needs the piece; if "
    "it never will be, the commits in it and after it are lost, and a recovery stops there.";

static bool read_piece(PiecePass *pass, const ObjectInfo *object, const WalPiece *piece, Error *err)
{
    VerifyRun *run = pass->run;
    Error attempt = {0};

    if (wal_piece_read(run->cluster, piece, pass->codec, &pass->raw, &attempt)) {
        run->report->bytes_raw += pass->raw.size;
    } else if (attempt.code == ERR_NOT_FOUND) {
        return true;
    } else if (is_finding(&attempt)) {
        trouble_means(run, trouble_of_error(run, object->name, &attempt), damage_meaning);
    } else {
        return error_pass(err, &attempt);
    }
    run->report->objects++;
    run->report->bytes += object->size;
    return true;
}

/* Bytes that nobody can use, since what comes before them is missing. */
static bool find_gap(VerifyRun *run, const WalPieceList *list, const WalPiece *piece, Error *err)
{
    static const char meaning[] =
        "The segment is only there in pieces, and a recovery ends where they begin to be missing: "
        "what comes after is lost unless receive, or archive-push, brings the whole segment.";
    const uint32_t reach = wal_pieces_reach(list, piece->timeline, piece->segment);
    const WalName name = {
        .kind = WAL_SEGMENT, .timeline = piece->timeline, .segment = piece->segment};
    char segment[WAL_NAME_SIZE];
    char expected[64];
    char found[64];
    Error attempt = {0};

    if (piece->from <= reach)
        return true;
    wal_name_text(&name, run->cluster->wal_segment_size, segment);
    CLEANUP(text_freep) char *whole = layout_wal(run->cluster->name, segment);
    if (storage_stat(run->cluster->repo->storage, whole, NULL, NULL, &attempt))
        return true;
    if (attempt.code != ERR_NOT_FOUND)
        return error_pass(err, &attempt);
    CLEANUP(text_freep)
    char *object = layout_piece(run->cluster->name, segment, piece->from, piece->to);
    snprintf(expected, sizeof expected, "a piece that goes on at byte %" PRIu32, reach);
    snprintf(found, sizeof found, "the next begins at byte %" PRIu32, piece->from);
    trouble_means(run,
                  trouble_add(run, FINDING_MISSING, object, "what comes before it is missing",
                              expected, found),
                  meaning);
    return true;
}

/* By a listing of now: while we were reading, pieces were put together, or became a segment. */
static bool find_gaps(VerifyRun *run, Error *err)
{
    CLEANUP(wal_pieces_done) WalPieceList list = {0};

    if (!wal_pieces_load(&list, run->cluster, err))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        if (!find_gap(run, &list, &list.items[i], err))
            return false;
    }
    return true;
}

bool verify_pieces(VerifyRun *run, Error *err)
{
    CLEANUP(pieces_pass_done) PiecePass pass = {.run = run, .codec = codec_context_new()};

    if (run->request->backup != NULL)
        return true;
    for (size_t i = 0; i < run->list.count; i++) {
        const ObjectInfo *object = &run->list.objects[i];
        WalPiece piece;
        WalName name;

        if (!layout_piece_of(run->cluster->name, object->name, run->cluster->wal_segment_size,
                             &name, &piece.from, &piece.to))
            continue;
        piece.timeline = name.timeline;
        piece.segment = name.segment;
        if (!read_piece(&pass, object, &piece, err))
            return error_context(err, "read \"%s\"", object->name);
    }
    return find_gaps(run, err);
}
