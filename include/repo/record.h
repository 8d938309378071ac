/*
 * record.h - small text objects: "pgcairn KIND VERSION", key=value lines, a SHA-256 at the end.
 *
 * repository, registration, lease, journal and condemned objects are records: a person reads them
 * with cat, every byte is covered. docs/format.md, chapter 3.
 *
 * A key that is added later is one that its reader asks for with record_find() and has a default
 * for: the records that there are don't have it. A reader passes over keys that it does not know,
 * but for those with a "!" before them, which record_parse() refuses.
 */
#pragma once

#include "base/buffer.h"
#include "base/memory.h"
#include "base/time.h"
#include "storage/storage.h"

typedef struct RecordWriter {
    Buffer text;
} RecordWriter;

void record_begin(RecordWriter *writer, const char *kind, unsigned version);
void record_text(RecordWriter *writer, const char *key, const char *value);
void record_u64(RecordWriter *writer, const char *key, uint64_t value);
void record_time(RecordWriter *writer, const char *key, TimeUs value);
/* Adds the checksum line and stores the record as a new object. ERR_EXISTS when there is one. */
bool record_store(RecordWriter *writer, Storage *storage, const char *name, Error *err) MUST_CHECK;
void record_finish(RecordWriter *writer); /* only the checksum line; the text is then complete */
void record_writer_done(RecordWriter *writer); /* for CLEANUP() */

typedef struct RecordField {
    const char *key, *value;
} RecordField;

typedef struct Record {
    const char *kind;
    unsigned version;
    RecordField *fields; /* They are in the order of the text. Keys may repeat. */
    size_t count;
    Arena arena;
} Record;

/* ERR_CORRUPT: damaged, or of another kind. ERR_VERSION: newer than version_max, or with a key that
 * a reader must understand. */
bool record_parse(const char *text, size_t size, const char *kind, unsigned version_max,
                  Record *record, Error *err) MUST_CHECK;
bool record_load(Storage *storage, const char *name, const char *kind, unsigned version_max,
                 Record *record, Error *err) MUST_CHECK;
void record_done(Record *record); /* for CLEANUP() */

/* ERR_CORRUPT when the key is missing or its value no such thing. */
bool record_get_text(const Record *record, const char *key, const char **value,
                     Error *err) MUST_CHECK;
bool record_get_u64(const Record *record, const char *key, uint64_t *value, Error *err) MUST_CHECK;
bool record_get_time(const Record *record, const char *key, TimeUs *value, Error *err) MUST_CHECK;
const char *record_find(const Record *record,
                        const char *key); /* It returns NULL when the key is missing. */
