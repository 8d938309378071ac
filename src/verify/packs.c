#include "packs.h"

#include "troubles.h"

#include "stream/digest.h"

#include <inttypes.h>

static int compare_pack(const void *a, const void *b)
{
    return strcmp(((const PackFacts *)a)->info.id, ((const PackFacts *)b)->info.id);
}

static PackFacts *find_among(PackFacts *packs, size_t count, const char *id)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(packs[middle].info.id, id);

        if (order == 0)
            return &packs[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

PackFacts *pack_find(const VerifyRun *run, const char *id)
{
    return find_among(run->packs, run->pack_count, id);
}

static void add_pack(VerifyRun *run, const PackInfo *info, uint32_t users)
{
    if (run->pack_count == run->pack_capacity) {
        run->pack_capacity = run->pack_capacity == 0 ? 64 : 2 * run->pack_capacity;
        run->packs = mem_resize(run->packs, run->pack_capacity * sizeof run->packs[0]);
    }
    run->packs[run->pack_count++] = (PackFacts){.info = *info, .users = users};
}

/* Manifests that share a pack must agree on what it is. */
static void compare_packs(VerifyRun *run, const char *object, const PackInfo *one,
                          const PackInfo *other)
{
    CLEANUP(text_freep) char *what = text_format("pack %s is described differently here", one->id);
    CLEANUP(text_freep) char *expected = NULL;
    CLEANUP(text_freep) char *found = NULL;
    char digest[SHA256_TEXT_SIZE];

    if (one->size == other->size && memcmp(one->sha256, other->sha256, sizeof one->sha256) == 0)
        return;
    expected =
        text_format("%" PRIu64 " bytes, SHA-256 %s", one->size, sha256_text(one->sha256, digest));
    found = text_format("%" PRIu64 " bytes, SHA-256 %s", other->size,
                        sha256_text(other->sha256, digest));
    trouble_means(run, trouble_add(run, FINDING_INCONSISTENT, object, what, expected, found),
                  "Two backups share the pack; what one of them says of it is not true.");
}

void packs_add(VerifyRun *run, const ManifestHead *head, const char *object, uint32_t users)
{
    size_t sorted = run->pack_count;

    for (size_t i = 0; i < head->pack_count; i++) {
        PackFacts *pack = find_among(run->packs, sorted, head->packs[i].id);

        if (pack == NULL) {
            add_pack(run, &head->packs[i], users);
            continue;
        }
        pack->users += users;
        compare_packs(run, object, &pack->info, &head->packs[i]);
    }
    if (run->pack_count > sorted)
        qsort(run->packs, run->pack_count, sizeof run->packs[0], compare_pack);
}

void packs_release(VerifyRun *run, const Manifest *manifest)
{
    for (size_t i = 0; i < manifest->pack_count; i++) {
        PackFacts *pack = pack_find(run, manifest->packs[i].id);

        if (pack == NULL || --pack->users > 0)
            continue;
        mem_free(pack->frames);
        pack->frames = NULL;
        pack->frame_count = 0;
    }
}

bool packs_have_bad(const VerifyRun *run, const Manifest *manifest)
{
    for (size_t i = 0; i < manifest->pack_count; i++) {
        const PackFacts *pack = pack_find(run, manifest->packs[i].id);

        if (pack == NULL || pack->is_bad || !pack->is_readable)
            return true;
    }
    return false;
}

void packs_done(VerifyRun *run)
{
    for (size_t i = 0; i < run->pack_count; i++) {
        mem_free(run->packs[i].frames);
        mem_free(run->packs[i].hurt);
    }
    mem_free(run->packs);
}
