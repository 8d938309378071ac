/*
 * Packs. Input: a choice, then by it a trailer, a header, a directory, or a whole pack: directory
 * entries and the frames' bytes, put together with right checksums, then read back.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "pack/pack_scan.h"
#include "pack_format.h"
#include "repo/layout.h"
#include "stores.h"
#include "stream/digest.h"

enum { WHOLE_FRAMES_MAX = 16 };

static const char pack_id[] = "00112233445566778899aabbccddeeff";
static const uint64_t hash_seed = 42;

/* Magic, version and checksum as they must be. */
static void put_envelope(uint8_t *bytes, size_t size, const char *magic)
{
    memcpy(bytes, magic, 8);
    put_le32(bytes + 8, 1);
    put_le64(bytes + size - 8, xxh3_of(hash_seed, bytes, size - 8));
}

static void try_trailer(FuzzInput *input)
{
    uint8_t bytes[PACK_TRAILER_SIZE];
    uint8_t again[PACK_TRAILER_SIZE];
    uint64_t pack_size = fuzz_u64(input);
    bool is_right = (fuzz_u8(input) & 1) != 0;
    PackTrailer trailer;
    Error err = {0};

    fuzz_bytes(input, bytes, sizeof bytes);
    if (is_right)
        put_envelope(bytes, sizeof bytes, "PGCNPEND");
    if (!pack_trailer_decode(&trailer, bytes, pack_size, hash_seed, &err)) {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        return;
    }
    assert(trailer.directory_offset + trailer.directory_stored + PACK_TRAILER_SIZE == pack_size);
    pack_trailer_encode(&trailer, hash_seed, again);
    assert(memcmp(again, bytes, sizeof bytes) == 0);
    fuzz_accepted();
}

static void try_header(FuzzInput *input)
{
    uint8_t bytes[PACK_HEADER_SIZE];
    uint8_t right[PACK_HEADER_SIZE];
    Error err = {0};

    pack_header_encode(pack_id, hash_seed, right);
    fuzz_bytes(input, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] ^= right[i];
    put_envelope(bytes, sizeof bytes, "PGCNPACK");
    /* There is one right header for an id. */
    bool is_header = pack_header_check(bytes, pack_id, hash_seed, &err);
    assert(is_header == (memcmp(bytes, right, sizeof bytes) == 0));
    assert(is_header || err.code == ERR_CORRUPT || err.code == ERR_VERSION);
}

static void try_directory(FuzzInput *input)
{
    uint8_t *exact = fuzz_copy(input->at, input->left);
    CLEANUP(buffer_done) Buffer again = {0};
    size_t before = 0;
    size_t offset = 0;
    PackEntry entry;
    Error err = {0};

    while (offset < input->left && pack_entry_decode(exact, input->left, &offset, &entry, &err)) {
        assert(offset <= input->left);
        if (entry.path_size <= PACK_PATH_MAX) {
            again.size = 0;
            pack_entry_encode(&entry, &again);
            assert(again.size == offset - before &&
                   memcmp(again.data, exact + before, again.size) == 0);
            fuzz_accepted();
        }
        if (!frame_check(&entry.frame, UINT64_C(1) << 40, EXTENT_SIZE, &err)) {
            assert(err.code == ERR_CORRUPT);
            error_clear(&err);
        }
        before = offset;
    }
    mem_free(exact);
}

/* What the scan of a whole pack saw. */
typedef struct Seen {
    const Cluster *cluster;
    CodecContext *codec;
    uint32_t count;
    uint64_t end;
} Seen;

static bool see_frame(void *context, const ScannedFrame *frame, const uint8_t *raw,
                      const Error *problem, Error *err)
{
    Seen *seen = context;
    CLEANUP(buffer_done) Buffer scratch = {0};
    Error read_err = {0};

    (void)err;
    assert((raw == NULL) == (problem != NULL && problem->code != ERR_NONE));
    assert(frame->frame.offset == seen->end);
    seen->end += frame->frame.stored_size;
    seen->count++;
    if (frame->frame.raw_size == 0 || frame->frame.raw_size > EXTENT_SIZE)
        return true;
    /* Read by itself, as restore does it: the same answer. */
    uint8_t *again = malloc(frame->frame.raw_size);
    bool is_read = pack_read_frame(seen->cluster, pack_id, &frame->frame, seen->codec, &scratch,
                                   again, &read_err);
    assert(is_read == (raw != NULL) || frame->frame.stored_size == 0);
    assert(!is_read || raw == NULL || memcmp(raw, again, frame->frame.raw_size) == 0);
    mem_free(again);
    if (is_read)
        fuzz_accepted();
    return true;
}

static uint64_t put_pack(const Cluster *cluster, FuzzInput *input)
{
    CLEANUP(text_freep) char *name = layout_pack(cluster->name, pack_id);
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(buffer_done) Buffer directory = {0};
    uint8_t count = fuzz_u8(input) % (WHOLE_FRAMES_MAX + 1);
    uint8_t damage = fuzz_u8(input);
    uint8_t ends[PACK_TRAILER_SIZE];
    Error err = {0};

    buffer_reserve(&bytes, PACK_HEADER_SIZE);
    pack_header_encode(pack_id, hash_seed, bytes.data);
    bytes.size = PACK_HEADER_SIZE;
    for (uint8_t i = 0; i < count; i++) {
        uint8_t kinds = fuzz_u8(input);
        uint16_t stored_size = fuzz_u16(input);
        PackEntry entry = {
            .kind = (FrameKind)(1 + (kinds & 3) % 3), .path = "base/1", .path_size = 6};

        entry.frame = (Frame){
            .codec = (Codec)(kinds >> 2 & 3), .offset = bytes.size, .raw_size = fuzz_u32(input)};
        if ((kinds & 0x80) == 0)
            entry.frame.raw_size %= 70000;
        stored_size = stored_size < input->left ? stored_size : (uint16_t)input->left;
        entry.frame.stored_size = stored_size;
        entry.frame.checksum = xxh3_of(hash_seed, input->at, stored_size) ^ (kinds >> 4 & 1);
        pack_entry_encode(&entry, &directory);
        buffer_append(&bytes, input->at, stored_size);
        input->at += stored_size;
        input->left -= stored_size;
    }
    PackTrailer trailer = {.entry_count = count,
                           .directory_offset = bytes.size,
                           .directory_stored = (uint32_t)directory.size,
                           .directory_raw = (uint32_t)directory.size,
                           .directory_codec = CODEC_NONE};
    if (damage != 0 && directory.size > 0)
        directory.data[damage * 7U % directory.size] ^= damage;
    trailer.directory_checksum = xxh3_of(hash_seed, directory.data, directory.size);
    pack_trailer_encode(&trailer, hash_seed, ends);
    buffer_append(&bytes, directory.data, directory.size);
    buffer_append(&bytes, ends, sizeof ends);
    bool is_put =
        storage_put(cluster->repo->storage, name, WRITE_REPLACE, bytes.data, bytes.size, &err);
    assert(is_put);
    return bytes.size;
}

static void try_whole(FuzzInput *input)
{
    static Repo repo = {.hash_seed = 42};
    static Cluster cluster = {.repo = &repo, .name = "main"};
    static PackScanState *state;
    static CodecContext *codec;
    uint8_t sha256[SHA256_SIZE];
    Error check_err = {0};
    Error scan_err = {0};

    if (state == NULL) {
        repo.storage = storage_memory_new();
        state = pack_scan_state_new();
        codec = codec_context_new();
    }
    uint64_t size = put_pack(&cluster, input);
    Seen seen = {.cluster = &cluster, .codec = codec, .end = PACK_HEADER_SIZE};
    bool is_good = pack_check(&cluster, pack_id, size, &check_err);
    bool is_scanned =
        pack_scan(&cluster, pack_id, size, state, see_frame, &seen, sha256, &scan_err);
    assert(is_good || check_err.code == ERR_CORRUPT || check_err.code == ERR_VERSION);
    assert(is_scanned || scan_err.code == ERR_CORRUPT || scan_err.code == ERR_VERSION);
    assert(is_good || !is_scanned);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};

    switch (fuzz_u8(&input) & 3) {
    case 0:
        try_trailer(&input);
        break;
    case 1:
        try_header(&input);
        break;
    case 2:
        try_directory(&input);
        break;
    default:
        try_whole(&input);
        break;
    }
    return 0;
}

static void put_frame(Buffer *bytes, CodecContext *codecs, Codec codec, FrameKind kind)
{
    CLEANUP(buffer_done) Buffer stored = {0};
    static const uint8_t raw[8192] = {1, 2, 3};
    uint8_t head[7] = {(uint8_t)((kind - 1) | codec << 2)};
    Error err = {0};

    bool ok = codec_compress(codecs, (Compression){codec, 1}, raw, sizeof raw, &stored, &err);
    assert(ok);
    put_le16(head + 1, (uint16_t)stored.size);
    put_le32(head + 3, sizeof raw);
    buffer_append(bytes, head, sizeof head);
    buffer_append(bytes, stored.data, stored.size);
}

void fuzz_seeds(void)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    CodecContext *codecs = codec_context_new();
    uint8_t trailer[1 + 9 + PACK_TRAILER_SIZE] = {0};
    uint8_t header[1 + PACK_HEADER_SIZE] = {1};

    put_le64(trailer + 1, 4096);
    trailer[9] = 1;
    pack_trailer_encode(&(PackTrailer){.entry_count = 3,
                                       .directory_offset = 3900,
                                       .directory_stored = 4096 - 3900 - PACK_TRAILER_SIZE,
                                       .directory_raw = 200,
                                       .directory_codec = CODEC_ZSTD},
                        hash_seed, trailer + 10);
    fuzz_seed("trailer", trailer, sizeof trailer);
    fuzz_seed("header", header, sizeof header);
    buffer_append(&bytes, "\2", 1);
    for (FrameKind kind = FRAME_EXTENT; kind <= FRAME_FILE; kind++) {
        pack_entry_encode(
            &(PackEntry){
                .kind = kind,
                .frame = {.codec = CODEC_LZ4, .offset = 80, .stored_size = 40, .raw_size = 8192},
                .path = "base/5/16384",
                .path_size = 12},
            &bytes);
    }
    fuzz_seed("directory", bytes.data, bytes.size);
    bytes.size = 0;
    buffer_append(&bytes, "\3\3\0", 3);
    put_frame(&bytes, codecs, CODEC_ZSTD, FRAME_EXTENT);
    put_frame(&bytes, codecs, CODEC_LZ4, FRAME_FILE);
    put_frame(&bytes, codecs, CODEC_GZIP, FRAME_PAGE_TABLE);
    fuzz_seed("whole", bytes.data, bytes.size);
    codec_context_freep(&codecs);
}
