#include "base/progress.h"

enum { DRAW_INTERVAL_US = 250000 };

static void progress_draw(Progress *progress, TimeUs now)
{
    progress->drawn_at = now;
    if (progress->draw != NULL)
        progress->draw(progress);
}

void progress_phase(Progress *progress, const char *phase, uint64_t bytes_total)
{
    if (progress == NULL)
        return;
    progress->phase = phase;
    atomic_store(&progress->bytes_done, 0);
    atomic_store(&progress->bytes_stored, 0);
    atomic_store(&progress->bytes_total, bytes_total);
    progress->phase_started = time_monotonic();
    progress_draw(progress, progress->phase_started);
}

void progress_tick(Progress *progress)
{
    if (progress == NULL || progress->draw == NULL)
        return;

    TimeUs now = time_monotonic();
    if (now - progress->drawn_at >= DRAW_INTERVAL_US)
        progress_draw(progress, now);
}
