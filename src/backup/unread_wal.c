#include "unread_wal.h"

#include "changed/own_wal.h"
#include "postgres/wal_changes.h"

#include <stdlib.h>

enum {
    DEFAULT_TABLESPACE = 1663, /* It is in catalog/pg_tablespace.dat. */
    READ_LEAST = 8,
    READ_SHARE = 4,
    WAIT_MS = 3000,
};

static bool go_on_collecting(void *context, Error *err)
{
    BackupRun *run = context;

    progress_tick(run->request->progress);
    return lease_renew(run->lease, run->timeline, run->start, err);
}

/* After the archive was listed: what is in it by then was written by then. */
static bool ask_whose_wal(BackupRun *run, const BaseBackup *base, UnreadRule *rule, Error *err)
{
    CLEANUP(text_freep) char *pg_wal = text_format("%s/pg_wal", run->data);
    CLEANUP(text_freep) char *why_not = NULL;
    OwnWalQuestion question = {.cluster = run->cluster,
                               .inventory = &base->inventory,
                               .timeline = run->timeline,
                               .pg_wal = pg_wal,
                               .start = run->start,
                               .since = run->taken_at,
                               .wait_ms = WAIT_MS};

    if (!run_ask_insert(run, &question.insert, err) || !own_wal_check(&question, &why_not, err))
        return false;
    if (why_not != NULL)
        rule->wal_why_not = arena_text(&run->arena, why_not);
    return true;
}

/*
 * A list is a few kilobytes; without one a segment is read whole. More than a quarter of what the
 * files are is not worth it: then they are read.
 */
static ChangedRequest changes_request(BackupRun *run, const BaseBackup *base, const char *pg_wal)
{
    const uint64_t files = run->scan.bytes / run->cluster->wal_segment_size;

    return (ChangedRequest){.cluster = run->cluster,
                            .inventory = &base->inventory,
                            .path = &base->path,
                            .from = base->manifest.header.start,
                            .to = run->start,
                            .pg_wal = pg_wal,
                            .threads = run->request->jobs,
                            .read_max = READ_LEAST + files / READ_SHARE,
                            .on_segment = go_on_collecting,
                            .context = run};
}

bool run_find_changes(BackupRun *run, const BaseBackup *base, UnreadRule *rule,
                      ChangedBlocks **changed, Error *err)
{
    CLEANUP(text_freep) char *pg_wal = text_format("%s/pg_wal", run->data);
    const ChangedRequest request = changes_request(run, base, pg_wal);

    if (*rule->wal_why_not != '\0')
        return true;
    progress_phase(run->request->progress, "which blocks the WAL names", 0);
    if (!ask_whose_wal(run, base, rule, err))
        return false;
    if (*rule->wal_why_not != '\0')
        return true;
    if (!changed_blocks_load(&request, changed, err))
        return false;
    const char *why_not = changed_blocks_why_not(*changed);
    if (why_not != NULL) {
        rule->wal_why_not = arena_text(&run->arena, why_not);
    } else {
        rule->changed = *changed;
    }
    return true;
}

/* The number that a part of a path is, and what is after its slash; NULL: it is none. */
static const char *path_number(const char *at, uint32_t *number)
{
    char *end;
    const unsigned long value = strtoul(at, &end, 10);

    if (end == at || *end != '/' || *at < '1' || *at > '9' || value > UINT32_MAX)
        return NULL;
    *number = (uint32_t)value;
    return end + 1;
}

/* "base/5/16384.2", "global/1262", "pg_tblspc/16400/PG_15_202209061/5/16401". */
static bool main_fork_of(const char *path, RelationFile *file, uint32_t *segment)
{
    const char *name = NULL;
    RelationFileName found;

    *file = (RelationFile){.tablespace = DEFAULT_TABLESPACE};
    if (strncmp(path, "base/", 5) == 0) {
        name = path_number(path + 5, &file->database);
    } else if (strncmp(path, "global/", 7) == 0) {
        file->tablespace = GLOBAL_TABLESPACE;
        name = path + 7;
    } else if (strncmp(path, "pg_tblspc/", 10) == 0) {
        name = path_number(path + 10, &file->tablespace);
        name = name != NULL ? strchr(name, '/') : NULL;
        name = name != NULL ? path_number(name + 1, &file->database) : NULL;
    }
    if (name == NULL || !relation_file_parse(name, &found) || found.fork != FORK_MAIN ||
        found.is_temporary)
        return false;
    file->number = found.relfilenode;
    *segment = found.segment;
    return true;
}

/* Any block of the file, which is one of those that a relation's fork consists of. */
static bool names_any(const ChangedBlocks *changed, const RelationFile *file, uint64_t first,
                      uint32_t count)
{
    PageSet some;

    for (uint32_t at = 0; at < count; at += RANGE_PAGES) {
        const uint32_t left = count - at;

        if (changed_blocks_of(changed, file, FORK_MAIN, (uint32_t)first + at,
                              left < RANGE_PAGES ? left : RANGE_PAGES, some.words) != CHANGED_NONE)
            return true;
    }
    return false;
}

static bool may_be_asked(const UnreadRule *rule, const WalRangeQuestion *question)
{
    const ManifestEntry *base = question->base;

    if (rule->changed == NULL || !unread_is_as_before(rule, base, question->info) ||
        question->range >= base->range_count)
        return false;
    const ManifestRange *range = &base->ranges[question->range];
    return range->size % PAGE_BYTES == 0 && (range->is_settled || !rule->has_bad_pages);
}

bool unread_wal_names(const UnreadRule *rule, const WalRangeQuestion *question, PageSet *named)
{
    RelationFile file;
    uint32_t segment;

    if (!may_be_asked(rule, question) || !main_fork_of(question->base->path, &file, &segment))
        return false;
    const uint64_t first = (uint64_t)segment * question->segment_blocks;
    const uint64_t begin = first + (uint64_t)question->range * RANGE_PAGES;
    if (begin % 64 != 0 || begin + RANGE_PAGES > UINT32_MAX ||
        first + question->segment_blocks > UINT32_MAX)
        return false;
    const ChangedAnswer answer = changed_blocks_of(rule->changed, &file, FORK_MAIN, (uint32_t)begin,
                                                   RANGE_PAGES, named->words);
    if (answer == CHANGED_SOME)
        return true;
    return answer == CHANGED_NONE &&
           (!unread_was_written(question->base, question->info) ||
            names_any(rule->changed, &file, first, question->segment_blocks));
}
