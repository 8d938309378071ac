/*
 * Marks. Input: a choice, then the text of a record; the checksum line is put after it, except
 * when the choice is 0.
 */
#include "fuzz.h"
#include "repo/mark.h"
#include "stream/digest.h"

static Repo repo = {.id = "00112233445566778899aabbccddeeff"};
static const Cluster cluster = {.repo = &repo, .name = "main"};

static void check_again(const Mark *mark)
{
    CLEANUP(record_writer_done) RecordWriter text = {0};
    CLEANUP(arena_done) Arena arena = {0};
    Error err = {0};
    Mark again;

    mark_encode(mark, &cluster, &text);
    bool is_mark =
        mark_decode(&again, &cluster, (char *)text.text.data, text.text.size, &arena, &err);
    assert(is_mark && again.what == mark->what && again.is_void == mark->is_void &&
           again.at == mark->at && again.until == mark->until &&
           strcmp(again.kind, mark->kind) == 0 && strcmp(again.subject, mark->subject) == 0 &&
           strcmp(again.by, mark->by) == 0 && strcmp(again.host, mark->host) == 0 &&
           strcmp(again.reason, mark->reason) == 0 && strcmp(again.evidence, mark->evidence) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(arena_done) Arena arena = {0};
    FuzzInput input = {data, size};
    bool is_raw = fuzz_u8(&input) == 0;
    char hex[SHA256_TEXT_SIZE];
    uint8_t digest[SHA256_SIZE];
    Error err = {0};
    Mark mark;

    buffer_append(&text, input.at, input.left);
    if (!is_raw) {
        sha256_of(text.data, text.size, digest);
        buffer_print(&text, "sha256=%s\n", sha256_text(digest, hex));
    }
    char *exact = (char *)fuzz_copy(text.data, text.size);
    if (mark_decode(&mark, &cluster, exact, text.size, &arena, &err)) {
        check_again(&mark);
        fuzz_accepted();
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION || err.code == ERR_REFUSED);
    }
    mem_free(exact);
    return 0;
}

static void seed(const char *name, const Mark *mark, bool is_raw)
{
    CLEANUP(record_writer_done) RecordWriter text = {0};
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint8_t choice = is_raw ? 0 : 1;
    const size_t last_line = strlen("sha256=\n") + SHA256_TEXT_SIZE - 1;

    mark_encode(mark, &cluster, &text);
    buffer_append(&bytes, &choice, 1);
    buffer_append(&bytes, text.text.data, text.text.size - (is_raw ? 0 : last_line));
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    const Mark damage = {.kind = MARK_DAMAGE,
                         .what = MARK_OF_BACKUP,
                         .subject = "20261122T031500Z-k3v7qa",
                         .at = 1795354200123456,
                         .until = TIME_US_NONE,
                         .by = "verify",
                         .host = "db1",
                         .reason = "main/pack/7f/7f3a: extent of base/5/1259",
                         .evidence = ""};
    const Mark pin = {.kind = "pin",
                      .what = MARK_OF_CLUSTER,
                      .subject = "main",
                      .is_void = true,
                      .at = 1795354200123456,
                      .until = 1895354200000000,
                      .by = "ops",
                      .host = "",
                      .reason = "audit %\n\xc3\xa4",
                      .evidence = "main/evidence/1"};

    seed("damage", &damage, false);
    seed("whole", &damage, true);
    seed("pin", &pin, false);
}
