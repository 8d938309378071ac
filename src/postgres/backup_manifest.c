#include "postgres/backup_manifest.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "stream/digest.h"

#include <inttypes.h>
#include <time.h>

struct BackupManifestWriter {
    Buffer *out;
    size_t hashed; /* The checksum has seen this many bytes of `out`. */
    Sha256 *sha;
    bool has_files;
};

/* Every byte written so far into the checksum; the caller may empty out after each call. */
static void hash_new_bytes(BackupManifestWriter *writer)
{
    sha256_update(writer->sha, writer->out->data + writer->hashed,
                  writer->out->size - writer->hashed);
    writer->hashed = writer->out->size;
}

BackupManifestWriter *backup_manifest_new(unsigned major, uint64_t system_identifier, Buffer *out)
{
    BackupManifestWriter *writer = mem_alloc(sizeof *writer);

    writer->out = out;
    writer->hashed = out->size;
    writer->sha = sha256_new();
    buffer_print(out, "{ \"PostgreSQL-Backup-Manifest-Version\": %d,\n", major >= 17 ? 2 : 1);
    if (major >= 17)
        buffer_print(out, "\"System-Identifier\": %" PRIu64 ",\n", system_identifier);
    buffer_print(out, "\"Files\": [");
    hash_new_bytes(writer);
    return writer;
}

void backup_manifest_freep(BackupManifestWriter **writer)
{
    if (*writer == NULL)
        return;
    sha256_freep(&(*writer)->sha);
    mem_free(*writer);
    *writer = NULL;
}

static bool is_utf8(const char *text)
{
    while (*text != '\0') {
        size_t size = utf8_size(text);
        if (size == 0)
            return false;
        text += size;
    }
    return true;
}

static void manifest_put_path(Buffer *out, const char *path)
{
    if (!is_utf8(path)) {
        buffer_print(out, "\"Encoded-Path\": \"");
        for (; *path != '\0'; path++)
            buffer_print(out, "%02x", (unsigned char)*path);
    } else {
        buffer_print(out, "\"Path\": \"");
        for (; *path != '\0'; path++) {
            if ((unsigned char)*path < ' ') {
                buffer_print(out, "\\u%04x", (unsigned)*path);
            } else if (*path == '"' || *path == '\\') {
                buffer_print(out, "\\%c", *path);
            } else {
                buffer_append(out, path, 1);
            }
        }
    }
    buffer_print(out, "\"");
}

void backup_manifest_file(BackupManifestWriter *writer, const char *path, uint64_t size,
                          TimeUs modified, uint32_t crc32c)
{
    Buffer *out = writer->out;
    int64_t seconds = modified > 0 ? modified / 1000000 : 0;
    struct tm parts;
    char time[32] = "";
    uint8_t bytes[4];
    char crc[9];

    writer->hashed = out->size; /* all before was hashed when it was written */
    (void)time_split_utc(seconds, &parts);
    (void)strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S GMT", &parts);
    put_le32(bytes, crc32c); /* the server prints the value's bytes as they lie in memory */

    buffer_print(out, "%s\n{ ", writer->has_files ? "," : "");
    manifest_put_path(out, path);
    buffer_print(out,
                 ", \"Size\": %" PRIu64 ", \"Last-Modified\": \"%s\", "
                 "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"%s\" }",
                 size, time, hex_text(bytes, sizeof bytes, crc));
    writer->has_files = true;
    hash_new_bytes(writer);
}

void backup_manifest_finish(BackupManifestWriter *writer, uint32_t timeline, Lsn start, Lsn end)
{
    Buffer *out = writer->out;
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE], start_text[LSN_TEXT_SIZE], end_text[LSN_TEXT_SIZE];

    writer->hashed = out->size;
    buffer_print(out,
                 "\n],\n\"WAL-Ranges\": [\n"
                 "{ \"Timeline\": %u, \"Start-LSN\": \"%s\", \"End-LSN\": \"%s\" }\n],\n",
                 timeline, lsn_text(start, start_text), lsn_text(end, end_text));
    hash_new_bytes(writer);

    /* It covers every line before its own (verify_manifest_checksum in parse_manifest.c). */
    sha256_final(writer->sha, digest);
    buffer_print(out, "\"Manifest-Checksum\": \"%s\"}\n", sha256_text(digest, text));
}
