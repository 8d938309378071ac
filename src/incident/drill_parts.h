/*
 * drill_parts.h - the parts of `drill`: what is to be tried, trying it, and what is told of it.
 */
#pragma once

#include "drill/evidence.h"
#include "drill/instant.h"
#include "drill/probes.h"
#include "drill/scratch.h"
#include "drill/way_in.h"
#include "restore_parts.h"

/* One run of the command, as far as it got. Its arena has what is not a part's own. */
typedef struct Drill {
    const Options *asked;
    /* They are what a restore would take: a copy that starts in the scratch place. */
    Options options;
    const Cluster *cluster;
    Scratch scratch;
    RestoreRequest request;
    RestoreStory story;
    ProbeFile file;
    ProbeReport probes;
    Evidence evidence;
    bool is_planned;              /* A backup was chosen. */
    bool is_hosts_fault;          /* The drill failed, and the backup is not to blame. */
    const char *const *preloaded; /* The original preloads these libraries. */
    /* It is the dynamic_library_path of the original. NULL means that it is not set. */
    const char *library_path;
    WayIn way;           /* It leads into the copy, as far as its files say. */
    SafeSession session; /* It leads into the copy as well. */
    /* It says what went wrong although the drill took place: the evidence was not stored. */
    Error trouble;
    Arena arena;
} Drill;

/* Backup and target, by the options and the seed; into options, request and evidence. */
bool drill_choose(Drill *drill, Error *err) MUST_CHECK;

/* Restore, start, replay, open, probe. ERR_RECOVERY: it failed; ERR_CORRUPT: what is stored did. */
bool drill_try(Drill *drill, Error *err) MUST_CHECK;

/* Whether what ended it says something of what is stored: then it is evidence. */
bool drill_is_verdict(const Error *err);

bool drill_tell_plan(const Drill *drill, Error *err) MUST_CHECK;
bool drill_tell(const Drill *drill, Error *err) MUST_CHECK;
/* --list, and --show. */
bool drill_tell_list(const Cluster *cluster, bool json, Error *err) MUST_CHECK;
bool drill_tell_one(const Cluster *cluster, const char *id, bool json, Error *err) MUST_CHECK;
