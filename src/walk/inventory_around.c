/*
 * Part of an archive, listed around a few segments: so that one who asks for the WAL at its end
 * does not have all the names of a year.
 */
#include "inventory_part.h"

#include "sources.h"

#include "repo/layout.h"
#include "storage/driver.h"

#include <inttypes.h>

enum {
    /* This many names of a timeline show whether there is any WAL, and its history. */
    FIRST_NAMES = 16,
    AROUND_NAMES = 64, /* This many names from a segment on show whether something follows. */
};

typedef struct TimelineSurvey {
    const Cluster *cluster;
    const char *prefix;
    const WalName *names; /* The survey goes around these names. */
    size_t name_count;
    WalPart *part;
    ObjectList found; /* They are in no order, and some are there twice. */
} TimelineSurvey;

static bool survey_parse(const TimelineSurvey *survey, const ObjectInfo *object, WalName *name)
{
    return layout_wal_name_of(survey->cluster->name, object->name,
                              survey->cluster->wal_segment_size, name);
}

static void survey_keep(TimelineSurvey *survey, const ObjectInfo *object)
{
    object_list_add(&survey->found, object->name, object->size, object->stored_at);
}

/*
 * The last segment of this timeline of which the listing has every object: the one that it has
 * whole, since what else there is of a segment sorts before that (".00000028.backup", ".partial",
 * "wal"), but for damaged ones, which count as nothing. False: there is none.
 */
static bool last_listed(const TimelineSurvey *survey, const ObjectList *list, uint32_t timeline,
                        uint64_t *segment)
{
    WalName name;

    for (size_t i = list->count; i > 0; i--) {
        if (survey_parse(survey, &list->objects[i - 1], &name) && name.timeline == timeline &&
            name.kind == WAL_SEGMENT) {
            *segment = name.segment;
            return true;
        }
    }
    return false;
}

/* What a listing that began before `first` tells of a timeline, and was cut or not. */
static void note_extent(TimelineSurvey *survey, const ObjectList *list, uint32_t timeline,
                        uint64_t first, bool is_cut)
{
    WalExtent extent = {.timeline = timeline, .first = first, .last = UINT64_MAX};

    if (is_cut && !last_listed(survey, list, timeline, &extent.last)) {
        extent.first = 1;
        extent.last = 0;
    }
    wal_part_add(survey->part, &extent);
}

/* Names from this segment's on: nothing of it sorts before its bare name. */
static bool list_around(TimelineSurvey *survey, uint32_t timeline, uint64_t segment, Error *err)
{
    const Cluster *cluster = survey->cluster;
    const WalName name = {.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment};
    char text[WAL_NAME_SIZE];
    CLEANUP(text_freep)
    char *folder =
        layout_wal_folder(cluster->name, wal_name_text(&name, cluster->wal_segment_size, text));
    CLEANUP(text_freep) char *after = text_format("%s%s", folder, text);
    CLEANUP(text_freep) char *prefix = text_format("%s%08" PRIX32, survey->prefix, timeline);
    const ListRequest request = {.prefix = prefix, .after = after, .limit = AROUND_NAMES};
    CLEANUP(object_list_done) ObjectList list = {0};
    WalName found;

    if (!storage_list_part(cluster->repo->storage, &request, &list, err))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        if (survey_parse(survey, &list.objects[i], &found))
            survey_keep(survey, &list.objects[i]);
    }
    note_extent(survey, &list, timeline, segment, list.count == request.limit);
    return true;
}

static bool list_around_all(TimelineSurvey *survey, uint32_t timeline, Error *err)
{
    for (size_t i = 0; i < survey->name_count; i++) {
        const WalName *name = &survey->names[i];

        if (name->kind == WAL_SEGMENT &&
            !wal_part_knows(survey->part, timeline, name->segment, UINT64_MAX) &&
            !list_around(survey, timeline, name->segment, err))
            return false;
    }
    return true;
}

/* The timelines that a listing begins with; of the last one there may be more when it was cut. */
static uint32_t survey_take_first(TimelineSurvey *survey, const ObjectList *list, bool is_cut)
{
    uint32_t last = 0;
    WalName name;

    for (size_t i = 0; i < list->count; i++) {
        if (!survey_parse(survey, &list->objects[i], &name))
            continue;
        survey_keep(survey, &list->objects[i]);
        if (last != 0 && last != name.timeline)
            note_extent(survey, list, last, 0, false);
        last = name.timeline;
    }
    if (last != 0)
        note_extent(survey, list, last, 0, is_cut);
    return last;
}

/*
 * From timeline to timeline: the first names of each, a listing that begins where the next one's
 * would. Foreign names among them are stepped over one by one: only what is a timeline's own may be
 * skipped, or one that comes after them would not be seen.
 */
static bool survey_archive(TimelineSurvey *survey, Error *err)
{
    CLEANUP(text_freep) char *after = text_format("%s", survey->prefix);

    for (;;) {
        CLEANUP(object_list_done) ObjectList list = {0};
        const ListRequest request = {
            .prefix = survey->prefix, .after = after, .limit = FIRST_NAMES};

        if (!storage_list_part(survey->cluster->repo->storage, &request, &list, err))
            return false;
        const bool is_cut = list.count == request.limit;
        const uint32_t last = survey_take_first(survey, &list, is_cut);
        if (!is_cut)
            return true;
        if (last != 0 && !list_around_all(survey, last, err))
            return false;
        if (last == UINT32_MAX)
            return true;
        char *next = last != 0 ? text_format("%s%08" PRIX32, survey->prefix, last + 1)
                               : text_format("%s", list.objects[list.count - 1].name);
        text_freep(&after);
        after = next;
    }
}

static int compare_listed_names(const void *a, const void *b)
{
    return strcmp(((const ObjectInfo *)a)->name, ((const ObjectInfo *)b)->name);
}

static void survey_sort(ObjectList *list)
{
    size_t kept = 0;

    if (list->count > 1)
        qsort(list->objects, list->count, sizeof *list->objects, compare_listed_names);
    for (size_t i = 0; i < list->count; i++) {
        if (kept == 0 || strcmp(list->objects[kept - 1].name, list->objects[i].name) != 0)
            list->objects[kept++] = list->objects[i];
    }
    list->count = kept;
}

bool wal_inventory_load_around(WalInventory *inventory, const Cluster *cluster,
                               const WalName *names, size_t count, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_wal_prefix(cluster->name);
    CLEANUP(wal_pieces_done) WalPieceList pieces = {0};
    WalInventory loaded = {.newest_at = TIME_US_NONE, .part = mem_alloc(sizeof(WalPart))};
    TimelineSurvey survey = {.cluster = cluster,
                             .prefix = prefix,
                             .names = names,
                             .name_count = count,
                             .part = loaded.part};
    const bool is_listed = wal_pieces_load(&pieces, cluster, err) && survey_archive(&survey, err);

    if (is_listed) {
        survey_sort(&survey.found);
        loaded.pieces = pieces;
        pieces = (WalPieceList){0};
        wal_inventory_add_names(&loaded, cluster, &survey.found);
        loaded.sources = wal_sources_new();
        *inventory = loaded;
    } else {
        wal_part_freep(&loaded.part);
    }
    object_list_done(&survey.found);
    return is_listed || error_context(err, "list the archive of %s", cluster->name);
}
