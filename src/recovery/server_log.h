/*
 * server_log.h - why a server gave up, in its own words, and what to do about it.
 *
 * Nothing relies on the texts: they are translated (lc_messages) and change between versions. They
 * are shown as they are; advice for those that we know is a help, not a decision.
 */
#pragma once

#include "base/memory.h"
#include "recovery/recovery.h"

/*
 * The last fatal message in a log, with its detail, copied into reason ("" when there is none).
 * Only what was written since the server's last start is looked at.
 */
void server_log_reason_of(const char *text, char *reason, size_t size);

/*
 * The same from the newest of the server's logs: log_path (may be NULL), what current_logfiles
 * names, error_path (where descriptor 2 of the server led, may be NULL).
 */
void server_log_reason(const char *data, const char *log_path, const char *error_path, char *reason,
                       size_t size);

/* What can be done, by the server's words, its exit status (-1: not known) and pg_control's state.
 */
const char *recovery_advice(const char *reason, int exit_status, PgState state);

/* Why replay is paused although its target is not reached: "" or the server's words. */
void server_log_pause_reason(const char *data, const char *log_path, const char *error_path,
                             char *reason, size_t size);

/* Whether the server's words are that somebody paused replay, and it has not come to its target
 * since. */
bool server_log_paused_by_hand(const char *data, const char *log_path, const char *error_path);
