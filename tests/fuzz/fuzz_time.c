/* Instants as operators write them. Input: the text. */
#include "base/memory.h"
#include "base/time.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    CLEANUP(text_freep) char *text = fuzz_rest_text(&input);
    char written[TIME_TEXT_SIZE];
    TimeUs instant;
    TimeUs again;
    Error err = {0};

    if (!time_parse(text, &instant, &err)) {
        assert(err.code == ERR_USAGE);
        return 0;
    }
    assert(strlen(time_text(instant, written)) > 0);
    time_text_postgres(instant, written);
    /* The first hours of year 1 and the last of 9999 can lie outside them in UTC. */
    if (strncmp(written, "0", 1) == 0 || strlen(written) != strlen("2026-11-22 13:30:00.123456+00"))
        return 0;
    bool is_time = time_parse(written, &again, &err);
    assert(is_time && again == instant);
    fuzz_accepted();
    return 0;
}

void fuzz_seeds(void)
{
    static const char *const texts[] = {
        "2026-11-22 14:30:00+01",
        "2026-11-22T13:30:00.123456Z",
        "2026-11-22 14:30 UTC",
        "2026-11-22 14:30 Europe/Vienna",
        "2026-10-25 02:30 Europe/Vienna",
        "9999-12-31 23:59:59.9-15:59",
        "0001-01-01 00:00 America/New_York",
    };
    char name[16];

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        snprintf(name, sizeof name, "time-%zu", i);
        fuzz_seed(name, texts[i], strlen(texts[i]));
    }
}
