#include "manifest_example.h"

#include "manifest_format.h"

#include <inttypes.h>

void manifest_add_end(Buffer *text, const char *type)
{
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_TEXT_SIZE];
    uint64_t lines = 0;

    if (text->size > 0 && text->data[text->size - 1] != '\n')
        buffer_append(text, "\n", 1);
    for (size_t i = 0; i < text->size; i++)
        lines += text->data[i] == '\n';
    sha256_of(text->data, text->size, digest);
    buffer_print(text, "%s\t%" PRIu64 "\t%s\n", type, lines, sha256_text(digest, hex));
}

/* Where its first line of type "head" begins; its end, if it has none. */
static size_t find_head_line(const Buffer *text)
{
    size_t at = 0;

    while (at < text->size && (text->size - at < 5 || memcmp(text->data + at, "head\t", 5) != 0)) {
        const uint8_t *end = memchr(text->data + at, '\n', text->size - at);

        at = end == NULL ? text->size : (size_t)(end - text->data) + 1;
    }
    return at;
}

void manifest_seal(Buffer *text)
{
    CLEANUP(buffer_done) Buffer whole = {0};
    const size_t head = find_head_line(text);

    buffer_append(&whole, text->data, head);
    if (head < text->size) {
        const uint8_t *end = memchr(text->data + head, '\n', text->size - head);
        const size_t rest = end == NULL ? text->size : (size_t)(end - text->data) + 1;

        manifest_add_end(&whole, "head");
        buffer_append(&whole, text->data + rest, text->size - rest);
    }
    manifest_add_end(&whole, "end");
    text->size = 0;
    buffer_append(text, whole.data, whole.size);
}

size_t manifest_body_size(const Buffer *text)
{
    size_t size = text->size - 1;

    while (text->data[size - 1] != '\n')
        size--;
    return size;
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

void manifest_example(bool has_files, Buffer *out)
{
    Fragment fragments[] = {{frame_of(0, 200, 4000), 8191, 0}, {frame_of(1, 300, 100), 1, 1}};
    ManifestRange ranges[] = {
        {.size = RANGE_SIZE,
         .hash = 1,
         .is_settled = true,
         .fragment_count = 2,
         .fragments = fragments},
        {.index = 1,
         .size = 8192,
         .crc32c = 0xdeadbeef,
         .fragment_count = 1,
         .fragments = fragments + 1},
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
        {.id = "00112233445566778899aabbccddeeff",
         .size = 1000,
         .sha256 = {1, 2, 3},
         .backup = EXAMPLE_BACKUP},
        {.id = "ffffffffffffffffffffffffffffffff",
         .size = UINT64_C(1) << 40,
         .sha256 = {4},
         .backup = EXAMPLE_BACKUP},
    };
    Manifest manifest = {
        .header = {.id = EXAMPLE_BACKUP,
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
                   .base = EXAMPLE_BACKUP,
                   .source_fs = ". ef53 0123456789abcdef 2049 17\n",
                   .checksums = 1},
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
    if (has_files)
        manifest.entry_count = ARRAY_SIZE(entries);
    manifest_encode(&manifest, out);
}
