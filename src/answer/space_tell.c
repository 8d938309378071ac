#include "answer/space_tell.h"

#include "rebuild/space.h"

void space_print(const RestorePlan *plan)
{
    CLEANUP(arena_done) Arena arena = {0};
    char bytes[OUT_TEXT_SIZE], free[OUT_TEXT_SIZE];
    SpaceNeed *needed;
    size_t count;
    Error unknown = {0};

    if (!space_list(plan, &arena, &needed, &count, &unknown))
        return;
    for (size_t i = 0; i < count; i++) {
        out_print("  %-10s %s: at most %s needed, %s free\n", i == 0 ? "space" : "",
                  needed[i].place, out_bytes(needed[i].bytes, bytes),
                  out_bytes(needed[i].free + needed[i].freed, free));
    }
}

void space_to_json(const RestorePlan *plan, Json *json)
{
    CLEANUP(arena_done) Arena arena = {0};
    SpaceNeed *needed;
    size_t count = 0;
    Error unknown = {0}; /* then the list is empty */

    json_begin_array(json, "space");
    if (!space_list(plan, &arena, &needed, &count, &unknown))
        count = 0;
    for (size_t i = 0; i < count; i++) {
        json_begin_object(json, NULL);
        json_text(json, "place", needed[i].place);
        json_u64(json, "needed_bytes", needed[i].bytes);
        json_u64(json, "free_bytes", needed[i].free + needed[i].freed);
        json_end_object(json);
    }
    json_end_array(json);
}
