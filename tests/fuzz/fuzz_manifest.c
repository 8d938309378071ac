/*
 * Manifests. Input: a choice, then the text; the end line with the count and the checksum is put
 * behind it, except when the choice is 0. What is accepted says the same when it is encoded and
 * decoded once more.
 */
#include "base/memory.h"
#include "fuzz.h"
#include "manifest_format.h"

#include <inttypes.h>

static void add_end(Buffer *text)
{
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_TEXT_SIZE];
    uint64_t lines = 0;

    if (text->size > 0 && text->data[text->size - 1] != '\n')
        buffer_append(text, "\n", 1);
    for (size_t i = 0; i < text->size; i++)
        lines += text->data[i] == '\n';
    sha256_of(text->data, text->size, digest);
    buffer_print(text, "end\t%" PRIu64 "\t%s\n", lines, sha256_text(digest, hex));
}

static void check_again(const Manifest *manifest)
{
    CLEANUP(manifest_done) Manifest again = {0};
    CLEANUP(buffer_done) Buffer once = {0};
    CLEANUP(buffer_done) Buffer twice = {0};
    Error err = {0};

    manifest_encode(manifest, &once);
    bool is_manifest = manifest_decode(&again, (char *)once.data, once.size, &err);
    assert(is_manifest && again.entry_count == manifest->entry_count);
    manifest_encode(&again, &twice);
    assert(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
}

/* What restore relies on without asking again. */
static void check_entries(const Manifest *manifest)
{
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];

        assert(entry->path[0] != '\0' && (entry->path[0] == '/') == (entry->kind == ENTRY_EXTRA));
        assert(strstr(entry->path, "/../") == NULL && strncmp(entry->path, "../", 3) != 0);
        assert(i == 0 || entry[-1].kind == ENTRY_EXTRA || entry->kind == ENTRY_EXTRA ||
               strcmp(entry[-1].path, entry->path) < 0);
        if (entry->kind == ENTRY_FILE && entry->is_small && entry->size > 0)
            assert(entry->content.pack < manifest->pack_count);
        for (uint32_t r = 0; r < entry->range_count; r++)
            assert(entry->ranges[r].fragment_count >= 1 && entry->ranges[r].index == r);
    }
}

/* In pieces of whole lines, as manifest_load() feeds it: the same answer. */
static void check_in_pieces(const char *text, size_t size, bool is_accepted)
{
    CLEANUP(manifest_count_done) ManifestCount count = {0};
    Error err = {0};
    bool ok = size == 0 || text[size - 1] == '\n';

    for (const char *at = text, *end = text + size; ok && at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        ok = manifest_count_lines(&count, at, (size_t)(stop + 1 - at), &err);
        at = stop + 1;
    }
    ok = ok && manifest_count_end(&count, &err);
    assert(ok || !is_accepted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(manifest_done) Manifest manifest = {0};
    FuzzInput input = {data, size};
    bool is_raw = fuzz_u8(&input) == 0;
    Error err = {0};

    buffer_append(&text, input.at, input.left);
    if (!is_raw)
        add_end(&text);
    char *exact = (char *)fuzz_copy(text.data, text.size);
    bool is_accepted = manifest_decode(&manifest, exact, text.size, &err);
    check_in_pieces(exact, text.size, is_accepted);
    if (is_accepted) {
        check_entries(&manifest);
        check_again(&manifest);
        fuzz_accepted();
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    }
    mem_free(exact);
    return 0;
}

static Frame frame_of(uint32_t pack, uint64_t offset, uint32_t raw_size)
{
    return (Frame){.pack = pack,
                   .codec = CODEC_ZSTD,
                   .offset = offset,
                   .stored_size = 40,
                   .raw_size = raw_size,
                   .checksum = 0xabc};
}

static ManifestEntry file_of(const char *path, uint64_t size)
{
    return (ManifestEntry){.kind = ENTRY_FILE,
                           .path = path,
                           .mode = 0600,
                           .owner = "postgres",
                           .group = "postgres",
                           .size = size,
                           .mtime = 1795000000123456,
                           .ctime = -5,
                           .inode = 77,
                           .crc32c = 0xdeadbeef,
                           .is_small = true,
                           .content = size > 0 ? frame_of(0, 80, (uint32_t)size) : (Frame){0}};
}

static void seed(const char *name, const Manifest *manifest)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint8_t choice = 1;

    manifest_encode(manifest, &text);
    size_t body = text.size - 1;
    while (text.data[body - 1] != '\n')
        body--;
    buffer_append(&bytes, &choice, 1);
    buffer_append(&bytes, text.data, body);
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    Fragment fragments[] = {{frame_of(0, 200, 4000)}, {frame_of(1, 300, 100)}};
    ManifestRange ranges[] = {
        {.size = RANGE_SIZE,
         .hash = 1,
         .is_settled = true,
         .fragment_count = 2,
         .fragments = fragments},
        {.index = 1, .size = 8192, .fragment_count = 1, .fragments = fragments + 1},
    };
    ManifestEntry entries[] = {
        file_of("PG_VERSION", 3),
        {.kind = ENTRY_DIRECTORY,
         .path = "base",
         .mode = 0700,
         .owner = "postgres",
         .group = "a b"},
        file_of("base/\t\n%", 0),
        file_of("base/1", RANGE_SIZE + 8192),
        {.kind = ENTRY_LINK, .path = "pg_tblspc/16400", .target = "/srv/a b"},
        file_of("/etc/postgresql/15/main/pg_hba.conf", 100),
    };
    Tablespace tablespaces[] = {{16400, "/srv/a b"}};
    PackInfo packs[] = {
        {.id = "00112233445566778899aabbccddeeff", .size = 1000, .sha256 = {1, 2, 3}},
        {.id = "ffffffffffffffffffffffffffffffff", .size = UINT64_C(1) << 40, .sha256 = {4}},
    };
    Manifest manifest = {
        .header = {.id = "20261122T031500Z-k3v7qa",
                   .cluster = "main",
                   .system_identifier = 7300000000000000001,
                   .server_version = 150018,
                   .major = 15,
                   .tool_version = "0.1.0",
                   .timeline = 3,
                   .history = "1\t0/3000000\tno recovery target specified\n",
                   .start = 0xA94000028,
                   .stop = 0xA95000000,
                   .commit_time_max = TIME_US_NONE,
                   .label = "START WAL LOCATION: A/94000028\nLABEL: 100%\n",
                   .host = "-",
                   .wal_segment_size = 16 << 20,
                   .has_checksums = true},
        .tablespaces = tablespaces,
        .tablespace_count = 1,
        .packs = packs,
        .pack_count = 2,
        .entries = entries,
    };

    entries[3].is_small = false;
    entries[3].content = (Frame){0};
    entries[3].ranges = ranges;
    entries[3].range_count = 2;
    entries[5].kind = ENTRY_EXTRA;
    seed("empty", &manifest);
    manifest.entry_count = ARRAY_SIZE(entries);
    seed("all-kinds", &manifest);
}
