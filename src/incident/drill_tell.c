#include "drill_parts.h"

#include "cli/output.h"

#include <inttypes.h>

static const char *drill_when(TimeUs time, char text[TIME_TEXT_SIZE])
{
    return time == TIME_US_NONE ? "none" : time_text_local(time, text);
}

static uint64_t drill_elapsed(const Evidence *evidence)
{
    uint64_t all = 0;

    for (size_t i = 0; i < DRILL_PHASES; i++)
        all += evidence->phases[i];
    return all;
}

static void drill_print_target(const Evidence *evidence)
{
    out_print("  backup     %s\n", *evidence->backup != '\0' ? evidence->backup : "none was found");
    out_print("  target     %s%s%s%s\n", evidence->target, *evidence->chosen != '\0' ? " (" : "",
              evidence->chosen, *evidence->chosen != '\0' ? ")" : "");
    if (evidence->has_seed)
        out_print("  seed       %" PRIu64 "\n", evidence->seed);
}

static void drill_print_reached(const Evidence *evidence)
{
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];

    if (evidence->reached == 0)
        return;
    out_print("  reached    %s, last commit %s\n", lsn_text(evidence->reached, lsn),
              drill_when(evidence->last_commit, time));
}

static void drill_print_times(const Evidence *evidence)
{
    char text[OUT_TEXT_SIZE], rate[OUT_TEXT_SIZE];

    out_print("  took       %s:", out_duration((TimeUs)drill_elapsed(evidence), text));
    for (size_t i = 0; i < DRILL_PHASES; i++) {
        if (evidence->phases[i] == 0)
            continue;
        out_print("%s %s %s", i == 0 ? "" : ",", drill_phase_name((DrillPhase)i),
                  out_duration((TimeUs)evidence->phases[i], text));
    }
    out_print("\n");
    const uint64_t rebuild = evidence->phases[DRILL_REBUILD] + evidence->phases[DRILL_SYNC];
    if (evidence->bytes > 0 && rebuild > 0) {
        out_print("  content    %" PRIu64 " files, %s, %s; %" PRIu64 " WAL segments\n",
                  evidence->files, out_bytes(evidence->bytes, text),
                  out_rate(evidence->bytes, (TimeUs)rebuild, rate), evidence->wal_segments);
    }
}

static void drill_print_probe(const Probe *probe)
{
    out_print("  %-10s %s%s%s: %s\n", probe_result_name(probe->result), probe->name,
              *probe->where != '\0' ? " in " : "", probe->where, probe->text);
}

static void drill_print_probes(const Evidence *evidence, bool all)
{
    size_t counts[PROBE_FAILED + 1] = {0};

    for (size_t i = 0; i < evidence->probe_count; i++)
        counts[evidence->probes[i].result]++;
    if (evidence->probe_count > 0) {
        out_print("  probes     %zu passed, %zu noted, %zu failed\n", counts[PROBE_PASSED],
                  counts[PROBE_NOTED], counts[PROBE_FAILED] + counts[PROBE_HOST]);
    }
    for (size_t i = 0; i < evidence->probe_count; i++) {
        if (all || evidence->probes[i].result != PROBE_PASSED)
            drill_print_probe(&evidence->probes[i]);
    }
}

/* Before it was started there was nobody to have one. */
static void drill_print_network(const Evidence *evidence)
{
    if (evidence->phases[DRILL_REPLAY] == 0)
        return;
    out_print("  network    %s\n", evidence->has_network
                                       ? "could not be taken away here: the copy could reach others"
                                       : "none: the copy could reach nobody");
}

static void drill_print_head(const Evidence *evidence)
{
    out_print("drill %s %s\n", evidence->id, evidence->verdict);
    drill_print_target(evidence);
    drill_print_reached(evidence);
    drill_print_times(evidence);
    drill_print_network(evidence);
}

static void probes_to_json(const Evidence *evidence, Json *json)
{
    json_begin_array(json, "probes");
    for (size_t i = 0; i < evidence->probe_count; i++) {
        const Probe *probe = &evidence->probes[i];

        json_begin_object(json, NULL);
        json_text(json, "result", probe_result_name(probe->result));
        json_text(json, "name", probe->name);
        json_text(json, "database", *probe->where != '\0' ? probe->where : NULL);
        json_text(json, "text", probe->text);
        json_double(json, "elapsed_s", (double)probe->elapsed / 1e6);
        json_end_object(json);
    }
    json_end_array(json);
}

static void phases_to_json(const Evidence *evidence, Json *json)
{
    json_begin_object(json, "phases");
    for (size_t i = 0; i < DRILL_PHASES; i++) {
        CLEANUP(text_freep) char *key = text_format("%s_s", drill_phase_name((DrillPhase)i));

        if (evidence->phases[i] > 0) {
            json_double(json, key, (double)evidence->phases[i] / 1e6);
        } else {
            json_text(json, key, NULL);
        }
    }
    json_end_object(json);
}

static void way_to_json(const Evidence *evidence, Json *json)
{
    json_text(json, "backup", *evidence->backup != '\0' ? evidence->backup : NULL);
    json_text(json, "target", evidence->target);
    json_u64(json, "target_timeline", evidence->target_timeline);
    if (evidence->has_seed) {
        json_u64(json, "seed", evidence->seed);
    } else {
        json_text(json, "seed", NULL);
    }
    json_text(json, "chosen", *evidence->chosen != '\0' ? evidence->chosen : NULL);
    json_lsn(json, "reached_lsn", evidence->reached);
    json_time(json, "last_commit_time", evidence->last_commit);
    json_time_exact(json, "last_commit_time_exact", evidence->last_commit);
    json_u64(json, "new_timeline", evidence->new_timeline);
}

static void who_to_json(const Evidence *evidence, Json *json)
{
    json_text(json, "drill", evidence->id);
    json_text(json, "verdict", evidence->verdict);
    json_u64(json, "status", evidence->status);
    json_text(json, "error", *evidence->error != '\0' ? evidence->error : NULL);
    json_time(json, "started_time", evidence->started);
    json_time(json, "finished_time", evidence->finished);
    json_text(json, "host", evidence->host);
    json_text(json, "user", evidence->user);
    json_text(json, "tool", evidence->tool);
    json_u64(json, "server_version", evidence->server_version);
    json_bool(json, "has_network", evidence->has_network);
}

static void load_to_json(const Evidence *evidence, Json *json)
{
    json_u64(json, "files", evidence->files);
    json_u64(json, "bytes", evidence->bytes);
    json_u64(json, "read_bytes", evidence->read_bytes);
    json_u64(json, "wal_segments", evidence->wal_segments);
    json_u64(json, "wal_stored_bytes", evidence->wal_stored_bytes);
    json_u64(json, "jobs", evidence->jobs);
    json_double(json, "elapsed_s", (double)drill_elapsed(evidence) / 1e6);
}

static void settings_to_json(const Evidence *evidence, Json *json)
{
    json_begin_array(json, "settings");
    for (size_t i = 0; evidence->settings != NULL && evidence->settings[i] != NULL; i++)
        json_text(json, NULL, evidence->settings[i]);
    json_end_array(json);
}

/* Without its list of settings where many are told. */
static void evidence_to_json(const Evidence *evidence, bool all, Json *json)
{
    who_to_json(evidence, json);
    way_to_json(evidence, json);
    load_to_json(evidence, json);
    phases_to_json(evidence, json);
    if (!all)
        return;
    probes_to_json(evidence, json);
    settings_to_json(evidence, json);
}

bool drill_tell(const Drill *drill, Error *err)
{
    const Evidence *evidence = &drill->evidence;
    CLEANUP(json_done) Json json = {0};

    if (drill->asked->json) {
        json_begin_object(&json, NULL);
        json_bool(&json, "dry_run", false);
        evidence_to_json(evidence, true, &json);
        json_bool(&json, "is_kept", drill->trouble.code == ERR_NONE);
        json_end_object(&json);
        return json_print(&json, err);
    }
    drill_print_head(evidence);
    drill_print_probes(evidence, false);
    if (drill->trouble.code == ERR_NONE)
        out_print("  evidence   pgcairn drill --show=%s\n", evidence->id);
    return out_flush(err);
}

bool drill_tell_plan(const Drill *drill, Error *err)
{
    const Evidence *evidence = &drill->evidence;
    const Decision *decision = &drill->story.plan.decision;
    CLEANUP(json_done) Json json = {0};
    char bytes[OUT_TEXT_SIZE], time[TIME_TEXT_SIZE];

    if (drill->asked->json) {
        json_begin_object(&json, NULL);
        json_bool(&json, "dry_run", true);
        way_to_json(evidence, &json);
        json_time_exact(&json, "last_commit_before_time_exact", decision->point.last_before.time);
        json_u64(&json, "bytes", decision->bytes);
        json_u64(&json, "wal_segments", decision->wal_segments);
        json_end_object(&json);
        return json_print(&json, err);
    }
    out_print("a drill in %s would try\n", drill->scratch.place);
    drill_print_target(evidence);
    out_print("  content    %s, %" PRIu64 " WAL segments\n", out_bytes(decision->bytes, bytes),
              decision->wal_segments);
    if (decision->point.last_before.time != TIME_US_NONE) {
        out_print("  last       commit at %s\n",
                  drill_when(decision->point.last_before.time, time));
    }
    return out_flush(err);
}

static void list_to_table(const EvidenceList *list)
{
    static const char *const heads[] = {"drill",  "verdict",     "backup",
                                        "target", "last commit", "took"};
    CLEANUP(table_freep) Table *table = table_new(ARRAY_SIZE(heads));

    table_row(table, heads);
    for (size_t i = 0; i < list->count; i++) {
        const Evidence *evidence = &list->items[i];
        char took[OUT_TEXT_SIZE], time[TIME_TEXT_SIZE];
        const char *const cells[] = {evidence->id,
                                     evidence->verdict,
                                     evidence->backup,
                                     evidence->target,
                                     drill_when(evidence->last_commit, time),
                                     out_duration((TimeUs)drill_elapsed(evidence), took)};
        table_row(table, cells);
    }
    table_print(table);
}

bool drill_tell_list(const Cluster *cluster, bool json, Error *err)
{
    CLEANUP(evidence_list_done) EvidenceList list = {0};
    CLEANUP(json_done) Json text = {0};

    if (!evidence_list_load(&list, cluster, err))
        return false;
    if (!json && list.count == 0) {
        out_print("no drill was kept yet\n");
        return out_flush(err);
    }
    if (!json) {
        list_to_table(&list);
        return out_flush(err);
    }
    json_begin_object(&text, NULL);
    json_begin_array(&text, "drills");
    for (size_t i = 0; i < list.count; i++) {
        json_begin_object(&text, NULL);
        evidence_to_json(&list.items[i], false, &text);
        json_end_object(&text);
    }
    json_end_array(&text);
    json_end_object(&text);
    return json_print(&text, err);
}

static void drill_print_one(const Evidence *evidence, const Buffer *log)
{
    char started[TIME_TEXT_SIZE];

    drill_print_head(evidence);
    out_print("  when       %s\n", drill_when(evidence->started, started));
    out_print("  where      %s, as %s, PostgreSQL %" PRIu64 ", pgcairn %s\n", evidence->host,
              evidence->user, evidence->server_version, evidence->tool);
    if (*evidence->error != '\0')
        out_print("  error      %s\n", evidence->error);
    drill_print_probes(evidence, true);
    if (log->size == 0)
        return;
    out_print("  messages   of the server:\n");
    const char *line = (const char *)log->data;
    while (*line != '\0') {
        const size_t length = strcspn(line, "\n");
        out_print("    %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

bool drill_tell_one(const Cluster *cluster, const char *id, bool json, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(buffer_done) Buffer log = {0};
    CLEANUP(json_done) Json text = {0};
    Evidence evidence;

    if (!evidence_load(cluster, id, &evidence, &arena, err) ||
        !evidence_load_log(cluster, &evidence, &log, err))
        return false;
    if (!json) {
        drill_print_one(&evidence, &log);
        return out_flush(err);
    }
    json_begin_object(&text, NULL);
    evidence_to_json(&evidence, true, &text);
    json_text(&text, "server_log", log.size > 0 ? (const char *)log.data : NULL);
    json_end_object(&text);
    return json_print(&text, err);
}
