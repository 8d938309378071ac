/*
 * Runs a fuzz target over the files of its corpus, without libFuzzer: an ordinary test.
 *
 *     corpus_NAME DIR           every file, whole and cut; at least one must be accepted
 *     corpus_NAME --seeds DIR   write the seeds made by the real encoders
 */
#include "base/memory.h"
#include "fuzz.h"

#include <dirent.h>
#include <inttypes.h>

enum { CUTS = 64, FILE_SIZE_MAX = 1 << 20 };

static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = fuzz_copy(bytes, size);

    (void)LLVMFuzzerTestOneInput(copy, size);
    mem_free(copy);
}

static bool run_file(const char *path)
{
    static uint8_t bytes[FILE_SIZE_MAX];
    FILE *file = fopen(path, "r");

    if (file == NULL) {
        perror(path);
        return false;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    run(bytes, size);
    for (size_t cut = 0; cut < CUTS; cut++)
        run(bytes, size * cut / CUTS);
    return true;
}

static int is_plain(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int run_directory(const char *directory)
{
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, is_plain, alphasort);
    bool ok = true;

    if (count < 0)
        perror(directory);
    for (int i = 0; i < count; i++) {
        CLEANUP(text_freep) char *path = text_format("%s/%s", directory, entries[i]->d_name);

        /* The name first: when the target aborts, the last line tells on which input. */
        printf("%s\n", entries[i]->d_name);
        (void)fflush(stdout);
        ok = run_file(path) && ok;
        free(entries[i]);
    }
    free(entries);
    printf("%d files, %" PRIu64 " accepted\n", count, fuzz_accepted_count());
    return count > 0 && ok && fuzz_accepted_count() > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        fuzz_seed_directory = argv[2];
        fuzz_seeds();
        return 0;
    }
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s [--seeds] DIRECTORY\n", argv[0]);
        return 2;
    }
    return run_directory(argv[1]);
}
