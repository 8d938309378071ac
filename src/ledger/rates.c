#include "ledger/forecast.h"

#include <math.h>
#include <stdlib.h>

/* Each restore counts so much less than the next newer one. */
static const double FADING = 0.7;

/* Measures of one kind, the newest first, with their weights. */
typedef struct Samples {
    const RestoreMeasure *items[RATES_SAMPLES_MAX];
    double weights[RATES_SAMPLES_MAX];
    size_t count;
} Samples;

static void samples_choose(const RestoreMeasure *measures, size_t count, const RestoreKind *kind,
                           Samples *samples)
{
    double weight = 1;

    for (size_t i = 0; i < count && samples->count < RATES_SAMPLES_MAX; i++) {
        const RestoreKind is = restore_kind_of(&measures[i]);

        if (!restore_kind_is_same(&is, kind))
            continue;
        samples->items[samples->count] = &measures[i];
        samples->weights[samples->count++] = weight;
        weight *= FADING;
    }
}

static bool measure_has(const RestoreMeasure *measure, RestorePhase phase)
{
    return measure->phases[phase] != TIME_US_NONE;
}

/* It came to a target that was verified, where the server shut down. */
static bool measure_is_targeted(const RestoreMeasure *measure)
{
    return measure_has(measure, PHASE_SECOND_START);
}

static bool measure_is_to_the_end(const RestoreMeasure *measure)
{
    return !measure_is_targeted(measure);
}

/* One that is always wanted: NULL. */
typedef bool SampleFilter(const RestoreMeasure *measure);

static RestoreLoad load_of(const RestoreMeasure *measure)
{
    return (RestoreLoad){.bytes = measure->bytes,
                         .files = measure->files,
                         .wal_bytes = measure->wal_bytes,
                         .has_target = measure_is_targeted(measure),
                         .has_check = measure_has(measure, PHASE_CHECK)};
}

/* A number, and how much it counts. */
typedef struct Weighed {
    double value, weight;
} Weighed;

/* Of the phase of one restore: its work and its time. */
typedef struct TermSample {
    double work, time, weight;
} TermSample;

typedef struct TermSamples {
    TermSample items[RATES_SAMPLES_MAX];
    size_t count;
} TermSamples;

static int weighed_compare(const void *a, const void *b)
{
    const double left = ((const Weighed *)a)->value;
    const double right = ((const Weighed *)b)->value;

    return (left > right) - (left < right);
}

/*
 * The value on each side of which lies half of the weight: one restore that a busy disk held up
 * says nothing of the next one, and moves a mean far. Sorts them.
 */
static double weighed_median(Weighed *items, size_t count)
{
    double all = 0;
    double below = 0;

    for (size_t i = 0; i < count; i++)
        all += items[i].weight;
    qsort(items, count, sizeof *items, weighed_compare);
    for (size_t i = 0; i < count; i++) {
        below += items[i].weight;
        if (below >= all / 2)
            return items[i].value;
    }
    return 0;
}

static void samples_of_term(const Samples *samples, RestorePhase phase, SampleFilter *filter,
                            TermSamples *term)
{
    *term = (TermSamples){.count = 0};
    for (size_t i = 0; i < samples->count; i++) {
        const RestoreMeasure *it = samples->items[i];
        const RestoreLoad load = load_of(it);

        if (measure_has(it, phase) && (filter == NULL || filter(it))) {
            term->items[term->count++] =
                (TermSample){.work = forecast_work(&load, phase, it->is_delta),
                             .time = (double)it->phases[phase],
                             .weight = samples->weights[i]};
        }
    }
}

/* Where all did about as much, what is fixed and what goes by the work can't be told apart. */
static bool term_works_differ(const TermSamples *term)
{
    enum { FEWEST = 3 };
    static const double apart = 0.05; /* of the square of the mean work, its variance */
    double weights = 0;
    double works = 0;
    double works2 = 0;

    for (size_t i = 0; i < term->count; i++) {
        const TermSample *it = &term->items[i];

        weights += it->weight;
        works += it->weight * it->work;
        works2 += it->weight * it->work * it->work;
    }
    return term->count >= FEWEST && weights * works2 - works * works > apart * weights * works2;
}

/*
 * Between each two of them, old or new: of five restores one is in 4 of 10 pairs, and a weight
 * would let it outvote the rest.
 */
static double term_median_slope(const TermSamples *term)
{
    Weighed slopes[RATES_SAMPLES_MAX * RATES_SAMPLES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < term->count; i++) {
        for (size_t j = i + 1; j < term->count; j++) {
            const TermSample *a = &term->items[i], *b = &term->items[j];
            const double apart = b->work - a->work;

            if (apart != 0)
                slopes[count++] = (Weighed){.value = (b->time - a->time) / apart, .weight = 1};
        }
    }
    return weighed_median(slopes, count);
}

/* Of what a rate leaves of each time. */
static double term_median_fixed(const TermSamples *term, double rate)
{
    Weighed rests[RATES_SAMPLES_MAX];

    for (size_t i = 0; i < term->count; i++) {
        const TermSample *it = &term->items[i];
        rests[i] = (Weighed){.value = it->time - rate * it->work, .weight = it->weight};
    }
    return weighed_median(rests, term->count);
}

/* Of time by work; what did much says more than what did little. */
static double term_median_rate(const TermSamples *term)
{
    Weighed rates[RATES_SAMPLES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < term->count; i++) {
        const TermSample *it = &term->items[i];
        if (it->work > 0) {
            rates[count++] =
                (Weighed){.value = it->time / it->work, .weight = it->weight * it->work};
        }
    }
    return weighed_median(rates, count);
}

/* Neither part can be below zero: what chance makes of it is left out. */
static PhaseTerm term_fit(const TermSamples *term)
{
    const double rate = term_median_slope(term);
    const double fixed = term_median_fixed(term, rate);

    if (rate < 0)
        return (PhaseTerm){.is_known = true, .fixed = term_median_fixed(term, 0)};
    if (fixed < 0)
        return (PhaseTerm){.is_known = true, .rate = term_median_rate(term)};
    return (PhaseTerm){.is_known = true, .fixed = fixed, .rate = rate};
}

static bool phase_goes_by_work(RestorePhase phase)
{
    return phase == PHASE_CHECK || phase == PHASE_SYNC || phase == PHASE_REPLAY;
}

static PhaseTerm samples_term(const Samples *samples, RestorePhase phase, SampleFilter *filter)
{
    TermSamples term;

    samples_of_term(samples, phase, filter, &term);
    if (term.count == 0)
        return (PhaseTerm){.is_known = false};
    if (term_works_differ(&term))
        return term_fit(&term);
    if (phase_goes_by_work(phase))
        return (PhaseTerm){.is_known = true, .rate = term_median_rate(&term)};
    return (PhaseTerm){.is_known = true, .fixed = term_median_fixed(&term, 0)};
}

/* Time for one unit of work, the median. */
typedef uint64_t SampleWork(const RestoreMeasure *measure);

static uint64_t measure_bytes(const RestoreMeasure *measure)
{
    return measure->bytes;
}

static uint64_t measure_files(const RestoreMeasure *measure)
{
    return measure->files;
}

static double samples_rate(const Samples *samples, RestorePhase phase, SampleWork *work)
{
    TermSamples term = {.count = 0};

    for (size_t i = 0; i < samples->count; i++) {
        const RestoreMeasure *it = samples->items[i];

        if (measure_has(it, phase)) {
            term.items[term.count++] = (TermSample){.work = (double)work(it),
                                                    .time = (double)it->phases[phase],
                                                    .weight = samples->weights[i]};
        }
    }
    return term_median_rate(&term);
}

/* Sums of a weighted fit of time = a * bytes + b * files, relative to each restore's time. */
typedef struct Fit {
    double bytes2, files2, both, bytes_time, files_time;
    size_t count;
} Fit;

static Fit samples_fit_files(const Samples *samples)
{
    Fit fit = {0};

    for (size_t i = 0; i < samples->count; i++) {
        const RestoreMeasure *it = samples->items[i];
        double time = measure_has(it, PHASE_FILES) ? (double)it->phases[PHASE_FILES] : 0;

        if (time <= 0)
            continue;
        double weight = samples->weights[i] / (time * time);
        double bytes = (double)it->bytes;
        double files = (double)it->files;
        fit.bytes2 += weight * bytes * bytes;
        fit.files2 += weight * files * files;
        fit.both += weight * bytes * files;
        fit.bytes_time += weight * bytes * time;
        fit.files_time += weight * files * time;
        fit.count++;
    }
    return fit;
}

/*
 * What a byte and what a file costs can be told apart only where restores differ in bytes per file;
 * of one cluster they are much alike, and then all of it is a byte's.
 */
static void rates_measure_files(const Samples *samples, RestoreRates *rates)
{
    enum { FEWEST = 3 };
    static const double apart = 0.05;
    Fit fit = samples_fit_files(samples);
    double determinant = fit.bytes2 * fit.files2 - fit.both * fit.both;

    rates->us_per_file = 0;
    rates->us_per_byte = samples_rate(samples, PHASE_FILES, measure_bytes);
    if (rates->us_per_byte == 0)
        rates->us_per_file = samples_rate(samples, PHASE_FILES, measure_files);
    if (fit.count < FEWEST || determinant < apart * fit.bytes2 * fit.files2)
        return;
    double per_byte = (fit.bytes_time * fit.files2 - fit.files_time * fit.both) / determinant;
    double per_file = (fit.files_time * fit.bytes2 - fit.bytes_time * fit.both) / determinant;
    if (per_byte < 0 || per_file < 0)
        return; /* chance, not cost */
    rates->us_per_byte = per_byte;
    rates->us_per_file = per_file;
}

static void rates_measure_terms(const Samples *samples, RestoreRates *rates)
{
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        rates->terms[phase] = samples_term(samples, (RestorePhase)phase, NULL);
    /* Open for writing, a server makes another checkpoint than one that shuts down at a target. */
    rates->checkpoint[false] = samples_term(samples, PHASE_CHECKPOINT, measure_is_to_the_end);
    rates->checkpoint[true] = samples_term(samples, PHASE_CHECKPOINT, measure_is_targeted);
}

static void rates_measure_extent(const Samples *samples, RestoreRates *rates)
{
    for (size_t i = 0; i < samples->count; i++) {
        const RestoreMeasure *it = samples->items[i];

        for (int phase = 0; phase < PHASE_COUNT; phase++)
            rates->is_known[phase] = rates->is_known[phase] || measure_has(it, (RestorePhase)phase);
        if (it->bytes > rates->bytes_most)
            rates->bytes_most = it->bytes;
        if (it->wal_bytes > rates->wal_bytes_most)
            rates->wal_bytes_most = it->wal_bytes;
    }
}

/* Compares what it took with what these rates would have said, over the phases that it had. */
static double rates_ratio_of(const RestoreRates *rates, const RestoreMeasure *it)
{
    const RestoreLoad load = load_of(it);
    Forecast said;
    double real = 0;
    double forecast = 0;

    forecast_make(rates, &load, &said);
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        if (!measure_has(it, (RestorePhase)phase) || said.phases[phase] == TIME_US_NONE)
            continue;
        real += (double)it->phases[phase];
        forecast += (double)said.phases[phase];
    }
    return forecast > 0 ? real / forecast : 1;
}

static double rates_spread(const RestoreRates *rates, const Samples *samples)
{
    double sum = 0;

    if (samples->count < 2)
        return -1;
    for (size_t i = 0; i < samples->count; i++) {
        double off = rates_ratio_of(rates, samples->items[i]) - 1;

        sum += off * off;
    }
    return sqrt(sum / (double)(samples->count - 1));
}

bool rates_measure(const RestoreMeasure *measures, size_t count, const RestoreKind *kind,
                   RestoreRates *rates)
{
    Samples samples = {.count = 0};

    samples_choose(measures, count, kind, &samples);
    if (samples.count == 0)
        return false;
    *rates = (RestoreRates){.kind = *kind, .count = samples.count, .newest = TIME_US_NONE};
    rates_measure_extent(&samples, rates);
    rates_measure_terms(&samples, rates);
    rates_measure_files(&samples, rates);
    rates->spread = rates_spread(rates, &samples);
    return true;
}

static bool rates_has_kind(const RestoreRates *rates, size_t count, const RestoreKind *kind)
{
    for (size_t i = 0; i < count; i++) {
        if (restore_kind_is_same(&rates[i].kind, kind))
            return true;
    }
    return false;
}

size_t rates_of_all_kinds(const RestoreMeasure *measures, size_t count,
                          RestoreRates rates[FORECAST_KINDS_MAX])
{
    size_t kinds = 0;

    for (size_t i = 0; i < count && kinds < FORECAST_KINDS_MAX; i++) {
        const RestoreKind kind = restore_kind_of(&measures[i]);

        if (!rates_has_kind(rates, kinds, &kind) &&
            rates_measure(&measures[i], count - i, &kind, &rates[kinds]))
            kinds++;
    }
    return kinds;
}
