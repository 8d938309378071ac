#include "cli/hint.h"

#include "option_value.h"

#include "base/shell_word.h"

#include <limits.h>
#include <unistd.h>

typedef struct Completing {
    const Options *options;
    const char *program;
    Buffer *text;
} Completing;

static const char our_name[] = "pgcairn ";
static const char hook_name[] = "'pgcairn archive-push ";

static const Command *command_of(const Completing *completing, const char *words, size_t size)
{
    size_t length = 0;

    while (length < size && words[length] != ' ')
        length++;
    for (const Command *command = completing->options->commands; command->name != NULL; command++) {
        if (strlen(command->name) == length && strncmp(command->name, words, length) == 0)
            return command;
    }
    return NULL;
}

static bool words_say(const char *words, size_t size, const char *option)
{
    return memmem(words, size, option, strlen(option)) != NULL;
}

static bool command_takes(const Command *command, const char *name)
{
    return option_find(command, name, strlen(name)) != NULL;
}

/* Some take a repository's address, and its cluster, that can do without. */
static bool needs_repo(const Command *command)
{
    const Option *option = option_find(command, "repo", strlen("repo"));

    return option != NULL && (option->required & command->bit) != 0;
}

static void put_option(Buffer *text, const char *name, const char *value)
{
    buffer_print(text, " --%s=", name);
    shell_word_append(text, value);
}

/* A file that is there may name the data directory, and is read for commands that take one only. */
static bool may_be_configured(const Options *options)
{
    return options->config_file != NULL && access(options->config_file, F_OK) == 0;
}

static void put_data(const Completing *completing, const Command *command, Buffer *text)
{
    const unsigned without = FOR_PUSH | FOR_GET; /* the server calls them where its data is */
    const Options *options = completing->options;

    if ((command->bit & without) != 0 || !command_takes(command, "data"))
        return;
    if (options->data_is_typed) {
        put_option(text, "data", options->data);
    } else if (options->data == NULL && options->conninfo == NULL && !may_be_configured(options)) {
        buffer_print(text, " --data=DIR");
    }
}

/* `words` is what follows the name of this program. */
static void put_options(const Completing *completing, const Command *command, const char *words,
                        size_t size, Buffer *text)
{
    const Options *options = completing->options;

    if (words_say(words, size, "--help"))
        return;
    if (options->config != NULL && !words_say(words, size, "--config"))
        put_option(text, "config", options->config);
    if (options->repo_is_typed && needs_repo(command) && !words_say(words, size, "--repo"))
        put_option(text, "repo", options->repo);
    if (options->cluster_is_typed && needs_repo(command) && !words_say(words, size, "--cluster"))
        put_option(text, "cluster", options->cluster);
    if (!words_say(words, size, "--data"))
        put_data(completing, command, text);
}

/* The command's name, our options, the rest. */
static void put_ours(const Completing *completing, const char *words, size_t size)
{
    const Command *command = command_of(completing, words, size);
    Buffer *text = completing->text;

    if (command != NULL) {
        buffer_append(text, words, strlen(command->name));
        put_options(completing, command, words, size, text);
        size -= strlen(command->name);
        words += strlen(command->name);
    }
    buffer_append(text, words, size);
}

/* Between backticks. */
static void put_command(const Completing *completing, const char *words, size_t size)
{
    Buffer *text = completing->text;

    if (size > strlen(our_name) && strncmp(words, our_name, strlen(our_name)) == 0) {
        buffer_print(text, "%s", our_name);
        put_ours(completing, words + strlen(our_name), size - strlen(our_name));
        return;
    }
    if (*words == '/' && completing->options->acting_as != NULL)
        buffer_print(text, "runuser -u %s -- ", completing->options->acting_as);
    buffer_append(text, words, size);
}

/*
 * The server has an environment of its own, so its setting names the program by its path. In a
 * setting's value a quote is written twice, and in this one a percent sign (%p is the file).
 */
static void put_hook(const Completing *completing)
{
    const char *words = hook_name + strlen("'pgcairn ");
    CLEANUP(buffer_done) Buffer line = {0};
    Completing hook = *completing;

    hook.text = &line;
    shell_word_append(&line, completing->program);
    buffer_print(&line, " ");
    put_ours(&hook, words, strlen(words) - 1);
    buffer_print(completing->text, "'");
    for (size_t i = 0; i < line.size; i++) {
        const char twice[] = {(char)line.data[i], (char)line.data[i]};
        buffer_append(completing->text, twice, *twice == '\'' || *twice == '%' ? 2 : 1);
    }
    buffer_print(completing->text, " ");
}

/* One command, or one character; gives what follows it. */
static const char *put_next(const Completing *completing, const char *hint)
{
    const char *end = *hint == '`' ? strchr(hint + 1, '`') : NULL;

    if (end != NULL) {
        buffer_print(completing->text, "`");
        put_command(completing, hint + 1, (size_t)(end - hint - 1));
        buffer_print(completing->text, "`");
        return end + 1;
    }
    if (strncmp(hint, hook_name, strlen(hook_name)) == 0) {
        put_hook(completing);
        return hint + strlen(hook_name);
    }
    buffer_append(completing->text, hint, 1);
    return hint + 1;
}

const char *hint_complete_as(const Options *options, const char *hint, const char *program,
                             Arena *arena)
{
    CLEANUP(buffer_done) Buffer text = {0};
    const Completing completing = {options, program, &text};

    while (*hint != '\0')
        hint = put_next(&completing, hint);
    return arena_text_part(arena, (char *)text.data, text.size);
}

const char *hint_complete(const Options *options, const char *hint, Arena *arena)
{
    char program[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);

    program[size > 0 ? size : 0] = '\0';
    return hint_complete_as(options, hint, size > 0 ? program : "pgcairn", arena);
}
