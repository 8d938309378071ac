/*
 * What is read out of a server's log, which holds what any client sent. Input: room for the answer,
 * then the text up to a zero, and current_logfiles.
 */
#include "base/memory.h"
#include "fuzz.h"
#include "server_log.h"

static void check_reason(const char *reason, size_t size)
{
    assert(strnlen(reason, size) < size);
    assert(recovery_advice(reason, 1, PG_IN_ARCHIVE_RECOVERY) == NULL ||
           recovery_advice(reason, 1, PG_IN_ARCHIVE_RECOVERY)[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    size_t room = 1 + fuzz_u16(&input) % 2000;
    CLEANUP(text_freep) char *text = fuzz_text(&input);
    CLEANUP(text_freep) char *reason = malloc(room);
    CLEANUP(text_freep) char *from_file = malloc(room);

    assert(reason != NULL && from_file != NULL);
    server_log_reason_of(text, reason, room);
    check_reason(reason, room);
    if (reason[0] != '\0')
        fuzz_accepted();

    /* No files of this machine. */
    if (input.left > 0 && memchr(input.at, '/', input.left) != NULL)
        return 0;
    CLEANUP(text_freep) char *log = text_format("%s/log", fuzz_directory());
    bool is_alone = input.left == 0;
    fuzz_write_file("current_logfiles", input.at, input.left);
    fuzz_write_file("log", text, strlen(text));
    server_log_reason(fuzz_directory(), log, NULL, from_file, room);
    assert(!is_alone || strcmp(from_file, reason) == 0);
    check_reason(from_file, room);
    server_log_pause_reason(fuzz_directory(), NULL, NULL, from_file, room);
    check_reason(from_file, room);
    return 0;
}

void fuzz_seeds(void)
{
    static const char stopped[] =
        "\xff\1"
        "2026-11-22 10:00:00.000 UTC [1] LOG:  starting PostgreSQL 15.18 on x86_64, compiled by "
        "gcc\n"
        "2026-11-22 10:00:01.000 UTC [7] FATAL:  could not restore file "
        "\"000000010000000000000002\"\n"
        "2026-11-22 10:00:01.000 UTC [7] DETAIL:  exit code 255\n\tand more\n"
        "2026-11-22 10:00:01.000 UTC [1] LOG:  startup process (PID 7) exited with exit code 1\n"
        "2026-11-22 10:00:02.000 UTC [9] FATAL:  the database system is shutting down\n\0"
        "stderr log\njsonlog x.json\n";
    static const char paused[] = "\xff\1"
                                 "2026-11-22 10:00:00.000 UTC [7] WARNING:  insufficient parameter "
                                 "settings for hot standby\n"
                                 "{\"error_severity\":\"FATAL\",\"message\":\"x\"}\n\0csvlog log";

    fuzz_seed("stopped", stopped, sizeof stopped - 1);
    fuzz_seed("paused", paused, sizeof paused - 1);
}
