#include "postgres/backup_label.h"

/* One line of a text that is read in order. The text stays the caller's. */
typedef struct LabelLine {
    const char *text;
    size_t length; /* It does not count the LF. */
} LabelLine;

/* The next line and on; false at the end, and where the LF is missing. */
static bool line_next(const char **rest, LabelLine *line)
{
    const char *end = strchr(*rest, '\n');

    if (end == NULL)
        return false;
    *line = (LabelLine){.text = *rest, .length = (size_t)(end - *rest)};
    *rest = end + 1;
    return true;
}

/* What follows the key, copied into value; false when this is another line or it does not fit. */
static bool line_value(const LabelLine *line, const char *key, char *value, size_t size)
{
    size_t key_length = strlen(key);

    if (line->length < key_length || memcmp(line->text, key, key_length) != 0 ||
        line->length - key_length >= size)
        return false;
    memcpy(value, line->text + key_length, line->length - key_length);
    value[line->length - key_length] = '\0';
    return true;
}

static bool line_has_key(const LabelLine *line, const char *key)
{
    return line->length >= strlen(key) && memcmp(line->text, key, strlen(key)) == 0;
}

static bool label_is_damaged(Error *err, const char *what)
{
    return error_set(err, ERR_CORRUPT, "backup_label: no valid line \"%s\"", what);
}

/* "0/2000028 (file 000000010000000000000002)" */
static bool start_parse(char *value, BackupLabel *label)
{
    Error ignored = {0}; /* the caller says which line it was */
    char *name = strstr(value, " (file ");
    char timeline[9] = "";

    if (name == NULL)
        return false;
    *name = '\0';
    name += strlen(" (file ");
    if (strspn(name, "0123456789ABCDEF") != 24 || strcmp(name + 24, ")") != 0)
        return false;
    memcpy(timeline, name, 8);
    label->timeline = (uint32_t)strtoul(timeline, NULL, 16);
    return label->timeline != 0 && lsn_parse(value, &label->start, &ignored) && label->start != 0;
}

static bool is_timeline_number(const char *value, uint32_t expected)
{
    char *end;

    if (*value < '1' || *value > '9')
        return false;
    unsigned long long number = strtoull(value, &end, 10);
    return *end == '\0' && number == expected;
}

/* METHOD to START TIMELINE: every server from 11 on writes all of them, in this order. */
static bool middle_parse(const char **rest, BackupLabel *label, Error *err)
{
    char value[64];
    LabelLine line;

    /* Other methods (exclusive, pg_rewind) end elsewhere than at the end-of-backup record. */
    if (!line_next(rest, &line) || !line_value(&line, "BACKUP METHOD: ", value, sizeof value) ||
        strcmp(value, "streamed") != 0)
        return label_is_damaged(err, "BACKUP METHOD: streamed");
    if (!line_next(rest, &line) || !line_value(&line, "BACKUP FROM: ", value, sizeof value) ||
        (strcmp(value, "primary") != 0 && strcmp(value, "master") != 0 &&
         strcmp(value, "standby") != 0))
        return label_is_damaged(err, "BACKUP FROM");
    label->from_standby = strcmp(value, "standby") == 0;
    if (!line_next(rest, &line) || !line_has_key(&line, "START TIME: "))
        return label_is_damaged(err, "START TIME");
    if (!line_next(rest, &line) || !line_has_key(&line, "LABEL: "))
        return label_is_damaged(err, "LABEL");
    if (!line_next(rest, &line) || !line_value(&line, "START TIMELINE: ", value, sizeof value) ||
        !is_timeline_number(value, label->timeline))
        return label_is_damaged(err, "START TIMELINE");
    return true;
}

bool backup_label_parse(const char *text, BackupLabel *label, Error *err)
{
    Error ignored = {0}; /* label_is_damaged() says which line it was */
    BackupLabel found = {0};
    const char *rest = text;
    char value[96];
    LabelLine line;

    if (!line_next(&rest, &line) ||
        !line_value(&line, "START WAL LOCATION: ", value, sizeof value) ||
        !start_parse(value, &found))
        return label_is_damaged(err, "START WAL LOCATION");
    if (!line_next(&rest, &line) ||
        !line_value(&line, "CHECKPOINT LOCATION: ", value, sizeof value) ||
        !lsn_parse(value, &found.checkpoint, &ignored) || found.checkpoint < found.start)
        return label_is_damaged(err, "CHECKPOINT LOCATION");
    if (!middle_parse(&rest, &found, err))
        return false;
    while (line_next(&rest, &line)) {
        if (line_has_key(&line, "INCREMENTAL FROM ")) {
            found.is_incremental = true;
        } else if (line.length > 0) {
            return error_set(err, ERR_CORRUPT, "backup_label: unknown line \"%.*s\"",
                             (int)(line.length < 80 ? line.length : 80), line.text);
        }
    }
    if (*rest != '\0')
        return error_set(err, ERR_CORRUPT, "backup_label: its last line is cut");
    *label = found;
    return true;
}

/*
 * One unescaped entry and its end (read_tablespace_map, access/xlogrecovery.c). The reader of 13
 * takes a backslash as an escape only before LF and CR, since that is all that 13 writes.
 * NULL when the text ends within the entry.
 */
static const char *entry_unescape(const char *text, unsigned major, char *entry)
{
    for (; *text != '\0'; text++) {
        bool escapes = *text == '\\' && (major >= 14 || text[1] == '\n' || text[1] == '\r');
        if (!escapes && (*text == '\n' || *text == '\r')) {
            *entry = '\0';
            return text + 1;
        }
        if (escapes && *++text == '\0')
            return NULL;
        *entry++ = *text;
    }
    return NULL;
}

/* "16384 /srv/fast disk" */
static bool entry_parse(const char *entry, Arena *arena, Tablespace *tablespace, Error *err)
{
    char *end;

    if (*entry < '1' || *entry > '9')
        return error_set(err, ERR_CORRUPT, "tablespace_map: a line without an oid");
    unsigned long long oid = strtoull(entry, &end, 10);
    if (oid > UINT32_MAX || end[0] != ' ' || end[1] == '\0')
        return error_set(err, ERR_CORRUPT, "tablespace_map: a line without oid and path");
    *tablespace = (Tablespace){.oid = (uint32_t)oid, .path = arena_text(arena, end + 1)};
    return true;
}

static int tablespaces_by_oid(const void *left, const void *right)
{
    uint32_t a = ((const Tablespace *)left)->oid;
    uint32_t b = ((const Tablespace *)right)->oid;

    return (a > b) - (a < b);
}

static size_t line_ends_of(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n' || *text == '\r';
    return count;
}

bool tablespace_map_parse(const char *text, unsigned major, Arena *arena, TablespaceList *list,
                          Error *err)
{
    CLEANUP(text_freep) char *entry = mem_alloc(strlen(text) + 1);
    TablespaceList found = {0};

    found.items = arena_alloc(arena, (line_ends_of(text) + 1) * sizeof *found.items);
    while (*text != '\0') {
        text = entry_unescape(text, major, entry);
        if (text == NULL)
            return error_set(err, ERR_CORRUPT, "tablespace_map: its last line is cut");
        if (*entry == '\0')
            continue; /* the server skips empty lines too */
        if (!entry_parse(entry, arena, &found.items[found.count], err))
            return false;
        found.count++;
    }
    if (found.count > 1)
        qsort(found.items, found.count, sizeof *found.items, tablespaces_by_oid);
    for (size_t i = 1; i < found.count; i++) {
        if (found.items[i].oid == found.items[i - 1].oid)
            return error_set(err, ERR_CORRUPT, "tablespace_map: oid %u twice", found.items[i].oid);
    }
    *list = found;
    return true;
}
