#include "command/commands.h"

#include "postgres/wal_name.h"

enum {
    GET_STOP = 255, /* It is above 125, so the server stops: docs/exit-codes.md. */
    STATUS_WARNING = 1,
    STATUS_CRITICAL = 2,
    STATUS_UNKNOWN = 3,
    PUSH_MAX = 125,
};

static const Command *command_find(const char *name)
{
    for (const Command *command = command_table; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

/* With segments of 1 MiB every name that any cluster can have is one. */
static bool is_wal_name(const char *text)
{
    Error ignored = {0}; /* any other text */
    WalName name;

    return wal_name_parse(text, 1 << 20, &name, &ignored);
}

/*
 * Is somebody calling, or trying to call, the server's restore_command? Nothing on the line may be
 * right: a misspelled command, an option in front, another command's name. archive-push gets a path
 * (%p), and no other command has an argument that is the name of a WAL file (%f). Wrongly answering
 * 255 costs a look at a message; wrongly answering 2 opens a database without its last commits.
 */
static bool is_get(int argc, char **argv)
{
    const Command *first = argc > 1 ? command_find(argv[1]) : NULL;

    if (first != NULL && first->bit == FOR_PUSH)
        return false;
    if (first != NULL && first->bit == FOR_GET)
        return true;
    for (int i = 1; i < argc; i++) {
        if (first != NULL && first->bit == FOR_QUARANTINE &&
            (strcmp(argv[i - 1], "--from") == 0 || strcmp(argv[i - 1], "--to") == 0))
            continue; /* the one command with an option that takes a segment's name */
        if ((first == NULL && strcmp(argv[i], "archive-get") == 0) || is_wal_name(argv[i]))
            return true;
    }
    return false;
}

/*
 * RestoreArchivedFile() in xlogarchive.c: 0 is "here it is", 1 to 125 "there is no such file",
 * which ends recovery. So "not there" is 1, and all that is not known to be that is 255. Help is a
 * success for people, but no file has been handed over when the server asks with a name.
 */
static int get_status(int argc, const Options *options, bool ok, const Error *err)
{
    if (ok && options->help)
        return argc > 3 ? GET_STOP : 0;
    if (ok)
        return 0;
    return err->code == ERR_ABSENT ? ERR_ABSENT : GET_STOP;
}

/* Whoever watches calls this one, whatever else is wrong on the line. */
static bool is_status(int argc, char **argv)
{
    const Command *first = argc > 1 ? command_find(argv[1]) : NULL;

    if (first != NULL)
        return first->bit == FOR_STATUS;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "status") == 0)
            return true;
    }
    return false;
}

/*
 * As monitoring plugins answer: an error is neither OK nor a warning, it means that nothing is
 * known. 1 and 2 are said only by a look that succeeded.
 */
static int status_status(bool ok, const Error *err)
{
    if (ok)
        return 0;
    if (err->code == ERR_WARNING)
        return STATUS_WARNING;
    return err->code == ERR_CRITICAL ? STATUS_CRITICAL : STATUS_UNKNOWN;
}

int command_exit_status(int argc, char **argv, const Options *options, bool ok, const Error *err)
{
    if (is_get(argc, argv))
        return get_status(argc, options, ok, err);
    if (is_status(argc, argv))
        return status_status(ok, err);
    if (ok)
        return 0;
    /* 1 is an answer of archive-get alone; no code at all is a bug. */
    if (err->code == ERR_NONE || err->code == ERR_ABSENT || (int)err->code > PUSH_MAX)
        return ERR_INTERNAL;
    return (int)err->code;
}
