/*
 * A whole WAL object, read and verified. Input: codec, raw size, then the stored bytes of its one
 * frame; checksums and trailer are made right, as far as the frame can be decompressed. What is
 * read must be what they were made of.
 */
#include "base/memory.h"
#include "fuzz.h"
#include "repo/layout.h"
#include "stores.h"
#include "stream/digest.h"
#include "wal_frame.h"

enum { RAW_MAX = 64 << 10 };

static const char name[] = "00000002.history";

typedef struct Sink {
    Buffer content;
} Sink;

static void sink_done(Sink *sink)
{
    buffer_done(&sink->content);
}

static bool take(void *context, const void *data, size_t size, Error *err)
{
    Sink *sink = context;

    (void)err;
    buffer_append(&sink->content, data, size);
    return true;
}

static void put_object(const Cluster *cluster, const WalTrailer *trailer, const uint8_t *stored)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);
    CLEANUP(buffer_done) Buffer bytes = {0};
    Error err = {0};

    buffer_append(&bytes, stored, trailer->stored_size);
    wal_trailer_wrap(trailer, cluster->repo->hash_seed, &bytes);
    bool is_put =
        storage_put(cluster->repo->storage, object, WRITE_REPLACE, bytes.data, bytes.size, &err);
    assert(is_put);
}

static void read_object(const Cluster *cluster, const WalTrailer *stored, const uint8_t *raw,
                        bool is_wrong)
{
    CLEANUP(sink_done) Sink sink = {0};
    WalTrailer trailer;
    Error err = {0};

    if (!wal_object_read(cluster, name, 1, take, &sink, &trailer, &err)) {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        return;
    }
    assert(!is_wrong && sink.content.size == stored->raw_size);
    assert(memcmp(sink.content.data, raw, stored->raw_size) == 0);
    fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Repo repo = {.hash_seed = 42};
    static Cluster cluster = {.repo = &repo, .name = "main", .wal_segment_size = 16 << 20};
    static CodecContext *codec;
    static uint8_t raw[RAW_MAX];
    FuzzInput input = {data, size};
    uint8_t choice = fuzz_u8(&input);
    WalTrailer trailer = {
        .kind = WAL_HISTORY,
        .codec = (Codec)(choice & 3),
        .raw_size = 1 + fuzz_u16(&input),
        .stored_size = input.left,
        .timeline = 2,
        .segment_size = 16 << 20,
        .frame_size = 1 << 20,
        .frame_count = 1,
        .frame_stored = {(uint32_t)input.left},
    };
    uint64_t checksum = xxh3_of(repo.hash_seed, input.at, input.left);
    uint8_t raw_sums[1][XXH128_SIZE];
    Error ignored = {0}; /* then the checksum is of other bytes, and reading must notice */

    if (repo.storage == NULL) {
        repo.storage = storage_memory_new();
        codec = codec_context_new();
    }
    if (input.left == 0)
        return 0;
    trailer.stored_checksum = wal_stored_checksum(repo.hash_seed, &checksum, 1);
    wal_summary_init(&trailer.summary);
    if (!codec_decompress(codec, wal_frame_codec(trailer.codec), input.at, input.left, raw,
                          trailer.raw_size, &ignored))
        memset(raw, 0, sizeof raw);
    xxh128_of(repo.hash_seed, raw, trailer.raw_size, raw_sums[0]);
    wal_raw_checksum(repo.hash_seed, raw_sums, 1, trailer.raw_checksum);
    if ((choice & 4) != 0)
        trailer.system_identifier = 7;
    if ((choice & 8) != 0)
        trailer.raw_checksum[choice >> 4] ^= 1;
    if ((choice & 16) != 0)
        trailer.stored_checksum ^= 1;
    put_object(&cluster, &trailer, input.at);
    read_object(&cluster, &trailer, raw, (choice & (8 | 16)) != 0);
    return 0;
}

void fuzz_seeds(void)
{
    static const char text[] = "1\t0/3000000\tno recovery target specified\n";
    CodecContext *codec = codec_context_new();

    for (unsigned number = CODEC_NONE; number <= CODEC_GZIP; number++) {
        CLEANUP(buffer_done) Buffer bytes = {0};
        uint8_t head[3] = {(uint8_t)number, sizeof text - 2};
        char seed_name[16];
        Error err = {0};

        buffer_append(&bytes, head, sizeof head);
        if (number == CODEC_NONE) {
            codec_wrap_raw(text, sizeof text - 1, &bytes);
        } else {
            bool ok = codec_compress(codec, (Compression){(Codec)number, 1}, text, sizeof text - 1,
                                     &bytes, &err);
            assert(ok);
        }
        snprintf(seed_name, sizeof seed_name, "%s", codec_name((Codec)number));
        fuzz_seed(seed_name, bytes.data, bytes.size);
        bytes.data[0] |= number % 2 == 0 ? 8 : 16; /* one of the two checksums is wrong */
        snprintf(seed_name, sizeof seed_name, "%s-wrong", codec_name((Codec)number));
        fuzz_seed(seed_name, bytes.data, bytes.size);
    }
    codec_context_freep(&codec);
}
