#include "drill/probe_file.h"

#include "base/buffer.h"
#include "base/file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { FILE_SIZE_MAX = 1 << 20, NAME_MAX_BYTES = 200 };

typedef struct ProbeParser {
    const char *file;
    unsigned line;
    ProbeFile *probes;
    SqlProbe *probe; /* This probe is being read. NULL means that none is. */
    Buffer sql;
    Arena *arena;
} ProbeParser;

static bool probe_file_refuse(const ProbeParser *parser, const char *what, Error *err)
{
    error_set(err, ERR_USAGE, "%s, line %u: %s", parser->file, parser->line, what);
    return error_hint(err, "a probe begins with \"-- probe: NAME\"; \"-- database:\", \"-- "
                           "expect:\", \"-- at-least:\" and \"-- at-most:\" may follow, then SQL");
}

/* What follows "-- KEY:", without blanks around; NULL when the line says something else. */
static const char *probe_word_value(const char *line, const char *key, Arena *arena)
{
    const size_t length = strlen(key);

    if (strncmp(line, "--", 2) != 0)
        return NULL;
    line += 2 + strspn(line + 2, " \t");
    if (strncmp(line, key, length) != 0 || line[length] != ':')
        return NULL;
    line += length + 1 + strspn(line + length + 1, " \t");
    size_t size = strlen(line);
    while (size > 0 && strchr(" \t\r", line[size - 1]) != NULL)
        size--;
    return arena_text_part(arena, line, size);
}

static bool sql_is_blank(const Buffer *sql)
{
    const char *text = (const char *)sql->data;

    return sql->size == 0 || text[strspn(text, " \t\r\n;")] == '\0';
}

static bool end_probe(ProbeParser *parser, Error *err)
{
    if (parser->probe == NULL)
        return true;
    if (sql_is_blank(&parser->sql)) {
        parser->line = parser->probe->line;
        return probe_file_refuse(parser, "a probe without SQL", err);
    }
    parser->probe->sql =
        arena_text_part(parser->arena, (const char *)parser->sql.data, parser->sql.size);
    parser->sql.size = 0;
    return true;
}

static bool begin_probe(ProbeParser *parser, const char *name, Error *err)
{
    ProbeFile *probes = parser->probes;

    if (!end_probe(parser, err))
        return false;
    if (*name == '\0' || strlen(name) > NAME_MAX_BYTES)
        return probe_file_refuse(parser, "a probe needs a name", err);
    parser->probe = &probes->items[probes->count++];
    *parser->probe = (SqlProbe){.name = name, .database = "postgres", .line = parser->line};
    return true;
}

static bool is_number(const char *text)
{
    char *rest;
    const double value = strtod(text, &rest);

    return *text != '\0' && *rest == '\0' && !isnan(value);
}

/* *taken: the line was one of ours. */
static bool probe_word_take(ProbeParser *parser, const char *line, bool *taken, Error *err)
{
    SqlProbe *probe = parser->probe;
    const char *name = probe_word_value(line, "probe", parser->arena);

    *taken = true;
    if (name != NULL)
        return begin_probe(parser, name, err);
    SqlProbe none;
    SqlProbe *filled = probe != NULL ? probe : &none;
    const struct {
        const char *key;
        const char **field;
        bool is_number;
    } words[] = {{"database", &filled->database, false},
                 {"expect", &filled->expect, false},
                 {"at-least", &filled->at_least, true},
                 {"at-most", &filled->at_most, true}};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        const char *value = probe_word_value(line, words[i].key, parser->arena);

        if (value == NULL)
            continue;
        if (probe == NULL)
            return probe_file_refuse(parser, "there is no probe yet that this could be about", err);
        if (words[i].is_number && !is_number(value))
            return probe_file_refuse(parser, "a bound must be a number", err);
        *words[i].field = value;
        return true;
    }
    *taken = false;
    return true;
}

static bool probe_line_take(ProbeParser *parser, const char *line, Error *err)
{
    const char *text = line + strspn(line, " \t\r");
    bool taken;

    if (!probe_word_take(parser, line, &taken, err) || taken)
        return err->code == ERR_NONE;
    if (parser->probe == NULL && *text != '\0' && strncmp(text, "--", 2) != 0)
        return probe_file_refuse(parser, "SQL before the first \"-- probe:\"", err);
    if (parser->probe != NULL && strncmp(text, "--", 2) != 0)
        buffer_print(&parser->sql, "%s\n", line);
    return true;
}

static size_t probe_line_count(const char *text)
{
    size_t count = 1;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

bool probe_file_parse(const char *text, const char *file, ProbeFile *probes, Error *err)
{
    ProbeParser parser = {.file = file, .probes = probes, .arena = &probes->arena};
    bool ok = true;

    probes->items =
        arena_alloc(&probes->arena, (probe_line_count(text) + 1) * sizeof probes->items[0]);
    while (ok && *text != '\0') {
        const size_t length = strcspn(text, "\n");

        parser.line++;
        ok = probe_line_take(&parser, arena_text_part(&probes->arena, text, length), err);
        text += length + (text[length] == '\n');
    }
    ok = ok && end_probe(&parser, err);
    if (ok && probes->count == 0)
        ok = probe_file_refuse(&parser, "there is no probe in it", err);
    buffer_done(&parser.sql);
    return ok;
}

bool probe_file_read(const char *path, ProbeFile *probes, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};

    if (!file_read_given(path, FILE_SIZE_MAX, &text, err))
        return error_context(err, "--probes");
    if (strlen((const char *)text.data) != text.size)
        return error_set(err, ERR_USAGE, "%s is not a text: it has zero bytes", path);
    return probe_file_parse((const char *)text.data, path, probes, err);
}

void probe_file_done(ProbeFile *probes)
{
    arena_done(&probes->arena);
    *probes = (ProbeFile){0};
}

static bool is_within(const SqlProbe *probe, const char *answer)
{
    if (!is_number(answer))
        return false;
    const double value = strtod(answer, NULL);
    return (probe->at_least == NULL || value >= strtod(probe->at_least, NULL)) &&
           (probe->at_most == NULL || value <= strtod(probe->at_most, NULL));
}

bool sql_probe_holds(const SqlProbe *probe, bool has_row, const char *answer, Arena *arena,
                     const char **why)
{
    const char *got = !has_row ? "no row" : answer != NULL ? answer : "NULL";
    const bool has_bound = probe->at_least != NULL || probe->at_most != NULL;

    *why = "";
    if (probe->expect != NULL && (answer == NULL || strcmp(answer, probe->expect) != 0)) {
        *why = arena_format(arena, "expected %s, found %s", probe->expect, got);
        return false;
    }
    if (has_bound && (answer == NULL || !is_within(probe, answer))) {
        *why = arena_format(arena, "expected %s%s%s%s%s, found %s",
                            probe->at_least != NULL ? "at least " : "",
                            probe->at_least != NULL ? probe->at_least : "",
                            probe->at_least != NULL && probe->at_most != NULL ? " and " : "",
                            probe->at_most != NULL ? "at most " : "",
                            probe->at_most != NULL ? probe->at_most : "", got);
        return false;
    }
    return true;
}
