#include "cli/options.h"

#include "option_value.h"

#include "base/buffer.h"
#include "cli/output.h"

#include <unistd.h>

enum { WIDTH_MIN = 80, WIDTH_MAX = 100, HELP_COLUMN = 28 };

static const char *const headings[GROUP_COUNT] = {
    [GROUP_ARGUMENTS] = "Arguments",
    [GROUP_CLUSTER] = "Repository and cluster",
    [GROUP_BACKUP] = "What to back up, and how",
    [GROUP_WAL] = "WAL",
    [GROUP_TARGET] = "Recovery target",
    [GROUP_RESTORE] = "What to restore, and where to",
    [GROUP_START] = "Starting and watching",
    [GROUP_DUTIES] = "Duties",
    [GROUP_KEEP] = "What is kept",
    [GROUP_WORK] = "Work",
    [GROUP_OUTPUT] = "General",
};

static int help_width(void)
{
    size_t columns = out_terminal_width(STDOUT_FILENO);

    if (columns < WIDTH_MIN)
        return WIDTH_MIN;
    return columns < WIDTH_MAX ? (int)columns : WIDTH_MAX;
}

/* Words of text, the first at column `at` already, the next lines from column `indent`. */
static void print_wrapped(const char *text, int at, int indent)
{
    const int end = help_width();

    while (*text != '\0') {
        int size = (int)strcspn(text, " ");
        if (at > indent && at + 1 + size > end) {
            printf("\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            (void)putchar(' ');
            at++;
        }
        printf("%.*s", size, text);
        at += size;
        text += size;
        text += strspn(text, " ");
    }
    (void)putchar('\n');
}

/* "--checkpoint=fast|spread" */
static void format_name(const Option *option, Buffer *name)
{
    buffer_print(name, "  %s%s", option->positional ? "" : "--", option->name);
    if (option->choices != NULL) {
        for (const char *const *choice = option->choices; *choice != NULL; choice++)
            buffer_print(name, "%s%s", choice == option->choices ? "=" : "|", *choice);
    } else if (option->value != NULL) {
        buffer_print(name, "=%s", option->value);
    }
}

static void help_option(const Option *option, const Command *command)
{
    CLEANUP(buffer_done) Buffer name = {0};
    CLEANUP(buffer_done) Buffer help = {0};

    format_name(option, &name);
    buffer_print(&help, "%s", option->help);
    if ((option->required & command->bit) != 0 && !option->positional)
        buffer_print(&help, " (required)");
    if (option->fallback != NULL && strcmp(option->fallback, "0") != 0)
        buffer_print(&help, " (default %s)", option->fallback);

    printf("%s", (const char *)name.data);
    if (name.size + 2 > HELP_COLUMN) {
        (void)putchar('\n');
        name.size = 0;
    }
    printf("%*s", HELP_COLUMN - (int)name.size, "");
    print_wrapped((const char *)help.data, HELP_COLUMN, HELP_COLUMN);
}

static void help_group(const Command *command, OptionGroup group)
{
    bool has_heading = false;

    for (const Option *option = option_table; option->name != NULL; option++) {
        if (option->group != group || !option_belongs(option, command))
            continue;
        if (!has_heading)
            printf("\n%s:\n", headings[group]);
        has_heading = true;
        help_option(option, command);
    }
}

/* Paragraphs are wrapped; lines that begin with a blank (examples) stay as they are. */
static void print_details(const char *text)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        CLEANUP(buffer_done) Buffer line = {0};

        buffer_print(&line, "%.*s", (int)size, text);
        if (size == 0 || *text == ' ') {
            printf("%s\n", (const char *)line.data);
        } else {
            print_wrapped((const char *)line.data, 0, 0);
        }
        text += size;
        text += *text == '\n' ? 1 : 0;
    }
}

static void help_command(const Command *command)
{
    printf("pgcairn %s - %s\n\n", command->name, command->help);
    printf("Usage: pgcairn %s %s\n\n", command->name, command->synopsis);
    print_details(command->details);
    for (int group = 0; group < GROUP_COUNT; group++)
        help_group(command, (OptionGroup)group);
    (void)putchar('\n');
    print_wrapped(
        "Every option but those that destroy can also be set by PGCAIRN_NAME_OF_OPTION in "
        "the environment or as \"name-of-option = value\" in the configuration file; the "
        "command line wins. Sizes are written 512KiB, 20MiB or 1GiB, durations 500ms, 30s, "
        "5min or 2h.",
        0, 0);
    print_wrapped("Exit status 0 means done; docs/exit-codes.md tells the others.", 0, 0);
}

static void help_all(const Command *commands)
{
    printf("pgcairn " PGCAIRN_VERSION " - backup and point-in-time recovery for PostgreSQL\n\n"
           "Usage: pgcairn COMMAND [OPTION]...\n\n"
           "Commands:\n");
    for (const Command *command = commands; command->name != NULL; command++)
        printf("  %-14s %s\n", command->name, command->help);
    printf("\nBegin with:\n"
           "  pgcairn init   --repo=/backup/pg --data=/var/lib/postgresql/15/main\n"
           "  pgcairn backup --repo=/backup/pg --data=/var/lib/postgresql/15/main\n"
           "  pgcairn list   --repo=/backup/pg\n\n"
           "`pgcairn COMMAND --help` explains one command, `pgcairn --version` tells the version.\n"
           "Exit status 0 means done; docs/exit-codes.md says what the others mean for your "
           "data.\n");
}

void options_help(const Command *commands, const Command *command)
{
    if (command != NULL) {
        help_command(command);
    } else {
        help_all(commands);
    }
}
