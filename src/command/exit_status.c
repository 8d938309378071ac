#include "command/commands.h"

enum {
    GET_STOP = 255, /* above 125: the server stops, docs/exit-codes.md */
    PUSH_MAX = 125,
};

static const Command *find(const char *name)
{
    for (const Command *command = command_table; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

/*
 * Is somebody calling, or trying to call, the server's restore_command? Whatever is wrong with the
 * rest of the line. When the first word is no command ("archive_get", or an option), any later
 * word that is the name counts, and so does a call that looks like one: two arguments behind a word
 * that has "get" in it. Wrongly answering 255 costs a look at a message; wrongly answering 2 opens
 * a database without its last commits.
 */
static bool is_get(int argc, char **argv)
{
    const Command *first = argc > 1 ? find(argv[1]) : NULL;

    if (first != NULL)
        return first->bit == FOR_GET;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "archive-get") == 0)
            return true;
    }
    return argc > 1 && strstr(argv[1], "get") != NULL;
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

int command_exit_status(int argc, char **argv, const Options *options, bool ok, const Error *err)
{
    if (is_get(argc, argv))
        return get_status(argc, options, ok, err);
    if (ok)
        return 0;
    /* 1 is an answer of archive-get alone; no code at all is a bug. */
    if (err->code == ERR_NONE || err->code == ERR_ABSENT || (int)err->code > PUSH_MAX)
        return ERR_INTERNAL;
    return (int)err->code;
}
