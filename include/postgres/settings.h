/*
 * settings.h - postgresql.conf and its kin: reading values and rewriting by parameter name.
 *
 * Source: utils/misc/guc-file.l (syntax), guc.c (replace_auto_config_value). Comments and markers
 * do not survive ALTER SYSTEM, so nothing here relies on them.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"

typedef struct Setting {
    const char *name;  /* It is in lower case. */
    const char *value; /* It has no quotes. */
    /* It is the name as it stands in the file: the server does not tell upper from lower case. */
    const char *spelling;
    const char *file; /* The setting was found in this file. */
    unsigned line;
} Setting;

typedef struct SettingList {
    Setting *items; /* They are in the order of the file. A later one wins. */
    size_t count;
    size_t capacity;
    Arena arena;
} SettingList;

/*
 * Read a file, include, include_if_exists and include_dir followed up to depth 10. A file that is
 * missing is ERR_NOT_FOUND. ERR_USAGE where the server would not read it.
 */
bool settings_read(const char *path, SettingList *list, Error *err) MUST_CHECK;
bool settings_parse(const char *text, const char *file, SettingList *list, Error *err) MUST_CHECK;
void settings_done(SettingList *list); /* for CLEANUP() */

/*
 * The same over files that lie elsewhere than the configuration says, or that may be missing.
 * locate() gets each path as the server would open it and gives the one to read, from arena or
 * longer-lived, NULL when there is none. What is missing or malformed is ignored, and the first
 * such problem is left in *problem (its code stays ERR_NONE when there was none).
 */
typedef struct SettingsPlaces {
    const char *(*locate)(void *context, const char *path, bool is_directory, Arena *arena);
    void *context;
    Error problem;
} SettingsPlaces;
void settings_read_from(const char *path, SettingsPlaces *places, SettingList *list);

/*
 * A file's content, before it is taken for text: zero bytes become another control character, so
 * that they hide nothing after them. To the server they mean the same, a syntax error anywhere but
 * in a comment or a string (seen with 15). settings_read() has done it.
 */
void settings_show_zeros(Buffer *content);

/* The value that counts (the last one), or NULL. */
const char *settings_value(const SettingList *list, const char *name);

/*
 * The text without every line that sets one of the names (NULL-terminated; a name ending in "*"
 * matches by prefix), then one line for each of the additions, in their order. Comments stay.
 */
void settings_rewrite(const char *text, const char *const *remove, const Setting *additions,
                      size_t count, Buffer *result);

/* value as it must stand in a file: quoted, ' and \ doubled. Appended to out. */
void settings_quote(const char *value, Buffer *out);

/* Every parameter that an earlier recovery may have left behind; NULL-terminated. */
extern const char *const recovery_parameters[];
