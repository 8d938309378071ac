/*
 * commands.h - the table of all commands, and those of src/command; those that bring a database
 * back are in incident/incident_commands.h.
 */
#pragma once

#include "cli/options.h"

bool command_init(const Options *options, Error *err) MUST_CHECK;
bool command_backup(const Options *options, Error *err) MUST_CHECK;
bool command_archive_push(const Options *options, Error *err) MUST_CHECK;
bool command_archive_get(const Options *options, Error *err) MUST_CHECK;
bool command_log(const Options *options, Error *err) MUST_CHECK;
bool command_list(const Options *options, Error *err) MUST_CHECK;
bool command_verify(const Options *options, Error *err) MUST_CHECK;
bool command_wal_quarantine(const Options *options, Error *err) MUST_CHECK;
bool command_receive(const Options *options, Error *err) MUST_CHECK;
bool command_duties(const Options *options, Error *err) MUST_CHECK;
bool command_run_duties(const Options *options, Error *err) MUST_CHECK;
bool command_expire(const Options *options, Error *err) MUST_CHECK;
bool command_remove(const Options *options, Error *err) MUST_CHECK;
bool command_pin(const Options *options, Error *err) MUST_CHECK;
bool command_unpin(const Options *options, Error *err) MUST_CHECK;
bool command_status(const Options *options, Error *err) MUST_CHECK;

/* For main(): the list, ended by a NULL name. */
extern const Command command_table[];

/*
 * For main(): the exit status of the process. archive-get answers 0, 1 or 255, archive-push never
 * above 125, status 0 to 3 (docs/exit-codes.md); It is decided by argv before options are parsed,
 * since a usage error must neither promote a database nor look like an answer to monitoring.
 */
int command_exit_status(int argc, char **argv, const Options *options, bool ok, const Error *err);
