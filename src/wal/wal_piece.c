#include "wal/wal_piece.h"

#include "base/bytes.h"
#include "base/fault.h"
#include "repo/envelope.h"
#include "repo/layout.h"

#include <assert.h>
#include <inttypes.h>

enum {
    HEAD_SIZE = SKIPPABLE_HEADER_SIZE + WAL_PIECE_HEADER_SIZE,
    ROUNDS_MAX = 5, /* A reader lists again this often when pieces vanish. */
    /* Incompressible WAL grows by less than this. */
    OBJECT_SIZE_MAX = HEAD_SIZE + WAL_PIECE_RAW_MAX + (WAL_PIECE_RAW_MAX >> 6),
};

static const EnvelopeShape header_shape = {.what = "header of a WAL piece",
                                           .magic = "PGCNPIEC",
                                           .size = WAL_PIECE_HEADER_SIZE,
                                           .version = 1,
                                           .reserved = {{56, 8}}};

/* Short-lived and small: what is fastest, whatever the archive's codec is. */
static const Compression compression = {.codec = CODEC_ZSTD, .level = 1};

WalPieceHome wal_piece_home(const Cluster *cluster)
{
    return (WalPieceHome){.system_identifier = cluster->system_identifier,
                          .major = cluster->major,
                          .segment_size = cluster->wal_segment_size,
                          .seed = cluster->repo->hash_seed};
}

static Lsn piece_place(const WalPieceHome *home, const WalPiece *piece)
{
    return wal_segment_start(piece->segment, home->segment_size) + piece->from;
}

bool wal_piece_encode(const WalPieceHome *home, const WalPiece *piece, const void *raw,
                      CodecContext *codec, Buffer *out, Error *err)
{
    const size_t begin = out->size;
    uint8_t head[HEAD_SIZE] = {0};
    uint8_t *header = head + SKIPPABLE_HEADER_SIZE;

    assert(piece->from < piece->to && piece->to - piece->from <= WAL_PIECE_RAW_MAX);
    buffer_append(out, head, sizeof head);
    if (!codec_compress(codec, compression, raw, piece->to - piece->from, out, err))
        return false;

    const uint8_t *frame = out->data + begin + HEAD_SIZE;
    const size_t stored = out->size - begin - HEAD_SIZE;
    skippable_begin(WAL_PIECE_HEADER_SIZE, head);
    envelope_begin(&header_shape, 0, header);
    put_le32(header + 12, piece->timeline);
    put_le64(header + 16, home->system_identifier);
    put_le64(header + 24, piece_place(home, piece));
    put_le32(header + 32, piece->to - piece->from);
    put_le32(header + 36, (uint32_t)stored);
    put_le64(header + 40, xxh3_of(home->seed, frame, stored));
    put_le32(header + 48, home->segment_size);
    put_le32(header + 52, home->major);
    envelope_seal(&header_shape, home->seed, header);
    memcpy(out->data + begin, head, sizeof head);
    return true;
}

static bool piece_check_header(const WalPieceHome *home, const uint8_t *object, size_t size,
                               Error *err)
{
    if (size < HEAD_SIZE || !skippable_is_at(WAL_PIECE_HEADER_SIZE, object))
        return error_set(err, ERR_CORRUPT, "not a piece of a segment");
    return envelope_check(&header_shape, home->seed, object + SKIPPABLE_HEADER_SIZE,
                          WAL_PIECE_HEADER_SIZE, err);
}

/* Is it what its name says, of this cluster? */
static bool piece_check_identity(const WalPieceHome *home, const WalPiece *piece,
                                 const uint8_t *header, Error *err)
{
    if (get_le64(header + 16) != home->system_identifier || get_le32(header + 52) != home->major ||
        get_le32(header + 48) != home->segment_size) {
        return error_set(err, ERR_CORRUPT,
                         "the piece is of the cluster with system identifier %" PRIu64
                         ", version %" PRIu32,
                         get_le64(header + 16), get_le32(header + 52));
    }
    if (get_le32(header + 12) != piece->timeline ||
        get_le64(header + 24) != piece_place(home, piece) ||
        get_le32(header + 32) != piece->to - piece->from)
        return error_set(err, ERR_CORRUPT, "object holds another piece");
    return true;
}

bool wal_piece_decode(const WalPieceHome *home, const WalPiece *piece, const void *object,
                      size_t size, CodecContext *codec, Buffer *raw, Error *err)
{
    const uint8_t *header = (const uint8_t *)object + SKIPPABLE_HEADER_SIZE;
    const uint8_t *frame = (const uint8_t *)object + HEAD_SIZE;
    const size_t raw_size = piece->to - piece->from;

    if (!piece_check_header(home, object, size, err) ||
        !piece_check_identity(home, piece, header, err))
        return false;
    if (raw_size > WAL_PIECE_RAW_MAX)
        return error_set(err, ERR_CORRUPT, "a piece of %zu bytes", raw_size);
    if (get_le32(header + 36) != size - HEAD_SIZE)
        return error_set(err, ERR_CORRUPT, "the piece is cut");
    const uint64_t computed = xxh3_of(home->seed, frame, size - HEAD_SIZE);
    if (!stored_checksum_check(computed, get_le64(header + 40), err))
        return false;
    buffer_reserve(raw, raw_size);
    raw->size = raw_size;
    return codec_decompress(codec, CODEC_ZSTD, frame, size - HEAD_SIZE, raw->data, raw_size, err);
}

static char *piece_object_name(const Cluster *cluster, const WalPiece *piece)
{
    const WalName name = {
        .kind = WAL_SEGMENT, .timeline = piece->timeline, .segment = piece->segment};
    char text[WAL_NAME_SIZE];

    return layout_piece(cluster->name, wal_name_text(&name, cluster->wal_segment_size, text),
                        piece->from, piece->to);
}

bool wal_piece_store(const Cluster *cluster, const WalPiece *piece, const void *raw,
                     CodecContext *codec, Error *err)
{
    CLEANUP(text_freep) char *object = piece_object_name(cluster, piece);
    CLEANUP(buffer_done) Buffer bytes = {0};
    const WalPieceHome home = wal_piece_home(cluster);

    return (wal_piece_encode(&home, piece, raw, codec, &bytes, err) &&
            FAULT_POINT("piece.before-commit", err) &&
            storage_put(cluster->repo->storage, object, WRITE_NEW, bytes.data, bytes.size, err) &&
            FAULT_POINT("piece.after-commit", err)) ||
           error_context(err, "store \"%s\"", object);
}

bool wal_piece_read(const Cluster *cluster, const WalPiece *piece, CodecContext *codec, Buffer *raw,
                    Error *err)
{
    CLEANUP(text_freep) char *object = piece_object_name(cluster, piece);
    CLEANUP(buffer_done) Buffer bytes = {0};
    const WalPieceHome home = wal_piece_home(cluster);
    bool ok = storage_read(cluster->repo->storage, object, OBJECT_SIZE_MAX, &bytes, err);

    /* ERR_REFUSED: larger than any piece is. */
    if (!ok && err->code == ERR_REFUSED)
        err->code = ERR_CORRUPT;
    ok = ok && wal_piece_decode(&home, piece, bytes.data, bytes.size, codec, raw, err);
    return ok || error_context(err, "read \"%s\"", object);
}

bool wal_piece_remove(const Cluster *cluster, const WalPiece *piece, Error *err)
{
    CLEANUP(text_freep) char *object = piece_object_name(cluster, piece);

    return (FAULT_POINT("piece.before-remove", err) &&
            storage_remove(cluster->repo->storage, object, err) &&
            FAULT_POINT("piece.after-remove", err)) ||
           error_context(err, "remove \"%s\"", object);
}

/* Names sort as timeline, segment, from, to: hexadecimal digits of fixed width. */
bool wal_pieces_load(WalPieceList *list, const Cluster *cluster, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_open_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};
    WalPieceList loaded = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return error_context(err, "list the open segments of %s", cluster->name);
    loaded.items = arena_alloc(&loaded.arena, (objects.count + 1) * sizeof loaded.items[0]);
    for (size_t i = 0; i < objects.count; i++) {
        WalPiece *piece = &loaded.items[loaded.count];
        WalName name;

        if (!layout_piece_of(cluster->name, objects.objects[i].name, cluster->wal_segment_size,
                             &name, &piece->from, &piece->to))
            continue;
        piece->timeline = name.timeline;
        piece->segment = name.segment;
        loaded.count++;
    }
    *list = loaded;
    return true;
}

void wal_pieces_done(WalPieceList *list)
{
    arena_done(&list->arena);
    *list = (WalPieceList){0};
}

const WalPiece *wal_pieces_at(const WalPieceList *list, uint32_t timeline, uint64_t segment,
                              uint32_t offset)
{
    const WalPiece *best = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const WalPiece *piece = &list->items[i];

        if (piece->timeline == timeline && piece->segment == segment && piece->from <= offset &&
            piece->to > offset && (best == NULL || piece->to > best->to))
            best = piece;
    }
    return best;
}

uint32_t wal_pieces_reach(const WalPieceList *list, uint32_t timeline, uint64_t segment)
{
    uint32_t reach = 0;
    const WalPiece *piece;

    while ((piece = wal_pieces_at(list, timeline, segment, reach)) != NULL)
        reach = piece->to;
    return reach;
}

typedef struct PieceReading {
    const Cluster *cluster;
    uint32_t timeline;
    uint64_t segment;
    WalSink *sink;
    void *context;
    CodecContext *codec;
    Buffer raw;
    uint64_t offset; /* The sink has the bytes up to here. */
    uint64_t seen;   /* It is set while the whole segment is read, and counts its bytes. */
} PieceReading;

static void piece_reading_done(PieceReading *reading)
{
    codec_context_freep(&reading->codec);
    buffer_done(&reading->raw);
}

/* All that the list leads to. ERR_NOT_FOUND: one has vanished. */
static bool read_listed(PieceReading *reading, const WalPieceList *list, Error *err)
{
    const WalPiece *piece;

    while ((piece = wal_pieces_at(list, reading->timeline, reading->segment,
                                  (uint32_t)reading->offset)) != NULL) {
        size_t known = (size_t)reading->offset - piece->from;

        if (!wal_piece_read(reading->cluster, piece, reading->codec, &reading->raw, err) ||
            !reading->sink(reading->context, reading->raw.data + known, reading->raw.size - known,
                           err))
            return false;
        reading->offset = piece->to;
    }
    return true;
}

/* Of the whole segment what the sink does not have yet. */
static bool pass_rest(void *context, const void *data, size_t size, Error *err)
{
    PieceReading *reading = context;
    const uint64_t begin = reading->seen;
    const size_t known = begin < reading->offset ? (size_t)(reading->offset - begin) : 0;

    reading->seen += size;
    if (known >= size)
        return true;
    reading->offset = reading->seen;
    return reading->sink(reading->context, (const uint8_t *)data + known, size - known, err);
}

static bool piece_read_whole(PieceReading *reading, Error *err)
{
    const WalName name = {
        .kind = WAL_SEGMENT, .timeline = reading->timeline, .segment = reading->segment};
    char text[WAL_NAME_SIZE];

    wal_name_text(&name, reading->cluster->wal_segment_size, text);
    return wal_object_read(reading->cluster, text, 1, pass_rest, reading, NULL, err);
}

/* List again: a larger piece has taken their place, or the whole segment. */
static bool read_anew(PieceReading *reading, Error *err)
{
    CLEANUP(wal_pieces_done) WalPieceList list = {0};

    if (!wal_pieces_load(&list, reading->cluster, err))
        return false;
    if (wal_pieces_at(&list, reading->timeline, reading->segment, (uint32_t)reading->offset) ==
        NULL)
        return piece_read_whole(reading, err);
    return read_listed(reading, &list, err);
}

bool wal_pieces_read(const Cluster *cluster, const WalPieceList *list, uint32_t timeline,
                     uint64_t segment, WalSink *sink, void *context, uint32_t *size, Error *err)
{
    CLEANUP(piece_reading_done)
    PieceReading reading = {.cluster = cluster,
                            .timeline = timeline,
                            .segment = segment,
                            .sink = sink,
                            .context = context,
                            .codec = codec_context_new()};
    Error attempt = {0};
    bool ok = read_listed(&reading, list, &attempt);

    for (int round = 0; !ok && attempt.code == ERR_NOT_FOUND && round < ROUNDS_MAX; round++) {
        error_clear(&attempt);
        ok = read_anew(&reading, &attempt);
    }
    if (!ok)
        return error_pass(err, &attempt);
    *size = (uint32_t)reading.offset;
    return true;
}
