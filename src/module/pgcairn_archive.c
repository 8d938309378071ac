/*
 * pgcairn_archive.c - the archive_library: WAL segments go to a pgcairn process that stays.
 *
 * The server's archiver loads it (15 and later; manual, "Archive Modules"). Nothing of the tool
 * runs in that process: no thread, no abort, no memory of ours. For each file a line is written to
 * a child, `pgcairn archive-push --requests`, and its line is the answer: "0" once the file is
 * durable in the repository, else an exit status and why. Whatever goes wrong is a warning in the
 * server's log and a false to the archiver, which keeps the file and comes again.
 *
 * No function here may raise an error: 15 and 16 would end the archiver (pgarch.c).
 */
#include <postgres.h>

#include <errno.h>
#include <fcntl.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <signal.h>
#include <spawn.h>
#include <storage/latch.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utils/guc.h>
#include <utils/wait_event.h>

#if PG_VERSION_NUM >= 160000
#include <archive/archive_module.h>
#else
#include <postmaster/pgarch.h>
#endif

#if PG_VERSION_NUM < 150000
#error "archive modules exist from PostgreSQL 15 on"
#endif

PG_MODULE_MAGIC;

#ifndef PGCAIRN_PROGRAM
#define_settings PGCAIRN_PROGRAM "pgcairn"
#endif

enum {
    ANSWER_MAX = 2048,
    PATH_MAX_HERE = MAXPGPATH + 2,
    SETTINGS = 4, /* The child gets this many on its command line. */
    ENDING_MS = 10000,
    GIVING_UP_MS = ENDING_MS + 2000,
};

void _PG_init(void);

static char *program, *repository, *cluster, *config;

typedef struct Child {
    pid_t pid; /* 0 means that there is none. */
    int channel;
    char settings[SETTINGS][MAXPGPATH]; /* The child was started with these. */
    char answer[ANSWER_MAX];            /* The child has answered this much of its line so far. */
    size_t got;
    bool owes; /* A question was sent, and its answer was not read yet. */
} Child;

/* One archiver, one child. */
static Child child = {.channel = -1};

static const char *archive_setting(int i)
{
    const char *const all[SETTINGS] = {program, repository, cluster, config};

    return all[i] != NULL ? all[i] : "";
}

static void note_end(int status, const char *what)
{
    if (WIFSIGNALED(status)) {
        ereport(WARNING, (errmsg("pgcairn %s: it was ended by signal %d", what, WTERMSIG(status))));
    } else {
        ereport(WARNING, (errmsg("pgcairn %s: it ended with status %d", what, WEXITSTATUS(status)),
                          WEXITSTATUS(status) == 127
                              ? errhint("Is \"%s\" there? Set pgcairn.program.", archive_setting(0))
                              : 0));
    }
}

/*
 * End of its input is what tells it to go; one that does not is sent SIGTERM, then SIGKILL. One
 * that survives that hangs in the kernel, as on a network file system that is away: it is not
 * waited for, or the server could not stop before it is back.
 */
static void child_end(const char *why)
{
    int status = 0;
    pid_t ended = 0;

    if (child.channel >= 0)
        (void)close(child.channel);
    child.channel = -1;
    for (int waited = 0; child.pid != 0 && ended == 0 && waited < GIVING_UP_MS; waited += 10) {
        ended = waitpid(child.pid, &status, WNOHANG);
        if (ended != 0)
            break;
        if (waited == ENDING_MS / 2)
            (void)kill(child.pid, SIGTERM);
        if (waited == ENDING_MS)
            (void)kill(child.pid, SIGKILL);
        pg_usleep(10000);
    }
    if (child.pid != 0 && ended == 0) {
        ereport(WARNING,
                (errmsg("pgcairn: process %d does not end, and is left alone", (int)child.pid)));
    } else if (ended == child.pid && ended != 0 && why != NULL) {
        note_end(status, why);
    }
    child.pid = 0;
    child.got = 0;
    child.owes = false;
}

static int spawn_tool(int channel)
{
    char arguments[SETTINGS][MAXPGPATH + 16];
    char *argv[SETTINGS + 4];
    int count = 0;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    argv[count++] = child.settings[0];
    argv[count++] = "archive-push";
    argv[count++] = "--requests";
    for (int i = 1; i < SETTINGS; i++) {
        static const char *const names[] = {NULL, "repo", "cluster", "config"};
        if (child.settings[i][0] == '\0')
            continue;
        snprintf(arguments[i], sizeof arguments[i], "--%s=%s", names[i], child.settings[i]);
        argv[count++] = arguments[i];
    }
    argv[count] = NULL;

    /* The server blocks and handles signals, and has files open that are not for others. */
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    int failed =
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (failed == 0)
        failed = posix_spawnattr_setsigmask(&attributes, &none);
    if (failed == 0)
        failed = posix_spawnattr_setsigdefault(&attributes, &all);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(&files, channel, STDIN_FILENO);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(&files, channel, STDOUT_FILENO);
    if (failed == 0)
        failed = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    if (failed == 0)
        failed = posix_spawnp(&child.pid, argv[0], &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static bool child_start(void)
{
    int ends[2];
    int failed;

    for (int i = 0; i < SETTINGS; i++) {
        if (strlen(archive_setting(i)) >= sizeof child.settings[i]) {
            ereport(WARNING, (errmsg("a setting of pgcairn is too long")));
            return false;
        }
        snprintf(child.settings[i], sizeof child.settings[i], "%s", archive_setting(i));
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        ereport(WARNING, (errmsg("could not create a socket to pgcairn: %m")));
        return false;
    }
    failed = spawn_tool(ends[1]);
    (void)close(ends[1]);
    if (failed != 0) {
        (void)close(ends[0]);
        child.pid = 0;
        errno = failed;
        ereport(WARNING, (errmsg("could not start \"%s\": %m", archive_setting(0)),
                          errhint("Set pgcairn.program to where it is.")));
        return false;
    }
    child.channel = ends[0];
    child.got = 0;
    return true;
}

static bool is_as_configured(void)
{
    for (int i = 0; i < SETTINGS; i++) {
        if (strcmp(child.settings[i], archive_setting(i)) != 0)
            return false;
    }
    return true;
}

static bool send_all(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(child.channel, text, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        text += sent;
        size -= (size_t)sent;
    }
    return true;
}

/*
 * Until the line is whole; false when the child is gone. The archiver's latch is what wakes it up
 * for a shutdown: it is set again at the end, since the archiver has not seen it yet
 * (pgarch_MainLoop sleeps up to a minute otherwise).
 */
static bool receive_line(void)
{
    bool was_set = false;
    bool is_whole = false;

    for (;;) {
        int events =
            WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH,
                              child.channel, -1, PG_WAIT_EXTENSION);
        if ((events & WL_LATCH_SET) != 0) {
            ResetLatch(MyLatch);
            was_set = true;
            CHECK_FOR_INTERRUPTS();
        }
        if ((events & WL_SOCKET_READABLE) == 0)
            continue;
        ssize_t got = recv(child.channel, child.answer + child.got, ANSWER_MAX - 1 - child.got, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        child.got += (size_t)got;
        child.answer[child.got] = '\0';
        is_whole = strchr(child.answer, '\n') != NULL;
        if (is_whole || child.got == ANSWER_MAX - 1)
            break;
    }
    if (was_set)
        SetLatch(MyLatch);
    return is_whole;
}

/*
 * Whether nothing came that was not asked for. An answer that is still under way, since the
 * archiver was thrown out of its waiting by an error, would else be taken for that of the next
 * file.
 */
static bool is_in_step(void)
{
    char byte;

    return !child.owes && recv(child.channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* "STATUS[ TEXT]\n". What is not that, and nothing else, is not a success. */
static bool archive_judge(const char *file)
{
    size_t size = strcspn(child.answer, "\n");
    bool is_alone = size + 1 == child.got;
    char *rest;
    long status = strtol(child.answer, &rest, 10);

    child.answer[size] = '\0';
    child.got = 0;
    child.owes = false;
    if (!is_alone) {
        ereport(
            WARNING,
            (errmsg("pgcairn could not archive \"%s\": it printed more than its answer", file)));
        child_end(NULL);
        return false;
    }
    if (rest != child.answer && status == 0 && *rest == '\0')
        return true;
    ereport(WARNING, (errmsg("pgcairn could not archive \"%s\": %s", file,
                             *rest == ' ' ? rest + 1 : child.answer)));
    return false;
}

static bool archive_one(const char *file, const char *path)
{
    char question[PATH_MAX_HERE];
    int size = snprintf(question, sizeof question, "%s\n", path);

    if (child.pid != 0 && (!is_as_configured() || !is_in_step()))
        child_end(NULL);
    /* One that ended since the last file is noticed only now: another gets one chance. */
    for (bool is_fresh = false;; is_fresh = true) {
        is_fresh = is_fresh || child.pid == 0;
        if (child.pid == 0 && !child_start())
            return false;
        child.got = 0;
        child.owes = true;
        if (send_all(question, (size_t)size) && receive_line())
            return archive_judge(file);
        child_end(is_fresh ? "gave no answer" : NULL);
        if (is_fresh)
            return false;
    }
}

#if PG_VERSION_NUM >= 160000

static bool check_configured(ArchiveModuleState *state)
{
    return archive_setting(0)[0] != '\0';
}

static bool archive_file(ArchiveModuleState *state, const char *file, const char *path)
{
    return archive_one(file, path);
}

static void shut_down(ArchiveModuleState *state)
{
    child_end(NULL);
}

const ArchiveModuleCallbacks *_PG_archive_module_init(void)
{
    static const ArchiveModuleCallbacks callbacks = {
        .check_configured_cb = check_configured,
        .archive_file_cb = archive_file,
        .shutdown_cb = shut_down,
    };

    return &callbacks;
}

#else

static bool check_configured(void)
{
    return archive_setting(0)[0] != '\0';
}

static void shut_down(void)
{
    child_end(NULL);
}

void _PG_archive_module_init(ArchiveModuleCallbacks *callbacks);

void _PG_archive_module_init(ArchiveModuleCallbacks *callbacks)
{
    callbacks->check_configured_cb = check_configured;
    callbacks->archive_file_cb = archive_one;
    callbacks->shutdown_cb = shut_down;
}

#endif

static void define_settings(const char *name, const char *what, const char *more, char **value,
                            const char *initial)
{
    DefineCustomStringVariable(name, what, more, value, initial, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

void _PG_init(void)
{
    define_settings("pgcairn.program", "The pgcairn program that stores WAL.",
                    "A path, or a name to be found on the server's PATH.", &program,
                    PGCAIRN_PROGRAM);
    define_settings("pgcairn.repo", "Address of the repository.",
                    "Empty: what pgcairn's configuration file says.", &repository, "");
    define_settings("pgcairn.cluster", "What the repository calls this cluster.",
                    "Empty: what pgcairn's configuration file says, or main.", &cluster, "");
    define_settings("pgcairn.config", "Configuration file of pgcairn.",
                    "Empty: /etc/pgcairn.conf, if it is there.", &config, "");
    MarkGUCPrefixReserved("pgcairn");
}
