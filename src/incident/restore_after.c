#include "restore_parts.h"

#include "aftermath.h"
#include "base/file.h"

#include <dirent.h>

/* What the old directory's server kept for others; the places are gone with it. */
const char *const *restore_slots_of(const char *data, Arena *arena)
{
    enum { SLOTS_MAX = 256 };
    CLEANUP(text_freep) char *path = text_format("%s/pg_replslot", data);
    CLEANUP(directory_done) DIR *list = opendir(path);
    const char **names = arena_alloc(arena, (SLOTS_MAX + 1) * sizeof *names);
    size_t count = 0;

    names[0] = NULL;
    if (list == NULL)
        return (const char *const *)names;
    for (const struct dirent *entry = readdir(list); entry != NULL && count < SLOTS_MAX;
         entry = readdir(list)) {
        if (entry->d_name[0] == '.')
            continue;
        names[count++] = arena_text(arena, entry->d_name);
        names[count] = NULL;
    }
    return (const char *const *)names;
}

static void restore_close(const RestoreStory *story, Closing *closing)
{
    const Error none = {0};
    const DirectoryReport *directory = &story->plan.old.report;
    RestoreMeasure measure;

    restore_measured(story, &none, &measure);
    memcpy(closing->phases, measure.phases, sizeof closing->phases);
    closing->last_commit = restore_last_commit(story);
    closing->began = story->started_at;
    closing->open_at = story->finished_at;
    if (directory->timeline != 0 && directory->is_given_up)
        closing->lost_in_directory = directory->commits;
}

bool restore_check_after(RestoreStory *story, Error *err)
{
    Aftermath *aftermath = story->aftermath;

    aftermath->command = "restore";
    aftermath->data = story->plan.placement.data;
    aftermath->cluster = story->cluster;
    aftermath->is_copy = restore_is_copy(story);
    aftermath->slots_before = story->slots_before;
    restore_close(story, &aftermath->closing);
    if (!aftermath_run(aftermath, err))
        return false;
    if (story->options->json)
        return true;
    aftermath_print(aftermath);
    return out_flush(err);
}
