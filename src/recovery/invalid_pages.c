#include "recovery/invalid_pages.h"

#include "base/file.h"
#include "base/memory.h"
#include "postgres/left_empty.h"

#include <errno.h>
#include <stdio.h>

enum { PAGE_RELATION_SIZE = 256, VERSION_FILE_MAX = 1 << 10 };

const char *const invalid_pages_settings[] = {
    "lc_messages=C",
    "log_min_messages=warning",
    "log_destination=stderr",
    "logging_collector=off",
    NULL,
};

bool invalid_page_in_line(const char *line, char *relation, size_t size)
{
    static const char before[] = " of relation ";
    const char *page = strstr(line, "page ");
    const char *name = page != NULL ? strstr(page, before) : NULL;

    if (name == NULL)
        return false;
    name += sizeof before - 1;
    const size_t length = strcspn(name, " \n");
    if ((strncmp(name + length, " is uninitialized", 17) != 0 &&
         strncmp(name + length, " does not exist", 15) != 0) ||
        length >= size)
        return false;
    memcpy(relation, name, length);
    relation[length] = '\0';
    return true;
}

static bool is_of_left_out(const InvalidPagesRequest *request, uint32_t database)
{
    for (size_t i = 0; i < request->oid_count; i++) {
        if (request->oids[i] == database)
            return true;
    }
    return false;
}

/* Whether it was copied by CREATE DATABASE from one that was left empty. */
static bool is_empty_copy(const char *data, const char *relation)
{
    CLEANUP(text_freep)
    char *path =
        text_format("%s/%.*s/PG_VERSION", data, (int)(strrchr(relation, '/') - relation), relation);
    CLEANUP(buffer_done) Buffer version = {0};
    Error unread = {0}; /* then it is none of these */

    return file_read_whole(path, VERSION_FILE_MAX, &version, &unread) &&
           left_empty_is(version.data, version.size);
}

static bool relation_counts(const InvalidPagesRequest *request, const char *relation)
{
    const uint32_t database = database_of_path(relation);

    return database == 0 ||
           (!is_of_left_out(request, database) && !is_empty_copy(request->data, relation));
}

static bool invalid_pages_find(const InvalidPagesRequest *request, FILE *log, char *relation)
{
    CLEANUP(text_freep) char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, log) >= 0) {
        if (invalid_page_in_line(line, relation, PAGE_RELATION_SIZE) &&
            relation_counts(request, relation))
            return true;
    }
    return false;
}

bool invalid_pages_check(const InvalidPagesRequest *request, Error *err)
{
    char relation[PAGE_RELATION_SIZE];
    FILE *log = fopen(request->log_path, "re");

    if (log == NULL)
        return error_set_errno(err, ERR_IO, errno, "read the server's log %s", request->log_path);
    const bool found = fseeko(log, (off_t)request->log_from, SEEK_SET) == 0 &&
                       invalid_pages_find(request, log, relation);
    (void)fclose(log);
    if (!found)
        return true;
    error_set(err, ERR_RECOVERY,
              "replay found a wrong page in %s, which is not of a database that was left empty",
              relation);
    return error_hint(err,
                      "do not use this database; restore all of it, without --only-database: "
                      "the server's log is %s",
                      request->log_path);
}
