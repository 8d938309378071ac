/*
 * recovery_settings.h - what tells the restored server how to recover.
 */
#pragma once

#include "rebuild/restore_plan.h"

/* plan->restore_command out of the request. */
void recovery_command_build(const RestoreRequest *request, RestorePlan *plan);

/*
 * postgresql.auto.conf, recovery.signal and the recovery plan for archive-get. The restored
 * postgresql.auto.conf must be in place.
 */
bool recovery_settings_write(const RestoreRequest *request, const RestorePlan *plan,
                             Error *err) MUST_CHECK;

/* Whether it is one of the parameters of which at most one may be set (in lower case). */
bool recovery_target_is(const char *name);

/* Where the server's socket is to be, in postgresql.auto.conf: one directory, in place of all. */
bool recovery_settings_set_socket(const char *data, const char *directory, Error *err) MUST_CHECK;

/* Of files in the data directory: 0600, and 0640 where the group may read. */
mode_t data_file_mode(const Placement *placement);

/* A small text file of the data directory, durable, in place of an older one. */
bool data_file_put(const Placement *placement, const char *name, const void *text, size_t size,
                   Error *err) MUST_CHECK;

/*
 * Rewrite the recovery settings in data for another action, after the target was verified with
 * action shutdown: pause or promote. restore_clear_settings() removes ours once recovery has ended.
 */
bool restore_set_action(const char *data, TargetAction action, Error *err) MUST_CHECK;
bool restore_clear_settings(const char *data, Error *err) MUST_CHECK;
