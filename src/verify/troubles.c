#include "troubles.h"

bool is_finding(const Error *err)
{
    switch (err->code) {
    case ERR_CORRUPT:
    case ERR_NOT_FOUND:
    case ERR_REFUSED: /* far too large, or of another server */
    case ERR_VERSION: /* a damaged byte can look like a newer version */
    case ERR_USAGE:
        return true;
    case ERR_NONE:
    case ERR_ABSENT:
    case ERR_DEGRADED:
    case ERR_BUSY:
    case ERR_UNREACHABLE:
    case ERR_KEY:
    case ERR_POSTGRES:
    case ERR_INTERRUPTED:
    case ERR_RECOVERY:
    case ERR_IO:
    case ERR_EXISTS:
    case ERR_WARNING:
    case ERR_CRITICAL:
    case ERR_UNKNOWN:
    case ERR_INTERNAL:
        return false;
    }
    return false;
}

const char *finding_severity_name(FindingSeverity severity)
{
    switch (severity) {
    case FINDING_NOTE:
        return "note";
    case FINDING_DEGRADED:
        return "degraded";
    case FINDING_INCONSISTENT:
        return "inconsistent";
    case FINDING_MISSING:
        return "missing";
    case FINDING_DAMAGE:
        return "damage";
    }
    return "";
}

static const char *findings_copy(VerifyRun *run, const char *text)
{
    return text == NULL || *text == '\0' ? "" : arena_text(&run->report->arena, text);
}

Trouble *trouble_add(VerifyRun *run, FindingSeverity severity, const char *object, const char *what,
                     const char *expected, const char *found)
{
    if (run->trouble_count == run->trouble_capacity) {
        run->trouble_capacity = run->trouble_capacity == 0 ? 64 : 2 * run->trouble_capacity;
        run->troubles = mem_resize(run->troubles, run->trouble_capacity * sizeof run->troubles[0]);
    }
    Trouble *trouble = &run->troubles[run->trouble_count++];
    *trouble = (Trouble){
        .finding =
            {
                .severity = severity,
                .object = findings_copy(run, object),
                .what = findings_copy(run, what),
                .expected = findings_copy(run, expected),
                .found = findings_copy(run, found),
                .meaning = "",
            },
        .place = PLACE_TOLD,
    };
    return trouble;
}

Trouble *trouble_of_error(VerifyRun *run, const char *object, const Error *err)
{
    if (err->code == ERR_NOT_FOUND)
        return trouble_add(run, FINDING_MISSING, object, "the object is missing", NULL, NULL);
    const bool is_newer = err->code == ERR_VERSION;
    const char *what =
        is_newer ? "the object is of a newer version, or damaged" : "the object is damaged";

    Trouble *trouble = trouble_add(run, FINDING_DAMAGE, object, what, NULL, err->message);
    trouble->is_newer = is_newer;
    return trouble;
}

void trouble_means(VerifyRun *run, Trouble *trouble, const char *meaning)
{
    trouble->place = PLACE_TOLD;
    trouble->finding.meaning = findings_copy(run, meaning);
}

void trouble_at_backup(Trouble *trouble, size_t backup)
{
    trouble->place = PLACE_BACKUP;
    trouble->index = backup;
}

void trouble_at_pack(Trouble *trouble, size_t pack)
{
    trouble->place = PLACE_PACK;
    trouble->index = pack;
}

void trouble_at_wal(Trouble *trouble, uint32_t timeline, uint64_t first, uint64_t last)
{
    trouble->place = PLACE_WAL;
    trouble->wal = (WalPlace){.timeline = timeline, .first = first, .last = last};
}

void trouble_at_timeline(Trouble *trouble, uint32_t timeline)
{
    trouble->place = PLACE_TIMELINE;
    trouble->wal = (WalPlace){.timeline = timeline};
}

static int findings_order(const void *a, const void *b)
{
    const Finding *one = a;
    const Finding *other = b;

    if (one->severity != other->severity)
        return one->severity > other->severity ? -1 : 1;
    int order = strcmp(one->object, other->object);
    return order != 0 ? order : strcmp(one->what, other->what);
}

void troubles_publish(VerifyRun *run)
{
    VerifyReport *report = run->report;

    report->count = run->trouble_count;
    report->findings =
        arena_alloc(&report->arena, (run->trouble_count + 1) * sizeof report->findings[0]);
    for (size_t i = 0; i < run->trouble_count; i++)
        report->findings[i] = run->troubles[i].finding;
    if (report->count > 1)
        qsort(report->findings, report->count, sizeof report->findings[0], findings_order);
}

void troubles_done(VerifyRun *run)
{
    mem_free(run->troubles);
    run->troubles = NULL;
    run->trouble_count = 0;
}

FindingSeverity verify_worst(const VerifyReport *report)
{
    return report->count > 0 ? report->findings[0].severity : FINDING_NOTE;
}

void verify_report_done(VerifyReport *report)
{
    arena_done(&report->arena);
    *report = (VerifyReport){0};
}
