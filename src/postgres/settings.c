#include "postgres/settings.h"

#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

enum {
    DEPTH_MAX = 10, /* It is CONF_FILE_MAX_DEPTH of guc-file.l. */
    FILE_SIZE_MAX = 16 << 20,
};

/* Of 13 to 18; the server knows no others, and refuses to start with one that it doesn't know. */
const char *const recovery_parameters[] = {
    "recovery_target",           "recovery_target_action",
    "recovery_target_inclusive", "recovery_target_lsn",
    "recovery_target_name",      "recovery_target_time",
    "recovery_target_timeline",  "recovery_target_xid",
    "restore_command",           "recovery_end_command",
    "archive_cleanup_command",   "recovery_min_apply_delay",
    "ignore_invalid_pages",      NULL,
};

/* The tokens of guc-file.l. */
typedef enum TokenKind {
    TOKEN_END, /* It ends the line. */
    TOKEN_ID,
    TOKEN_QUALIFIED_ID,
    TOKEN_STRING,
    TOKEN_UNQUOTED, /* It has letters and -._:/. */
    TOKEN_NUMBER,
    TOKEN_EQUALS,
    TOKEN_BAD,
} TokenKind;

typedef struct Token {
    TokenKind kind;
    const char *text;
    size_t length;
} Token;

/* Not isalpha(): that depends on the locale, guc-file.l does not. */
static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_unit_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_hex_digit(char c)
{
    return text_is_digit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

static size_t word_length(const char *text)
{
    size_t length = 0;

    if (is_letter(text[0])) {
        while (is_letter(text[length]) || text_is_digit(text[length]))
            length++;
    }
    return length;
}

/* {LETTER}({LETTER_OR_DIGIT}|[-._:/])* */
static size_t unquoted_length(const char *text)
{
    size_t length = word_length(text);

    if (length > 0) {
        while (is_letter(text[length]) || text_is_digit(text[length]) ||
               (text[length] != '\0' && strchr("-._:/", text[length]) != NULL))
            length++;
    }
    return length;
}

/* 0 when the string does not end on its line. */
static size_t string_length(const char *text)
{
    for (size_t i = 1; text[i] != '\0' && text[i] != '\n'; i++) {
        if (text[i] == '\\') {
            i++;
            if (text[i] == '\0' || text[i] == '\n')
                return 0;
        } else if (text[i] == '\'') {
            if (text[i + 1] != '\'')
                return i + 1;
            i++;
        }
    }
    return 0;
}

/* {SIGN}?({DIGIT}+|0x{HEXDIGIT}+){UNIT_LETTER}* */
static size_t integer_length(const char *text)
{
    size_t start = text[0] == '-' || text[0] == '+' ? 1 : 0;
    size_t at = start;

    while (text_is_digit(text[at]))
        at++;
    if (at == start)
        return 0;
    if (at == start + 1 && text[start] == '0' && text[at] == 'x' && is_hex_digit(text[at + 1])) {
        for (at++; is_hex_digit(text[at]);)
            at++;
    }
    while (is_unit_letter(text[at]))
        at++;
    return at;
}

/* {SIGN}?{DIGIT}*"."{DIGIT}*{EXPONENT}? */
static size_t real_length(const char *text)
{
    size_t at = text[0] == '-' || text[0] == '+' ? 1 : 0;

    while (text_is_digit(text[at]))
        at++;
    if (text[at] != '.')
        return 0;
    for (at++; text_is_digit(text[at]);)
        at++;
    if (text[at] == 'E' || text[at] == 'e') {
        size_t digits = at + 1 + (text[at + 1] == '-' || text[at + 1] == '+' ? 1 : 0);
        if (text_is_digit(text[digits])) {
            for (at = digits; text_is_digit(text[at]);)
                at++;
        }
    }
    return at;
}

/* The longest match wins, as flex does it; of equally long ones the first rule. */
static Token longest_match(const char *text)
{
    size_t id = word_length(text);
    size_t second = id > 0 && text[id] == '.' ? word_length(text + id + 1) : 0;
    size_t integer = integer_length(text);
    size_t real = real_length(text);
    const Token candidates[] = {
        {TOKEN_ID, text, id},
        {TOKEN_QUALIFIED_ID, text, second > 0 ? id + 1 + second : 0},
        {TOKEN_STRING, text, text[0] == '\'' ? string_length(text) : 0},
        {TOKEN_UNQUOTED, text, unquoted_length(text)},
        {TOKEN_NUMBER, text, integer > real ? integer : real},
        {TOKEN_EQUALS, text, text[0] == '=' ? 1 : 0},
    };
    Token best = {TOKEN_BAD, text, 0};

    for (size_t i = 0; i < ARRAY_SIZE(candidates); i++) {
        if (candidates[i].length > best.length)
            best = candidates[i];
    }
    return best;
}

/* Moves *at past the token; at the end of the line it stays before the LF. */
static Token token_next(const char **at)
{
    *at += strspn(*at, " \t\r");
    if (**at == '#')
        *at += strcspn(*at, "\n");
    if (**at == '\n' || **at == '\0')
        return (Token){TOKEN_END, *at, 0};

    Token token = longest_match(*at);
    *at += token.length;
    return token;
}

/* One line: a name and a value, nothing, or an error. */
typedef struct SettingLine {
    bool is_empty;
    Token name;
    Token value;
} SettingLine;

/* False: the server would refuse it. */
static bool line_parse(const char *text, SettingLine *line)
{
    *line = (SettingLine){.name = token_next(&text)};
    line->is_empty = line->name.kind == TOKEN_END;
    if (line->is_empty)
        return true;
    if (line->name.kind != TOKEN_ID && line->name.kind != TOKEN_QUALIFIED_ID)
        return false;

    line->value = token_next(&text);
    if (line->value.kind == TOKEN_EQUALS)
        line->value = token_next(&text);
    switch (line->value.kind) {
    case TOKEN_ID:
    case TOKEN_STRING:
    case TOKEN_UNQUOTED:
    case TOKEN_NUMBER:
        return token_next(&text).kind == TOKEN_END;
    case TOKEN_END:
    case TOKEN_QUALIFIED_ID: /* "a.b" unquoted: guc-file.l has no rule for it as a value */
    case TOKEN_EQUALS:
    case TOKEN_BAD:
        break;
    }
    return false;
}

static size_t line_length(const char *text)
{
    size_t length = strcspn(text, "\n");

    return text[length] == '\n' ? length + 1 : length;
}

/* After a backslash (DeescapeQuotedString): one character, *at goes to its last byte. */
static char escaped_character(const char **at)
{
    int value = 0;

    switch (**at) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default: /* characters, no enum */
        break;
    }
    if (**at < '0' || **at > '7')
        return **at;
    const char *digit = *at;
    for (int i = 0; i < 3 && *digit >= '0' && *digit <= '7'; i++)
        value = value * 8 + (*digit++ - '0');
    *at = digit - 1;
    return (char)value;
}

static const char *token_text(const Token *token, Arena *arena)
{
    char *text = arena_text_part(arena, token->text, token->length);
    char *to = text;

    if (token->kind != TOKEN_STRING)
        return text;
    const char *end = token->text + token->length - 1;
    for (const char *at = token->text + 1; at < end; at++) {
        if (*at == '\\') {
            at++;
            *to++ = escaped_character(&at);
        } else {
            at += *at == '\'' ? 1 : 0; /* doubled: the second one counts */
            *to++ = *at;
        }
    }
    *to = '\0';
    return text;
}

static char *lower_case(const Token *token, Arena *arena)
{
    char *text = arena_text_part(arena, token->text, token->length);

    for (char *at = text; *at != '\0'; at++)
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    return text;
}

static void list_add(SettingList *list, const Setting *setting)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity > 0 ? list->capacity * 2 : 64;
        list->items = mem_resize(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count++] = *setting;
}

/* places: NULL, or where the files are and what is wrong with them, which then is not an error. */
typedef struct SettingsReading {
    SettingList *list;
    SettingsPlaces *places;
} SettingsReading;

static bool settings_read_file(const SettingsReading *reading, const char *path, int depth,
                               Error *err);

static const char *settings_locate(const SettingsReading *reading, const char *path,
                                   bool is_directory)
{
    SettingsPlaces *places = reading->places;

    return places != NULL
               ? places->locate(places->context, path, is_directory, &reading->list->arena)
               : path;
}

/* True when it is passed over; the first problem is kept. */
static bool settings_pass_over(const SettingsReading *reading, Error *err)
{
    if (reading->places == NULL)
        return false;
    if (reading->places->problem.code == ERR_NONE)
        reading->places->problem = *err;
    error_clear(err);
    return true;
}

/* What is relative is so to the directory of the file that includes (AbsoluteConfigLocation). */
static const char *settings_resolve(const char *path, const char *file, Arena *arena)
{
    const char *slash = file != NULL ? strrchr(file, '/') : NULL;

    if (path[0] == '/' || slash == NULL)
        return path;
    return arena_format(arena, "%.*s/%s", (int)(slash - file), file, path);
}

static int is_included_file(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return entry->d_name[0] != '.' && length >= 6 &&
           strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* strcmp() and not alphasort(): the server sorts in C locale (pg_qsort with pg_qsort_strcmp). */
static int entries_by_name(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static bool settings_read_entries(const SettingsReading *reading, const char *path,
                                  struct dirent **entries, int count, int depth, Error *err)
{
    const char *there = settings_locate(reading, path, true);

    for (int i = 0; i < count; i++) {
        CLEANUP(text_freep) char *seen = text_format("%s/%s", there, entries[i]->d_name);
        const char *file = arena_format(&reading->list->arena, "%s/%s", path, entries[i]->d_name);
        struct stat status;
        if (stat(seen, &status) == 0 && !S_ISDIR(status.st_mode) &&
            !settings_read_file(reading, file, depth, err))
            return false;
    }
    return true;
}

static bool settings_read_directory(const SettingsReading *reading, const char *path, int depth,
                                    Error *err)
{
    struct dirent **entries = NULL;
    const char *there = settings_locate(reading, path, true);

    errno = ENOENT;
    int count = there != NULL ? scandir(there, &entries, is_included_file, entries_by_name) : -1;
    if (count < 0) {
        error_set_errno(err, ERR_USAGE, errno, "open configuration directory %s", path);
        return settings_pass_over(reading, err);
    }
    bool ok = settings_read_entries(reading, path, entries, count, depth, err);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return ok;
}

static bool read_included(const SettingsReading *reading, const Setting *line, const char *path,
                          int depth, Error *err)
{
    if (settings_read_file(reading, path, depth + 1, err))
        return true;
    if (err->code == ERR_NOT_FOUND)
        err->code = ERR_USAGE; /* the server would not start with it */
    error_context(err, "included by %s line %u", line->file, line->line);
    return false;
}

/* *is_include tells whether the line was an include directive; it then has been followed. */
static bool follow_include(const SettingsReading *reading, const Setting *line, int depth,
                           bool *is_include, Error *err)
{
    *is_include = strncmp(line->name, "include", 7) == 0;
    if (!*is_include)
        return true;

    const char *path = settings_resolve(line->value, line->file, &reading->list->arena);
    bool if_exists = strcmp(line->name, "include_if_exists") == 0;

    if (strcmp(line->name, "include_dir") == 0)
        return settings_read_directory(reading, path, depth + 1, err);
    if (if_exists) {
        const char *there = settings_locate(reading, path, false);
        if (there == NULL || !file_exists(there))
            return true;
    }
    if (if_exists || strcmp(line->name, "include") == 0)
        return read_included(reading, line, path, depth, err);
    *is_include = false;
    return true;
}

static bool take_line(const SettingsReading *reading, const SettingLine *line, const char *file,
                      unsigned number, int depth, Error *err)
{
    bool is_include;
    Setting setting = {
        .name = lower_case(&line->name, &reading->list->arena),
        .value = token_text(&line->value, &reading->list->arena),
        .spelling = arena_text_part(&reading->list->arena, line->name.text, line->name.length),
        .file = file,
        .line = number,
    };

    if (!follow_include(reading, &setting, depth, &is_include, err))
        return false;
    if (!is_include)
        list_add(reading->list, &setting);
    return true;
}

static bool settings_parse_text(const SettingsReading *reading, const char *text, const char *file,
                                int depth, Error *err)
{
    unsigned number = 0;

    for (; *text != '\0'; text += line_length(text)) {
        SettingLine line;
        number++;
        if (!line_parse(text, &line)) {
            error_set(err, ERR_USAGE, "%s line %u: syntax error", file, number);
            if (!settings_pass_over(reading, err))
                return false;
            continue;
        }
        if (!line.is_empty && !take_line(reading, &line, file, number, depth, err))
            return false;
    }
    return true;
}

static bool read_content(const SettingsReading *reading, const char *path, int depth,
                         Buffer *content, Error *err)
{
    const char *there = settings_locate(reading, path, false);

    if (depth > DEPTH_MAX) {
        return error_set(err, ERR_USAGE, "%s: files include each other more than %d levels deep",
                         path, DEPTH_MAX);
    }
    if (there == NULL)
        return error_set(err, ERR_NOT_FOUND, "there is no %s", path);
    return file_read_whole(there, FILE_SIZE_MAX, content, err);
}

static bool settings_read_file(const SettingsReading *reading, const char *path, int depth,
                               Error *err)
{
    CLEANUP(buffer_done) Buffer content = {0};

    if (!read_content(reading, path, depth, &content, err))
        return settings_pass_over(reading, err);
    if (content.size == 0)
        return true;
    settings_show_zeros(&content);
    return settings_parse_text(reading, (const char *)content.data,
                               arena_text(&reading->list->arena, path), depth, err);
}

void settings_show_zeros(Buffer *content)
{
    for (size_t i = 0; i < content->size; i++)
        content->data[i] = content->data[i] != '\0' ? content->data[i] : '\1';
}

bool settings_read(const char *path, SettingList *list, Error *err)
{
    return settings_read_file(&(SettingsReading){.list = list}, path, 0, err);
}

void settings_read_from(const char *path, SettingsPlaces *places, SettingList *list)
{
    Error passed_over = {0};

    (void)!settings_read_file(&(SettingsReading){.list = list, .places = places}, path, 0,
                              &passed_over);
}

bool settings_parse(const char *text, const char *file, SettingList *list, Error *err)
{
    return settings_parse_text(&(SettingsReading){.list = list}, text,
                               arena_text(&list->arena, file != NULL ? file : ""), 0, err);
}

void settings_done(SettingList *list)
{
    mem_free(list->items);
    arena_done(&list->arena);
    *list = (SettingList){0};
}

const char *settings_value(const SettingList *list, const char *name)
{
    for (size_t i = list->count; i > 0; i--) {
        if (strcasecmp(list->items[i - 1].name, name) == 0)
            return list->items[i - 1].value;
    }
    return NULL;
}

static bool token_is_named(const Token *token, const char *name)
{
    size_t length = strlen(name);

    if (length > 0 && name[length - 1] == '*')
        return token->length >= length - 1 && strncasecmp(token->text, name, length - 1) == 0;
    return token->length == length && strncasecmp(token->text, name, length) == 0;
}

/* Also of a line with an error further on: the parameter must go, whatever was meant. */
static bool sets_one_of(const char *text, const char *const *names)
{
    Token name = token_next(&text);

    if (name.kind != TOKEN_ID && name.kind != TOKEN_QUALIFIED_ID)
        return false;
    for (; *names != NULL; names++) {
        if (token_is_named(&name, *names))
            return true;
    }
    return false;
}

void settings_quote(const char *value, Buffer *out)
{
    buffer_append(out, "'", 1);
    for (; *value != '\0'; value++) {
        if (*value == '\'' || *value == '\\')
            buffer_append(out, value, 1);
        if (*value == '\n') {
            buffer_append(out, "\\n", 2); /* a string ends on its line */
        } else {
            buffer_append(out, value, 1);
        }
    }
    buffer_print(out, "'");
}

void settings_rewrite(const char *text, const char *const *remove, const Setting *additions,
                      size_t count, Buffer *result)
{
    for (; *text != '\0'; text += line_length(text)) {
        if (!sets_one_of(text, remove))
            buffer_append(result, text, line_length(text));
    }
    if (result->size > 0 && result->data[result->size - 1] != '\n')
        buffer_append(result, "\n", 1);
    for (size_t i = 0; i < count; i++) {
        buffer_print(result, "%s = ", additions[i].name);
        settings_quote(additions[i].value, result);
        buffer_append(result, "\n", 1);
    }
    buffer_print(result, "%s", ""); /* leaves a zero after the end: a C string */
}
