#include "cli/options.h"

#include "config_file.h"
#include "foreign_names.h"
#include "nearest.h"
#include "option_rules.h"
#include "option_value.h"

#include "base/buffer.h"

#include <ctype.h>

static const char config_default[] = "/etc/pgcairn.conf";

/* What is left of argv; argv ends with NULL. */
typedef struct Arguments {
    char **next;
    size_t positional_count;
    bool only_positional; /* "--" was seen. */
} Arguments;

static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] != '\0';
}

static size_t name_size(const char *name)
{
    return strcspn(name, "=");
}

static bool has_own_value(const char *name)
{
    for (const Option *option = option_table; option->name != NULL; option++) {
        if (!option->positional && strlen(option->name) == name_size(name) &&
            strncmp(option->name, name, name_size(name)) == 0) {
            return option->kind != FLAG && name[name_size(name)] != '=';
        }
    }
    return false;
}

/* The first argument that is neither an option nor an option's value; NULL when there is none. */
static char **find_command_place(char **argv)
{
    for (char **argument = argv + 1; argv[0] != NULL && *argument != NULL; argument++) {
        if (!is_option(*argument))
            return argument;
        if (strcmp(*argument, "--") == 0)
            return NULL;
        if (strncmp(*argument, "--", 2) == 0 && has_own_value(*argument + 2) && argument[1] != NULL)
            argument++;
    }
    return NULL;
}

static bool has_word(char **argv, const char *word)
{
    for (char **argument = argv; *argument != NULL && strcmp(*argument, "--") != 0; argument++) {
        if (strcmp(*argument, word) == 0)
            return true;
    }
    return false;
}

static bool wants_help(char **argv)
{
    return has_word(argv, "--help") || has_word(argv, "-h");
}

static const Command *find_command(const Command *commands, const char *name, Error *err)
{
    Nearest nearest = {.wanted = name, .size = strlen(name)};

    for (const Command *command = commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
        nearest_try(&nearest, command->name);
    }
    error_set(err, ERR_USAGE, "unknown command \"%s\"", name);
    if (foreign_command_hint(name, err))
        return NULL;
    if (nearest.found != NULL) {
        error_hint(err, "did you mean %s?", nearest.found);
    } else {
        error_hint(err, "`pgcairn --help` lists the commands");
    }
    return NULL;
}

static const Option *find_positional(const Command *command, size_t index)
{
    for (const Option *option = option_table; option->name != NULL; option++) {
        if (option_belongs(option, command) && option->positional && index-- == 0)
            return option;
    }
    return NULL;
}

static bool parse_positional(Filling *filling, Arguments *arguments, Error *err)
{
    const char *text = *arguments->next++;
    const Option *option = find_positional(filling->command, arguments->positional_count++);

    if (option == NULL)
        return error_set(err, ERR_USAGE, "unexpected argument \"%s\"", text);
    return option_assign(filling, option, text, SOURCE_FLAG, option->name, err);
}

/* "restore and verify have it" */
static bool hint_owners(const Command *commands, const char *name, size_t size, Error *err)
{
    CLEANUP(buffer_done) Buffer owners = {0};
    size_t count = 0;

    for (const Command *command = commands; command->name != NULL; command++)
        count += option_find(command, name, size) != NULL;
    size_t left = count;
    for (const Command *command = commands; command->name != NULL; command++) {
        if (option_find(command, name, size) == NULL)
            continue;
        left--;
        buffer_print(&owners, "%s%s", command->name,
                     left > 1    ? ", "
                     : left == 1 ? " and "
                     : count > 1 ? " have it"
                                 : " has it");
    }
    if (count == 0)
        return false;
    error_hint(err, "%s", (const char *)owners.data);
    return true;
}

static bool unknown_option(const Filling *filling, const char *name, Error *err)
{
    const Command *command = filling->command;
    size_t size = name_size(name);
    Nearest nearest = {.wanted = name, .size = size};

    for (const Option *option = option_table; option->name != NULL; option++) {
        if (option_belongs(option, command) && !option->positional)
            nearest_try(&nearest, option->name);
    }
    error_set(err, ERR_USAGE, "%s has no option --%.*s", command->name, (int)size, name);
    if (hint_owners(filling->all_commands, name, size, err) || foreign_option_hint(name, size, err))
        return false;
    if (nearest.found != NULL)
        error_hint(err, "did you mean --%s?", nearest.found);
    return false;
}

static bool parse_option(Filling *filling, Arguments *arguments, Error *err)
{
    const char *argument = *arguments->next++;

    if (strncmp(argument, "--", 2) != 0) {
        error_set(err, ERR_USAGE, "unknown option %s", argument);
        return error_hint(err, "options are written out, as in --jobs=4");
    }
    const char *name = argument + 2;
    const char *value = name[name_size(name)] == '=' ? name + name_size(name) + 1 : NULL;
    const Option *option = option_find(filling->command, name, name_size(name));
    if (option == NULL)
        return unknown_option(filling, name, err);
    if (option->kind == FLAG && value != NULL)
        return error_set(err, ERR_USAGE, "--%s does not take a value", option->name);
    /* In `--repo --full` the value was forgotten; one that starts so can be given with "=". */
    if (option->kind != FLAG && value == NULL && *arguments->next != NULL &&
        strncmp(*arguments->next, "--", 2) != 0) {
        value = *arguments->next++;
    }
    if (option->kind != FLAG && value == NULL)
        return error_set(err, ERR_USAGE, "--%s needs a value", option->name);

    char place[64];
    (void)snprintf(place, sizeof place, "--%s", option->name);
    return option_assign(filling, option, value, SOURCE_FLAG, place, err);
}

static bool parse_arguments(Filling *filling, char **argv, char **command_place, Error *err)
{
    Arguments arguments = {.next = argv + 1};

    while (*arguments.next != NULL) {
        if (arguments.next == command_place) {
            arguments.next++;
        } else if (!arguments.only_positional && strcmp(*arguments.next, "--") == 0) {
            arguments.only_positional = true;
            arguments.next++;
        } else if (arguments.only_positional || !is_option(*arguments.next)) {
            if (!parse_positional(filling, &arguments, err))
                return false;
        } else if (!parse_option(filling, &arguments, err)) {
            return false;
        }
    }
    return true;
}

static bool use_fallbacks(Filling *filling, Error *err)
{
    for (const Option *option = option_table; option->name != NULL; option++) {
        if (option_belongs(option, filling->command) && option->fallback != NULL &&
            !option_assign(filling, option, option->fallback, SOURCE_FALLBACK, option->name, err)) {
            return false;
        }
    }
    return true;
}

/* "target-time" is PGCAIRN_TARGET_TIME. */
static void environment_name(const Option *option, char name[64])
{
    int size = snprintf(name, 64, "PGCAIRN_%s", option->name);

    for (int i = 0; i < size && i < 63; i++) {
        if (name[i] == '-') {
            name[i] = '_';
        } else {
            name[i] = (char)toupper((unsigned char)name[i]);
        }
    }
}

static bool use_environment(Filling *filling, Error *err)
{
    for (const Option *option = option_table; option->name != NULL; option++) {
        char name[64];

        if (!option_belongs(option, filling->command) || option->positional)
            continue;
        environment_name(option, name);
        const char *value = getenv(name);
        /* Empty is how a shell says "not set". */
        if (value != NULL && *value != '\0' &&
            !option_assign(filling, option, value, SOURCE_ENVIRONMENT, name, err)) {
            return false;
        }
    }
    return true;
}

static bool use_config_file(Filling *filling, Error *err)
{
    Options *options = filling->options;

    options->config_file = options->config != NULL ? options->config : config_default;
    return config_file_apply(filling, options->config_file, options->config == NULL, err);
}

/* The one option that can hold a password (libpq's conninfo) stays out of manifests and journals.
 */
static void keep_command_line(Options *options, char **argv)
{
    CLEANUP(buffer_done) Buffer line = {0};
    bool is_hidden = false;

    for (char **argument = argv; *argument != NULL; argument++) {
        const char *text = *argument;
        bool has_conninfo = strncmp(text, "--conninfo=", strlen("--conninfo=")) == 0;
        bool is_plain = strpbrk(text, " \t\n\"'\\$&;|<>*?()") == NULL && *text != '\0';

        buffer_print(&line, "%s", argument > argv ? " " : "");
        if (is_hidden || has_conninfo) {
            buffer_print(&line, has_conninfo ? "--conninfo=..." : "...");
        } else {
            buffer_print(&line, is_plain ? "%s" : "'%s'", text);
        }
        is_hidden = strcmp(text, "--conninfo") == 0;
    }
    options->command_line = arena_text_part(&options->arena, (char *)line.data, line.size);
}

static OptionSource option_source_of(const Filling *filling, const char *name)
{
    const Option *option = option_find(filling->command, name, strlen(name));

    return option != NULL ? option_source(filling, option) : SOURCE_NONE;
}

/* For warnings of passwords that others can read, and for hints that can be typed. */
static bool note_sources(Filling *filling)
{
    Options *options = filling->options;
    OptionSource conninfo = option_source_of(filling, "conninfo");
    OptionSource cluster = option_source_of(filling, "cluster");

    options->conninfo_is_from_file = conninfo == SOURCE_FILE || conninfo == SOURCE_SECTION;
    options->cluster_is_given = cluster > SOURCE_FALLBACK;
    options->cluster_is_typed = cluster >= SOURCE_ENVIRONMENT;
    options->repo_is_typed = option_source_of(filling, "repo") >= SOURCE_ENVIRONMENT;
    options->data_is_typed = option_source_of(filling, "data") >= SOURCE_ENVIRONMENT;
    return true;
}

static bool options_fill(Filling *filling, char **argv, char **command_place, Error *err)
{
    return use_fallbacks(filling, err) && use_environment(filling, err) &&
           parse_arguments(filling, argv, command_place, err) && use_config_file(filling, err) &&
           option_rules_check(filling, err) && note_sources(filling);
}

bool options_parse(int argc, char **argv, const Command *commands, const Command **command,
                   Options *options, Error *err)
{
    char **place = argc > 0 ? find_command_place(argv) : NULL;

    options->commands = commands;
    if (argc > 0)
        keep_command_line(options, argv);
    options->help = argc > 0 && wants_help(argv);
    /* Whatever else is wrong on the line, it is told in the way that was asked for. */
    options->json = argc > 0 && has_word(argv, "--json");
    /* `pgcairn help restore` as well. */
    if (place != NULL && *place != NULL && strcmp(*place, "help") == 0) {
        options->help = true;
        place = place[1] != NULL && !is_option(place[1]) ? place + 1 : NULL;
    }
    if (place == NULL) {
        if (options->help)
            return true;
        error_set(err, ERR_USAGE, "no command");
        return error_hint(err, "`pgcairn --help` lists the commands");
    }
    const Command *found = find_command(commands, *place, err);
    if (found == NULL)
        return false;
    *command = found;
    if (options->help)
        return true;

    Filling filling = {.options = options, .command = found, .all_commands = commands};
    return options_fill(&filling, argv, place, err) ||
           error_hint(err, "see `pgcairn %s --help`", found->name);
}

void options_done(Options *options)
{
    arena_done(&options->arena);
    *options = (Options){0};
}
