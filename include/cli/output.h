/*
 * output.h - answers on standard output, for people or as JSON; and the progress line.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/time.h"

/*
 * JSON being built in a buffer. Commas and escapes are its business; keys are NULL inside arrays.
 * Invalid UTF-8 comes out as U+FFFD.
 */
typedef struct Json {
    Buffer text;
    unsigned depth;
    bool needs_comma;
} Json;

void json_begin_object(Json *json, const char *key);
void json_begin_array(Json *json, const char *key);
void json_end_object(Json *json);
void json_end_array(Json *json);
void json_text(Json *json, const char *key, const char *value); /* NULL gives null */
void json_u64(Json *json, const char *key, uint64_t value);
void json_bool(Json *json, const char *key, bool value);
void json_double(Json *json, const char *key, double value);
void json_time(Json *json, const char *key, TimeUs value); /* RFC 3339; NONE gives null */
/* To the microsecond, as it can be given back as --target-time; NONE gives null. */
void json_time_exact(Json *json, const char *key, TimeUs value);
void json_lsn(Json *json, const char *key, uint64_t lsn); /* "A/94000028"; 0 gives null */
/* Write it and a newline to stdout. ERR_IO when that fails: an answer cut short is a failure. */
bool json_print(Json *json, Error *err) MUST_CHECK;
void json_done(Json *json); /* for CLEANUP() */
/* Whether json_print() was called in this process: there is an answer. */
bool json_was_printed(void);

/* Text for people: printed at once. Lines end where the format says so, and nowhere else: what a
 * value holds that is not fit for a terminal is shown escaped (base/plain.h). */
void out_print(const char *format, ...) PRINTF_LIKE(1, 2);
/*
 * ERR_IO when the text can't be written. Not when it is a pipe that nobody reads any more, as in
 * `pgcairn list | head -1`: whoever closed it wants no more, and the command goes on to its end
 * and its exit status as if all had been read.
 */
bool out_flush(Error *err) MUST_CHECK;
/*
 * "head  text  tail" and a newline. On a terminal text that does not fit beside the head begins on
 * the next line, and is folded between words, and the tail, which somebody may want to copy, has a
 * line of its own; elsewhere it stays one line, so that it can be searched.
 */
typedef struct FoldedLine {
    const char *head, *text;
    const char *tail; /* It is "" when there is none. */
} FoldedLine;
void out_folded(const FoldedLine *line);
/* Whether that has happened: what only reads may stop. */
bool out_is_closed(void);

enum { OUT_TEXT_SIZE = 32 };
const char *out_bytes(uint64_t bytes,
                      char text[OUT_TEXT_SIZE]); /* It returns, for example, "1.2 GiB". */
const char *out_rate(uint64_t bytes, TimeUs elapsed,
                     char text[OUT_TEXT_SIZE]); /* It returns, for example, "310 MiB/s". */
const char *out_duration(
    TimeUs elapsed,
    char text[OUT_TEXT_SIZE]); /* It returns, for example, "4.2 s" or "3 min 12 s". */

/*
 * A table: the first row is the heading; columns as wide as they must be. A cell beginning with a
 * digit is aligned right. Strings are copied.
 */
typedef struct Table Table;
Table *table_new(size_t columns);
void table_row(Table *table, const char *const *cells);
void table_print(const Table *table);
void table_freep(Table **table); /* for CLEANUP() */

/*
 * On a terminal (stderr) a line that redraws itself: done of total, rate, ETA. Elsewhere a log line
 * every 30 s. NULL-draw when the operator said --no-progress.
 */
void progress_to_terminal(Progress *progress, bool wanted);
/* End the line, if one is drawn. */
void progress_end(Progress *progress);
/* Columns of the terminal that fd is; 80 when it is none. */
size_t out_terminal_width(int fd);
