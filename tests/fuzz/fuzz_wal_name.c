/* LSNs and names of WAL files. Input: segment size, then the text, read as both. */
#include "base/memory.h"
#include "fuzz.h"
#include "postgres/wal_name.h"

static void try_lsn(const char *text)
{
    char again[LSN_TEXT_SIZE];
    Error err = {0};
    Lsn lsn;
    Lsn second;

    if (!lsn_parse(text, &lsn, &err)) {
        assert(err.code == ERR_USAGE);
        return;
    }
    bool is_lsn = lsn_parse(lsn_text(lsn, again), &second, &err);
    assert(is_lsn && second == lsn);
    fuzz_accepted();
}

static void try_name(const char *text, uint32_t segment_size)
{
    char again[WAL_NAME_SIZE];
    Error err = {0};
    WalName name;

    if (!wal_name_parse(text, segment_size, &name, &err)) {
        assert(err.code == ERR_USAGE);
        return;
    }
    /* One spelling each: another one would be another file. */
    assert(strcmp(wal_name_text(&name, segment_size, again), text) == 0);
    assert(name.timeline > 0 && (name.kind == WAL_HISTORY || name.segment > 0));
    fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    uint32_t segment_size = UINT32_C(1) << (20 + fuzz_u8(&input) % 11);
    CLEANUP(text_freep) char *text = fuzz_rest_text(&input);

    assert(wal_segment_size_is_valid(segment_size));
    try_lsn(text);
    try_name(text, segment_size);
    return 0;
}

void fuzz_seeds(void)
{
    const WalName names[] = {
        {.kind = WAL_SEGMENT, .timeline = 1, .segment = 0x142},
        {.kind = WAL_PARTIAL, .timeline = UINT32_MAX, .segment = 7},
        {.kind = WAL_BACKUP_HISTORY, .timeline = 3, .segment = 255, .offset = 0x28},
        {.kind = WAL_HISTORY, .timeline = 2},
    };
    char text[1 + WAL_NAME_SIZE] = {4}; /* 16 MiB */
    char number[16];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        wal_name_text(&names[i], 16 << 20, text + 1);
        snprintf(number, sizeof number, "name-%zu", i);
        fuzz_seed(number, text, strlen(text));
    }
    lsn_text(0xA94000028, text + 1);
    fuzz_seed("lsn", text, strlen(text));
}
