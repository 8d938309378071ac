#include "requests.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "cli/hint.h"
#include "command/commands.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REQUEST_MAX = 4096, STATUS_MAX = 125 };

/* The configuration file as it was read: which file, and when it was changed last. */
typedef struct Configuration {
    const char *path;
    bool is_there;
    struct stat file;
} Configuration;

static Configuration configuration_now(const char *path)
{
    Configuration now = {.path = path};

    now.is_there = stat(path, &now.file) == 0;
    return now;
}

static bool configuration_has_changed(const Configuration *before)
{
    const Configuration now = configuration_now(before->path);

    return now.is_there != before->is_there ||
           (now.is_there &&
            (now.file.st_dev != before->file.st_dev || now.file.st_ino != before->file.st_ino ||
             now.file.st_size != before->file.st_size ||
             now.file.st_ctim.tv_sec != before->file.st_ctim.tv_sec ||
             now.file.st_ctim.tv_nsec != before->file.st_ctim.tv_nsec));
}

static bool answer_request(const Options *options, const Error *failure, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(buffer_done) Buffer text = {0};

    if (failure->code == ERR_NONE) {
        buffer_print(&text, "0");
    } else {
        int status = (int)failure->code;
        buffer_print(&text, "%d %s", status > 1 && status <= STATUS_MAX ? status : ERR_INTERNAL,
                     failure->message);
        if (failure->hint[0] != '\0') {
            buffer_print(&text, " (%s)", hint_complete(options, failure->hint, &arena));
        }
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\n')
            text.data[i] = ' ';
    }
    buffer_append(&text, "\n", 1);
    return file_write_all(STDOUT_FILENO, text.data, text.size, "standard output", err);
}

static bool serve_one(const Options *options, PushFunction *push, const char *path, Error *err)
{
    Options request = *options;
    Error failure = {0};

    request.wal_path = path;
    if (!push(&request, &failure)) {
        if (failure.code == ERR_NONE)
            error_set(&failure, ERR_INTERNAL, "a failure without a reason: this is a bug");
        log_debug("not archived", log_str("file", path), log_str("reason", failure.message));
    }
    if (!answer_request(options, &failure, err))
        return false;
    return interrupt_check(err);
}

typedef struct Service {
    const Options *options;
    Configuration configuration;
    PushFunction *push;
    /* The configuration file is now a different one, so nothing more is answered. */
    bool is_outdated;
} Service;

/* The whole lines of input, each answered; what is left is the beginning of the next one. */
static bool serve_lines(Service *service, Buffer *input, Error *err)
{
    char *line = (char *)input->data;
    char *end = line + input->size;

    for (char *newline; (newline = memchr(line, '\n', (size_t)(end - line))) != NULL;
         line = newline + 1) {
        *newline = '\0';
        service->is_outdated = configuration_has_changed(&service->configuration);
        if (service->is_outdated)
            return true;
        if (!serve_one(service->options, service->push, line, err))
            return false;
    }
    input->size = (size_t)(end - line);
    memmove(input->data, line, input->size);
    if (input->size > REQUEST_MAX)
        return error_set(err, ERR_USAGE, "a request is longer than %d bytes", REQUEST_MAX);
    return true;
}

bool requests_serve(const Options *options, PushFunction *push, Error *err)
{
    CLEANUP(buffer_done) Buffer input = {0};
    Service service = {
        .options = options, .configuration = configuration_now(options->config_file), .push = push};
    char piece[REQUEST_MAX];

    for (;;) {
        if (!interrupt_check(err))
            return false;
        ssize_t got = read(STDIN_FILENO, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, ERR_IO, errno, "read requests");
        if (got == 0 && input.size > 0)
            return error_set(err, ERR_USAGE, "the last request has no end");
        if (got == 0)
            return true;
        buffer_append(&input, piece, (size_t)got);
        if (!serve_lines(&service, &input, err))
            return false;
        if (service.is_outdated)
            return true;
    }
}
