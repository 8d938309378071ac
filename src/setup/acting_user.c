#include "setup/acting_user.h"

#include "base/log.h"
#include "base/owner.h"
#include "base/shell_word.h"
#include "base/tree.h"
#include "rebuild/empty_directory.h"
#include "replace/data_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What says whose work a command does. */
typedef struct Subject {
    const char *path;
    const char *what; /* Messages show it, for example "data directory". */
    bool is_cluster;  /* A server runs there, or is to run there, so it is never done as root. */
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
    if (options->scratch != NULL && !options->list && options->show == NULL)
        return (Subject){options->scratch, "scratch directory", true};
    if (is_hook) {
        const char *file = options->wal_path != NULL ? options->wal_path : "./";
        return (Subject){folder_of(file, &options->arena), "folder of the WAL file", true};
    }
    return (Subject){options->repo != NULL ? local_path(options->repo) : NULL, "repository", false};
}

/* Only what is a server's, or is to be: a wrong path must not cost the system a directory of its
 * own. */
static bool may_be_given(const char *path)
{
    CLEANUP(text_freep) char *version = text_format("%s/PG_VERSION", path);
    bool is_empty = false;
    Error unknown = {0};

    return access(version, F_OK) == 0 ||
           (directory_is_empty(path, &is_empty, &unknown) && is_empty);
}

static bool hint_where_data_is(Error *err)
{
    return error_hint(err, "name the data directory of a cluster: SHOW data_directory tells it, on "
                           "Debian pg_lsclusters");
}

static bool refuse_root(const Subject *subject, bool is_there, Error *err)
{
    CLEANUP(text_freep) char *path = shell_word(subject->path);

    if (is_there) {
        error_set(err, ERR_REFUSED, "the %s %s belongs to root: PostgreSQL does not run as root",
                  subject->what, subject->path);
        if (!may_be_given(subject->path))
            return hint_where_data_is(err);
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

static bool choose_account(const Subject *subject, const DirectoryOwner *owner, Options *options,
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

static const char *account_reason(const Subject *subject, const DirectoryOwner *owner,
                                  Options *options)
{
    if (options->user != NULL)
        return "--user";
    if (owner->is_there)
        return arena_format(&options->arena, "the owner of the %s", subject->what);
    return arena_format(&options->arena, "the owner of %s", owner->parent);
}

static bool refuse_to_stay(const char *part, const char *why, Error *err)
{
    error_set(err, ERR_REFUSED, "root does not work on what others can change: %s %s", part, why);
    return error_hint(err, "say who does the work: --user=NAME, who must be able to read it (to "
                           "write it, where something is stored)");
}

static const char *why_foreign(const struct stat *found)
{
    if (found->st_uid != 0)
        return "belongs to another user";
    if (S_ISLNK(found->st_mode))
        return "is a symbolic link";
    return (found->st_mode & S_IWOTH) != 0 ||
                   ((found->st_mode & S_IWGRP) != 0 && found->st_gid != 0)
               ? "can be written by others"
               : NULL;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is a TreeVisit */
static bool must_be_roots(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    const char *why = why_foreign(&entry->found);

    (void)context;
    (void)descends;
    return why == NULL || refuse_to_stay(entry->path, why, err);
}

/* Nobody but root can change the way there, so what is resolved stays so. */
static bool check_all_is_roots(const char *path, Error *err)
{
    const TreeVisitor visitor = {.before = must_be_roots};
    char *real = realpath(path, NULL);

    if (real == NULL)
        return error_set_errno(err, ERR_IO, errno, "find %s", path);
    bool ok = tree_walk(real, &visitor, err);
    free(real);
    return ok;
}

/*
 * A repository in which everything is root's own holds nothing of anybody else's, so root may read
 * it. But whoever asks a server where its files are, and reads those, must not do so as root.
 */
static bool stay_root(const Command *command, const Subject *subject, const DirectoryOwner *owner,
                      Error *err)
{
    if (subject->is_cluster)
        return refuse_root(subject, owner->is_there, err);
    if ((command->bit & (FOR_BACKUP | FOR_STATUS | FOR_RECEIVE)) == 0) {
        if (owner->shared != NULL)
            return refuse_to_stay(owner->shared, "can be written by others", err);
        return !owner->is_there || check_all_is_roots(subject->path, err);
    }
    error_set(err, ERR_REFUSED,
              "root does not work on a server's files: whose is the server that %s is to ask?",
              command->name);
    return error_hint(err,
                      "name its data directory with --data, whose owner then does the work, or "
                      "the user with --user=NAME");
}

/* Whoever can write the configuration decides what is done: not as somebody else. */
static bool check_configuration(const Options *options, const Account *account, Error *err)
{
    if (options->config_owner == 0 || options->config_owner == account->uid)
        return true;
    CLEANUP(text_freep) char *file = shell_word(options->config_file);
    error_set(err, ERR_REFUSED,
              "the configuration file %s belongs to user number %u, who would decide what is done "
              "as %s",
              options->config_file, (unsigned)options->config_owner, account->name);
    return error_hint(err,
                      "let root own it: chown root: %s (and let those read it who need it: "
                      "chgrp, chmod 640)",
                      file);
}

/* The first of the paths given that is none without the directory that we are in, or NULL. */
static const char *relative_path(const Options *options)
{
    const char *paths[] = {
        options->data,      options->repo != NULL ? local_path(options->repo) : NULL,
        options->wal_path,  options->spool,
        options->wal_spool, options->pg_bin,
        options->socket,    options->server_log,
        options->scratch,   options->probes};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (paths[i] != NULL && paths[i][0] != '/')
            return paths[i];
    }
    return NULL;
}

/*
 * Where the account may not be, as in /root, programs that we start would fail. A relative path
 * can't be followed from there, and must not come to mean something else.
 */
static bool leave_roots_directory(const Options *options, const Account *account, Error *err)
{
    const char *path = relative_path(options);

    if (access(".", R_OK | X_OK) == 0)
        return true;
    if (path != NULL) {
        error_set(err, ERR_REFUSED, "user %s may not enter the directory that %s begins in",
                  account->name, path);
        return error_hint(err, "give the whole path, from / on");
    }
    return chdir("/") == 0 || error_set_errno(err, ERR_IO, errno, "enter /");
}

/* Of a path with a mistake in it nobody is to be asked whose it should be. */
static bool needs_data(const Command *command, const Options *options)
{
    return options->data != NULL &&
           (command->bit & (FOR_BACKUP | FOR_WATCH | FOR_PROMOTE | FOR_ADVANCE | FOR_INIT)) != 0;
}

static bool refuse_missing(const Options *options, Error *err)
{
    error_set(err, ERR_NOT_FOUND, "there is no directory %s", options->data);
    return hint_where_data_is(err);
}

static bool become_account(const Command *command, const Subject *subject, Options *options,
                           Error *err)
{
    DirectoryOwner owner;
    Account account;

    if (!owner_find(subject->path, &options->arena, &owner, err))
        return false;
    if (!owner.is_there && needs_data(command, options))
        return refuse_missing(options, err);
    if (!choose_account(subject, &owner, options, &account, err) ||
        !check_configuration(options, &account, err))
        return false;
    if (account.uid == 0)
        return stay_root(command, subject, &owner, err);
    if (!account_become(&account, err) || !leave_roots_directory(options, &account, err))
        return false;
    options->acting_as = account.name;
    options->acting_because = account_reason(subject, &owner, options);
    log_debug("working as another user than root", log_str("user", options->acting_as),
              log_str("because", options->acting_because));
    return true;
}

static bool anybody_may_make(const DirectoryOwner *owner)
{
    struct stat found;

    return !owner->is_there && owner->uid == 0 && stat(owner->parent, &found) == 0 &&
           (found.st_mode & S_IWOTH) != 0;
}

/*
 * A drill's place that is not there yet, where anybody may make one, as in /var/tmp: whose it is to
 * be tells the repository.
 */
static bool scratch_by_repository(Options *options, Subject *subject, Error *err)
{
    const char *repo = options->repo != NULL ? local_path(options->repo) : NULL;
    DirectoryOwner owner, of_repo;

    if (subject->path != options->scratch || options->user != NULL || repo == NULL)
        return true;
    if (!owner_find(subject->path, &options->arena, &owner, err))
        return false;
    if (!anybody_may_make(&owner))
        return true;
    if (!owner_find(repo, &options->arena, &of_repo, err))
        return false;
    if (of_repo.is_there && of_repo.uid != 0)
        *subject = (Subject){repo, "repository", true};
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
    if (geteuid() != 0) {
        if (needs_data(command, options) && access(options->data, F_OK) != 0 && errno == ENOENT)
            return refuse_missing(options, err);
        return check_user(options, err);
    }
    Subject subject = find_subject(command, options);
    if (subject.path == NULL)
        return true;
    return (scratch_by_repository(options, &subject, err) &&
            become_account(command, &subject, options, err)) ||
           error_context(err, "find out whose work this is");
}
