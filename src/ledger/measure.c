#include "ledger/measure.h"

#include <inttypes.h>
#include <sched.h>
#include <unistd.h>

static const struct {
    const char *key, *name;
} phases[PHASE_COUNT] = {
    [PHASE_PLAN] = {"plan", "plan"},
    [PHASE_CHECK] = {"check", "check"},
    [PHASE_FILES] = {"files", "files"},
    [PHASE_SYNC] = {"sync", "sync"},
    [PHASE_START] = {"start", "start"},
    [PHASE_REPLAY] = {"replay", "replay"},
    [PHASE_CHECKPOINT] = {"checkpoint", "checkpoint"},
    [PHASE_SECOND_START] = {"second_start", "second start"},
    [PHASE_PROBES] = {"probes", "probes"},
};

const char *restore_phase_key(RestorePhase phase)
{
    return phases[phase].key;
}

const char *restore_phase_name(RestorePhase phase)
{
    return phases[phase].name;
}

static unsigned usable_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    return (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

/* To the nearest power of two: what firmware and kernel keep for themselves differs. */
static uint64_t memory_mib(void)
{
    uint64_t mib = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;
    uint64_t power = 1;

    while (power * 3 / 2 < mib)
        power *= 2;
    return power;
}

const char *host_class(const char *address, char text[HOST_CLASS_SIZE])
{
    const char *end = strstr(address, "://");
    uint64_t mib = memory_mib();
    bool is_small = mib < 1024;
    unsigned cores = usable_cores();

    (void)snprintf(text, HOST_CLASS_SIZE, "%u core%s, %" PRIu64 " %s, %.*s", cores,
                   cores == 1 ? "" : "s", is_small ? mib : mib >> 10, is_small ? "MiB" : "GiB",
                   end != NULL ? (int)(end - address) : 4, end != NULL ? address : "file");
    return text;
}

void restore_measure_init(RestoreMeasure *measure, const char *address, unsigned jobs)
{
    *measure = (RestoreMeasure){.jobs = jobs};
    host_class(address, measure->host_class);
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        measure->phases[phase] = TIME_US_NONE;
}

static const char *phase_key(int phase, char key[64])
{
    (void)snprintf(key, 64, "phase_%s_us", phases[phase].key);
    return key;
}

void restore_measure_put(const RestoreMeasure *measure, RecordWriter *record)
{
    char key[64];

    record_text(record, "host_class", measure->host_class);
    record_text(record, "codec", measure->codec);
    record_u64(record, "jobs", measure->jobs);
    record_text(record, "delta", measure->is_delta ? "yes" : "no");
    record_u64(record, "measured_files", measure->files);
    record_u64(record, "measured_bytes", measure->bytes);
    record_u64(record, "measured_wal_bytes", measure->wal_bytes);
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        if (measure->phases[phase] != TIME_US_NONE)
            record_u64(record, phase_key(phase, key), (uint64_t)measure->phases[phase]);
    }
}

static uint64_t measure_number(const Record *record, const char *key)
{
    uint64_t number = 0;
    Error ignored = {0}; /* missing: 0 */

    return record_get_u64(record, key, &number, &ignored) ? number : 0;
}

static TimeUs measure_phase(const Record *record, int phase)
{
    static const uint64_t longest = UINT64_C(1) << 50; /* 35 years */
    uint64_t elapsed;
    char key[64];
    Error ignored = {0}; /* missing: there was none */

    if (!record_get_u64(record, phase_key(phase, key), &elapsed, &ignored) || elapsed > longest)
        return TIME_US_NONE;
    return (TimeUs)elapsed;
}

bool restore_measure_get(const Record *record, RestoreMeasure *measure)
{
    const char *class = record_find(record, "host_class");
    const char *codec = record_find(record, "codec");
    const char *delta = record_find(record, "delta");

    if (class == NULL)
        return false;
    *measure = (RestoreMeasure){
        .jobs = (unsigned)measure_number(record, "jobs"),
        .is_delta = delta != NULL && strcmp(delta, "yes") == 0,
        .files = measure_number(record, "measured_files"),
        .bytes = measure_number(record, "measured_bytes"),
        .wal_bytes = measure_number(record, "measured_wal_bytes"),
    };
    (void)snprintf(measure->host_class, sizeof measure->host_class, "%s", class);
    (void)snprintf(measure->codec, sizeof measure->codec, "%s", codec != NULL ? codec : "");
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        measure->phases[phase] = measure_phase(record, phase);
    return true;
}

RestoreKind restore_kind_of(const RestoreMeasure *measure)
{
    RestoreKind kind = {.jobs = measure->jobs, .is_delta = measure->is_delta};

    memcpy(kind.host_class, measure->host_class, sizeof kind.host_class);
    memcpy(kind.codec, measure->codec, sizeof kind.codec);
    return kind;
}

bool restore_kind_is_same(const RestoreKind *one, const RestoreKind *other)
{
    return strcmp(one->host_class, other->host_class) == 0 &&
           strcmp(one->codec, other->codec) == 0 && one->jobs == other->jobs &&
           one->is_delta == other->is_delta;
}
