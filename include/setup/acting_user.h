/*
 * acting_user.h - root becomes the owner, once, at the start.
 *
 * What a data directory, a repository or a spool holds can be made by whoever owns it, or by a role
 * of the database that may run programs. So nobody who works on it keeps root's rights: main()
 * calls this after the options are known and before the command opens, reads, lists or runs
 * anything of that user's. docs/security.md tells who is who.
 */
#pragma once

#include "cli/options.h"

/*
 * Does nothing unless we are root. Whose work it is, tells
 *   the data directory (--data), if the command was given one: its owner; where there is none yet
 *     (restore), --user, else the owner of the nearest directory above it;
 *   else the file of an archive-push, the destination of an archive-get: the owner of its folder;
 *   else the repository: its owner; where there is none yet (init), --user, else as above.
 * A repository of root's own that is worked on without a data directory leaves us root.
 *
 * Sets options->acting_as to the user's name and options->acting_because to whose it is, both NULL
 * when nothing changed. ERR_REFUSED: the data directory is root's (PostgreSQL does not run as
 * root),
 * --user is not its owner, or the way to it leads through what a third user owns (owner_find()).
 */
bool acting_user_become(const Command *command, Options *options, Error *err) MUST_CHECK;
