#include "postgres/wal_name.h"

#include <inttypes.h>

/* Lengths of the parts of a name, in characters. */
enum { TIMELINE_LENGTH = 8, HALF_LENGTH = 8, NUMBER_LENGTH = 16, SEGMENT_LENGTH = 24 };

const char *lsn_text(Lsn lsn, char text[LSN_TEXT_SIZE])
{
    snprintf(text, LSN_TEXT_SIZE, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
    return text;
}

static int hex_digit(char c, bool lower_too)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (lower_too && c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* One to eight digits at *text, which moves past them. */
static bool parse_half(const char **text, uint32_t *half)
{
    uint32_t value = 0;
    int digits = 0;

    for (; hex_digit(**text, true) >= 0; (*text)++) {
        if (++digits > HALF_LENGTH)
            return false;
        value = value << 4 | (uint32_t)hex_digit(**text, true);
    }
    *half = value;
    return digits > 0;
}

bool lsn_parse(const char *text, Lsn *lsn, Error *err)
{
    const char *at = text;
    uint32_t high;
    uint32_t low;

    if (parse_half(&at, &high) && *at++ == '/' && parse_half(&at, &low) && *at == '\0') {
        *lsn = (Lsn)high << 32 | low;
        return true;
    }
    error_set(err, ERR_USAGE, "\"%s\" is not a position in the WAL", text);
    return error_hint(err, "write it as the server does, for example 0/16B3748");
}

/* Exactly eight upper-case digits, as the server writes them; another spelling is another file. */
static bool parse_name_part(const char *text, uint32_t *part)
{
    uint32_t value = 0;

    for (int i = 0; i < HALF_LENGTH; i++) {
        int digit = hex_digit(text[i], false);

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *part = value;
    return true;
}

bool wal_segment_size_is_valid(uint64_t segment_size)
{
    return segment_size >= UINT64_C(1) << 20 && segment_size <= UINT64_C(1) << 30 &&
           (segment_size & (segment_size - 1)) == 0;
}

/* Segments with one high half of the LSN. */
static uint64_t segments_per_half(uint32_t segment_size)
{
    return (UINT64_C(1) << 32) / segment_size;
}

/* What follows the 24 digits of a segment decides the kind. */
static bool parse_suffix(const char *suffix, uint32_t segment_size, WalName *name)
{
    if (*suffix == '\0') {
        name->kind = WAL_SEGMENT;
        return true;
    }
    if (strcmp(suffix, ".partial") == 0) {
        name->kind = WAL_PARTIAL;
        return true;
    }
    name->kind = WAL_BACKUP_HISTORY;
    return *suffix == '.' && parse_name_part(suffix + 1, &name->offset) &&
           strcmp(suffix + 1 + HALF_LENGTH, ".backup") == 0 && name->offset < segment_size;
}

static bool parse_wal_name(const char *text, uint32_t segment_size, WalName *name)
{
    uint32_t high;
    uint32_t low;

    if (!parse_name_part(text, &name->timeline) || name->timeline == 0)
        return false;
    text += TIMELINE_LENGTH;
    if (strcmp(text, ".history") == 0) {
        name->kind = WAL_HISTORY;
        return true;
    }
    if (!parse_name_part(text, &high) || !parse_name_part(text + HALF_LENGTH, &low) ||
        low >= segments_per_half(segment_size))
        return false;
    name->segment = high * segments_per_half(segment_size) + low;
    /* A cluster's WAL begins with segment 1: LSN 0 is not a place (xlog.c, BootStrapXLOG). */
    return name->segment > 0 && parse_suffix(text + NUMBER_LENGTH, segment_size, name);
}

bool wal_name_parse(const char *text, uint32_t segment_size, WalName *name, Error *err)
{
    WalName parsed = {0};

    if (!parse_wal_name(text, segment_size, &parsed)) {
        return error_set(err, ERR_USAGE,
                         "\"%s\" is not the name of a WAL file of a cluster with segments of "
                         "%" PRIu32 " MiB",
                         text, segment_size >> 20);
    }
    *name = parsed;
    return true;
}

const char *wal_name_text(const WalName *name, uint32_t segment_size, char text[WAL_NAME_SIZE])
{
    char segment[SEGMENT_LENGTH + 1];

    if (name->kind == WAL_HISTORY) {
        snprintf(text, WAL_NAME_SIZE, "%08" PRIX32 ".history", name->timeline);
        return text;
    }
    snprintf(segment, sizeof segment, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, name->timeline,
             (uint32_t)(name->segment / segments_per_half(segment_size)),
             (uint32_t)(name->segment % segments_per_half(segment_size)));
    if (name->kind == WAL_BACKUP_HISTORY) {
        snprintf(text, WAL_NAME_SIZE, "%s.%08" PRIX32 ".backup", segment, name->offset);
    } else {
        snprintf(text, WAL_NAME_SIZE, "%s%s", segment, name->kind == WAL_PARTIAL ? ".partial" : "");
    }
    return text;
}
