#include "manifest_format.h"

#include "repo/percent.h"

#include <assert.h>
#include <inttypes.h>

static const char first_word[] = "pgcairn-manifest\t";

/* Of a line: the twelve of an f line, and what newer versions may add after them. */
enum { FIELDS_MAX = 24 };

/* A field of a line: borrowed text, still encoded. */
typedef struct Field {
    const char *text;
    size_t size;
} Field;

/* Splits at tabs; more fields than FIELDS_MAX count as one more. The line has no LF. */
static size_t split_line(const char *line, size_t size, Field fields[FIELDS_MAX])
{
    const char *end = line + size;
    size_t count = 0;

    for (;;) {
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        const char *stop = tab != NULL ? tab : end;

        if (count == FIELDS_MAX)
            return FIELDS_MAX + 1;
        fields[count++] = (Field){.text = line, .size = (size_t)(stop - line)};
        if (tab == NULL)
            return count;
        line = tab + 1;
    }
}

static bool parse_digits(const char *text, size_t size, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;

    if (size == 0 || size > 20)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *number = value;
    return value <= max;
}

static bool parse_u64(Field field, uint64_t *number)
{
    return parse_digits(field.text, field.size, UINT64_MAX, number);
}

static bool parse_u32(Field field, uint32_t *number)
{
    uint64_t value;

    if (!parse_digits(field.text, field.size, UINT32_MAX, &value))
        return false;
    *number = (uint32_t)value;
    return true;
}

/* Exactly `size` lower-case digits. */
static bool parse_hex(Field field, size_t size, uint64_t *number)
{
    uint64_t value = 0;

    if (field.size != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = field.text[i];

        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *number = value;
    return true;
}

static bool is_dash(Field field)
{
    return field.size == 1 && field.text[0] == '-';
}

static bool parse_time(Field field, TimeUs *instant)
{
    bool is_negative = field.size > 1 && field.text[0] == '-';
    size_t sign = is_negative ? 1 : 0;
    uint64_t value;

    if (is_dash(field)) {
        *instant = TIME_US_NONE;
        return true;
    }
    if (!parse_digits(field.text + sign, field.size - sign, INT64_MAX, &value))
        return false;
    *instant = is_negative ? -(TimeUs)value : (TimeUs)value;
    return true;
}

static bool parse_bool(Field field, bool *value)
{
    if (field.size != 1 || (field.text[0] != '0' && field.text[0] != '1'))
        return false;
    *value = field.text[0] == '1';
    return true;
}

static bool parse_mode(Field field, uint16_t *mode)
{
    uint32_t value = 0;

    if (field.size == 0 || field.size > 4)
        return false;
    for (size_t i = 0; i < field.size; i++) {
        if (field.text[i] < '0' || field.text[i] > '7')
            return false;
        value = value << 3 | (uint32_t)(field.text[i] - '0');
    }
    *mode = (uint16_t)value; /* four digits */
    return true;
}

static bool parse_text(ManifestParser *parser, Field field, const char **text)
{
    if (is_dash(field)) {
        *text = "";
        return true;
    }
    /* Decoded text is never longer. */
    char *decoded = arena_chars(&parser->manifest->arena, field.size + 1);
    *text = decoded;
    return field.size > 0 && percent_decode(field.text, field.size, decoded);
}

/* Owners and groups: the same few again and again, kept once. */
static bool parse_name(ManifestParser *parser, Field field, const char **name)
{
    char decoded[256];

    /* Three bytes for one where it is encoded: no limit, or what was written can't be read. */
    if (field.size >= sizeof decoded)
        return parse_text(parser, field, name);
    if (field.size == 0 || !percent_decode(field.text, field.size, decoded))
        return false;
    if (is_dash(field))
        decoded[0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(parser->names); i++) {
        if (parser->names[i] != NULL && strcmp(parser->names[i], decoded) == 0) {
            *name = parser->names[i];
            return true;
        }
    }
    *name = arena_text(&parser->manifest->arena, decoded);
    parser->names[parser->name_next++ % ARRAY_SIZE(parser->names)] = *name;
    return true;
}

/* PACK:OFFSET:STORED:RAW:CODEC:X; a newer version may put more after a "/". */
static bool parse_frame(Field field, Frame *frame, bool *is_newer)
{
    Field parts[6];
    size_t count = 0;
    const char *at = field.text;
    const char *end = field.text + field.size;
    uint32_t codec;

    *is_newer = memchr(field.text, '/', field.size) != NULL;
    if (*is_newer)
        return false;
    for (; count < ARRAY_SIZE(parts); count++) {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        const char *stop = colon != NULL ? colon : end;

        parts[count] = (Field){.text = at, .size = (size_t)(stop - at)};
        if ((colon == NULL) != (count == ARRAY_SIZE(parts) - 1))
            return false;
        at = stop + (colon != NULL);
    }
    if (!parse_u32(parts[0], &frame->pack) || !parse_u64(parts[1], &frame->offset) ||
        !parse_u32(parts[2], &frame->stored_size) || !parse_u32(parts[3], &frame->raw_size) ||
        !parse_u32(parts[4], &codec) || !parse_hex(parts[5], 16, &frame->checksum))
        return false;
    *is_newer = !codec_is_known(codec);
    frame->codec = (Codec)codec;
    return !*is_newer;
}

static bool bad_line(const ManifestParser *parser, const char *what, Error *err)
{
    return error_set(err, ERR_CORRUPT, "manifest line %" PRIu64 " has %s", parser->line, what);
}

/* The text is what was written (its SHA-256 says so): it is not damaged, but newer. */
static bool newer_line(const ManifestParser *parser, const char *what, Error *err)
{
    error_set(err, ERR_VERSION, "manifest line %" PRIu64 " has %s", parser->line, what);
    return error_hint(err, "use a newer pgcairn");
}

static bool frame_field(const ManifestParser *parser, Field field, Frame *frame, Error *err)
{
    bool is_newer = false;

    if (parse_frame(field, frame, &is_newer))
        return true;
    return is_newer ? newer_line(parser, "a frame or codec of a newer version", err)
                    : bad_line(parser, "an ill-formed frame", err);
}

static bool parse_header_value(ManifestParser *parser, const HeaderField *known, Field field)
{
    char *at = (char *)&parser->manifest->header + known->offset;
    char text[LSN_TEXT_SIZE];
    Error ignored = {0}; /* the caller says which line it is */

    switch (known->kind) {
    case HEADER_ID:
        if (!backup_id_is_valid(field.text, field.size))
            return false;
        memcpy(at, field.text, field.size);
        at[field.size] = '\0';
        return true;
    case HEADER_TEXT:
        return parse_text(parser, field, (const char **)(void *)at);
    case HEADER_U32:
        return parse_u32(field, (uint32_t *)(void *)at);
    case HEADER_U64:
        return parse_u64(field, (uint64_t *)(void *)at);
    case HEADER_LSN:
        if (field.size >= sizeof text)
            return false;
        snprintf(text, sizeof text, "%.*s", (int)field.size, field.text);
        return lsn_parse(text, (Lsn *)(void *)at, &ignored);
    case HEADER_TIME:
        return parse_time(field, (TimeUs *)(void *)at);
    case HEADER_BOOL:
        return parse_bool(field, (bool *)(void *)at);
    }
    return false;
}

static const HeaderField *find_header_field(Field key, size_t *row)
{
    for (*row = 0; *row < manifest_header_field_count; (*row)++) {
        const HeaderField *known = &manifest_header_fields[*row];

        if (strlen(known->key) == key.size && memcmp(known->key, key.text, key.size) == 0)
            return known;
    }
    return NULL;
}

/* The checksum has covered a key that we don't know. Its first character says what it is to us. */
static bool pass_over_key(const ManifestParser *parser, Field key, Error *err)
{
    if (key.size == 0 || key.text[0] != '!')
        return true;
    error_set(err, ERR_VERSION,
              "manifest line %" PRIu64 " has \"%.*s\", which a reader must understand",
              parser->line, (int)(key.size - 1), key.text + 1);
    return error_hint(err, "use a newer pgcairn");
}

/* More than two states of what this version knows as a yes or no. */
static bool is_newer_state(const HeaderField *known, Field value)
{
    uint64_t number;

    return known->kind == HEADER_BOOL && parse_u64(value, &number) && number > 1;
}

static bool parse_header(ManifestParser *parser, const Field *fields, Error *err)
{
    size_t row;
    const HeaderField *known = find_header_field(fields[1], &row);

    if (known == NULL)
        return pass_over_key(parser, fields[1], err);
    if ((parser->found_fields & UINT64_C(1) << row) != 0)
        return bad_line(parser, "a header key twice", err);
    parser->found_fields |= UINT64_C(1) << row;
    if (parse_header_value(parser, known, fields[2]))
        return true;
    if (is_newer_state(known, fields[2]))
        return newer_line(parser, "a state that this program does not know", err);
    return error_set(err, ERR_CORRUPT, "manifest line %" PRIu64 ": ill-formed \"%s\"", parser->line,
                     known->key);
}

static bool parse_tablespace(ManifestParser *parser, const Field *fields, Error *err)
{
    Tablespace *tablespace = &parser->manifest->tablespaces[parser->manifest->tablespace_count];

    if (!parse_u32(fields[1], &tablespace->oid) ||
        !parse_text(parser, fields[2], &tablespace->path))
        return bad_line(parser, "no tablespace", err);
    parser->manifest->tablespace_count++;
    return true;
}

static bool parse_pack(ManifestParser *parser, const Field *fields, Error *err)
{
    Manifest *manifest = parser->manifest;
    PackInfo *pack = &manifest->packs[manifest->pack_count];
    char sha256[SHA256_TEXT_SIZE];
    uint64_t index;

    if (!parse_u64(fields[1], &index) || index != manifest->pack_count ||
        fields[2].size != sizeof pack->id - 1 || !parse_u64(fields[3], &pack->size) ||
        fields[4].size != sizeof sha256 - 1)
        return bad_line(parser, "no pack", err);
    memcpy(pack->id, fields[2].text, fields[2].size);
    pack->id[fields[2].size] = '\0';
    memcpy(sha256, fields[4].text, fields[4].size);
    sha256[fields[4].size] = '\0';
    if (!hex_parse(sha256, pack->sha256, sizeof pack->sha256))
        return bad_line(parser, "no SHA-256", err);
    if (!backup_id_is_valid(fields[5].text, fields[5].size))
        return bad_line(parser, "a pack of no backup", err);
    memcpy(pack->backup, fields[5].text, fields[5].size);
    manifest->pack_count++;
    return true;
}

static ManifestEntry *next_entry(ManifestParser *parser, EntryKind kind)
{
    ManifestEntry *entry = &parser->manifest->entries[parser->manifest->entry_count++];

    entry->kind = kind;
    return entry;
}

static bool parse_owner(ManifestParser *parser, const Field *fields, ManifestEntry *entry)
{
    return parse_mode(fields[2], &entry->mode) && parse_name(parser, fields[3], &entry->owner) &&
           parse_name(parser, fields[4], &entry->group);
}

static bool parse_directory(ManifestParser *parser, const Field *fields, Error *err)
{
    ManifestEntry *entry = next_entry(parser, ENTRY_DIRECTORY);

    if (!parse_text(parser, fields[1], &entry->path) || !parse_owner(parser, fields, entry))
        return bad_line(parser, "no directory", err);
    return true;
}

static bool parse_link(ManifestParser *parser, const Field *fields, Error *err)
{
    ManifestEntry *entry = next_entry(parser, ENTRY_LINK);

    if (!parse_text(parser, fields[1], &entry->path) ||
        !parse_text(parser, fields[2], &entry->target))
        return bad_line(parser, "no link", err);
    return true;
}

/* What f, F and x lines begin with. */
static bool parse_file_start(ManifestParser *parser, const Field *fields, ManifestEntry *entry)
{
    uint64_t crc;

    if (!parse_text(parser, fields[1], &entry->path) || !parse_owner(parser, fields, entry) ||
        !parse_u64(fields[5], &entry->size) || !parse_time(fields[6], &entry->mtime) ||
        !parse_time(fields[7], &entry->ctime) || !parse_u64(fields[8], &entry->inode) ||
        !parse_hex(fields[9], 8, &crc))
        return false;
    entry->crc32c = (uint32_t)crc;
    return true;
}

static bool parse_small(ManifestParser *parser, const Field *fields, Error *err)
{
    bool is_extra = fields[0].text[0] == 'x';
    ManifestEntry *entry = next_entry(parser, is_extra ? ENTRY_EXTRA : ENTRY_FILE);

    entry->is_small = true;
    if (!parse_file_start(parser, fields, entry))
        return bad_line(parser, "no file", err);
    if (entry->size == 0) {
        return (is_dash(fields[10]) && is_dash(fields[11])) ||
               bad_line(parser, "an empty file with content", err);
    }
    if (!parse_hex(fields[10], 16, &entry->content_hash))
        return bad_line(parser, "no hash", err);
    return frame_field(parser, fields[11], &entry->content, err);
}

static bool parse_large(ManifestParser *parser, const Field *fields, Error *err)
{
    ManifestEntry *entry = next_entry(parser, ENTRY_FILE);

    if (!parse_file_start(parser, fields, entry) || !parse_u32(fields[10], &entry->range_count))
        return bad_line(parser, "no file", err);
    /* No more than there are lines for: nothing is allocated on a number's word. */
    if (entry->range_count > parser->ranges_left)
        return bad_line(parser, "more ranges than follow", err);
    parser->ranges_left -= entry->range_count;
    if (entry->range_count > 0) {
        entry->ranges =
            arena_alloc(&parser->manifest->arena, entry->range_count * sizeof *entry->ranges);
        parser->ranges_of = entry;
        parser->ranges_have = 0;
    }
    return true;
}

/* FRAME/LIVE[/PACK]: a newer version may put more after another "/". */
static bool parse_fragment(const ManifestParser *parser, Field field, Fragment *fragment,
                           Error *err)
{
    const char *end = field.text + field.size;
    const char *slash = memchr(field.text, '/', field.size);

    if (slash == NULL)
        return bad_line(parser, "a fragment without its number of live pages", err);
    const Field frame = {field.text, (size_t)(slash - field.text)};
    Field live = {slash + 1, (size_t)(end - slash - 1)};
    if (!frame_field(parser, frame, &fragment->table, err))
        return false;
    fragment->data_pack = fragment->table.pack;
    slash = memchr(live.text, '/', live.size);
    if (slash != NULL) {
        const Field pack = {slash + 1, (size_t)(end - slash - 1)};
        live.size = (size_t)(slash - live.text);
        if (memchr(pack.text, '/', pack.size) != NULL)
            return newer_line(parser, "a fragment of a newer version", err);
        if (!parse_u32(pack, &fragment->data_pack))
            return bad_line(parser, "an ill-formed fragment", err);
    }
    return parse_u32(live, &fragment->live) || bad_line(parser, "an ill-formed fragment", err);
}

static bool parse_fragments(ManifestParser *parser, Field field, ManifestRange *range, Error *err)
{
    size_t count = 1;

    for (size_t i = 0; i < field.size; i++)
        count += field.text[i] == ',';
    if (count > RANGE_FRAGMENTS_MAX)
        return newer_line(parser, "more fragments than this program can read", err);
    range->fragment_count = (uint8_t)count;
    range->fragments = arena_alloc(&parser->manifest->arena, count * sizeof *range->fragments);

    const char *at = field.text;
    const char *end = field.text + field.size;
    for (size_t i = 0; i < count; i++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        Field fragment = {.text = at, .size = (size_t)(stop - at)};

        if (!parse_fragment(parser, fragment, &range->fragments[i], err))
            return false;
        at = stop + (comma != NULL);
    }
    return true;
}

static bool parse_range(ManifestParser *parser, const Field *fields, Error *err)
{
    ManifestEntry *entry = parser->ranges_of;

    if (entry == NULL)
        return bad_line(parser, "a range that belongs to no file", err);
    ManifestRange *range = &entry->ranges[parser->ranges_have];
    uint64_t crc;

    if (!parse_u32(fields[1], &range->index) || !parse_u64(fields[2], &range->size) ||
        !parse_bool(fields[3], &range->is_settled) || !parse_hex(fields[4], 16, &range->hash) ||
        !parse_hex(fields[5], 8, &crc))
        return bad_line(parser, "no range", err);
    range->crc32c = (uint32_t)crc;
    if (++parser->ranges_have == entry->range_count)
        parser->ranges_of = NULL;
    return parse_fragments(parser, fields[6], range, err);
}

typedef bool LineFunction(ManifestParser *parser, const Field *fields, Error *err);

/* What a line is, in which section it may be, and how many fields it has. */
static const struct LineType {
    char type;
    int section;
    size_t fields;
    /* It ends the message "manifest line 7 has ..." for a line with fewer fields. */
    const char *missing;
    LineFunction *parse;
} line_types[] = {
    {'h', 1, 3, "not a key and a value", parse_header},
    {'t', 2, 3, "no tablespace", parse_tablespace},
    {'p', 3, 6, "no pack", parse_pack},
    {'d', 5, 5, "no directory", parse_directory},
    {'l', 5, 3, "no link", parse_link},
    {'f', 5, 12, "no file", parse_small},
    {'F', 5, 11, "no file", parse_large},
    {'r', 5, 7, "no range", parse_range},
    {'x', 6, 12, "no file", parse_small},
};

enum { SECTION_HEAD_END = 4, SECTION_END = 7 };

static const struct LineType *line_type_of(const char *line, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(line_types); i++) {
        if (size >= 2 && line[0] == line_types[i].type && line[1] == '\t')
            return &line_types[i];
    }
    return NULL;
}

static bool is_end_line(const char *line, size_t size)
{
    return size >= 4 && memcmp(line, "end\t", 4) == 0;
}

static bool is_head_line(const char *line, size_t size)
{
    return size >= 5 && memcmp(line, "head\t", 5) == 0;
}

static bool check_first_line(const char *line, size_t size, Error *err)
{
    size_t word = strlen(first_word);
    uint64_t version;

    if (size < word || memcmp(line, first_word, word) != 0 ||
        !parse_digits(line + word, size - word, UINT64_MAX, &version) || version == 0)
        return error_set(err, ERR_CORRUPT, "not a manifest");
    if (version > MANIFEST_VERSION) {
        error_set(err, ERR_VERSION, "manifest has version %" PRIu64 ", this program knows %d",
                  version, MANIFEST_VERSION);
        return error_hint(err, "use a newer pgcairn");
    }
    return true;
}

static void count_line(ManifestCount *count, const char *line, size_t size)
{
    char type = '\0';

    if (size > 1 && line[1] == '\t')
        type = line[0];
    count->lines++;
    count->tablespaces += type == 't';
    count->packs += type == 'p';
    count->entries += type == 'd' || type == 'l' || type == 'f' || type == 'F' || type == 'x';
    count->ranges += type == 'r';
}

/* Of the head and of the whole: how many lines were before it, and their SHA-256. */
static bool check_end_line(ManifestCount *count, const char *line, size_t size, Error *err)
{
    Field fields[FIELDS_MAX];
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];
    uint64_t lines;

    if (split_line(line, size, fields) != 3 || !parse_u64(fields[1], &lines) ||
        lines != count->lines)
        return error_set(err, ERR_CORRUPT, "manifest has lost lines");
    if (count->is_proven)
        return true;
    sha256_so_far(count->sha256, digest);
    if (fields[2].size != SHA256_TEXT_SIZE - 1 ||
        memcmp(fields[2].text, sha256_text(digest, text), fields[2].size) != 0)
        return error_set(err, ERR_CORRUPT, "manifest has a bad checksum");
    return true;
}

/* Either kind of end; the lines before it are hashed. */
static bool take_end_line(ManifestCount *count, const char *line, size_t size, Error *err)
{
    if (!check_end_line(count, line, size, err))
        return false;
    if (is_end_line(line, size)) {
        count->has_ended = true;
        return count->head_lines > 0 || error_set(err, ERR_CORRUPT, "manifest has no head");
    }
    if (count->head_lines > 0)
        return error_set(err, ERR_CORRUPT, "manifest has two heads");
    count->head_lines = ++count->lines;
    return true;
}

static void count_hash(ManifestCount *count, const char *text, size_t size)
{
    if (!count->is_proven)
        sha256_update(count->sha256, text, size);
}

bool manifest_count_lines(ManifestCount *count, const char *text, size_t size, Error *err)
{
    const char *hashed = text;
    const char *end = text + size;

    if (count->sha256 == NULL && !count->is_proven)
        count->sha256 = sha256_new();
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));

        assert(stop != NULL); /* whole lines */
        size_t length = (size_t)(stop - line);
        if (count->has_ended)
            return error_set(err, ERR_CORRUPT, "manifest goes on after its end");
        if (count->lines == 0 && !check_first_line(line, length, err))
            return false;
        if (count->lines > 0 && (is_end_line(line, length) || is_head_line(line, length))) {
            count_hash(count, hashed, (size_t)(line - hashed));
            hashed = line;
            if (!take_end_line(count, line, length, err))
                return false;
        } else {
            count_line(count, line, length);
        }
        line = stop + 1;
    }
    count_hash(count, hashed, (size_t)(end - hashed));
    return true;
}

bool manifest_count_head_end(const ManifestCount *count, Error *err)
{
    return (count->head_lines > 0 && count->lines == count->head_lines && !count->has_ended) ||
           error_set(err, ERR_CORRUPT, "manifest's head does not end where its trailer says");
}

bool manifest_count_end(const ManifestCount *count, Error *err)
{
    return count->has_ended || error_set(err, ERR_CORRUPT, "manifest is cut");
}

void manifest_count_done(ManifestCount *count)
{
    sha256_freep(&count->sha256);
}

/* Of the optional keys: all else is 0 already, or is there in the end. */
static void set_defaults(ManifestHeader *header)
{
    for (size_t i = 0; i < manifest_header_field_count; i++) {
        const HeaderField *field = &manifest_header_fields[i];
        void *at = (char *)header + field->offset;

        if (field->is_optional && field->kind == HEADER_TEXT) {
            *(const char **)at = "";
        } else if (field->is_optional && field->kind == HEADER_TIME) {
            *(TimeUs *)at = TIME_US_NONE;
        }
    }
}

void manifest_parser_begin(ManifestParser *parser, Manifest *manifest, const ManifestCount *count)
{
    *parser = (ManifestParser){.manifest = manifest, .count = count, .ranges_left = count->ranges};
    /* One more than none, so that an empty array is not NULL. */
    set_defaults(&manifest->header);
    manifest->tablespaces =
        arena_alloc(&manifest->arena, (count->tablespaces + 1) * sizeof *manifest->tablespaces);
    manifest->packs = arena_alloc(&manifest->arena, (count->packs + 1) * sizeof *manifest->packs);
    manifest->entries =
        arena_alloc(&manifest->arena, (count->entries + 1) * sizeof *manifest->entries);
}

static bool is_key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* "key=value": who does not know the key can do without it. */
static bool is_optional_field(Field field)
{
    size_t length = 0;

    while (length < field.size && is_key_character(field.text[length]))
        length++;
    return length > 0 && length < field.size && field.text[length] == '=';
}

static bool parse_fields(ManifestParser *parser, const struct LineType *type, const char *line,
                         size_t size, Error *err)
{
    Field fields[FIELDS_MAX];
    const size_t count = split_line(line, size, fields);

    if (count < type->fields)
        return bad_line(parser, type->missing, err);
    for (size_t i = type->fields; i < count; i++) {
        if (i == FIELDS_MAX || !is_optional_field(fields[i]))
            return newer_line(parser, "fields of a newer version", err);
    }
    return type->parse(parser, fields, err);
}

static bool end_head(ManifestParser *parser, Error *err)
{
    if (parser->section >= SECTION_HEAD_END)
        return bad_line(parser, "a head that comes too late", err);
    parser->section = SECTION_HEAD_END;
    return true;
}

static bool parse_line(ManifestParser *parser, const char *line, size_t size, Error *err)
{
    const struct LineType *type = line_type_of(line, size);

    parser->line++;
    if (parser->line == 1)
        return true; /* the first pass has looked at it */
    if (size > 0 && line[0] == '?')
        return true; /* of a newer version, for whoever knows it */
    if (is_end_line(line, size)) {
        parser->section = SECTION_END;
        return true;
    }
    if (is_head_line(line, size))
        return end_head(parser, err);
    if (type == NULL) {
        error_set(err, ERR_VERSION, "manifest line %" PRIu64 " is of an unknown type",
                  parser->line);
        return error_hint(err, "use a newer pgcairn");
    }
    if (type->section < parser->section)
        return bad_line(parser, "a type that comes too late", err);
    if (type->section > SECTION_HEAD_END && parser->section < SECTION_HEAD_END)
        return bad_line(parser, "a type that comes before the head has ended", err);
    if (parser->ranges_of != NULL && type->parse != parse_range)
        return bad_line(parser, "something else where a range must be", err);
    parser->section = type->section;
    return parse_fields(parser, type, line, size, err);
}

bool manifest_parse_lines(ManifestParser *parser, const char *text, size_t size, Error *err)
{
    const char *end = text + size;

    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));

        assert(stop != NULL); /* whole lines */
        /* The arrays have room for what the first pass counted: the same lines again. */
        if (parser->line > parser->count->lines)
            return error_set(err, ERR_CORRUPT, "manifest changed while it was read");
        if (!parse_line(parser, text, (size_t)(stop - text), err))
            return false;
        text = stop + 1;
    }
    return true;
}

static bool check_keys(const ManifestParser *parser, Error *err)
{
    for (size_t i = 0; i < manifest_header_field_count; i++) {
        const HeaderField *field = &manifest_header_fields[i];

        if (!field->is_optional && (parser->found_fields & UINT64_C(1) << i) == 0)
            return error_set(err, ERR_CORRUPT, "manifest header has no \"%s\"", field->key);
    }
    return true;
}

void manifest_done(Manifest *manifest)
{
    arena_done(&manifest->arena);
    *manifest = (Manifest){0};
}

bool manifest_parser_head_end(const ManifestParser *parser, Error *err)
{
    if (parser->section != SECTION_HEAD_END)
        return error_set(err, ERR_CORRUPT, "manifest ends too early");
    return check_keys(parser, err);
}

bool manifest_parser_end(const ManifestParser *parser, Error *err)
{
    if (parser->section != SECTION_END || parser->ranges_of != NULL)
        return error_set(err, ERR_CORRUPT, "manifest ends too early");
    return check_keys(parser, err);
}

bool manifest_decode(Manifest *manifest, const char *text, size_t size, Error *err)
{
    CLEANUP(manifest_count_done) ManifestCount count = {0};
    CLEANUP(manifest_done) Manifest decoded = {0};
    ManifestParser parser;

    if (size > 0 && text[size - 1] != '\n')
        return error_set(err, ERR_CORRUPT, "manifest is cut");
    if (!manifest_count_lines(&count, text, size, err) || !manifest_count_end(&count, err))
        return false;
    manifest_parser_begin(&parser, &decoded, &count);
    if (!manifest_parse_lines(&parser, text, size, err) || !manifest_parser_end(&parser, err) ||
        !manifest_check(&decoded, err))
        return false;
    *manifest = decoded;
    decoded = (Manifest){0};
    return true;
}
