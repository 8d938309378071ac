/*
 * data_state.h - what is where the cluster is to go, and whether a server uses it.
 */
#pragma once

#include "rebuild/marker.h"

#include "server/presence.h"

typedef struct DataLook {
    DataState state;
    /* It is the same cluster, as far as pg_control, marker or WAL tell. */
    bool same_cluster;
    bool is_identified;         /* When it is false, nothing says whose data directory it is. */
    uint64_t system_identifier; /* It is set when is_identified. */
    bool is_own_file_system;    /* The directory is the root of a mount, so it can't be renamed. */
    RestoreMarker marker;       /* It has what a half-restored directory says. */
    PresenceFacts presence;     /* It tells who works in a data directory: data_is_free(). */
} DataLook;

/*
 * ERR_REFUSED when a server runs there, or when it holds something that is not a data directory;
 * ERR_BUSY when a restore is at work there.
 */
bool data_look(const char *data, const Cluster *cluster, Arena *arena, DataLook *look,
               Error *err) MUST_CHECK;

/*
 * ERR_REFUSED when nothing proves that no server works on the data directory that was looked at,
 * where it can't be seen. Where time settles it, that time is waited for.
 */
bool data_is_free(const char *data, const DataLook *look, Error *err) MUST_CHECK;

/*
 * The same for callers that change nothing: a server that runs there is reported in *running, which
 * is zeroed before, and is not a failure.
 */
bool data_look_while_running(const char *data, const Cluster *cluster, Arena *arena, DataLook *look,
                             Error *running, Error *err) MUST_CHECK;

/*
 * The directory as an absolute path without links, also when it (or its parents) do not exist yet.
 */
bool path_resolve(const char *path, Arena *arena, const char **resolved, Error *err) MUST_CHECK;
/* Whether `path` is `directory` or below it; both resolved. */
bool path_is_inside(const char *path, const char *directory);

/* Where the links in DATA/pg_tblspc lead, resolved; NULL-terminated. Missing directory: none. */
bool tablespace_links(const char *data, Arena *arena, const char ***targets, size_t *count,
                      Error *err) MUST_CHECK;

/*
 * A server running on this host from another directory that has a tablespace at `location`
 * (resolved): its data directory, or NULL. What /proc does not show to us is not noticed.
 */
const char *tablespace_user(const char *location, const char *data, Arena *arena);
