#include "answer/log_print.h"

#include "log_relations.h"

#include <inttypes.h>

bool log_undo(const LogPrinter *printer, const Happening *happening, LogUndo *undo, bool *has_undo,
              Error *err)
{
    *undo = (LogUndo){0};
    *has_undo = happening->kind != HAPPENING_GAP && happening_is_drop(happening);
    if (!*has_undo)
        return true;
    if (happening->database_count > 0) {
        return happenings_drop_begin(printer->walk, happening->xid, happening->databases[0].lsn,
                                     &undo->lsn, err);
    }
    if (happening->tablespace_count > 0) {
        undo->lsn = happening->tablespaces[0].lsn;
    } else {
        undo->xid = happening->xid;
    }
    return true;
}

void log_printer_done(LogPrinter *printer)
{
    relation_names_freep(&printer->names);
    restore_points_done(&printer->points);
    buffer_done(&printer->text);
    *printer = (LogPrinter){0};
}

bool log_point_number(LogPrinter *printer, const Happening *happening, uint64_t *number,
                      uint64_t *count, Error *err)
{
    *number = 0;
    *count = 0;
    if (!printer->has_points && !restore_points_find(printer->walk, NULL, &printer->points, err))
        return false;
    printer->has_points = true;
    for (size_t i = 0; i < printer->points.count; i++) {
        const RestorePoint *point = &printer->points.items[i];

        if (strcmp(point->name, happening->name) != 0)
            continue;
        *count += 1;
        if (point->lsn == happening->lsn)
            *number = *count;
    }
    return true;
}

static void put_databases(LogPrinter *printer, const Happening *happening)
{
    for (size_t i = 0; i < happening->database_count; i++) {
        buffer_print(&printer->text, "%s%s ", printer->text.size > 0 ? "; " : "",
                     happening->kind == HAPPENING_COMMIT ? "dropped database"
                                                         : "removed the files of database");
        log_put_database(printer, happening->lsn, happening->databases[i].oid);
    }
}

static void put_commit(LogPrinter *printer, const Happening *happening)
{
    CLEANUP(log_relations_done) LogRelations relations = {0};

    log_relations_init(&relations, printer, happening);
    put_databases(printer, happening);
    log_put_relations(printer, &relations);
    for (size_t i = 0; i < happening->tablespace_count; i++) {
        buffer_print(&printer->text, "%sdropped tablespace %" PRIu32,
                     printer->text.size > 0 ? "; " : "", happening->tablespaces[i].oid);
    }
    if (happening->truncated > 0) {
        buffer_print(&printer->text, "%sTRUNCATE of %" PRIu32 " table%s",
                     printer->text.size > 0 ? "; " : "", happening->truncated,
                     happening->truncated == 1 ? "" : "s");
    }
    if (happening->is_cut_short)
        buffer_print(&printer->text, "committed: its record is too large to be read");
    if (printer->text.size > 0)
        return;
    buffer_print(&printer->text, "committed");
    if (happening->is_prepared)
        buffer_print(&printer->text, " (prepared)");
    if (happening->database != 0) {
        buffer_print(&printer->text, " in database ");
        log_put_database(printer, happening->lsn, happening->database);
    }
    if (happening->object_count > 0) {
        buffer_print(&printer->text,
                     ": dropped %zu relation%s without files (views, temporary or partitioned "
                     "tables)",
                     happening->object_count, happening->object_count == 1 ? "" : "s");
        log_put_objects(printer, &relations);
    }
}

static const char *log_segment_name(const LogPrinter *printer, uint64_t segment,
                                    char text[WAL_NAME_SIZE])
{
    uint32_t size = printer->walk->cluster->wal_segment_size;

    return wal_name_text(
        &(WalName){.kind = WAL_SEGMENT,
                   .timeline = path_timeline_of_segment(printer->walk->path, segment, size),
                   .segment = segment},
        size, text);
}

static void put_gap(LogPrinter *printer, const WalGap *gap)
{
    char first[WAL_NAME_SIZE], last[WAL_NAME_SIZE], lsn[LSN_TEXT_SIZE];

    log_segment_name(printer, gap->first, first);
    log_segment_name(printer, gap->last, last);
    if (gap->is_missing && gap->first != gap->last) {
        buffer_print(&printer->text, "WAL IS MISSING: %" PRIu64 " segments, %s to %s",
                     gap->last - gap->first + 1, first, last);
    } else if (gap->is_missing) {
        buffer_print(&printer->text, "WAL IS MISSING: %s", first);
    } else {
        buffer_print(&printer->text, "WAL IS DAMAGED: %s: %s", first, gap->reason);
    }
    buffer_print(&printer->text, "; what happened up to %s is not known", lsn_text(gap->to, lsn));
}

static void put_happening(LogPrinter *printer, const Happening *happening)
{
    switch (happening->kind) {
    case HAPPENING_COMMIT:
        put_commit(printer, happening);
        return;
    case HAPPENING_RESTORE_POINT:
        buffer_print(&printer->text, "restore point \"%s\"", happening->name);
        return;
    case HAPPENING_TIMELINE:
        buffer_print(&printer->text, "timeline %" PRIu32 " begins, from timeline %" PRIu32,
                     happening->timeline, happening->prev_timeline);
        return;
    case HAPPENING_SHRINK:
        buffer_print(&printer->text, "cut file %" PRIu32 " of database ", happening->file.number);
        log_put_database(printer, happening->lsn, happening->file.database);
        buffer_print(&printer->text, " to %" PRIu32 " pages (VACUUM does it with empty ones)",
                     happening->pages);
        return;
    case HAPPENING_REMOVAL:
        put_databases(printer, happening);
        buffer_print(&printer->text, ", in a transaction whose commit is not there");
        return;
    case HAPPENING_GAP:
        put_gap(printer, happening->gap);
        return;
    }
}

static void put_timeline(const LogPrinter *printer, Buffer *text)
{
    if (printer->target_timeline != 0)
        buffer_print(text, " --target-timeline=%" PRIu32, printer->target_timeline);
    buffer_print(text, "]");
}

/* What can be typed as it stands, whatever other branches there are. */
static void put_undo(const LogPrinter *printer, const LogUndo *undo, Buffer *text)
{
    char lsn[LSN_TEXT_SIZE];

    buffer_print(text, "%s", "");
    if (undo->lsn == 0 && undo->xid == 0)
        return;
    if (undo->lsn != 0) {
        buffer_print(text, "[--target-lsn=%s --target-exclusive", lsn_text(undo->lsn, lsn));
    } else {
        buffer_print(text, "[--target-xid=%" PRIu32 " --target-exclusive", undo->xid);
    }
    put_timeline(printer, text);
}

static bool has_point(const LogPrinter *printer, const char *name)
{
    for (size_t i = 0; i < printer->points.count; i++) {
        if (strcmp(printer->points.items[i].name, name) == 0)
            return true;
    }
    return false;
}

/* By its place where NAME@N is the whole name of another one, or needs more than quotes. */
static void put_point(const LogPrinter *printer, const Happening *happening, uint64_t number,
                      Buffer *text)
{
    CLEANUP(text_freep) char *name = text_format("%s@%" PRIu64, happening->name, number);
    char lsn[LSN_TEXT_SIZE];

    if (has_point(printer, name) || strchr(name, '\'') != NULL) {
        buffer_print(text, "[--target-lsn=%s", lsn_text(happening->lsn, lsn));
    } else {
        buffer_print(text, "[--target-name='%s'", name);
    }
    put_timeline(printer, text);
}

/* A drop, undone; or a restore point whose name alone does not say which is meant. */
static bool put_suggestion(LogPrinter *printer, const Happening *happening, const LogUndo *undo,
                           Buffer *text, Error *err)
{
    uint64_t number, count;

    put_undo(printer, undo, text);
    if (happening->kind != HAPPENING_RESTORE_POINT)
        return true;
    if (!log_point_number(printer, happening, &number, &count, err))
        return false;
    if (count > 1 && number > 0)
        put_point(printer, happening, number, text);
    return true;
}

bool log_print_line(LogPrinter *printer, const Happening *happening, Error *err)
{
    char time[TIME_TEXT_SIZE] = "-", lsn[LSN_TEXT_SIZE], xid[24] = "";
    LogUndo undo;
    bool has_undo;

    printer->text.size = 0;
    if (!log_undo(printer, happening, &undo, &has_undo, err))
        return false;
    put_happening(printer, happening);
    if (happening->time != TIME_US_NONE)
        time_text_local(happening->time, time);
    if (happening->xid != 0)
        (void)snprintf(xid, sizeof xid, "xid %" PRIu32, happening->xid);
    CLEANUP(text_freep)
    char *head = text_format("%-29s  %-12s  %-14s", time, lsn_text(happening->lsn, lsn), xid);
    CLEANUP(buffer_done) Buffer tail = {0};
    if (!put_suggestion(printer, happening, &undo, &tail, err))
        return false;
    buffer_print(&printer->text, "%s", ""); /* a zero after the end */
    out_folded(&(FoldedLine){
        .head = head, .text = (const char *)printer->text.data, .tail = (const char *)tail.data});
    return true;
}

bool log_print_branch(const LogBranch *branch, bool json, Error *err)
{
    char lsn[LSN_TEXT_SIZE];

    if (json) {
        CLEANUP(json_done) Json line = {0};

        json_begin_object(&line, NULL);
        json_text(&line, "kind", "branch");
        json_u64(&line, "timeline", branch->timeline);
        json_lsn(&line, "from_lsn", branch->from);
        json_end_object(&line);
        return json_print(&line, err);
    }
    if (branch->from == 0) {
        out_print("On the way to timeline %" PRIu32 ", the newest:\n\n", branch->timeline);
    } else {
        out_print("\nOn timeline %" PRIu32 " from %s on, where newer timelines left it:\n\n",
                  branch->timeline, lsn_text(branch->from, lsn));
    }
    return true;
}

void log_print_other(const LogBranch *branch)
{
    char lsn[LSN_TEXT_SIZE];

    if (branch->from == 0)
        return;
    out_print("Timeline %" PRIu32 " has more, from %s on: --timeline=%" PRIu32 " shows it.\n",
              branch->timeline, lsn_text(branch->from, lsn), branch->timeline);
}

bool log_print_end(LogPrinter *printer, bool json, const LogEnd *end, Error *err)
{
    char name[WAL_NAME_SIZE], lsn[LSN_TEXT_SIZE];
    uint32_t size = printer->walk->cluster->wal_segment_size;
    bool is_unborn = end->unborn != 0 && end->is_bounded;
    bool is_whole = !end->is_limited && (!end->is_bounded || is_unborn);

    if (json) {
        CLEANUP(json_done) Json line = {0};

        json_begin_object(&line, NULL);
        json_text(&line, "kind", "end");
        json_u64(&line, "timeline", end->timeline);
        json_lsn(&line, "until_lsn", is_unborn && is_whole ? end->unborn : end->scan.until);
        json_bool(&line, "end_of_archive", is_whole);
        json_u64(&line, "shown", end->shown);
        json_u64(&line, "gaps", end->gaps);
        json_u64(&line, "segments", end->scan.segments);
        json_u64(&line, "segments_read", end->scan.read);
        json_end_object(&line);
        return json_print(&line, err);
    }
    if (end->is_limited) {
        out_print("\nThat is as much as --limit allows; there is more.\n");
    } else if (end->scan.is_empty) {
        out_print("\nThere is no WAL of timeline %" PRIu32 " in the archive from there on.\n",
                  end->timeline);
    } else if (is_unborn) {
        out_print("\nTimeline %" PRIu32 " begins at %s; none of its WAL is in the archive yet.\n",
                  end->timeline, lsn_text(end->unborn, lsn));
    } else if (is_whole) {
        out_print("\nThe archive of timeline %" PRIu32 " ends with %s, %s %s%s.\n", end->timeline,
                  log_segment_name(printer, wal_segment_before(end->scan.until, size), name),
                  end->scan.is_open ? "which is still being written, at" : "before",
                  lsn_text(end->scan.until, lsn), end->shown == 0 ? "; nothing was found" : "");
    }
    return out_flush(err);
}

static const char *happening_kind_name(HappeningKind kind)
{
    switch (kind) {
    case HAPPENING_COMMIT:
        return "commit";
    case HAPPENING_RESTORE_POINT:
        return "restore_point";
    case HAPPENING_TIMELINE:
        return "timeline";
    case HAPPENING_SHRINK:
        return "shrink";
    case HAPPENING_REMOVAL:
        return "removal";
    case HAPPENING_GAP:
        return "gap";
    }
    return "";
}

static void database_to_json(LogPrinter *printer, Lsn lsn, uint32_t oid, Json *json)
{
    json_u64(json, "database_oid", oid);
    json_text(json, "database", relation_names_database(printer->names, lsn, oid));
}

static void commit_to_json(LogPrinter *printer, const Happening *happening, Json *json)
{
    CLEANUP(log_relations_done) LogRelations relations = {0};

    json_bool(json, "prepared", happening->is_prepared);
    if (happening->database != 0)
        database_to_json(printer, happening->lsn, happening->database, json);
    log_relations_init(&relations, printer, happening);
    log_relations_to_json(printer, &relations, json);
    json_u64(json, "tables_truncated", happening->truncated);
    json_begin_array(json, "databases");
    for (size_t i = 0; i < happening->database_count; i++) {
        json_begin_object(json, NULL);
        database_to_json(printer, happening->lsn, happening->databases[i].oid, json);
        json_lsn(json, "lsn", happening->databases[i].lsn);
        json_bool(json, "dropped", happening->kind == HAPPENING_COMMIT);
        json_end_object(json);
    }
    json_end_array(json);
    json_begin_array(json, "tablespaces");
    for (size_t i = 0; i < happening->tablespace_count; i++)
        json_u64(json, NULL, happening->tablespaces[i].oid);
    json_end_array(json);
}

static void gap_to_json(const LogPrinter *printer, const WalGap *gap, Json *json)
{
    char name[WAL_NAME_SIZE];

    json_bool(json, "missing", gap->is_missing);
    json_text(json, "first_segment", log_segment_name(printer, gap->first, name));
    json_text(json, "last_segment", log_segment_name(printer, gap->last, name));
    json_lsn(json, "until_lsn", gap->to);
    json_text(json, "reason", *gap->reason != '\0' ? gap->reason : NULL);
}

static void undo_to_json(const LogPrinter *printer, const LogUndo *undo, Json *json)
{
    json_begin_object(json, "undo");
    if (undo->lsn != 0)
        json_lsn(json, "target_lsn", undo->lsn);
    if (undo->xid != 0)
        json_u64(json, "target_xid", undo->xid);
    json_bool(json, "target_exclusive", true);
    if (printer->target_timeline != 0)
        json_u64(json, "target_timeline", printer->target_timeline);
    json_end_object(json);
}

bool log_print_json(LogPrinter *printer, const Happening *happening, Error *err)
{
    CLEANUP(json_done) Json json = {0};
    LogUndo undo;
    bool has_undo;

    if (!log_undo(printer, happening, &undo, &has_undo, err))
        return false;
    json_begin_object(&json, NULL);
    json_text(&json, "kind", happening_kind_name(happening->kind));
    json_time(&json, "time", happening->time);
    /* To the microsecond: it can be given back as --target-time. */
    json_time_exact(&json, "time_exact", happening->time);
    json_lsn(&json, "lsn", happening->lsn);
    if (happening->xid != 0)
        json_u64(&json, "xid", happening->xid);
    if (happening->kind == HAPPENING_COMMIT || happening->kind == HAPPENING_REMOVAL)
        commit_to_json(printer, happening, &json);
    if (happening->kind == HAPPENING_RESTORE_POINT) {
        uint64_t number, count;

        if (!log_point_number(printer, happening, &number, &count, err))
            return false;
        json_text(&json, "name", happening->name);
        json_u64(&json, "number", number);
        json_u64(&json, "of_this_name", count);
    }
    if (happening->kind == HAPPENING_TIMELINE) {
        json_u64(&json, "timeline", happening->timeline);
        json_u64(&json, "from_timeline", happening->prev_timeline);
    }
    if (happening->kind == HAPPENING_SHRINK) {
        database_to_json(printer, happening->lsn, happening->file.database, &json);
        json_u64(&json, "file", happening->file.number);
        json_u64(&json, "pages", happening->pages);
    }
    if (happening->kind == HAPPENING_GAP)
        gap_to_json(printer, happening->gap, &json);
    if (has_undo && (undo.lsn != 0 || undo.xid != 0))
        undo_to_json(printer, &undo, &json);
    json_end_object(&json);
    return json_print(&json, err);
}
