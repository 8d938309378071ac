#include "fuzz.h"

#include "base/bytes.h"
#include "base/memory.h"

#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

const char *fuzz_seed_directory;

static uint64_t accepted;
static char directory[] = "/dev/shm/pgcairn-fuzz-XXXXXX";
static bool has_directory;

void fuzz_seed(const char *name, const void *bytes, size_t size)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", fuzz_seed_directory, name);
    FILE *file = fopen(path, "w");

    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

/* scripts/fuzz shows it: a target that accepts nothing tests little. */
static void tell_accepted(void)
{
    (void)fprintf(stderr, "stat::accepted: %" PRIu64 "\n", accepted);
}

void fuzz_accepted(void)
{
    if (accepted++ == 0)
        (void)atexit(tell_accepted);
}

uint64_t fuzz_accepted_count(void)
{
    return accepted;
}

void fuzz_bytes(FuzzInput *input, void *to, size_t size)
{
    size_t take = size < input->left ? size : input->left;

    memset(to, 0, size);
    if (take > 0)
        memcpy(to, input->at, take);
    input->at += take;
    input->left -= take;
}

uint8_t fuzz_u8(FuzzInput *input)
{
    uint8_t byte;

    fuzz_bytes(input, &byte, 1);
    return byte;
}

uint16_t fuzz_u16(FuzzInput *input)
{
    uint8_t bytes[2];

    fuzz_bytes(input, bytes, sizeof bytes);
    return get_le16(bytes);
}

uint32_t fuzz_u32(FuzzInput *input)
{
    uint8_t bytes[4];

    fuzz_bytes(input, bytes, sizeof bytes);
    return get_le32(bytes);
}

uint64_t fuzz_u64(FuzzInput *input)
{
    uint8_t bytes[8];

    fuzz_bytes(input, bytes, sizeof bytes);
    return get_le64(bytes);
}

uint8_t *fuzz_copy(const void *bytes, size_t size)
{
    /* malloc() for an exact size; mem_alloc() has the same, but who knows for how long. */
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

static char *take_text(FuzzInput *input, size_t size)
{
    char *text = malloc(size + 1);

    assert(text != NULL);
    if (size > 0)
        memcpy(text, input->at, size);
    text[size] = '\0';
    return text;
}

static size_t text_size(const FuzzInput *input)
{
    const uint8_t *zero = input->left > 0 ? memchr(input->at, 0, input->left) : NULL;

    return zero != NULL ? (size_t)(zero - input->at) : input->left;
}

char *fuzz_rest_text(FuzzInput *input)
{
    char *text = take_text(input, text_size(input));

    input->at += input->left;
    input->left = 0;
    return text;
}

char *fuzz_text(FuzzInput *input)
{
    size_t size = text_size(input);
    char *text = take_text(input, size);
    size_t used = size < input->left ? size + 1 : size;

    input->at += used;
    input->left -= used;
    return text;
}

static void remove_directory(void)
{
    DIR *entries = opendir(directory);

    if (entries == NULL)
        return;
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries))
        (void)unlinkat(dirfd(entries), entry->d_name, 0);
    (void)closedir(entries);
    (void)rmdir(directory);
}

const char *fuzz_directory(void)
{
    if (!has_directory) {
        if (access("/dev/shm", W_OK) != 0)
            memcpy(directory, "/var/tmp", strlen("/var/tmp"));
        if (mkdtemp(directory) == NULL) {
            perror(directory);
            exit(2);
        }
        has_directory = true;
        (void)atexit(remove_directory);
    }
    return directory;
}

void fuzz_write_file(const char *name, const void *bytes, size_t size)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", fuzz_directory(), name);
    FILE *file = fopen(path, "w");

    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}
