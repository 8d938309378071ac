#include "look.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static bool read_here(const WalFiles *files, const char *name, uint64_t offset, size_t size,
                      Buffer *bytes, bool *is_there, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", files->directory, name);
    CLEANUP(fd_done) int fd = -1;
    size_t got;

    *is_there = file_open(path, &fd, err);
    if (!*is_there && err->code == ERR_NOT_FOUND) {
        error_clear(err);
        return true;
    }
    if (!*is_there)
        return false;
    buffer_reserve(bytes, size);
    if (!file_read_at(fd, bytes->data, size, offset, &got, path, err))
        return false;
    bytes->size = got;
    return true;
}

static int hex_digit_value(char letter)
{
    return letter >= 'a' ? letter - 'a' + 10 : letter - '0';
}

/* Needs a superuser, or a role that was granted it. names are made of WalName: no quotes in them.
 */
static bool read_there(const WalFiles *files, const char *name, uint64_t offset, size_t size,
                       Buffer *bytes, bool *is_there, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep)
    char *query = text_format("SELECT encode(pg_read_binary_file('pg_wal/%s', %" PRIu64
                              ", %zu, true), 'hex')",
                              name, offset, size);
    const char *hex;
    bool found;

    if (!session_row(files->session, query, &arena, &hex, 1, &found, err))
        return error_context(err, "read %s through the server", name);
    *is_there = found && hex != NULL;
    if (!*is_there)
        return true;
    size_t count = strlen(hex) / 2;
    buffer_reserve(bytes, count);
    for (size_t i = 0; i < count; i++) {
        bytes->data[i] =
            (uint8_t)(hex_digit_value(hex[2 * i]) << 4 | hex_digit_value(hex[2 * i + 1]));
    }
    bytes->size = count;
    return true;
}

bool wal_files_read(void *context, const char *name, uint64_t offset, size_t size, Buffer *bytes,
                    bool *is_there, Error *err)
{
    const WalFiles *files = context;

    bytes->size = 0;
    if (files->directory == NULL && files->session == NULL)
        return error_set(err, ERR_UNREACHABLE, "the server does not answer any more");
    return files->directory != NULL ? read_here(files, name, offset, size, bytes, is_there, err)
                                    : read_there(files, name, offset, size, bytes, is_there, err);
}
