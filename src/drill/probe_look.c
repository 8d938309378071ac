#include "probe_look.h"

size_t probe_room(ProbeResult result)
{
    static const size_t rooms[] = {
        [PROBE_PASSED] = PROBES_MAX / 2,
        [PROBE_NOTED] = (size_t)PROBES_MAX / 3 * 2,
        [PROBE_HOST] = (size_t)PROBES_MAX / 6 * 5,
        [PROBE_FAILED] = PROBES_MAX,
    };

    return rooms[result];
}

void probe_put(ProbeLook *look, ProbeResult result, const char *text)
{
    ProbeReport *report = look->report;

    if (result == PROBE_FAILED || result == PROBE_HOST)
        look->failed++;
    if (report->count >= probe_room(result)) {
        report->left_out++;
        return;
    }
    report->items[report->count++] =
        (Probe){.result = result,
                .name = arena_text(&report->arena, look->probe),
                .where = arena_text(&report->arena, look->database),
                .text = arena_format(&report->arena, "%.*s", (int)PROBE_TEXT_MAX, text),
                .elapsed = time_monotonic() - look->begin};
}

void probe_begin(ProbeLook *look, const char *probe)
{
    look->probe = probe;
    look->begin = time_monotonic();
    look->failed = 0;
}

void probe_end(ProbeLook *look, const char *praise)
{
    if (look->failed == 0)
        probe_put(look, PROBE_PASSED, praise);
}

Session *probe_session(const ProbeLook *look, const char *database, bool is_read_only, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const ProbeRequest *request = look->request;

    return session_open(
        request->conninfo(request->conninfo_context, database, is_read_only, &arena), err);
}

bool probe_is_of_host(const char *message)
{
    static const char *const words[] = {
        "No space left on device",
        "Disk quota exceeded",
        "Read-only file system",
        "Permission denied",
        "Cannot allocate memory",
        "out of memory",
        "out of shared memory",
        "Too many open files",
        "Resource temporarily unavailable",
        "could not load library",
        "could not access file \"$libdir",
        "resource manager with ID", /* of a library that is not preloaded here */
        /* Somebody has ended it, or the kernel, which had no memory left. */
        "was terminated by signal 9",
        "ended with status 137",
        "ended with status 143",
        "due to administrator command",
    };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strstr(message, words[i]) != NULL)
            return true;
    }
    return false;
}

bool probe_refused(ProbeLook *look, const char *about, Error *attempt, Error *err)
{
    CLEANUP(text_freep)
    char *text = text_format("%s%s%s", about, *about != '\0' ? ": " : "", attempt->message);

    if (attempt->code == ERR_INTERRUPTED)
        return error_pass(err, attempt);
    probe_put(look, probe_is_of_host(attempt->message) ? PROBE_HOST : PROBE_FAILED, text);
    if (attempt->code != ERR_UNREACHABLE)
        return true;
    session_freep(&look->session);
    Error gone = {0};
    look->session = probe_session(look, look->database, true, &gone);
    if (look->session != NULL)
        return true;
    error_set(err, ERR_RECOVERY, "the server died of the probe \"%s\" in database %s: %s",
              look->probe, look->database, attempt->message);
    return false;
}

/* The names that a query has found, in one text; a list of lists would be too long to read. */
typedef struct Names {
    Buffer text;
    size_t count;
} Names;

enum { NAMES_SHOWN = 8 };

static void names_done(Names *names)
{
    buffer_done(&names->text);
}

static bool take_name(void *context, const char *const *values, Error *err)
{
    Names *names = context;

    (void)err;
    if (names->count++ < NAMES_SHOWN)
        buffer_print(&names->text, "%s%s", names->count > 1 ? ", " : "", values[0]);
    return true;
}

bool probe_tell_names(ProbeLook *look, const char *query, ProbeResult result, const char *what,
                      Error *err)
{
    CLEANUP(names_done) Names names = {0};
    Error attempt = {0};

    buffer_print(&names.text, "%s", "");
    if (!session_rows(look->session, query, 1, take_name, &names, &attempt))
        return probe_refused(look, "", &attempt, err);
    if (names.count > 0) {
        CLEANUP(text_freep)
        char *text = text_format("%s: %s%s", what, (const char *)names.text.data,
                                 names.count > NAMES_SHOWN ? ", ..." : "");
        probe_put(look, result, text);
    }
    return true;
}

void texts_done(Texts *texts)
{
    arena_done(&texts->arena);
}

bool take_texts(void *context, const char *const *values, Error *err)
{
    Texts *texts = context;

    (void)err;
    if (texts->count + texts->columns > texts->capacity) {
        const size_t capacity = 2 * texts->capacity + 64;
        const char **items = arena_alloc(&texts->arena, capacity * sizeof *items);
        if (texts->count > 0)
            memcpy(items, texts->items, texts->count * sizeof *items);
        texts->items = items;
        texts->capacity = capacity;
    }
    for (size_t i = 0; i < texts->columns; i++) {
        texts->items[texts->count++] =
            arena_text(&texts->arena, values[i] != NULL ? values[i] : "");
    }
    return true;
}
