/*
 * manifest_format.h - the text of a manifest: what manifest.c streams and the two decoders' passes.
 *
 * A manifest may have a million lines. It is encoded and decoded in pieces, so that the text is
 * never in memory as a whole, and read twice: once to count the lines and to check them against
 * the end line, once to decode them into arrays that are exactly large enough.
 * docs/format.md, chapter 5, is the authority.
 */
#pragma once

#include "pack/manifest.h"
#include "stream/digest.h"

#include <stddef.h>

enum {
    MANIFEST_VERSION = 1,
    MANIFEST_CHUNK = 1 << 20,     /* One zstd frame has about this many bytes of text. */
    MANIFEST_LINE_MAX = 16 << 20, /* A header line can hold a long tablespace_map. */
    MANIFEST_PATH_MAX = 4095,
    EXTRA_FILE_SIZE = 1 << 20, /* An extra file of at most this size is one frame. */
};

/* The header's keys: one table for both directions. */
typedef enum HeaderKind {
    HEADER_ID,   /* The field is a char[BACKUP_ID_SIZE]. */
    HEADER_TEXT, /* The field is a const char *. */
    HEADER_U32,
    HEADER_U64,
    HEADER_LSN,
    HEADER_TIME,
    HEADER_BOOL,
} HeaderKind;

/*
 * Every key that came after the first version of the format is optional: older manifests don't have
 * it. An optional key that is missing has its kind's default (an empty text, no time, else 0), and
 * is left out where it has that value.
 */
typedef struct HeaderField {
    const char *key;
    HeaderKind kind;
    size_t offset; /* It is the offset in ManifestHeader. */
    bool is_optional;
} HeaderField;

enum { HEADER_FIELDS_MAX = 64 }; /* of the table: a bit each in ManifestParser.found_fields */
extern const HeaderField manifest_header_fields[];
extern const size_t manifest_header_field_count;

/* Takes a piece of text of whole lines; out->size is 0 afterwards. */
typedef bool ManifestSink(void *context, Buffer *text, Error *err);

typedef struct ManifestSinks {
    /*
     * It is called whenever there are MANIFEST_CHUNK bytes. When it is NULL, all the text is kept.
     */
    ManifestSink *text;
    /* It is called once, when `text` has got the whole head. It may be NULL. */
    ManifestSink *head_end;
    void *context;
} ManifestSinks;

bool manifest_encode_to(const Manifest *manifest, Buffer *text, const ManifestSinks *sinks,
                        Error *err) MUST_CHECK;

/* The first pass: how many lines there are of each kind, and that the text is what was written. */
typedef struct ManifestCount {
    uint64_t lines, tablespaces, packs, entries, ranges;
    /*
     * It counts the lines of the head, including its last one. 0 means that the head has not ended
     * yet.
     */
    uint64_t head_lines;
    Sha256 *sha256;
    bool has_ended;
    bool is_proven; /* It is set before: another checksum covers the text, which is not hashed. */
} ManifestCount;

/* text: whole lines. ERR_VERSION before anything else, ERR_CORRUPT. */
bool manifest_count_lines(ManifestCount *count, const char *text, size_t size,
                          Error *err) MUST_CHECK;
/* The head has been counted, and nothing after it. */
bool manifest_count_head_end(const ManifestCount *count, Error *err) MUST_CHECK;
bool manifest_count_end(const ManifestCount *count, Error *err) MUST_CHECK;
void manifest_count_done(ManifestCount *count); /* for CLEANUP() */

/* The second pass. */
typedef struct ManifestParser {
    Manifest *manifest;
    const ManifestCount *count;
    uint64_t line;            /* Messages show it. */
    int section;              /* Lines come in sections, and these in order. */
    uint64_t ranges_left;     /* No file has claimed this many of all r lines yet. */
    ManifestEntry *ranges_of; /* The r lines of this file are coming. */
    uint32_t ranges_have;
    /* It has a bit for each row of the table, set when the header had that field. */
    uint64_t found_fields;
    const char *names[4]; /* They are owners and groups: a few names, which come very often. */
    size_t name_next;
} ManifestParser;

void manifest_parser_begin(ManifestParser *parser, Manifest *manifest, const ManifestCount *count);
bool manifest_parse_lines(ManifestParser *parser, const char *text, size_t size,
                          Error *err) MUST_CHECK;
/* Of the head alone: what a list of backups needs is in it. */
bool manifest_parser_head_end(const ManifestParser *parser, Error *err) MUST_CHECK;
bool manifest_parser_end(const ManifestParser *parser, Error *err) MUST_CHECK;

/*
 * Whether a manifest holds what the others rely on: sorted, paths that stay inside the data
 * directory, ranges that make up their files, frames inside their packs. Asked of what was decoded
 * and of what is to be saved. ERR_CORRUPT.
 */
bool manifest_check(const Manifest *manifest, Error *err) MUST_CHECK;
/* The part of it that is about the head. */
bool manifest_check_head(const Manifest *manifest, Error *err) MUST_CHECK;
