#include "manifest_format.h"

#include "repo/percent.h"

#include <assert.h>
#include <inttypes.h>

#define FIELD(key, kind, member)                                                                   \
    {                                                                                              \
        key, kind, offsetof(ManifestHeader, member), false                                         \
    }
#define OPTIONAL(key, kind, member)                                                                \
    {                                                                                              \
        key, kind, offsetof(ManifestHeader, member), true                                          \
    }

/* A new row is OPTIONAL: the backups that there are don't have it. */
const HeaderField manifest_header_fields[] = {
    FIELD("backup", HEADER_ID, id),
    FIELD("cluster", HEADER_TEXT, cluster),
    FIELD("system_identifier", HEADER_U64, system_identifier),
    FIELD("server_version", HEADER_U32, server_version),
    FIELD("major", HEADER_U32, major),
    FIELD("tool_version", HEADER_TEXT, tool_version),
    FIELD("timeline", HEADER_U32, timeline),
    FIELD("history", HEADER_TEXT, history),
    FIELD("start", HEADER_LSN, start),
    FIELD("stop", HEADER_LSN, stop),
    FIELD("started_at", HEADER_TIME, started_at),
    FIELD("stopped_at", HEADER_TIME, stopped_at),
    FIELD("commit_time_max", HEADER_TIME, commit_time_max),
    FIELD("backup_label", HEADER_TEXT, label),
    FIELD("tablespace_map", HEADER_TEXT, tablespace_map),
    FIELD("host", HEADER_TEXT, host),
    FIELD("boot_id", HEADER_TEXT, boot_id),
    FIELD("data_directory", HEADER_TEXT, data_directory),
    FIELD("options", HEADER_TEXT, options),
    FIELD("wal_segment_size", HEADER_U32, wal_segment_size),
    FIELD("checksums", HEADER_U32, checksums),
    FIELD("from_standby", HEADER_BOOL, from_standby),
    FIELD("libc_version", HEADER_TEXT, libc_version),
    FIELD("bad_pages", HEADER_U64, bad_pages),
    FIELD("file_count", HEADER_U64, file_count),
    FIELD("bytes", HEADER_U64, bytes),
    FIELD("bytes_new", HEADER_U64, bytes_new),
    OPTIONAL("followed_links", HEADER_TEXT, followed_links),
    OPTIONAL("config_file", HEADER_TEXT, config_file),
    OPTIONAL("hba_file", HEADER_TEXT, hba_file),
    OPTIONAL("ident_file", HEADER_TEXT, ident_file),
    OPTIONAL("server_directory", HEADER_TEXT, server_directory),
    OPTIONAL("databases", HEADER_TEXT, databases),
    OPTIONAL("source_fs", HEADER_TEXT, source_fs),
    OPTIONAL("machine_id", HEADER_TEXT, machine_id),
    OPTIONAL("base", HEADER_TEXT, base),
    OPTIONAL("changes_by", HEADER_TEXT, changes_by),
    OPTIONAL("bytes_read", HEADER_U64, bytes_read),
    OPTIONAL("check_round", HEADER_U64, check_round),
    OPTIONAL("block_size", HEADER_U32, block_size),
    OPTIONAL("catalog_version", HEADER_U32, catalog_version),
};
const size_t manifest_header_field_count = ARRAY_SIZE(manifest_header_fields);
static_assert(ARRAY_SIZE(manifest_header_fields) <= HEADER_FIELDS_MAX, "a bit for each");

typedef struct Encoder {
    Buffer *text;
    uint64_t lines;
    size_t hashed; /* The digest has seen this many bytes of text. */
    Sha256 *sha256;
    ManifestSink *sink;
    void *context;
} Encoder;

/* Numbers by hand: a million lines of ten fields would spend seconds in printf. */
static void put_number(Buffer *text, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    buffer_append(text, digits + at, sizeof digits - at);
}

static void put_hex(Buffer *text, uint64_t number, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    char digits[16];

    for (size_t i = size; i > 0; i--, number >>= 4)
        digits[i - 1] = hex[number & 15];
    buffer_append(text, digits, size);
}

static void put_char(Buffer *text, char c)
{
    buffer_append(text, &c, 1);
}

static void field_text(Buffer *text, const char *value)
{
    put_char(text, '\t');
    if (value == NULL || value[0] == '\0') {
        put_char(text, '-');
    } else if (strcmp(value, "-") == 0) {
        buffer_append(text, "%2D", 3);
    } else {
        percent_encode(text, value, 0x21);
    }
}

static void field_number(Buffer *text, uint64_t number)
{
    put_char(text, '\t');
    put_number(text, number);
}

static void field_hex(Buffer *text, uint64_t number, size_t size)
{
    put_char(text, '\t');
    put_hex(text, number, size);
}

static void field_time(Buffer *text, TimeUs instant)
{
    put_char(text, '\t');
    if (instant == TIME_US_NONE || instant < 0)
        put_char(text, '-');
    if (instant != TIME_US_NONE)
        put_number(text, instant < 0 ? 0 - (uint64_t)instant : (uint64_t)instant);
}

static void put_frame(Buffer *text, const Frame *frame)
{
    put_number(text, frame->pack);
    put_char(text, ':');
    put_number(text, frame->offset);
    put_char(text, ':');
    put_number(text, frame->stored_size);
    put_char(text, ':');
    put_number(text, frame->raw_size);
    put_char(text, ':');
    put_number(text, (uint64_t)frame->codec);
    put_char(text, ':');
    put_hex(text, frame->checksum, 16);
}

static bool encoder_flush(Encoder *encoder, Error *err)
{
    Buffer *text = encoder->text;

    sha256_update(encoder->sha256, text->data + encoder->hashed, text->size - encoder->hashed);
    encoder->hashed = text->size;
    if (encoder->sink == NULL || text->size == 0)
        return true;
    encoder->hashed = 0;
    return encoder->sink(encoder->context, text, err);
}

/* What is there so far is read alone: it ends with a piece of its own. */
static bool encode_head_end(Encoder *encoder, ManifestSink *ends_head, Error *err)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];

    sha256_update(encoder->sha256, encoder->text->data + encoder->hashed,
                  encoder->text->size - encoder->hashed);
    encoder->hashed = encoder->text->size;
    sha256_so_far(encoder->sha256, digest);
    buffer_print(encoder->text, "head\t%" PRIu64 "\t%s\n", encoder->lines,
                 sha256_text(digest, text));
    encoder->lines++;
    return encoder_flush(encoder, err) &&
           (ends_head == NULL || ends_head(encoder->context, encoder->text, err));
}

static bool end_line(Encoder *encoder, Error *err)
{
    put_char(encoder->text, '\n');
    encoder->lines++;
    return encoder->text->size - encoder->hashed < MANIFEST_CHUNK || encoder_flush(encoder, err);
}

static void header_value(Buffer *text, const HeaderField *field, const char *at)
{
    char lsn[LSN_TEXT_SIZE];

    switch (field->kind) {
    case HEADER_ID:
        field_text(text, at);
        break;
    case HEADER_TEXT:
        field_text(text, *(const char *const *)(const void *)at);
        break;
    case HEADER_U32:
        field_number(text, *(const uint32_t *)(const void *)at);
        break;
    case HEADER_U64:
        field_number(text, *(const uint64_t *)(const void *)at);
        break;
    case HEADER_LSN:
        field_text(text, lsn_text(*(const Lsn *)(const void *)at, lsn));
        break;
    case HEADER_TIME:
        field_time(text, *(const TimeUs *)(const void *)at);
        break;
    case HEADER_BOOL:
        field_number(text, *(const bool *)(const void *)at ? 1 : 0);
        break;
    }
}

/* What a reader takes for a key that is missing. */
static bool is_default(const HeaderField *field, const char *at)
{
    const char *text;

    switch (field->kind) {
    case HEADER_ID:
        return at[0] == '\0';
    case HEADER_TEXT:
        text = *(const char *const *)(const void *)at;
        return text == NULL || text[0] == '\0';
    case HEADER_U32:
        return *(const uint32_t *)(const void *)at == 0;
    case HEADER_U64:
        return *(const uint64_t *)(const void *)at == 0;
    case HEADER_LSN:
        return *(const Lsn *)(const void *)at == 0;
    case HEADER_TIME:
        return *(const TimeUs *)(const void *)at == TIME_US_NONE;
    case HEADER_BOOL:
        return !*(const bool *)(const void *)at;
    }
    return false;
}

static bool encode_header(Encoder *encoder, const Manifest *manifest, Error *err)
{
    buffer_print(encoder->text, "pgcairn-manifest\t%d", MANIFEST_VERSION);
    if (!end_line(encoder, err))
        return false;
    for (size_t i = 0; i < manifest_header_field_count; i++) {
        const HeaderField *field = &manifest_header_fields[i];
        const char *at = (const char *)&manifest->header + field->offset;

        if (field->is_optional && is_default(field, at))
            continue;
        put_char(encoder->text, 'h');
        field_text(encoder->text, field->key);
        header_value(encoder->text, field, at);
        if (!end_line(encoder, err))
            return false;
    }
    return true;
}

static bool encode_places(Encoder *encoder, const Manifest *manifest, Error *err)
{
    for (size_t i = 0; i < manifest->tablespace_count; i++) {
        put_char(encoder->text, 't');
        field_number(encoder->text, manifest->tablespaces[i].oid);
        field_text(encoder->text, manifest->tablespaces[i].path);
        if (!end_line(encoder, err))
            return false;
    }
    for (size_t i = 0; i < manifest->pack_count; i++) {
        char sha256[SHA256_TEXT_SIZE];

        put_char(encoder->text, 'p');
        field_number(encoder->text, i);
        field_text(encoder->text, manifest->packs[i].id);
        field_number(encoder->text, manifest->packs[i].size);
        field_text(encoder->text, sha256_text(manifest->packs[i].sha256, sha256));
        field_text(encoder->text, manifest->packs[i].backup);
        if (!end_line(encoder, err))
            return false;
    }
    return true;
}

static void put_fragment(Buffer *text, const Fragment *fragment)
{
    put_frame(text, &fragment->table);
    put_char(text, '/');
    put_number(text, fragment->live);
    if (fragment->data_pack != fragment->table.pack) {
        put_char(text, '/');
        put_number(text, fragment->data_pack);
    }
}

static bool encode_ranges(Encoder *encoder, const ManifestEntry *entry, Error *err)
{
    for (uint32_t i = 0; i < entry->range_count; i++) {
        const ManifestRange *range = &entry->ranges[i];

        put_char(encoder->text, 'r');
        field_number(encoder->text, range->index);
        field_number(encoder->text, range->size);
        field_number(encoder->text, range->is_settled ? 1 : 0);
        field_hex(encoder->text, range->hash, 16);
        field_hex(encoder->text, range->crc32c, 8);
        for (uint8_t f = 0; f < range->fragment_count; f++) {
            put_char(encoder->text, f == 0 ? '\t' : ',');
            put_fragment(encoder->text, &range->fragments[f]);
        }
        if (!end_line(encoder, err))
            return false;
    }
    return true;
}

/* What all but links have. */
static void put_owner(Buffer *text, const ManifestEntry *entry)
{
    char mode[16];

    snprintf(mode, sizeof mode, "%o", (unsigned)entry->mode);
    field_text(text, mode);
    field_text(text, entry->owner);
    field_text(text, entry->group);
}

static bool encode_file(Encoder *encoder, const ManifestEntry *entry, Error *err)
{
    Buffer *text = encoder->text;

    put_owner(text, entry);
    field_number(text, entry->size);
    field_time(text, entry->mtime);
    field_time(text, entry->ctime);
    field_number(text, entry->inode);
    field_hex(text, entry->crc32c, 8);
    if (!entry->is_small) {
        field_number(text, entry->range_count);
        return end_line(encoder, err) && encode_ranges(encoder, entry, err);
    }
    if (entry->size == 0) {
        buffer_append(text, "\t-\t-", 4);
        return end_line(encoder, err);
    }
    field_hex(text, entry->content_hash, 16);
    put_char(text, '\t');
    put_frame(text, &entry->content);
    return end_line(encoder, err);
}

static bool encode_entry(Encoder *encoder, const ManifestEntry *entry, Error *err)
{
    char type = '\0';

    switch (entry->kind) {
    case ENTRY_FILE:
        type = entry->is_small ? 'f' : 'F';
        break;
    case ENTRY_DIRECTORY:
        type = 'd';
        break;
    case ENTRY_LINK:
        type = 'l';
        break;
    case ENTRY_HOLLOW: /* of no manifest */
    case ENTRY_EXTRA:
        type = 'x';
        break;
    }
    put_char(encoder->text, type);
    field_text(encoder->text, entry->path);
    if (type == 'l') {
        field_text(encoder->text, entry->target);
        return end_line(encoder, err);
    }
    if (type == 'd') {
        put_owner(encoder->text, entry);
        return end_line(encoder, err);
    }
    return encode_file(encoder, entry, err);
}

static bool encode_end(Encoder *encoder, Error *err)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];
    uint64_t lines = encoder->lines;

    if (!encoder_flush(encoder, err))
        return false;
    sha256_final(encoder->sha256, digest);
    buffer_print(encoder->text, "end\t%" PRIu64 "\t%s\n", lines, sha256_text(digest, text));
    return encoder->sink == NULL || encoder->sink(encoder->context, encoder->text, err);
}

bool manifest_encode_to(const Manifest *manifest, Buffer *text, const ManifestSinks *sinks,
                        Error *err)
{
    CLEANUP(sha256_freep) Sha256 *sha256 = sha256_new();
    Encoder encoder = {
        .text = text,
        .hashed = text->size, /* appended to what the caller has there */
        .sha256 = sha256,
        .sink = sinks->text,
        .context = sinks->context,
    };

    if (!encode_header(&encoder, manifest, err) || !encode_places(&encoder, manifest, err) ||
        !encode_head_end(&encoder, sinks->head_end, err))
        return false;
    for (size_t i = 0; i < manifest->entry_count; i++) {
        if (!encode_entry(&encoder, &manifest->entries[i], err))
            return false;
    }
    return encode_end(&encoder, err);
}

void manifest_encode(const Manifest *manifest, Buffer *out)
{
    Error err = {0};
    bool done = manifest_encode_to(manifest, out, &(ManifestSinks){.text = NULL}, &err);

    assert(done); /* only a sink can fail */
    (void)done;
}
