#include "probe_counts.h"

#include <stdlib.h>

void probe_note_count(ProbeLook *look, bool is_sequence, const char *name, const char *number)
{
    ProbeReport *report = look->report;

    if (report->count_count == COUNTS_MAX || number == NULL)
        return;
    report->counts[report->count_count++] =
        (Count){.is_sequence = is_sequence,
                .where = arena_text(&report->arena, look->database),
                .name = arena_text(&report->arena, name),
                .number = strtoll(number, NULL, 10)};
}

static bool take_sequence(void *context, const char *const *values, Error *err)
{
    (void)err;
    probe_note_count(context, true, values[0], values[1]);
    return true;
}

bool probe_sequences(ProbeLook *look, Error *err)
{
    Error attempt = {0};

    probe_begin(look, "sequences");
    return session_rows(look->session,
                        "SELECT format('%I.%I', schemaname, sequencename), last_value"
                        " FROM pg_sequences ORDER BY 1",
                        2, take_sequence, look, &attempt) ||
           probe_refused(look, "", &attempt, err);
}

static const Count *find_count(const ProbeReport *report, const Count *was)
{
    for (size_t i = 0; i < report->count_count; i++) {
        const Count *count = &report->counts[i];

        if (count->is_sequence == was->is_sequence && strcmp(count->where, was->where) == 0 &&
            strcmp(count->name, was->name) == 0)
            return count;
    }
    return NULL;
}

CountChange count_compare(const Count *was, const Count *is)
{
    if (is == NULL)
        return COUNT_GONE;
    if (was->is_sequence)
        return is->number < was->number ? COUNT_LESS : COUNT_WITHIN;
    return is->number < was->number / 2 ? COUNT_LESS : COUNT_WITHIN;
}

static void tell_count(ProbeLook *look, const Evidence *before, const Count *was, const Count *is)
{
    const char *what = was->is_sequence ? "sequence" : "rows of";
    CLEANUP(text_freep) char *now = is != NULL ? text_format("%lld", (long long)is->number) : NULL;
    CLEANUP(text_freep)
    char *text = text_format("%s %s: %s, and %lld in drill %s", what, was->name,
                             now != NULL ? now : "not there", (long long)was->number, before->id);

    look->database = was->where;
    probe_put(look, PROBE_NOTED, text);
}

/* How many were compared; those out of bounds are told. */
static size_t compare_kind(ProbeLook *look, const Evidence *before, bool is_sequence)
{
    size_t within = 0;

    for (size_t i = 0; before != NULL && i < before->count_count; i++) {
        const Count *was = &before->counts[i];
        const Count *is = find_count(look->report, was);

        if (was->is_sequence != is_sequence)
            continue;
        if (count_compare(was, is) == COUNT_WITHIN) {
            within++;
        } else if (is != NULL || look->report->count_count < COUNTS_MAX) {
            tell_count(look, before, was, is);
        }
    }
    return within;
}

void probe_compare_counts(ProbeLook *look)
{
    const ProbeRequest *request = look->request;

    probe_begin(look, "since the last drill");
    size_t within = compare_kind(look, request->before_sequences, true);
    if (request->read_all)
        within += compare_kind(look, request->before_rows, false);
    look->database = "";
    if (request->before_sequences == NULL && request->before_rows == NULL)
        return;
    CLEANUP(text_freep)
    char *text = text_format("%zu sequences and tables are within bounds", within);
    probe_put(look, PROBE_PASSED, text);
}
