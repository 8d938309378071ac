#include "ledger/forecast.h"

/* So many times what was measured is far from it. */
static const uint64_t FAR = 4;

double forecast_work(const RestoreLoad *load, RestorePhase phase, bool is_delta)
{
    switch (phase) {
    case PHASE_CHECK:
        return (double)load->wal_bytes + (is_delta ? (double)load->bytes : 0);
    case PHASE_SYNC:
        return (double)load->bytes;
    case PHASE_START:
        return (double)load->files;
    case PHASE_PLAN:
    case PHASE_REPLAY:
    case PHASE_CHECKPOINT:
        return (double)load->wal_bytes;
    case PHASE_FILES: /* of two kinds of work */
    case PHASE_SECOND_START:
    case PHASE_PROBES:
    case PHASE_COUNT:
        break;
    }
    return 0;
}

static bool load_will_have(const RestoreLoad *load, RestorePhase phase)
{
    switch (phase) {
    case PHASE_CHECK:
        return load->has_check;
    case PHASE_SECOND_START:
        return load->has_target;
    case PHASE_PROBES:
        return false; /* a restore's own end; a drill's probes are told by the drill */
    case PHASE_PLAN:
    case PHASE_FILES:
    case PHASE_SYNC:
    case PHASE_START:
    case PHASE_REPLAY:
    case PHASE_CHECKPOINT:
    case PHASE_COUNT:
        break;
    }
    return true;
}

static const PhaseTerm *rates_term_of(const RestoreRates *rates, RestorePhase phase,
                                      bool has_target)
{
    const PhaseTerm *like = &rates->checkpoint[has_target];

    return phase == PHASE_CHECKPOINT && like->is_known ? like : &rates->terms[phase];
}

static double rates_phase_time(const RestoreRates *rates, const RestoreLoad *load,
                               RestorePhase phase)
{
    const PhaseTerm *term = rates_term_of(rates, phase, load->has_target);

    if (phase == PHASE_FILES)
        return rates->us_per_byte * (double)load->bytes + rates->us_per_file * (double)load->files;
    return term->fixed + term->rate * forecast_work(load, phase, rates->kind.is_delta);
}

/* Student's t for 90 % on one side: few restores say little about how far the next may be off. */
static double student_ninety(size_t count)
{
    static const double t[] = {3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383};
    size_t freedom = count - 1;

    return t[(freedom < ARRAY_SIZE(t) ? freedom : ARRAY_SIZE(t)) - 1];
}

static double rates_p90_factor(const RestoreRates *rates)
{
    return 1 + student_ninety(rates->count) * rates->spread;
}

void forecast_make(const RestoreRates *rates, const RestoreLoad *load, Forecast *forecast)
{
    double sum = 0;

    *forecast = (Forecast){.is_known = true, .count = rates->count};
    for (int i = 0; i < PHASE_COUNT; i++) {
        RestorePhase phase = (RestorePhase)i;

        forecast->phases[i] = TIME_US_NONE;
        if (!load_will_have(load, phase))
            continue;
        if (!rates->is_known[i]) {
            forecast->lacks[i] = true;
            forecast->is_known = false;
            continue;
        }
        double time = rates_phase_time(rates, load, phase);
        forecast->phases[i] = (TimeUs)time;
        sum += time;
    }
    forecast->measured = (TimeUs)sum;
    forecast->p50 = forecast->is_known ? (TimeUs)sum : TIME_US_NONE;
    forecast->has_p90 = forecast->is_known && rates->count >= 2 && rates->spread >= 0;
    forecast->p90 = forecast->has_p90 ? (TimeUs)(sum * rates_p90_factor(rates)) : TIME_US_NONE;
    forecast->is_far =
        load->bytes > FAR * rates->bytes_most ||
        (rates->is_known[PHASE_REPLAY] && load->wal_bytes > FAR * rates->wal_bytes_most);
}

TimeUs forecast_time(const Forecast *forecast)
{
    return forecast->has_p90 ? forecast->p90 : forecast->p50;
}

bool forecast_worst(const RestoreRates *rates, const ForecastBackup *backups, size_t count,
                    Lsn until, RestoreLoad *load, size_t *index)
{
    double longest = -1;

    for (size_t i = 0; i < count; i++) {
        Lsn end = i + 1 < count ? backups[i + 1].stop : until;
        const RestoreLoad here = {.bytes = backups[i].bytes,
                                  .files = backups[i].files,
                                  .wal_bytes = end > backups[i].start ? end - backups[i].start : 0,
                                  .has_target = true};
        double time = 0;
        for (int phase = 0; phase < PHASE_COUNT; phase++) {
            time += load_will_have(&here, (RestorePhase)phase)
                        ? rates_phase_time(rates, &here, (RestorePhase)phase)
                        : 0;
        }

        if (time <= longest)
            continue;
        longest = time;
        *load = here;
        *index = i;
    }
    return longest >= 0;
}

static TimeUs remedy_time_with(const RemedySearch *search, uint64_t wal_bytes)
{
    RestoreLoad load = search->worst;
    Forecast forecast;

    load.wal_bytes = wal_bytes;
    forecast_make(search->rates, &load, &forecast);
    return forecast_time(&forecast);
}

/* How much WAL may lie between a backup and the target. Below 0: even none is too much. */
static double remedy_wal_allowed(const RemedySearch *search)
{
    const TimeUs none = remedy_time_with(search, 0);
    const double per_byte = (double)(remedy_time_with(search, search->worst.wal_bytes) - none) /
                            (double)search->worst.wal_bytes;

    if (search->objective < none)
        return -1;
    return per_byte > 0 ? (double)(search->objective - none) / per_byte : 0;
}

static TimeUs remedy_backup_interval(const RemedySearch *search)
{
    double bytes = remedy_wal_allowed(search) - (double)search->backup_wal_bytes;

    if (bytes <= 0)
        return 0;
    if (search->wal_bytes_per_s <= 0)
        return TIME_US_NONE;
    double seconds = bytes / search->wal_bytes_per_s;
    return seconds < 1e9 ? (TimeUs)(seconds * 1e6) : TIME_US_NONE;
}

static void remedy_find_faster(const RemedySearch *search, ForecastRemedy *remedy)
{
    for (size_t i = 0; i < search->count; i++) {
        const RestoreRates *other = &search->all[i];
        Forecast forecast;

        if (strcmp(other->kind.host_class, search->rates->kind.host_class) != 0 ||
            restore_kind_is_same(&other->kind, &search->rates->kind))
            continue;
        forecast_make(other, &search->worst, &forecast);
        if (!forecast.is_known || forecast_time(&forecast) > search->objective ||
            (remedy->faster != NULL && forecast_time(&forecast) >= remedy->faster_time))
            continue;
        remedy->faster = other;
        remedy->faster_time = forecast_time(&forecast);
    }
}

void forecast_remedy(const RemedySearch *search, ForecastRemedy *remedy)
{
    Forecast forecast;

    *remedy = (ForecastRemedy){.backup_every = TIME_US_NONE, .faster_time = TIME_US_NONE};
    forecast_make(search->rates, &search->worst, &forecast);
    if (!forecast.is_known || forecast_time(&forecast) <= search->objective)
        return;
    remedy->is_needed = true;
    remedy->backup_every = remedy_backup_interval(search);
    remedy_find_faster(search, remedy);
}
