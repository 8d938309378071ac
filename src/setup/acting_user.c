#include "setup/acting_user.h"

#include "base/log.h"
#include "base/owner.h"
#include "base/shell_word.h"

#include <string.h>
#include <unistd.h>

/* What says whose work a command does. */
typedef struct Subject {
    const char *path;
    const char *what; /* for messages: "data directory" */
    bool is_cluster;  /* a server runs there, or is to: never as root */
} Subject;

static const char *folder_of(const char *path, Arena *arena)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return ".";
    return slash == path ? "/" : arena_text_part(arena, path, (size_t)(slash - path));
}

/* The one kind of address that is a place on this host. */
static const char *local_path(const char *address)
{
    static const char scheme[] = "file://";

    if (strncmp(address, scheme, strlen(scheme)) == 0)
        return address + strlen(scheme);
    return strstr(address, "://") == NULL ? address : NULL;
}

static Subject find_subject(const Command *command, Options *options)
{
    const bool is_hook = (command->bit & (FOR_PUSH | FOR_GET)) != 0;

    if (options->data != NULL)
        return (Subject){options->data, "data directory", true};
    if (is_hook) {
        const char *file = options->wal_path != NULL ? options->wal_path : "./";
        return (Subject){folder_of(file, &options->arena), "folder of the WAL file", true};
    }
    return (Subject){options->repo != NULL ? local_path(options->repo) : NULL, "repository", false};
}

static bool refuse_root(const Subject *subject, bool is_there, Error *err)
{
    CLEANUP(text_freep) char *path = shell_word(subject->path);

    if (is_there) {
        error_set(err, ERR_REFUSED, "the %s %s belongs to root: PostgreSQL does not run as root",
                  subject->what, subject->path);
        return error_hint(err, "give it to the user that the server runs as: `chown postgres: %s`",
                          path);
    }
    error_set(err, ERR_REFUSED,
              "%s is not there yet, and what is above it belongs to root: whose is it to be?",
              subject->path);
    return error_hint(err,
                      "`install -d -o postgres -g postgres -m 0700 %s` (or the user that the "
                      "server runs as), then run this again",
                      path);
}

static bool refuse_other(const Subject *subject, const Account *owner, const char *wanted,
                         Error *err)
{
    error_set(err, ERR_REFUSED, "the %s %s belongs to user %s, not to %s", subject->what,
              subject->path, owner->name, wanted);
    return error_hint(err, "leave out --user: its owner does the work");
}

/* --user counts where there is nothing yet that says whose it is. */
static bool choose(const Subject *subject, const DirectoryOwner *owner, Options *options,
                   Account *account, Error *err)
{
    Account wanted;

    if (!account_find(owner->uid, owner->uid, &options->arena, account, err))
        return false;
    if (options->user == NULL)
        return true;
    if (!account_find_name(options->user, &options->arena, &wanted, err))
        return error_context(err, "--user=%s", options->user);
    if (owner->is_there && owner->uid != 0 && wanted.uid != owner->uid)
        return refuse_other(subject, account, options->user, err);
    *account = wanted;
    return true;
}

static const char *because(const Subject *subject, const DirectoryOwner *owner, Options *options)
{
    if (options->user != NULL)
        return "--user";
    if (owner->is_there)
        return arena_format(&options->arena, "the owner of the %s", subject->what);
    return arena_format(&options->arena, "the owner of %s", owner->parent);
}

/*
 * A repository of root's own holds nothing of anybody else's, so root may read it. But whoever asks
 * a server where its files are, and reads those, must not do so as root.
 */
static bool stay_root(const Command *command, const Subject *subject, bool is_there, Error *err)
{
    if (subject->is_cluster)
        return refuse_root(subject, is_there, err);
    if ((command->bit & (FOR_BACKUP | FOR_STATUS | FOR_RECEIVE)) == 0)
        return true;
    error_set(err, ERR_REFUSED,
              "root does not work on a server's files: whose is the server that %s is to ask?",
              command->name);
    return error_hint(err,
                      "name its data directory with --data, whose owner then does the work, or "
                      "the user with --user=NAME");
}

static bool become(const Command *command, const Subject *subject, Options *options, Error *err)
{
    DirectoryOwner owner;
    Account account;

    if (!owner_find(subject->path, &options->arena, &owner, err) ||
        !choose(subject, &owner, options, &account, err))
        return false;
    if (account.uid == 0)
        return stay_root(command, subject, owner.is_there, err);
    if (!account_become(&account, err))
        return false;
    options->acting_as = account.name;
    options->acting_because = because(subject, &owner, options);
    log_debug("working as another user than root", log_str("user", options->acting_as),
              log_str("because", options->acting_because));
    return true;
}

static bool check_user(Options *options, Error *err)
{
    Account wanted;

    if (options->user == NULL)
        return true;
    if (!account_find_name(options->user, &options->arena, &wanted, err))
        return error_context(err, "--user=%s", options->user);
    if (wanted.uid == geteuid())
        return true;
    error_set(err, ERR_REFUSED, "only root can work for another user, %s", options->user);
    return error_hint(err, "run this as %s, or as root", options->user);
}

bool acting_user_become(const Command *command, Options *options, Error *err)
{
    if (geteuid() != 0)
        return check_user(options, err);
    Subject subject = find_subject(command, options);
    if (subject.path == NULL)
        return true;
    return become(command, &subject, options, err) ||
           error_context(err, "find out whose work this is");
}
