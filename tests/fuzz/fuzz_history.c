/* Timeline history files and the path that follows from one. Input: timeline 4, a place 8, text. */
#include "base/bytes.h"
#include "fuzz.h"
#include "postgres/history.h"

#include <inttypes.h>

enum { SEGMENT_SIZE = 16 << 20 };

static void check_steps(const TimelinePath *path, uint32_t timeline)
{
    assert(path->count >= 1 && path->steps[0].begin == 0);
    for (size_t i = 0; i < path->count; i++) {
        const PathStep *step = &path->steps[i];
        bool is_last = i == path->count - 1;

        assert(is_last ? step->end == 0 : step->end > 0 && step->end >= step->begin);
        assert(i == 0 || (step->begin == step[-1].end && step->timeline > step[-1].timeline));
        assert(path_step_of(path, step->timeline) == step);
    }
    assert(path_last_timeline(path) == timeline);
}

static void check_place(const TimelinePath *path, Lsn lsn)
{
    const PathStep *step = path_step_at(path, lsn);
    uint64_t segment = wal_segment_of(lsn, SEGMENT_SIZE);
    const PathStep *reads =
        path_step_of(path, path_timeline_of_segment(path, segment, SEGMENT_SIZE));

    assert(step->begin <= lsn && (step->end == 0 || lsn < step->end));
    /* The segment comes from the timeline that owns the byte or from a younger one forked in it. */
    assert(reads != NULL && reads->timeline >= step->timeline);
    assert(wal_segment_of(reads->begin, SEGMENT_SIZE) <= segment);
}

/* A path written as a history file is the same path again. */
static void check_again(const TimelinePath *path, Arena *arena)
{
    CLEANUP(buffer_done) Buffer text = {0};
    uint32_t timeline = path_last_timeline(path);
    TimelinePath again;
    Error err = {0};

    buffer_print(&text, "%s", "");
    for (size_t i = 0; i + 1 < path->count; i++) {
        char lsn[LSN_TEXT_SIZE];

        buffer_print(&text, "%" PRIu32 "\t%s\tno recovery target specified\n",
                     path->steps[i].timeline, lsn_text(path->steps[i].end, lsn));
    }
    bool is_path = timeline_path_parse(timeline, (char *)text.data, arena, &again, &err);
    assert(is_path && again.count == path->count);
    for (size_t i = 0; i < path->count; i++) {
        assert(again.steps[i].timeline == path->steps[i].timeline);
        assert(again.steps[i].begin == path->steps[i].begin);
        assert(again.steps[i].end == path->steps[i].end);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_done) Arena arena = {0};
    FuzzInput input = {data, size};
    uint32_t timeline = fuzz_u32(&input);
    Lsn lsn = fuzz_u64(&input);
    CLEANUP(text_freep) char *text = fuzz_rest_text(&input);
    TimelinePath path;
    Error err = {0};

    if (!timeline_path_parse(timeline, text, &arena, &path, &err))
        return 0;
    check_steps(&path, timeline);
    check_place(&path, lsn);
    check_again(&path, &arena);
    if (path.count > 1)
        fuzz_accepted();
    return 0;
}

static void seed(const char *name, uint32_t timeline, Lsn lsn, const char *text)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint8_t number[12];

    put_le32(number, timeline);
    put_le64(number + 4, lsn);
    buffer_append(&bytes, number, sizeof number);
    buffer_append(&bytes, text, strlen(text));
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    seed("first", 1, 0x28, "");
    seed("third", 3, 0x3000100,
         "1\t0/3000000\tno recovery target specified\n\n2\t0/5A00128\tbefore 2026-11-22\n");
    seed("clipped", 5, 0xE05ED20, "1\t0/F000100\tx\n# a comment\n3\t0/E05ED20\ty\n");
}
