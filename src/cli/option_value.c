#include "option_value.h"

#include "base/buffer.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

typedef struct Unit {
    const char *name;
    uint64_t factor;
} Unit;

static const Unit size_units[] = {
    {"", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {NULL, 0},
};
static const Unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const Unit no_units[] = {{"", 1}, {NULL, 0}};

/* A number in the largest unit that divides it, for messages: "128MiB". */
static const char *number_text(uint64_t number, const Unit *units, char text[32])
{
    const Unit *best = &units[0];

    for (const Unit *unit = units; unit->name != NULL; unit++) {
        if (number != 0 && number % unit->factor == 0)
            best = unit;
    }
    (void)snprintf(text, 32, "%" PRIu64 "%s", number / best->factor, number == 0 ? "" : best->name);
    return text;
}

static bool out_of_range(const Option *option, const Unit *units, const char *text,
                         const char *place, Error *err)
{
    char least[32], most[32];

    if (option->max == UINT64_MAX)
        return error_set(err, ERR_USAGE, "%s: \"%s\" is too large", place, text);
    return error_set(err, ERR_USAGE, "%s must be %s to %s, not \"%s\"", place,
                     number_text(option->min, units, least), number_text(option->max, units, most),
                     text);
}

static bool option_parse_number(const Option *option, const Unit *units, const char *kind,
                                const char *text, const char *place, uint64_t *number, Error *err)
{
    const Unit *unit = units;
    char *rest = NULL;

    errno = 0;
    uint64_t value = strtoull(text, &rest, 10);
    bool is_too_large = errno == ERANGE;
    if (!isdigit((unsigned char)text[0]))
        return error_set(err, ERR_USAGE, "%s: \"%s\" is not %s", place, text, kind);
    while (unit->name != NULL && strcmp(unit->name, rest) != 0)
        unit++;
    if (unit->name == NULL && value == 0 && *rest == '\0')
        unit = units; /* zero is zero in any unit */
    if (unit->name == NULL)
        return error_set(err, ERR_USAGE, "%s: \"%s\" is not %s", place, text, kind);
    if (is_too_large || value > option->max / unit->factor || value * unit->factor < option->min)
        return out_of_range(option, units, text, place, err);
    *number = value * unit->factor;
    return true;
}

static bool check_choice(const Option *option, const char *text, const char *place, Error *err)
{
    CLEANUP(buffer_done) Buffer choices = {0};

    for (const char *const *choice = option->choices; *choice != NULL; choice++) {
        if (strcmp(*choice, text) == 0)
            return true;
        buffer_print(&choices, "%s%s", choices.size > 0 ? ", " : "", *choice);
    }
    error_set(err, ERR_USAGE, "%s cannot be \"%s\"", place, text);
    return error_hint(err, "it can be %s", (const char *)choices.data);
}

static bool parse_flag(const char *text, const char *place, bool *flag, Error *err)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    if (text == NULL) {
        *flag = true;
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(words[i], text) == 0) {
            *flag = i % 2 == 1;
            return true;
        }
    }
    return error_set(err, ERR_USAGE, "%s: \"%s\" is neither yes nor no", place, text);
}

/* NAME=PATH: the name may be a path with "=" in it, the new path is the part after the last. */
static bool options_add_tablespace(Options *options, const char *text, const char *place,
                                   Error *err)
{
    const char *equals = strrchr(text, '=');

    if (equals == NULL || equals == text || equals[1] != '/') {
        error_set(err, ERR_USAGE, "%s: \"%s\" is not NAME=PATH", place, text);
        return error_hint(err,
                          "NAME is the tablespace's oid or the path it had, PATH begins with /");
    }
    if (options->tablespace_count == TABLESPACE_OPTIONS_MAX)
        return error_set(err, ERR_USAGE, "%s: more than %d", place, TABLESPACE_OPTIONS_MAX);
    options->tablespaces[options->tablespace_count++] = arena_text(&options->arena, text);
    return true;
}

static bool options_add_database(Options *options, const char *text, const char *place, Error *err)
{
    if (*text == '\0')
        return error_set(err, ERR_USAGE, "%s is empty", place);
    if (options->only_database_count == DATABASE_OPTIONS_MAX)
        return error_set(err, ERR_USAGE, "%s: more than %d", place, DATABASE_OPTIONS_MAX);
    options->only_databases[options->only_database_count++] = arena_text(&options->arena, text);
    return true;
}

static bool parse_value(Options *options, const Option *option, const char *text, const char *place,
                        Error *err)
{
    void *field = (char *)options + option->field;

    switch (option->kind) {
    case FLAG:
        return parse_flag(text, place, field, err);
    case CHOICE:
        if (!check_choice(option, text, place, err))
            return false;
        *(const char **)field = arena_text(&options->arena, text);
        return true;
    case TEXT:
        if (*text == '\0')
            return error_set(err, ERR_USAGE, "%s is empty", place);
        *(const char **)field = arena_text(&options->arena, text);
        return true;
    case COUNT:
        return option_parse_number(option, no_units, "a number", text, place, field, err);
    case SIZE:
        return option_parse_number(option, size_units, "a size such as 512KiB, 20MiB or 1GiB", text,
                                   place, field, err);
    case DURATION:
        return option_parse_number(option, duration_units, "a duration such as 30s, 5min or 2h",
                                   text, place, field, err);
    case LIST:
        return options_add_tablespace(options, text, place, err);
    case NAMES:
        return options_add_database(options, text, place, err);
    }
    return error_set(err, ERR_INTERNAL, "option kind %d", (int)option->kind);
}

bool option_belongs(const Option *option, const Command *command)
{
    return (option->commands & command->bit) != 0;
}

static bool option_has_name(const Option *option, const char *name, size_t size)
{
    return !option->positional && strlen(option->name) == size &&
           strncmp(option->name, name, size) == 0;
}

const Option *option_find(const Command *command, const char *name, size_t size)
{
    for (const Option *option = option_table; option->name != NULL; option++) {
        if (option_belongs(option, command) && option_has_name(option, name, size))
            return option;
    }
    return NULL;
}

bool option_is_known(const char *name, size_t size)
{
    for (const Option *option = option_table; option->name != NULL; option++) {
        if (option_has_name(option, name, size))
            return true;
    }
    return false;
}

OptionSource option_source(const Filling *filling, const Option *option)
{
    return filling->sources[option - option_table];
}

bool option_assign(Filling *filling, const Option *option, const char *text, OptionSource source,
                   const char *place, Error *err)
{
    OptionSource *before = &filling->sources[option - option_table];

    if (source < *before)
        return true;
    if (option->only_flag && source != SOURCE_FLAG && source != SOURCE_FALLBACK) {
        return error_set(err, ERR_USAGE, "%s: --%s may be given on the command line only", place,
                         option->name);
    }
    if (option->kind == LIST && source > *before)
        filling->options->tablespace_count = 0; /* the later list takes the place of the other */
    *before = source;
    return parse_value(filling->options, option, text, place, err);
}
