#include "health/exposure.h"

const char *exposure_state_name(ExposureState state)
{
    switch (state) {
    case EXPOSURE_NONE:
        return "none";
    case EXPOSURE_KNOWN:
        return "known";
    case EXPOSURE_AT_MOST:
        return "at most";
    case EXPOSURE_EVERYTHING:
        return "everything";
    case EXPOSURE_UNKNOWN:
        return "unknown";
    }
    return "";
}

const char *promise_name(PromiseKind kind)
{
    switch (kind) {
    case PROMISE_COMMIT:
        return "commit";
    case PROMISE_PREPARE:
        return "PREPARE TRANSACTION";
    case PROMISE_ROLLBACK_PREPARED:
        return "ROLLBACK PREPARED";
    }
    return "";
}

void exposure_set_age(Exposure *exposure)
{
    static const TimeUs tolerance = 1000000;

    exposure->age = 0;
    exposure->is_from_future = false;
    if (exposure->since == TIME_US_NONE)
        return;
    if (exposure->at > exposure->since) {
        exposure->age = exposure->at - exposure->since;
    } else {
        exposure->is_from_future = exposure->since - exposure->at > tolerance;
    }
}
