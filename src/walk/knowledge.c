#include "walk/knowledge.h"

#include "base/log.h"
#include "repo/layout.h"

enum {
    /* This many stretches are in memory at once: along a fork, the parent's and the child's. */
    SLOTS = 2,
    /*
     * One stretch has at most this many objects. It has several after runs that were killed, or
     * that ran side by side.
     */
    OBJECTS_MAX = 8,
};

/* One object that says something of a stretch. */
typedef struct KnowledgeSource {
    WalStretch stretch;
    const char *object;
} KnowledgeSource;

typedef struct KnowledgeSlot {
    bool is_used;
    WalStretch stretch;
    Buffer entries[OBJECTS_MAX];
    size_t count;
} KnowledgeSlot;

struct WalKnowledge {
    const Cluster *cluster;
    bool is_listed;
    ObjectList list;
    /* They are sorted by name, which means by timeline, then by segment. */
    KnowledgeSource *sources;
    size_t source_count;
    KnowledgeSlot slots[SLOTS];
    size_t last; /* This slot was used last. */
};

WalKnowledge *wal_knowledge_new(const Cluster *cluster)
{
    WalKnowledge *knowledge = mem_alloc(sizeof *knowledge);

    *knowledge = (WalKnowledge){.cluster = cluster};
    return knowledge;
}

void wal_knowledge_freep(WalKnowledge **place)
{
    WalKnowledge *knowledge = *place;

    if (knowledge == NULL)
        return;
    for (size_t i = 0; i < SLOTS; i++) {
        for (size_t j = 0; j < OBJECTS_MAX; j++)
            buffer_done(&knowledge->slots[i].entries[j]);
    }
    mem_free(knowledge->sources);
    object_list_done(&knowledge->list);
    mem_free(knowledge);
    *place = NULL;
}

/* Not to know is not a failure: everything is read then. */
static void list_sources(WalKnowledge *knowledge)
{
    const Cluster *cluster = knowledge->cluster;
    CLEANUP(text_freep) char *prefix = layout_known_prefix(cluster->name);
    Error problem = {0};

    knowledge->is_listed = true;
    if (!storage_list(cluster->repo->storage, prefix, &knowledge->list, &problem)) {
        log_debug("the cache of WAL trailers can't be listed", log_str("error", problem.message));
        return;
    }
    knowledge->sources = mem_alloc((knowledge->list.count + 1) * sizeof(KnowledgeSource));
    for (size_t i = 0; i < knowledge->list.count; i++) {
        KnowledgeSource *source = &knowledge->sources[knowledge->source_count];

        source->object = knowledge->list.objects[i].name;
        if (layout_known_wal_of(cluster->name, source->object, &source->stretch.timeline,
                                &source->stretch.first))
            knowledge->source_count++;
    }
}

static bool stretch_is_same(WalStretch one, WalStretch other)
{
    return one.timeline == other.timeline && one.first == other.first;
}

static void load_source(const WalKnowledge *knowledge, KnowledgeSlot *slot,
                        const KnowledgeSource *source)
{
    Error problem = {0};

    if (slot->count == OBJECTS_MAX)
        return;
    if (wal_known_read(knowledge->cluster, source->stretch, source->object,
                       &slot->entries[slot->count], &problem)) {
        slot->count++;
    } else {
        log_debug("the cache of WAL trailers can't be read", log_str("error", problem.message));
    }
}

static const KnowledgeSlot *load_stretch(WalKnowledge *knowledge, WalStretch stretch)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (knowledge->slots[i].is_used && stretch_is_same(knowledge->slots[i].stretch, stretch)) {
            knowledge->last = i;
            return &knowledge->slots[i];
        }
    }
    knowledge->last = (knowledge->last + 1) % SLOTS;
    KnowledgeSlot *slot = &knowledge->slots[knowledge->last];
    slot->is_used = true;
    slot->stretch = stretch;
    slot->count = 0;
    for (size_t i = 0; i < knowledge->source_count; i++) {
        if (stretch_is_same(knowledge->sources[i].stretch, stretch))
            load_source(knowledge, slot, &knowledge->sources[i]);
    }
    return slot;
}

/* Of the entries about this very object the one that was verified last. */
bool wal_knowledge_entry(WalKnowledge *knowledge, uint32_t timeline, uint64_t segment,
                         const WalStored *stored, WalKnownEntry *entry)
{
    bool any = false;

    if (!knowledge->is_listed)
        list_sources(knowledge);
    if (knowledge->source_count == 0)
        return false;
    const KnowledgeSlot *slot = load_stretch(knowledge, wal_stretch_of(timeline, segment));
    for (size_t i = 0; i < slot->count; i++) {
        WalKnownEntry found;

        if (!wal_known_find(&slot->entries[i], segment, &found) ||
            found.stored_size != stored->size || found.stored_at != stored->at)
            continue;
        if (!any || found.verified_at > entry->verified_at)
            *entry = found;
        any = true;
    }
    return any;
}

bool wal_knowledge_find(WalKnowledge *knowledge, uint32_t timeline, uint64_t segment,
                        const WalStored *stored, WalTrailer *trailer, TimeUs *verified_at)
{
    const WalKnownHome home = wal_known_home(knowledge->cluster);
    WalKnownEntry entry;
    Error problem = {0};

    if (!wal_knowledge_entry(knowledge, timeline, segment, stored, &entry))
        return false;
    if (!wal_known_trailer(&home, wal_stretch_of(timeline, segment), &entry, trailer, &problem)) {
        log_debug("a cached WAL trailer is damaged", log_str("error", problem.message));
        return false;
    }
    *verified_at = entry.verified_at;
    return true;
}
