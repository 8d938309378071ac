/*
 * Manifests. Input: a choice, then the text; the end line with the count and the checksum is put
 * after it, and the head's is made right, except when the choice is 0. What is accepted says the
 * same when it is encoded and decoded once more.
 */
#include "base/memory.h"
#include "fuzz.h"
#include "manifest_example.h"
#include "manifest_format.h"

static void check_again(const Manifest *manifest)
{
    CLEANUP(manifest_done) Manifest again = {0};
    CLEANUP(buffer_done) Buffer once = {0};
    CLEANUP(buffer_done) Buffer twice = {0};
    Error err = {0};

    manifest_encode(manifest, &once);
    bool is_manifest = manifest_decode(&again, (char *)once.data, once.size, &err);
    assert(is_manifest && again.entry_count == manifest->entry_count);
    manifest_encode(&again, &twice);
    assert(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
}

static void check_range(const Manifest *manifest, const ManifestRange *range, uint32_t index)
{
    assert(range->index == index && range->size <= RANGE_SIZE);
    assert(range->fragment_count >= 1 && range->fragment_count <= RANGE_FRAGMENTS_MAX);
    for (uint8_t i = 0; i < range->fragment_count; i++) {
        const Frame *table = &range->fragments[i].table;

        assert(table->pack < manifest->pack_count);
        assert(table->offset + table->stored_size <= manifest->packs[table->pack].size);
    }
}

/* What restore relies on without asking again. */
static void check_entries(const Manifest *manifest)
{
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];

        assert(entry->path[0] != '\0' && (entry->path[0] == '/') == (entry->kind == ENTRY_EXTRA));
        assert(strstr(entry->path, "/../") == NULL && strncmp(entry->path, "../", 3) != 0);
        assert(i == 0 || entry[-1].kind == ENTRY_EXTRA || entry->kind == ENTRY_EXTRA ||
               strcmp(entry[-1].path, entry->path) < 0);
        if (entry->kind == ENTRY_FILE && entry->is_small && entry->size > 0)
            assert(entry->content.pack < manifest->pack_count);
        for (uint32_t r = 0; r < entry->range_count; r++)
            check_range(manifest, &entry->ranges[r], r);
    }
}

/* In pieces of whole lines, as manifest_load() feeds it: the same answer. */
static void check_in_pieces(const char *text, size_t size, bool is_accepted)
{
    CLEANUP(manifest_count_done) ManifestCount count = {0};
    Error err = {0};
    bool ok = size == 0 || text[size - 1] == '\n';

    for (const char *at = text, *end = text + size; ok && at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        ok = manifest_count_lines(&count, at, (size_t)(stop + 1 - at), &err);
        at = stop + 1;
    }
    ok = ok && manifest_count_end(&count, &err);
    assert(ok || !is_accepted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(manifest_done) Manifest manifest = {0};
    FuzzInput input = {data, size};
    bool is_raw = fuzz_u8(&input) == 0;
    Error err = {0};

    buffer_append(&text, input.at, input.left);
    if (!is_raw)
        manifest_seal(&text);
    char *exact = (char *)fuzz_copy(text.data, text.size);
    bool is_accepted = manifest_decode(&manifest, exact, text.size, &err);
    check_in_pieces(exact, text.size, is_accepted);
    if (is_accepted) {
        check_entries(&manifest);
        check_again(&manifest);
        fuzz_accepted();
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    }
    mem_free(exact);
    return 0;
}

static void seed(const char *name, bool has_files)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint8_t choice = 1;

    manifest_example(has_files, &text);
    buffer_append(&bytes, &choice, 1);
    buffer_append(&bytes, text.data, manifest_body_size(&text));
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    seed("empty", false);
    seed("all-kinds", true);
}
