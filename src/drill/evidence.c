#include "drill/evidence.h"

#include "stream/codec.h"
#include "stream/digest.h"

#include <stdlib.h>

static const char record_kind[] = "evidence";

enum {
    EVIDENCE_VERSION = 1,
    FIELDS_MAX = 5,
    /* A record of more than 1 MiB is not read, so what is least needed makes room. */
    PROBES_UNTIL = 900 << 10,
    COUNTS_UNTIL = 960 << 10,
};

static const char *const result_names[] = {
    [PROBE_PASSED] = "passed",
    [PROBE_NOTED] = "noted",
    [PROBE_HOST] = "host",
    [PROBE_FAILED] = "failed",
};

static const char *const phase_names[] = {
    [DRILL_PLAN] = "plan",     [DRILL_REBUILD] = "rebuild", [DRILL_SYNC] = "sync",
    [DRILL_REPLAY] = "replay", [DRILL_OPEN] = "open",       [DRILL_PROBE] = "probe",
    [DRILL_CLEAN] = "clean",
};

const char *probe_result_name(ProbeResult result)
{
    return result_names[result];
}

const char *drill_phase_name(DrillPhase phase)
{
    return phase_names[phase];
}

/* Fields of one value, with tabs between: a tab in a field is a blank. */
static void put_fields(RecordWriter *text, const char *key, const char *const *fields, size_t count)
{
    CLEANUP(buffer_done) Buffer value = {0};

    for (size_t i = 0; i < count; i++) {
        buffer_print(&value, "%s", i > 0 ? "\t" : "");
        for (const char *c = fields[i]; *c != '\0'; c++)
            buffer_print(&value, "%c", *c == '\t' ? ' ' : *c);
    }
    record_text(text, key, (const char *)value.data);
}

static void put_probe(RecordWriter *text, const Probe *probe)
{
    char elapsed[32];
    const char *const fields[] = {result_names[probe->result], probe->name, probe->where, elapsed,
                                  probe->text};

    (void)snprintf(elapsed, sizeof elapsed, "%lld", (long long)probe->elapsed);
    put_fields(text, "probe", fields, ARRAY_SIZE(fields));
}

static void put_count(RecordWriter *text, const Count *count)
{
    char number[32];
    const char *const fields[] = {count->where, count->name, number};

    (void)snprintf(number, sizeof number, "%lld", (long long)count->number);
    put_fields(text, count->is_sequence ? "sequence" : "rows", fields, ARRAY_SIZE(fields));
}

static void evidence_put_phases(RecordWriter *text, const Evidence *evidence)
{
    for (size_t i = 0; i < DRILL_PHASES; i++) {
        CLEANUP(text_freep) char *key = text_format("elapsed_%s_us", phase_names[i]);
        record_u64(text, key, evidence->phases[i]);
    }
}

static void put_who(RecordWriter *text, const Evidence *evidence, const Cluster *cluster)
{
    record_text(text, "repository", cluster->repo->id);
    record_text(text, "cluster", cluster->name);
    record_text(text, "drill", evidence->id);
    record_text(text, "verdict", evidence->verdict);
    record_u64(text, "status", evidence->status);
    record_text(text, "error", evidence->error);
    record_time(text, "started", evidence->started);
    record_time(text, "finished", evidence->finished);
    record_text(text, "host", evidence->host);
    record_text(text, "user", evidence->user);
    record_text(text, "tool", evidence->tool);
    record_text(text, "options", evidence->options);
    record_u64(text, "server_version", evidence->server_version);
    record_u64(text, "system_identifier", evidence->system_identifier);
    record_u64(text, "jobs", evidence->jobs);
}

static void put_way(RecordWriter *text, const Evidence *evidence)
{
    char lsn[LSN_TEXT_SIZE];

    if (evidence->has_seed)
        record_u64(text, "seed", evidence->seed);
    record_text(text, "chosen", evidence->chosen);
    record_text(text, "target", evidence->target);
    record_u64(text, "target_timeline", evidence->target_timeline);
    record_text(text, "backup", evidence->backup);
    record_text(text, "reached", lsn_text(evidence->reached, lsn));
    record_time(text, "last_commit", evidence->last_commit);
    record_u64(text, "new_timeline", evidence->new_timeline);
    record_u64(text, "files", evidence->files);
    record_u64(text, "bytes", evidence->bytes);
    record_u64(text, "read_bytes", evidence->read_bytes);
    record_u64(text, "wal_segments", evidence->wal_segments);
    record_u64(text, "wal_stored_bytes", evidence->wal_stored_bytes);
    record_text(text, "network", evidence->has_network ? "open" : "none");
    record_text(text, "read_all", evidence->read_all ? "yes" : "no");
}

void evidence_encode(const Evidence *evidence, const Cluster *cluster, RecordWriter *text)
{
    record_begin(text, record_kind, EVIDENCE_VERSION);
    put_who(text, evidence, cluster);
    put_way(text, evidence);
    evidence_put_phases(text, evidence);
    for (size_t i = 0; evidence->settings != NULL && evidence->settings[i] != NULL; i++)
        record_text(text, "setting", evidence->settings[i]);
    for (size_t i = 0; i < evidence->probe_count && text->text.size < PROBES_UNTIL; i++)
        put_probe(text, &evidence->probes[i]);
    for (size_t i = 0; i < evidence->count_count && text->text.size < COUNTS_UNTIL; i++)
        put_count(text, &evidence->counts[i]);
    record_text(text, "log_sha256", evidence->log_sha256);
    record_u64(text, "log_bytes", evidence->log_bytes);
}

/* Up to `count` fields; what is missing is "". */
static void split_fields(const char *value, const char **fields, size_t count, Arena *arena)
{
    for (size_t i = 0; i < count; i++) {
        const bool is_last = i + 1 == count;
        const size_t length = is_last ? strlen(value) : strcspn(value, "\t");

        fields[i] = arena_text_part(arena, value, length);
        value += length + (value[length] == '\t');
    }
}

static bool get_probe(Probe *probe, const char *value, Arena *arena, Error *err)
{
    const char *fields[FIELDS_MAX];

    split_fields(value, fields, FIELDS_MAX, arena);
    *probe = (Probe){.name = fields[1],
                     .where = fields[2],
                     .elapsed = strtoll(fields[3], NULL, 10),
                     .text = fields[4]};
    for (size_t i = 0; i < ARRAY_SIZE(result_names); i++) {
        if (strcmp(result_names[i], fields[0]) == 0) {
            probe->result = (ProbeResult)i;
            return true;
        }
    }
    return error_set(err, ERR_CORRUPT, "a probe with the result \"%s\"", fields[0]);
}

static void get_count(Count *count, const RecordField *field, Arena *arena)
{
    const char *fields[3];

    split_fields(field->value, fields, ARRAY_SIZE(fields), arena);
    *count = (Count){.is_sequence = strcmp(field->key, "sequence") == 0,
                     .where = fields[0],
                     .name = fields[1],
                     .number = strtoll(fields[2], NULL, 10)};
}

static bool get_lists(Evidence *evidence, const Record *record, Arena *arena, Error *err)
{
    const char **settings = arena_alloc(arena, (record->count + 1) * sizeof *settings);
    Probe *probes = arena_alloc(arena, (record->count + 1) * sizeof *probes);
    Count *counts = arena_alloc(arena, (record->count + 1) * sizeof *counts);
    size_t setting_count = 0;

    for (size_t i = 0; i < record->count; i++) {
        const RecordField *field = &record->fields[i];

        if (strcmp(field->key, "setting") == 0) {
            settings[setting_count++] = arena_text(arena, field->value);
        } else if (strcmp(field->key, "probe") == 0) {
            if (!get_probe(&probes[evidence->probe_count++], field->value, arena, err))
                return false;
        } else if (strcmp(field->key, "rows") == 0 || strcmp(field->key, "sequence") == 0) {
            get_count(&counts[evidence->count_count++], field, arena);
        }
    }
    evidence->settings = settings;
    evidence->probes = probes;
    evidence->counts = counts;
    return true;
}

static const char *evidence_text(const Record *record, const char *key, Arena *arena)
{
    const char *value = record_find(record, key);

    return arena_text(arena, value != NULL ? value : "");
}

static uint64_t evidence_number(const Record *record, const char *key)
{
    const char *value = record_find(record, key);

    return value != NULL ? strtoull(value, NULL, 10) : 0;
}

static void evidence_get_numbers(Evidence *evidence, const Record *record)
{
    const struct {
        const char *key;
        uint64_t *number;
    } numbers[] = {
        {"status", &evidence->status},
        {"server_version", &evidence->server_version},
        {"system_identifier", &evidence->system_identifier},
        {"jobs", &evidence->jobs},
        {"seed", &evidence->seed},
        {"target_timeline", &evidence->target_timeline},
        {"new_timeline", &evidence->new_timeline},
        {"files", &evidence->files},
        {"bytes", &evidence->bytes},
        {"read_bytes", &evidence->read_bytes},
        {"wal_segments", &evidence->wal_segments},
        {"wal_stored_bytes", &evidence->wal_stored_bytes},
        {"log_bytes", &evidence->log_bytes},
    };

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        *numbers[i].number = evidence_number(record, numbers[i].key);
    for (size_t i = 0; i < DRILL_PHASES; i++) {
        CLEANUP(text_freep) char *key = text_format("elapsed_%s_us", phase_names[i]);
        evidence->phases[i] = evidence_number(record, key);
    }
    evidence->has_seed = record_find(record, "seed") != NULL;
}

static void evidence_get_texts(Evidence *evidence, const Record *record, Arena *arena)
{
    const struct {
        const char *key;
        const char **text;
    } texts[] = {
        {"error", &evidence->error},
        {"host", &evidence->host},
        {"user", &evidence->user},
        {"tool", &evidence->tool},
        {"options", &evidence->options},
        {"chosen", &evidence->chosen},
        {"target", &evidence->target},
        {"backup", &evidence->backup},
        {"log_sha256", &evidence->log_sha256},
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        *texts[i].text = evidence_text(record, texts[i].key, arena);
    evidence->has_network = strcmp(evidence_text(record, "network", arena), "none") != 0;
    evidence->read_all = strcmp(evidence_text(record, "read_all", arena), "yes") == 0;
}

bool evidence_decode(Evidence *evidence, const Record *record, Arena *arena, Error *err)
{
    Evidence found = {.verdict = ""};
    const char *id, *verdict, *reached;

    if (!record_get_text(record, "drill", &id, err) ||
        !record_get_text(record, "verdict", &verdict, err) ||
        !record_get_text(record, "reached", &reached, err) ||
        !record_get_time(record, "started", &found.started, err) ||
        !record_get_time(record, "finished", &found.finished, err) ||
        !record_get_time(record, "last_commit", &found.last_commit, err) ||
        !lsn_parse(reached, &found.reached, err))
        return false;
    if (!backup_id_is_valid(id, strlen(id)))
        return error_set(err, ERR_CORRUPT, "\"%s\" is not the id of a drill", id);
    (void)snprintf(found.id, sizeof found.id, "%s", id);
    found.verdict = arena_text(arena, verdict);
    evidence_get_texts(&found, record, arena);
    evidence_get_numbers(&found, record);
    if (!get_lists(&found, record, arena, err))
        return false;
    *evidence = found;
    return true;
}

/* The last part of it, and how it is to be recognised. */
static bool evidence_store_log(const Cluster *cluster, Evidence *evidence, const Buffer *log,
                               Arena *arena, Error *err)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer frame = {0};
    CLEANUP(text_freep) char *object = layout_evidence_log(cluster->name, evidence->id);
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];
    const size_t size = log->size < EVIDENCE_LOG_MAX ? log->size : EVIDENCE_LOG_MAX;
    const uint8_t *from = size > 0 ? log->data + (log->size - size) : NULL;

    evidence->log_sha256 = "";
    evidence->log_bytes = size;
    if (size == 0)
        return true;
    sha256_of(from, size, digest);
    evidence->log_sha256 = arena_text(arena, sha256_text(digest, text));
    return codec_compress(codec, (Compression){.codec = CODEC_ZSTD, .level = 1}, from, size, &frame,
                          err) &&
           storage_put(cluster->repo->storage, object, WRITE_NEW, frame.data, frame.size, err);
}

bool evidence_store(const Cluster *cluster, Evidence *evidence, const Buffer *log, Arena *arena,
                    Error *err)
{
    CLEANUP(record_writer_done) RecordWriter text = {0};
    CLEANUP(text_freep) char *object = layout_evidence_record(cluster->name, evidence->id);

    if (!evidence_store_log(cluster, evidence, log, arena, err))
        return error_context(err, "store the log of the drill");
    evidence_encode(evidence, cluster, &text);
    return record_store(&text, cluster->repo->storage, object, err) ||
           error_context(err, "store the evidence of the drill");
}

static bool evidence_read(const Cluster *cluster, const char *id, Evidence *evidence, Arena *arena,
                          Error *err)
{
    CLEANUP(text_freep) char *object = layout_evidence_record(cluster->name, id);
    CLEANUP(record_done) Record record = {0};

    if (!record_load(cluster->repo->storage, object, record_kind, EVIDENCE_VERSION, &record, err) ||
        !evidence_decode(evidence, &record, arena, err))
        return false;
    return strcmp(evidence->id, id) == 0 ||
           error_set(err, ERR_CORRUPT, "it is the evidence of drill %s", evidence->id);
}

bool evidence_load(const Cluster *cluster, const char *id, Evidence *evidence, Arena *arena,
                   Error *err)
{
    if (!backup_id_is_valid(id, strlen(id)))
        error_set(err, ERR_NOT_FOUND, "\"%s\" is not the id of a drill", id);
    if (err->code == ERR_NONE && evidence_read(cluster, id, evidence, arena, err))
        return true;
    error_context(err, "read the evidence of drill %s", id);
    return error_hint(err, "`pgcairn drill --list` shows all that there are");
}

bool evidence_load_log(const Cluster *cluster, const Evidence *evidence, Buffer *log, Error *err)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer frame = {0};
    CLEANUP(text_freep) char *object = layout_evidence_log(cluster->name, evidence->id);
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];

    if (evidence->log_bytes == 0)
        return true;
    if (evidence->log_bytes > EVIDENCE_LOG_MAX)
        return error_set(err, ERR_CORRUPT, "the log of drill %s is too large", evidence->id);
    buffer_reserve(log, log->size + evidence->log_bytes + 1);
    uint8_t *raw = log->data + log->size;
    if (!storage_read(cluster->repo->storage, object, (size_t)2 * EVIDENCE_LOG_MAX, &frame, err) ||
        !codec_decompress(codec, CODEC_ZSTD, frame.data, frame.size, raw, evidence->log_bytes, err))
        return error_context(err, "read the log of drill %s", evidence->id);
    sha256_of(raw, evidence->log_bytes, digest);
    if (strcmp(sha256_text(digest, text), evidence->log_sha256) != 0) {
        return error_set(err, ERR_CORRUPT, "the log of drill %s is not the one that was kept",
                         evidence->id);
    }
    log->size += evidence->log_bytes;
    log->data[log->size] = '\0';
    return true;
}

static int by_id(const void *one, const void *other)
{
    return strcmp(((const Evidence *)one)->id, ((const Evidence *)other)->id);
}

static bool evidence_list_add(EvidenceList *list, const Cluster *cluster, const char *id,
                              Error *err)
{
    Evidence *evidence = &list->items[list->count];
    Error attempt = {0};

    if (!evidence_read(cluster, id, evidence, &list->arena, &attempt)) {
        if (attempt.code != ERR_CORRUPT && attempt.code != ERR_VERSION) {
            *err = attempt;
            return error_context(err, "read the evidence of drill %s", id);
        }
        *evidence = (Evidence){.verdict = "unreadable",
                               .error = arena_text(&list->arena, attempt.message),
                               .started = TIME_US_NONE,
                               .finished = TIME_US_NONE,
                               .last_commit = TIME_US_NONE,
                               .host = "",
                               .backup = "",
                               .target = "",
                               .chosen = ""};
        (void)snprintf(evidence->id, sizeof evidence->id, "%s", id);
    }
    list->count++;
    return true;
}

bool evidence_list_load(EvidenceList *list, const Cluster *cluster, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_evidence_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return error_context(err, "list the drills of %s", cluster->name);
    list->items = arena_alloc(&list->arena, (objects.count + 1) * sizeof list->items[0]);
    for (size_t i = 0; i < objects.count; i++) {
        char id[BACKUP_ID_SIZE];
        const char *what;

        if (layout_evidence_of(cluster->name, objects.objects[i].name, id, &what) &&
            strcmp(what, "record") == 0 && !evidence_list_add(list, cluster, id, err))
            return false;
    }
    if (list->count > 0)
        qsort(list->items, list->count, sizeof list->items[0], by_id);
    return true;
}

void evidence_list_done(EvidenceList *list)
{
    arena_done(&list->arena);
    *list = (EvidenceList){0};
}
