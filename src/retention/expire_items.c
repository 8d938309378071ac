#include "expire_parts.h"

void item_list_add(ItemList *list, CondemnedKind kind, const char *name)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity * 2 + 64;
        list->items = mem_resize(list->items, list->capacity * sizeof list->items[0]);
    }
    list->items[list->count++] =
        (CondemnedItem){.kind = kind, .name = arena_text(&list->arena, name)};
}

void item_list_done(ItemList *list)
{
    mem_free(list->items);
    arena_done(&list->arena);
    *list = (ItemList){.items = NULL};
}

void report_add_id(ExpireReport *report, const char ***ids, size_t *count, const char *id)
{
    const char **longer = arena_alloc(&report->arena, (*count + 1) * sizeof *longer);

    for (size_t i = 0; i < *count; i++) {
        longer[i] = (*ids)[i];
        if (strcmp(longer[i], id) == 0)
            return;
    }
    longer[(*count)++] = arena_text(&report->arena, id);
    *ids = longer;
}

void expire_count(ExpireCounts *to, const ExpireCounts *counts)
{
    to->backups += counts->backups;
    to->packs += counts->packs;
    to->segments += counts->segments;
    to->others += counts->others;
    to->bytes += counts->bytes;
}
