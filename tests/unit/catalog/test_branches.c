#include "catalog/branches.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/*
 * Histories, drawn: a line for each timeline, a column for each place in the WAL.
 *
 *   a-z  a commit; the letters come in the order of their times (and are their xids)
 *   A-Z  the end of a base backup, taken just after the commit of that letter
 *   !    PREPARE TRANSACTION, of which nothing more is there; later than all commits
 *   -    WAL without a commit
 *   1-9  where this timeline left that one; nothing after it: a history without WAL
 *
 * "4*" is a timeline that the archive does not know. A backup before everything is always there.
 */
enum { TIMELINES_MAX = 9, STEP = 0x100, COLUMNS_MAX = 64 };

typedef struct Drawing {
    uint32_t timeline;
    bool is_unknown;
    uint32_t parent; /* 0: none */
    size_t fork;     /* column */
    size_t end;      /* after the last column */
    char columns[COLUMNS_MAX];
    TimelinePath path;
} Drawing;

typedef struct World {
    Drawing drawings[TIMELINES_MAX];
    size_t count;
    BackupInfo backups[COLUMNS_MAX];
    size_t backup_count;
    BranchList list;
    Arena arena;
} World;

static void world_done(World *world)
{
    branch_list_done(&world->list);
    arena_done(&world->arena);
}

static Lsn lsn_of(size_t column)
{
    return (column + 1) * STEP;
}

static bool is_commit(char c)
{
    return c >= 'a' && c <= 'z';
}

static TimeUs time_of(char c)
{
    return 10 * ((c | 0x20) - 'a' + 1) + (c < 'a' ? 5 : 0);
}

static const Drawing *find(const World *world, uint32_t timeline)
{
    for (size_t i = 0; i < world->count; i++) {
        if (world->drawings[i].timeline == timeline)
            return &world->drawings[i];
    }
    fail_msg("timeline %u is not drawn", timeline);
    return NULL;
}

/* The lines of a history file. */
static const char *history_of(World *world, const Drawing *drawing)
{
    if (drawing->parent == 0)
        return "";
    return arena_format(&world->arena, "%s%u\t0/%zX\n",
                        history_of(world, find(world, drawing->parent)), drawing->parent,
                        (size_t)lsn_of(drawing->fork));
}

static void draw(World *world, const char *line, size_t size)
{
    Drawing *drawing = &world->drawings[world->count++];
    const char *bar = memchr(line, '|', size);
    Error err = {0};

    assert_non_null(bar);
    drawing->timeline = (uint32_t)strtoul(line, NULL, 10);
    drawing->is_unknown = bar[-1] == '*';
    for (const char *at = bar + 1; at < line + size; at++) {
        size_t column = (size_t)(at - bar - 1);

        drawing->columns[column] = *at == ' ' ? '\0' : *at;
        if (*at >= '1' && *at <= '9') {
            drawing->parent = (uint32_t)(*at - '0');
            drawing->fork = column;
            drawing->columns[column] = '\0';
        } else if (*at != ' ') {
            drawing->end = column + 1;
        }
    }
    assert_true(timeline_path_parse(drawing->timeline, history_of(world, drawing), &world->arena,
                                    &drawing->path, &err));
}

/* What stands in a column along a path: 0 when there is no WAL. */
static char at_column(const World *world, const TimelinePath *path, size_t column)
{
    const Drawing *drawing = find(world, path_step_at(path, lsn_of(column))->timeline);

    return drawing->columns[column];
}

static void add_backups(World *world, const Drawing *drawing)
{
    world->backups[world->backup_count++] =
        (BackupInfo){.header = {.timeline = 1, .start = 1, .stop = 2, .stopped_at = 1}};
    for (size_t column = 0; column < drawing->end; column++) {
        char c = drawing->columns[column];

        if (c < 'A' || c > 'Z')
            continue;
        world->backups[world->backup_count++] =
            (BackupInfo){.header = {.timeline = drawing->timeline,
                                    .start = lsn_of(column),
                                    .stop = lsn_of(column) + 1,
                                    .stopped_at = time_of(c)}};
    }
}

static const BackupInfo *newest_backup(const World *world, const TimelinePath *path)
{
    const BackupInfo *newest = NULL;

    for (size_t i = 0; i < world->backup_count; i++) {
        const BackupInfo *backup = &world->backups[i];

        if (backup_is_on_path(backup, path) &&
            (newest == NULL || backup->header.stop > newest->header.stop))
            newest = backup;
    }
    return newest;
}

static bool is_branch(const World *world, const Drawing *drawing)
{
    Lsn left = 0;

    for (size_t i = 0; i < world->count; i++) {
        const PathStep *step = path_step_of(&world->drawings[i].path, drawing->timeline);

        if (!world->drawings[i].is_unknown && step != NULL && step->end > step->begin &&
            step->end > left)
            left = step->end;
    }
    return !drawing->is_unknown && (left == 0 || lsn_of(drawing->end) > left);
}

static BranchCommit last_commit(const World *world, const TimelinePath *path)
{
    BranchCommit commit = {.time = TIME_US_NONE};

    for (size_t column = 0; column < COLUMNS_MAX; column++) {
        char c = at_column(world, path, column);

        if (is_commit(c)) {
            commit = (BranchCommit){
                .time = time_of(c), .lsn = lsn_of(column), .xid = (uint32_t)(c - 'a' + 1)};
        }
    }
    return commit;
}

static BranchGain gain_of(const World *world, const TimelinePath *path, const TimelinePath *chosen)
{
    BranchGain gain = {.from = paths_part(path, chosen),
                       .first = TIME_US_NONE,
                       .last = TIME_US_NONE,
                       .prepared_last = TIME_US_NONE};

    for (size_t column = 0; gain.from != LSN_NEVER && column < COLUMNS_MAX; column++) {
        char c = at_column(world, path, column);

        if (c == '!' && lsn_of(column) >= gain.from) {
            gain.prepared++;
            gain.prepared_last = 1000;
        }
        if (!is_commit(c) || lsn_of(column) < gain.from)
            continue;
        if (gain.commits++ == 0)
            gain.first = time_of(c);
        gain.last = time_of(c);
    }
    return gain;
}

static void load(World *world, const char *drawing)
{
    *world = (World){0};
    while (*drawing != '\0') {
        const char *end = strchr(drawing, '\n');

        draw(world, drawing, (size_t)(end - drawing));
        drawing = end + 1;
    }
    world->list.items = arena_alloc(&world->list.arena, TIMELINES_MAX * sizeof(Branch));
    for (size_t i = 0; i < world->count; i++)
        add_backups(world, &world->drawings[i]);
    for (size_t i = 0; i < world->count; i++) {
        const Drawing *drawn = &world->drawings[i];

        if (!is_branch(world, drawn))
            continue;
        world->list.items[world->list.count++] =
            (Branch){.timeline = drawn->timeline,
                     .path = drawn->path,
                     .has_wal = drawn->end > 0,
                     .last_commit = last_commit(world, &drawn->path),
                     .backup = newest_backup(world, &drawn->path)};
    }
}

typedef struct Stop {
    bool is_found;
    Lsn until, stop, last_commit;
} Stop;

/* "latest", "immediate", "time c", "xid c", "lsn 12" (a column). */
static TargetKind kind_of(const char *target)
{
    return *target == 'i'     ? TARGET_IMMEDIATE
           : *target == 't'   ? TARGET_TIME
           : *target == 'x'   ? TARGET_XID
           : target[1] == 's' ? TARGET_LSN
                              : TARGET_LATEST;
}

static bool stops_at(const char *target, char c, size_t column, bool *after)
{
    const char *value = strchr(target, ' ');

    *after = kind_of(target) != TARGET_TIME;
    switch (kind_of(target)) {
    case TARGET_TIME:
        return is_commit(c) && time_of(c) > time_of(value[1]);
    case TARGET_XID:
        return c == value[1];
    case TARGET_LSN:
        return c != '\0' && column >= strtoul(value, NULL, 10);
    case TARGET_LATEST:
    case TARGET_IMMEDIATE:
    case TARGET_NAME:
        break;
    }
    return false;
}

/* Replay along a path. */
static Stop replay(const World *world, const TimelinePath *path, const char *target)
{
    Stop stop = {.is_found = kind_of(target) == TARGET_LATEST || kind_of(target) == TARGET_TIME};
    size_t column = 0;

    if (kind_of(target) == TARGET_IMMEDIATE)
        return (Stop){.is_found = true, .until = newest_backup(world, path)->header.stop};
    for (; column < COLUMNS_MAX; column++) {
        char c = at_column(world, path, column);
        bool after = false, stops = c != '\0' && stops_at(target, c, column, &after);

        if (stops)
            stop.stop = lsn_of(column);
        if (stops && !after) {
            stop.is_found = true;
            return stop;
        }
        if (c != '\0')
            stop.until = lsn_of(column + 1);
        if (is_commit(c))
            stop.last_commit = lsn_of(column);
        if (stops) {
            stop.is_found = true;
            return stop;
        }
    }
    return stop;
}

static bool holds(const World *world, const Branch *branch, const char *target)
{
    Stop stop = replay(world, &branch->path, target);

    if (branch->gain.from == LSN_NEVER || *target == 'i' || kind_of(target) == TARGET_LATEST)
        return false;
    if (kind_of(target) == TARGET_TIME)
        return stop.last_commit >= branch->gain.from;
    /* The tool looks beyond the place only. */
    for (size_t column = 0; column < COLUMNS_MAX; column++) {
        bool after;
        char c = at_column(world, &branch->path, column);

        if (lsn_of(column) >= branch->gain.from && kind_of(target) == TARGET_XID &&
            stops_at(target, c, column, &after))
            return true;
    }
    return stop.is_found && stop.until > branch->gain.from;
}

/* "2 c": on timeline 2, its last commit is c. "2 -": nothing was committed on it. "": none. */
static bool server_of(const World *world, const char *text, ServerBranch *server)
{
    if (*text == '\0')
        return false;
    const Drawing *drawing = find(world, (uint32_t)strtoul(text, NULL, 10));
    char last = text[2];

    *server = (ServerBranch){.path = drawing->path, .commit_time = TIME_US_NONE};
    server->reached = drawing->path.steps[drawing->path.count - 1].begin;
    for (size_t column = 0; is_commit(last) && column < COLUMNS_MAX; column++) {
        if (at_column(world, &drawing->path, column) != last)
            continue;
        server->reached = server->commit_end = lsn_of(column + 1);
        server->commit_time = time_of(last);
    }
    return true;
}

static BranchAnswer ask(World *world, const char *server_text, const char *target,
                        BranchQuestion *question, ServerBranch *server)
{
    const Branch *newest = branch_list_newest(&world->list);
    Stop stop = replay(world, &newest->path, target);

    world->list.last_commit = last_commit(world, &newest->path);
    world->list.backup = newest_backup(world, &newest->path);
    world->list.begins = TIME_US_NONE;
    for (size_t column = COLUMNS_MAX; newest->timeline > 1 && column-- > 0;) {
        char c = find(world, newest->timeline)->columns[column];
        if (is_commit(c))
            world->list.begins = time_of(c) - 4; /* in the end the first one's */
    }
    for (size_t i = 0; i < world->list.count; i++) {
        Branch *branch = &world->list.items[i];

        branch->gain = gain_of(world, &branch->path, &newest->path);
        branch->holds_target = holds(world, branch, target);
    }
    *question = (BranchQuestion){
        .list = &world->list,
        .path = &newest->path,
        .kind = kind_of(target),
        .is_found = stop.is_found,
        .until = stop.until,
        .stop = stop.stop,
        .last_commit = stop.last_commit,
        .takes_newest_backup = kind_of(target) == TARGET_IMMEDIATE,
        .server = server_of(world, server_text, server) ? server : NULL,
    };
    return branch_judge(question);
}

typedef struct Case {
    const char *drawing;
    const char *server, *target;
    BranchReason reason;
    uint32_t other; /* 0: none */
} Case;

/* One history; a fork that was left; one that went on. */
#define ALONE "1|-a-b-c-\n"
/* Restored to b, c and d were given up, e and f came. */
#define REWOUND                                                                                    \
    "1|-a-b-c-d-\n"                                                                                \
    "2|     1-e-f-\n"
/* A test restore to b, opened and left; production went on. */
#define STRAY                                                                                      \
    "1|-a-b-c-e-f-\n"                                                                              \
    "2|     1-d-\n"
/* The same without a commit of its own, and with nothing but a history. */
#define IDLE                                                                                       \
    "1|-a-b-c-e-f-\n"                                                                              \
    "2|     1---\n"
#define UNBORN                                                                                     \
    "1|-a-b-c-d-\n"                                                                                \
    "2|     1\n"
/* All began where the only backup ended, and nothing was committed on the newest at that time. */
#define FROM_BACKUP                                                                                \
    "1|-a-b-c-\n"                                                                                  \
    "2| 1---d-\n"
/* A standby was promoted when its primary died: nothing is lost. */
#define PROMOTED                                                                                   \
    "1|-a-b-\n"                                                                                    \
    "2|     1-c-d-\n"
/* A promotion while the old primary went on for one more commit. */
#define TWO_PRIMARIES                                                                              \
    "1|-a-b-d-\n"                                                                                  \
    "2|     1-c-e-f-\n"
/* Restored to b twice; three times; and once more from the second. */
#define TWICE                                                                                      \
    "1|-a-b-c-d-\n"                                                                                \
    "2|     1-e-\n"                                                                                \
    "3|     1-f-g-\n"
#define THRICE                                                                                     \
    "1|-a-b-\n"                                                                                    \
    "2|     1-c-\n"                                                                                \
    "3|     1-d-\n"                                                                                \
    "4|     1-e-\n"
#define AGAIN_AND_ON                                                                               \
    "1|-a-b-c-\n"                                                                                  \
    "2|     1-d-\n"                                                                                \
    "3|     1-e-f-\n"                                                                              \
    "4|         3-g-\n"
/* Too early at first, then further on: timeline 3 leaves 1 beyond where 2 did. */
#define SECOND_TRY                                                                                 \
    "1|-a-b-c-d-\n"                                                                                \
    "2|     1-e-\n"                                                                                \
    "3|       1-f-\n"
/* Further back, along the timeline that left later: 3 was told timeline 2, and a place before it.
 */
#define GOES_BACK                                                                                  \
    "1|-a-b-c-\n"                                                                                  \
    "2|     1-d-\n"                                                                                \
    "3|   2-e-\n"
/* The largest number is not the one that lives. */
#define NOT_THE_LARGEST                                                                            \
    "1|-a-b-\n"                                                                                    \
    "2|     1-c-e-f-\n"                                                                            \
    "3|   1-d-\n"
/* Both branches give out the same numbers to other transactions; here also one from before. */
#define SAME_XID                                                                                   \
    "1|-a-b-c-d-\n"                                                                                \
    "2|     1-c-f-\n"
#define SAME_BEFORE                                                                                \
    "1|-a-b-a-\n"                                                                                  \
    "2|     1-c-\n"
/* Backups: production has one from after the stray began; one from before a restore. */
#define BACKUP_AFTER                                                                               \
    "1|-a-b-c-D-\n"                                                                                \
    "2|     1-d-\n"
#define BACKUP_BEFORE                                                                              \
    "1|-a-b-c-C-\n"                                                                                \
    "2|     1-d-\n"
#define BACKUP_ON_BOTH                                                                             \
    "1|-a-b-c-D-\n"                                                                                \
    "2|     1-d-e-E-\n"
/* A server whose timeline the archive does not know; whose archive has less. */
#define UNKNOWN                                                                                    \
    "1 |-a-b-c-d-\n"                                                                               \
    "2*|     1-e-\n"
#define UNKNOWN_FROM_END                                                                           \
    "1 |-a-b-\n"                                                                                   \
    "2*|     1-c-\n"

/* clang-format off */
static const Case cases[] = {
    {ALONE, "", "latest", BRANCH_FITS, 0},
    {ALONE, "1 c", "latest", BRANCH_FITS, 0},
    {ALONE, "", "time b", BRANCH_FITS, 0},
    {ALONE, "", "immediate", BRANCH_FITS, 0},

    /* What was given up is older: the newest is meant, by whatever it can be known. */
    {REWOUND, "", "latest", BRANCH_FITS, 0},
    {REWOUND, "2 f", "latest", BRANCH_FITS, 0},
    {REWOUND, "2 -", "latest", BRANCH_FITS, 0},
    {REWOUND, "1 d", "latest", BRANCH_NOT_SERVERS, 1},
    {REWOUND, "1 b", "latest", BRANCH_FITS, 0}, /* it has nothing that timeline 2 lacks */
    {REWOUND, "", "time b", BRANCH_FITS, 0},
    {REWOUND, "1 d", "time b", BRANCH_FITS, 0},  /* both have that */
    {REWOUND, "", "time c", BRANCH_TARGET_ELSEWHERE, 1}, /* too early at first, then further on */
    {REWOUND, "2 f", "time d", BRANCH_TARGET_ELSEWHERE, 1},
    {REWOUND, "2 f", "time e", BRANCH_FITS, 0},
    {REWOUND, "1 d", "time e", BRANCH_NOT_SERVERS, 1},
    {REWOUND, "", "time z", BRANCH_FITS, 0},
    {REWOUND, "", "xid a", BRANCH_FITS, 0},
    {REWOUND, "", "xid d", BRANCH_TARGET_ELSEWHERE, 1},
    {REWOUND, "", "xid e", BRANCH_FITS, 0},
    {REWOUND, "", "xid z", BRANCH_FITS, 0}, /* nowhere: that is told otherwise */
    {REWOUND, "", "lsn 3", BRANCH_FITS, 0},
    {REWOUND, "", "lsn 7", BRANCH_TARGET_TWICE, 1},
    {REWOUND, "", "lsn 11", BRANCH_FITS, 0},

    {STRAY, "", "latest", BRANCH_OLDER_COMMITS, 1},
    {STRAY, "1 f", "latest", BRANCH_NOT_SERVERS, 1},
    {STRAY, "2 d", "latest", BRANCH_OLDER_COMMITS, 1},
    {STRAY, "", "time b", BRANCH_FITS, 0},
    {STRAY, "", "time c", BRANCH_TARGET_ELSEWHERE, 1},
    {STRAY, "", "time e", BRANCH_OLDER_COMMITS, 1},
    {STRAY, "1 f", "time e", BRANCH_NOT_SERVERS, 1},
    {STRAY, "", "time z", BRANCH_OLDER_COMMITS, 1},
    {STRAY, "", "xid d", BRANCH_OLDER_COMMITS, 1},
    {STRAY, "", "xid e", BRANCH_TARGET_ELSEWHERE, 1},
    {STRAY, "", "immediate", BRANCH_FITS, 0},
    {IDLE, "", "latest", BRANCH_OLDER_COMMITS, 1},
    {IDLE, "1 f", "latest", BRANCH_NOT_SERVERS, 1},
    {IDLE, "", "time z", BRANCH_TARGET_ELSEWHERE, 1},
    {UNBORN, "", "latest", BRANCH_OLDER_COMMITS, 1},
    {UNBORN, "", "time c", BRANCH_TARGET_ELSEWHERE, 1},
    {UNBORN, "", "time b", BRANCH_FITS, 0},

    {FROM_BACKUP, "", "time b", BRANCH_TARGET_ELSEWHERE, 1},
    {FROM_BACKUP, "1 c", "time b", BRANCH_TARGET_ELSEWHERE, 1},
    {FROM_BACKUP, "", "time d", BRANCH_FITS, 0},

    {PROMOTED, "", "latest", BRANCH_FITS, 0},
    {PROMOTED, "1 b", "latest", BRANCH_FITS, 0}, /* the old primary's directory */
    {PROMOTED, "2 d", "time b", BRANCH_FITS, 0},
    {PROMOTED, "", "lsn 2", BRANCH_FITS, 0},
    {PROMOTED, "", "lsn 8", BRANCH_FITS, 0},
    {TWO_PRIMARIES, "", "latest", BRANCH_FITS, 0},
    {TWO_PRIMARIES, "2 f", "latest", BRANCH_FITS, 0},
    {TWO_PRIMARIES, "1 d", "latest", BRANCH_NOT_SERVERS, 1},
    {TWO_PRIMARIES, "1 b", "latest", BRANCH_FITS, 0},
    {TWO_PRIMARIES, "", "time d", BRANCH_FITS, 0}, /* both were alive */
    {TWO_PRIMARIES, "1 d", "time d", BRANCH_NOT_SERVERS, 1},

    {TWICE, "", "latest", BRANCH_FITS, 0},
    {TWICE, "2 e", "latest", BRANCH_NOT_SERVERS, 2},
    {TWICE, "3 g", "latest", BRANCH_FITS, 0},
    {TWICE, "", "time e", BRANCH_TARGET_ELSEWHERE, 2},
    {TWICE, "", "time f", BRANCH_FITS, 0},
    {TWICE, "", "xid e", BRANCH_TARGET_ELSEWHERE, 2},
    {TWICE, "", "xid d", BRANCH_TARGET_ELSEWHERE, 1},
    {THRICE, "", "latest", BRANCH_FITS, 0},
    {THRICE, "", "time d", BRANCH_TARGET_ELSEWHERE, 3},
    {THRICE, "1 b", "latest", BRANCH_FITS, 0},
    {AGAIN_AND_ON, "", "latest", BRANCH_FITS, 0},
    {AGAIN_AND_ON, "3 e", "latest", BRANCH_FITS, 0},
    {AGAIN_AND_ON, "3 f", "latest", BRANCH_NOT_SERVERS, 3},
    {AGAIN_AND_ON, "2 d", "latest", BRANCH_NOT_SERVERS, 2},
    {SECOND_TRY, "", "latest", BRANCH_FITS, 0},
    {SECOND_TRY, "", "time c", BRANCH_FITS, 0},
    {SECOND_TRY, "", "time d", BRANCH_TARGET_ELSEWHERE, 1},
    {SECOND_TRY, "2 e", "latest", BRANCH_NOT_SERVERS, 2},
    {GOES_BACK, "", "latest", BRANCH_FITS, 0},
    {GOES_BACK, "", "time b", BRANCH_TARGET_ELSEWHERE, 2},
    {GOES_BACK, "2 -", "latest", BRANCH_NOT_SERVERS, 2},
    {GOES_BACK, "1 a", "latest", BRANCH_FITS, 0},
    {NOT_THE_LARGEST, "", "latest", BRANCH_OLDER_COMMITS, 2},
    {NOT_THE_LARGEST, "2 f", "latest", BRANCH_NOT_SERVERS, 2},
    {NOT_THE_LARGEST, "", "time a", BRANCH_FITS, 0},

    {SAME_XID, "", "xid c", BRANCH_TARGET_TWICE, 1},
    {SAME_XID, "", "xid b", BRANCH_FITS, 0},
    {SAME_XID, "", "xid f", BRANCH_FITS, 0},

    {SAME_BEFORE, "", "xid a", BRANCH_FITS, 0}, /* the first one counts, on both */

    {BACKUP_AFTER, "", "latest", BRANCH_OLDER_BACKUP, 1},
    {BACKUP_AFTER, "2 d", "latest", BRANCH_OLDER_BACKUP, 1},
    {BACKUP_AFTER, "", "immediate", BRANCH_OLDER_BACKUP, 1},
    {BACKUP_AFTER, "", "time b", BRANCH_FITS, 0},
    {BACKUP_BEFORE, "", "latest", BRANCH_FITS, 0},
    {BACKUP_BEFORE, "1 c", "latest", BRANCH_NOT_SERVERS, 1},
    {BACKUP_ON_BOTH, "", "latest", BRANCH_FITS, 0},

    {UNKNOWN, "2 e", "latest", BRANCH_NOT_SERVERS, 0},
    {UNKNOWN, "2 -", "latest", BRANCH_NOT_SERVERS, 0},
    {UNKNOWN, "2 e", "time b", BRANCH_FITS, 0},
    {UNKNOWN, "2 e", "time d", BRANCH_NOT_SERVERS, 0},
    {UNKNOWN_FROM_END, "2 c", "latest", BRANCH_FITS, 0}, /* it gets as far as the archive does */
    /* What was prepared was acknowledged, too. */
    {"1 |abc-\n2 |  1de\n", "", "latest", BRANCH_FITS, 0},
    {"1 |abc!\n2 |  1de\n", "", "latest", BRANCH_OLDER_COMMITS, 1},
    {"1 |ab!\n2 |  1de\n", "", "latest", BRANCH_OLDER_COMMITS, 1},
    {"1 |a!bc\n2 |  1de\n", "", "latest", BRANCH_FITS, 0}, /* both have it */
};
/* clang-format on */

static void the_branch_that_is_meant_is_told_or_asked_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Case *c = &cases[i];
        CLEANUP(world_done) World world;
        BranchQuestion question;
        ServerBranch server;

        load(&world, c->drawing);
        BranchAnswer answer = ask(&world, c->server, c->target, &question, &server);
        uint32_t other = answer.other != NULL ? answer.other->timeline : 0;
        if (answer.reason != c->reason || other != c->other) {
            fail_msg("case %zu, server \"%s\", target \"%s\":\n%s is %d by %u, expected %d by %u",
                     i, c->server, c->target, c->drawing, (int)answer.reason, other, (int)c->reason,
                     c->other);
        }
    }
}

static void a_refusal_names_each_branch_and_what_picks_it(void **state)
{
    CLEANUP(world_done) World world;
    BranchQuestion question;
    ServerBranch server;
    Error err = {0};

    (void)state;
    load(&world, STRAY);
    BranchAnswer answer = ask(&world, "", "latest", &question, &server);
    assert_false(branch_refuse(&question, &answer, "the latest commit", &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_non_null(strstr(err.message, "timeline 1 has later commits"));
    assert_non_null(
        strstr(err.hint, "--target-timeline=1 (last commit 1970-01-01 00:00:00.000060"));
    assert_non_null(strstr(err.hint, "transaction 6"));
    assert_non_null(
        strstr(err.hint, "--target-timeline=2 (last commit 1970-01-01 00:00:00.000040"));
}

static void what_was_only_prepared_is_told(void **state)
{
    CLEANUP(world_done) World world;
    BranchQuestion question;
    ServerBranch server;
    Error err = {0};

    (void)state;
    load(&world, "1 |ab!!\n2 |  1de\n");
    BranchAnswer answer = ask(&world, "", "latest", &question, &server);
    assert_false(branch_refuse(&question, &answer, "the latest commit", &err));
    assert_non_null(strstr(err.message, "timeline 1 has later prepared transactions"));
    assert_non_null(strstr(err.message, ": 2 prepared transactions, until 1970"));
}

static void paths_part_where_the_timelines_do(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    load(&world, GOES_BACK);
    const TimelinePath *one = &find(&world, 1)->path, *two = &find(&world, 2)->path,
                       *three = &find(&world, 3)->path;
    assert_int_equal(paths_part(one, one), LSN_NEVER);
    assert_int_equal(paths_part(one, two), lsn_of(5));
    assert_int_equal(paths_part(two, one), lsn_of(5));
    assert_int_equal(paths_part(three, one), lsn_of(3));
    assert_int_equal(paths_part(three, two), lsn_of(3)); /* on timeline 2 it never was */
}

/*
 * Times and backups that a drawing can't have: what is to be recovered goes along timeline 2, which
 * left timeline 1 at 0x1000 and is followed to 0x2000; timeline 1 goes on.
 */
static void the_times_of_all_that_is_known_count(void **state)
{
    enum { NONE = -1 };
    static const struct {
        const char *what;
        int last_commit, gained;      /* on the path, on the other branch; NONE */
        int server_commit, server_on; /* when the server last committed; its timeline, 0: none */
        int backup, other_backup, begins; /* when they stopped; NONE */
        bool other_backup_is_before, is_passed;
        BranchReason reason;
        Lsn until; /* what is recovered ends there; 0: at 0x2000 */
    } facts[] = {
        {"later there", 100, 150, NONE, 0, NONE, NONE, NONE, false, false, BRANCH_OLDER_COMMITS, 0},
        {"earlier there", 100, 80, NONE, 0, NONE, NONE, NONE, false, false, BRANCH_FITS, 0},
        {"nothing there", 100, NONE, NONE, 0, NONE, NONE, NONE, false, false, BRANCH_FITS, 0},
        {"nothing here", NONE, 5, NONE, 0, NONE, NONE, NONE, false, false, BRANCH_OLDER_COMMITS, 0},
        {"not led to", 100, 150, NONE, 0, NONE, NONE, NONE, false, true, BRANCH_FITS, 0},
        {"server, later", 100, 150, 200, 2, NONE, NONE, NONE, false, false, BRANCH_FITS, 0},
        {"server, earlier", 100, 80, 50, 2, NONE, NONE, NONE, false, false, BRANCH_FITS, 0},
        {"server, no commit", 100, 80, NONE, 2, NONE, NONE, NONE, false, false, BRANCH_FITS, 0},
        {"server, only its", NONE, 150, 200, 2, NONE, NONE, NONE, false, false, BRANCH_FITS, 0},
        {"server elsewhere", 100, 80, 200, 1, NONE, NONE, NONE, false, false, BRANCH_NOT_SERVERS,
         0},
        {"newer backup", 100, 80, NONE, 0, 60, 90, 70, false, false, BRANCH_OLDER_BACKUP, 0},
        {"older backup", 100, 80, NONE, 0, 95, 90, 70, false, false, BRANCH_FITS, 0},
        {"only there", 100, 80, NONE, 0, NONE, 90, 70, false, false, BRANCH_OLDER_BACKUP, 0},
        {"from before it began", 100, 80, NONE, 0, 60, 65, 70, false, false, BRANCH_FITS, 0},
        {"no begin", 100, 80, NONE, 0, 60, 65, NONE, false, false, BRANCH_OLDER_BACKUP, 0},
        {"of what both have", 100, 80, NONE, 0, 60, 90, 70, true, false, BRANCH_FITS, 0},
        {"server elsewhere, which is not left", 100, 150, 200, 1, NONE, NONE, NONE, false, false,
         BRANCH_OLDER_COMMITS, 0x1000},
    };
#define TIME_OR_NONE(value) ((value) == NONE ? TIME_US_NONE : (TimeUs)(value))

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
        PathStep one[] = {{.timeline = 1, .begin = 0}};
        PathStep two[] = {{.timeline = 1, .begin = 0, .end = 0x1000},
                          {.timeline = 2, .begin = 0x1000}};
        const TimelinePath first = {.steps = one, .count = 1};
        const TimelinePath path = {.steps = two, .count = 2};
        const BackupInfo own = {.header = {.stop = 0x1800, .stopped_at = facts[i].backup}};
        const BackupInfo other = {
            .header = {.stop = facts[i].other_backup_is_before ? 0x900 : 0x1900,
                       .stopped_at = facts[i].other_backup}};
        Branch branch = {.timeline = 1,
                         .path = first,
                         .backup = facts[i].other_backup == NONE ? NULL : &other,
                         .gain = {.from = 0x1000,
                                  .commits = facts[i].gained != NONE,
                                  .first = TIME_OR_NONE(facts[i].gained),
                                  .last = TIME_OR_NONE(facts[i].gained),
                                  .prepared_last = TIME_US_NONE},
                         .is_passed = facts[i].is_passed};
        const BranchList list = {.items = &branch,
                                 .count = 1,
                                 .end = 0x2000,
                                 .last_commit = {.time = TIME_OR_NONE(facts[i].last_commit)},
                                 .backup = facts[i].backup == NONE ? NULL : &own,
                                 .begins = TIME_OR_NONE(facts[i].begins)};
        const ServerBranch server = {.path = facts[i].server_on == 1 ? first : path,
                                     .reached = 0x1f00,
                                     .commit_end = facts[i].server_commit == NONE ? 0 : 0x1e00,
                                     .commit_time = TIME_OR_NONE(facts[i].server_commit)};
        const BranchQuestion question = {.list = &list,
                                         .path = &path,
                                         .kind = TARGET_LATEST,
                                         .is_found = true,
                                         .until = facts[i].until != 0 ? facts[i].until : 0x2000,
                                         .server = facts[i].server_on == 0 ? NULL : &server};
        const BranchAnswer answer = branch_judge(&question);

        if (answer.reason != facts[i].reason)
            fail_msg("%s: %d", facts[i].what, (int)answer.reason);
    }
#undef TIME_OR_NONE
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_times_of_all_that_is_known_count),
        cmocka_unit_test(the_branch_that_is_meant_is_told_or_asked_for),
        cmocka_unit_test(a_refusal_names_each_branch_and_what_picks_it),
        cmocka_unit_test(what_was_only_prepared_is_told),
        cmocka_unit_test(paths_part_where_the_timelines_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
