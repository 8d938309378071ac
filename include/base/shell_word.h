/*
 * shell_word.h - words of a command line that somebody is to type, or a shell to run.
 *
 * Names of files can hold blanks and quotes. A command that is shown quotes them where it must, so
 * that it can be pasted as it stands:
 *
 *     CLEANUP(text_freep) char *word = shell_word(data);
 *     return error_hint(err, "stop it first: pg_ctl stop -D %s", word);
 */
#pragma once

#include "base/buffer.h"
#include "base/memory.h"

/* One word: as it is when a shell takes it so, else between single quotes. */
void shell_word_append(Buffer *line, const char *word);

/* The same as a text of its own; never NULL. Freed by the caller (text_freep). */
char *shell_word(const char *word);

/*
 * The next word of a command, as a shell would take it: quotes and backslashes are gone, variables
 * and the like stay as they are written; what parts commands (";", "|", "&", brackets) parts words.
 * NULL: there is none. *rest goes on after it. In the arena.
 */
const char *shell_word_next(const char **rest, Arena *arena);
