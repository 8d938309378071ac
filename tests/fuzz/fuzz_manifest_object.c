/*
 * A manifest as it is stored: zstd frames and a trailer, read back. Input: a choice, then frames:
 * kind, size 2, bytes. A frame's bytes are text that is compressed, or (kind) a frame as it is;
 * after one of a kind from 128 on a frame with the line that ends the head is put. That line, the
 * end line and the trailer are made right. However the text is cut into frames, it reads as the
 * whole, and so does its head alone.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "manifest_example.h"
#include "manifest_format.h"
#include "manifest_trailer.h"
#include "stores.h"

enum { WITH_END = 1, WITH_TRAILER = 2, ENDS_HEAD = 128 };

typedef struct Object {
    Buffer bytes;
    Buffer text;      /* what the frames say, if all of them are ours */
    Buffer checksums; /* of the frames */
    ManifestTrailer trailer;
    bool is_ours;
} Object;

static const uint64_t hash_seed = 42;

static void object_done(Object *object)
{
    buffer_done(&object->bytes);
    buffer_done(&object->text);
    buffer_done(&object->checksums);
}

static void add_frame(Object *object, uint8_t kind, const uint8_t *bytes, size_t size,
                      CodecContext *codec)
{
    CLEANUP(buffer_done) Buffer frame = {0};
    Error err = {0};
    bool ok = true;

    if (kind == 0) {
        buffer_append(&frame, bytes, size);
        object->is_ours = false;
    } else if (kind % 2 == 0) {
        codec_wrap_raw(bytes, size, &frame);
    } else {
        ok = codec_compress(codec, (Compression){CODEC_ZSTD, 1}, bytes, size, &frame, &err);
    }
    assert(ok);
    manifest_frame_add(&object->checksums, hash_seed, frame.data, frame.size);
    buffer_append(&object->bytes, frame.data, frame.size);
    buffer_append(&object->text, bytes, size);
}

static void add_end_line(Object *object, const char *type, CodecContext *codec)
{
    CLEANUP(buffer_done) Buffer whole = {0};
    size_t before = object->text.size;

    buffer_append(&whole, object->text.data, before);
    manifest_add_end(&whole, type);
    add_frame(object, 1, whole.data + before, whole.size - before, codec);
}

static void end_head(Object *object, CodecContext *codec)
{
    add_end_line(object, "head", codec);
    if (object->trailer.head_size > 0)
        return;
    object->trailer.head_size = object->bytes.size;
    object->trailer.head_checksum = manifest_frames_checksum(&object->checksums, hash_seed);
}

static void add_trailer(Object *object)
{
    uint8_t bytes[MANIFEST_TRAILER_SIZE];

    object->trailer.frames_size = object->bytes.size;
    object->trailer.frames_checksum = manifest_frames_checksum(&object->checksums, hash_seed);
    manifest_trailer_encode(&object->trailer, hash_seed, bytes);
    buffer_append(&object->bytes, bytes, sizeof bytes);
}

static void check_same(const Manifest *a, const Manifest *b)
{
    CLEANUP(buffer_done) Buffer text_a = {0};
    CLEANUP(buffer_done) Buffer text_b = {0};

    manifest_encode(a, &text_a);
    manifest_encode(b, &text_b);
    assert(text_a.size == text_b.size && memcmp(text_a.data, text_b.data, text_a.size) == 0);
}

/* What is listed is what is restored. */
static void check_head(const Cluster *cluster, const Manifest *whole)
{
    CLEANUP(manifest_head_done) ManifestHead head = {0};
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(buffer_done) Buffer text_of_head = {0};
    Manifest without_files = {.header = whole->header,
                              .tablespaces = whole->tablespaces,
                              .tablespace_count = whole->tablespace_count,
                              .packs = whole->packs,
                              .pack_count = whole->pack_count};
    Error err = {0};
    bool is_loaded = manifest_head_load(&head, cluster, EXAMPLE_BACKUP, &err);

    assert(is_loaded);
    manifest_encode(&without_files, &text);
    without_files.header = head.header;
    without_files.tablespaces = head.tablespaces;
    without_files.tablespace_count = head.tablespace_count;
    without_files.packs = head.packs;
    without_files.pack_count = head.pack_count;
    manifest_encode(&without_files, &text_of_head);
    assert(text.size == text_of_head.size && memcmp(text.data, text_of_head.data, text.size) == 0);
}

static void read_back(const Cluster *cluster, const Object *object, bool has_trailer)
{
    CLEANUP(manifest_done) Manifest loaded = {0};
    CLEANUP(manifest_done) Manifest decoded = {0};
    Error err = {0};
    Error decode_err = {0};
    bool is_loaded = manifest_load(&loaded, cluster, EXAMPLE_BACKUP, &err);
    char *exact = (char *)fuzz_copy(object->text.data, object->text.size);
    bool is_decoded = manifest_decode(&decoded, exact, object->text.size, &decode_err);

    mem_free(exact);
    assert(is_loaded || err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    if (is_loaded) {
        check_head(cluster, &loaded);
        fuzz_accepted();
    }
    if (!object->is_ours || !has_trailer)
        return;
    assert(is_decoded || !is_loaded);
    bool is_asked_for = is_decoded && strcmp(decoded.header.id, EXAMPLE_BACKUP) == 0 &&
                        strcmp(decoded.header.cluster, "main") == 0;
    assert(is_loaded == is_asked_for);
    if (is_loaded)
        check_same(&loaded, &decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Repo repo = {.hash_seed = 42};
    static Cluster cluster = {.repo = &repo, .name = "main"};
    static CodecContext *codec;
    CLEANUP(object_done) Object object = {.is_ours = true};
    CLEANUP(text_freep) char *name = layout_manifest("main", EXAMPLE_BACKUP);
    FuzzInput input = {data, size};
    uint8_t choice = fuzz_u8(&input);
    Error err = {0};

    if (repo.storage == NULL) {
        repo.storage = storage_memory_new();
        codec = codec_context_new();
    }
    while (input.left > 0) {
        uint8_t kind = fuzz_u8(&input);
        size_t part = fuzz_u16(&input);

        part = part < input.left ? part : input.left;
        add_frame(&object, kind % ENDS_HEAD, input.at, part, codec);
        if (kind >= ENDS_HEAD)
            end_head(&object, codec);
        input.at += part;
        input.left -= part;
    }
    if ((choice & WITH_END) != 0)
        add_end_line(&object, "end", codec);
    if ((choice & WITH_TRAILER) != 0)
        add_trailer(&object);
    bool is_put =
        storage_put(repo.storage, name, WRITE_REPLACE, object.bytes.data, object.bytes.size, &err);
    assert(is_put);
    read_back(&cluster, &object, (choice & WITH_TRAILER) != 0);
    return 0;
}

static void add_parts(Buffer *bytes, const uint8_t *text, size_t size, size_t part_size,
                      uint8_t kind, uint8_t kind_of_last)
{
    for (size_t at = 0; at < size; at += part_size) {
        size_t part = size - at < part_size ? size - at : part_size;
        uint8_t start[3] = {at + part == size ? kind_of_last : kind};

        put_le16(start + 1, (uint16_t)part);
        buffer_append(bytes, start, sizeof start);
        buffer_append(bytes, text + at, part);
    }
}

static void seed(const char *name, size_t part_size, bool is_raw)
{
    static const char head_line[] = "\nhead\t";
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint8_t choice = WITH_END | WITH_TRAILER;
    uint8_t kind = is_raw ? 2 : 1;

    manifest_example(true, &text);
    size_t size = manifest_body_size(&text);
    const uint8_t *head_end = memmem(text.data, size, head_line, strlen(head_line));
    size_t head = (size_t)(head_end - text.data) + 1;
    const uint8_t *rest = (uint8_t *)memchr(text.data + head, '\n', size - head) + 1;
    buffer_append(&bytes, &choice, 1);
    add_parts(&bytes, text.data, head, part_size, kind, kind | ENDS_HEAD);
    add_parts(&bytes, rest, size - (size_t)(rest - text.data), part_size, kind, kind);
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    seed("whole", 60000, false);
    seed("pieces", 100, true);
}
