/*
 * restore_parts.h - the parts of `restore`: what was asked, what replay would do to others,
 * starting and watching the server, and what is told about it.
 */
#pragma once

#include "cli/options.h"
#include "ledger/forecast.h"
#include "recovery/recovery.h"
#include "restore/restore.h"

/* A server was started: before it is watched. */
typedef bool RestoreStarted(void *context, pid_t pid, Error *err);

/* One run of the command, as far as it got. Plain data; strings belong to the options or the plan.
 */
typedef struct RestoreStory {
    const Options *options;
    const Cluster *cluster;
    const RestoreRequest *request;
    TargetAction action; /* The operator asked for this one. The request may say shutdown first. */
    WalSaved saved;
    RestorePlan plan;
    RestoreReport report;
    bool is_restored;
    /*
     * The server is started with all of these. NULL means that it starts as its configuration
     * wants. Only a drill sets it.
     */
    const char *const *settings;
    /* They are added to the server's usual environment: base/process.h. It may be NULL. */
    const char *const *env;
    /* It is called in the server's process before it starts, or is NULL: base/process.h. */
    bool (*in_child)(void);
    RestoreStarted *on_start; /* NULL means that nobody wants to know. */
    void *on_start_context;
    /* It is, for example, "max_connections=90": restore_raised_parameters(). */
    const char *const *raised;
    bool is_started;
    /* The second start pauses at the verified target, or opens the server. */
    bool is_second_start;
    bool is_verified;      /* The target was reached, and nothing beyond it. */
    RecoverySight sight;   /* It is what was seen last. */
    Lsn reached;           /* It is the verified end of replay. */
    uint32_t new_timeline; /* It is the timeline after promotion. 0 means that there is none. */
    /* Nobody can read these relations while recovery is paused. It is "" when there are none. */
    const char *locked;
    char connection[512]; /* It is "host=... port=..." of a running server. */
    const char *log_path;
    uint64_t log_from;              /* The log had this many bytes before the server was started. */
    TimeUs started_at, finished_at; /* They are time_now(). */
    TimeUs elapsed_plan, elapsed_replay, elapsed_open;
    RestoreKind kind;  /* The restore is measured as this kind. */
    bool has_estimate; /* Restores of this kind were measured before. */
    Forecast estimate;
    /* They are those of the cluster that is replaced. The list ends with NULL. */
    const char *const *slots_before;
    struct Aftermath *aftermath; /* It comes once the cluster is back. In a drill it is NULL. */
    TimeUs elapsed_start,
        elapsed_checkpoint; /* They are parts of elapsed_replay, before and after replay itself. */
} RestoreStory;

/* cli/option_rules.c has checked that there is only one. */
bool restore_target_parse(const Options *options, Target *target, Error *err) MUST_CHECK;
/* 0: none was named, or "latest". */
bool restore_timeline_parse(const char *text, uint32_t *timeline, Error *err) MUST_CHECK;
/*
 * What the restore_command is made of: the server runs it in its data directory, with an
 * environment of its own.
 */
bool restore_tool_describe(const Options *options, Arena *arena, RestoreRequest *request,
                           Error *err) MUST_CHECK;
/* What the options ask for. */
bool restore_make_request(const Options *options, Arena *arena, RestoreStory *story,
                          RestoreRequest *request, Error *err) MUST_CHECK;

/* Refuse a replay that would write into tablespaces of another cluster. ERR_REFUSED. */
bool restore_check_places(const RestoreStory *story, Error *err) MUST_CHECK;

/* Before anything is touched: the server's log can be put where it is to be. ERR_REFUSED. */
bool restore_check_log(RestoreStory *story, Error *err) MUST_CHECK;

/* Start, watch to the target, verify it there, then do what was asked for. ERR_RECOVERY. */
bool restore_start(RestoreStory *story, Progress *progress, Error *err) MUST_CHECK;

/* When the last commit that was replayed was made: as planned, once the target is verified. NONE.
 */
TimeUs restore_last_commit(const RestoreStory *story);

/* The plan on one screen, or as JSON. */
bool restore_tell_plan(const RestoreStory *story, Error *err) MUST_CHECK;
/* The closing report. */
bool restore_tell_result(const RestoreStory *story, Error *err) MUST_CHECK;
/* Best effort: losing an entry loses no data. */
void restore_write_journal(const RestoreStory *story, const Error *failure);

/* Not to take the original's place: as asked, or as databases are missing. */
bool restore_is_copy(const RestoreStory *story);
/* Replication slots of a data directory, by their names; NULL-terminated, in the arena. */
const char *const *restore_slots_of(const char *data, Arena *arena);
/*
 * Once the server is there, paused or open: the checks, what is lost, how long it took; into the
 * journal and story->aftermath. ERR_INTERRUPTED.
 */
bool restore_check_after(RestoreStory *story, Error *err) MUST_CHECK;

/* How long it will take, from what others took: best effort, nothing depends on it. */
void restore_estimate(RestoreStory *story);
/* What it took so far, by phases. */
void restore_measured(const RestoreStory *story, const Error *failure, RestoreMeasure *measure);

typedef const char *TimeWriter(TimeUs instant, char text[TIME_TEXT_SIZE]);
/* "time 2026-11-22 14:30:00.000000+00, exclusive": with the operator's clock, or in UTC. */
const char *restore_target_text(const Target *target, TimeWriter *write, char *text, size_t size);
