/*
 * What src/postgres reads in a real server's WAL, for the integration tests.
 *
 *     driver_wal print MAJOR FILE...   every record and event of segments that follow one another
 *     driver_wal ends MAJOR FILE...    what each segment alone says of its ends
 *     driver_wal speed MAJOR FILE...   MB/s of the reader, without the file's reading
 *
 * print: "lsn prev total xid rmgr info" a line, an event after it; then the state of the end.
 */
#include "base/file.h"
#include "base/memory.h"
#include "postgres/wal_summary.h"

#include <inttypes.h>
#include <libgen.h>

enum { FILE_MAX = 1 << 30, ROUNDS = 20 };

static const char *event_text(const WalEvent *event, char *text, size_t size)
{
    char time[TIME_TEXT_SIZE] = "";

    if (event->time != TIME_US_NONE)
        time_text_postgres(event->time, time);
    switch (event->kind) {
    case EVENT_COMMIT:
    case EVENT_ABORT:
        snprintf(text, size, " %s%s %" PRIu32 " %s",
                 event->kind == EVENT_COMMIT ? "COMMIT" : "ABORT",
                 event->is_prepared ? "_PREPARED" : "", event->xid, time);
        return text;
    case EVENT_RESTORE_POINT:
        snprintf(text, size, " RESTORE_POINT %s", event->name);
        return text;
    case EVENT_TIMELINE:
        snprintf(text, size, " TIMELINE %" PRIu32 " %" PRIu32, event->timeline,
                 event->prev_timeline);
        return text;
    case EVENT_BACKUP_END:
        snprintf(text, size, " BACKUP_END %" PRIX64, event->backup_start);
        return text;
    case EVENT_PARAMETERS:
        snprintf(text, size,
                 " PARAMETERS max_connections=%" PRIu32 " max_worker_processes=%" PRIu32
                 " max_wal_senders=%" PRIu32 " max_prepared_xacts=%" PRIu32
                 " max_locks_per_xact=%" PRIu32 " wal_level=%" PRIu32 " wal_log_hints=%d"
                 " track_commit_timestamp=%d",
                 event->parameters.max_connections, event->parameters.max_worker_processes,
                 event->parameters.max_wal_senders, event->parameters.max_prepared_xacts,
                 event->parameters.max_locks_per_xact, event->parameters.wal_level,
                 event->parameters.wal_log_hints, event->parameters.track_commit_timestamp);
        return text;
    case EVENT_FPW_OFF:
        return " FPW_OFF";
    case EVENT_CHECKPOINT:
        snprintf(text, size, " CHECKPOINT %" PRIu32, event->timeline);
        return text;
    }
    return "";
}

static bool print_record(void *context, const WalRecord *record, Error *err)
{
    const PgVersion *version = context;
    char lsn[LSN_TEXT_SIZE];
    char prev[LSN_TEXT_SIZE];
    char text[256] = "";
    WalEvent event;

    (void)err;
    if (wal_event_of(record, version, &event))
        snprintf(text, sizeof text, "%s", event_text(&event, (char[256]){0}, 256));
    printf("%s %s %" PRIu32 " %" PRIu32 " %u %02X%s\n", lsn_text(record->lsn, lsn),
           lsn_text(record->prev, prev), record->total_size, record->xid, record->rmgr,
           record->info, text);
    return true;
}

static void print_end(const WalReaderState *state)
{
    static const char *const ends[] = {"open", "switch", "broken"};
    char text[6][LSN_TEXT_SIZE];

    printf("end %s first %s first_prev %s last %s last_end %s head %" PRIu32 " tail %s "
           "missing %" PRIu32 " zero %d broken_at %s reason %s\n",
           ends[state->end], lsn_text(state->first_record, text[0]),
           lsn_text(state->first_prev, text[1]), lsn_text(state->last_record, text[2]),
           lsn_text(state->last_end, text[3]), state->head_size,
           lsn_text(state->tail_record, text[4]), state->tail_total - state->tail_have,
           state->rest_is_zero, lsn_text(state->broken_at, text[5]), state->reason);
}

static WalReader *reader_for(const PgVersion *version, const Buffer *segment, bool prints,
                             Error *err)
{
    WalSegmentHeader header;

    if (!wal_segment_header_decode(segment->data, segment->size, &header, err))
        return NULL;
    return wal_reader_new(&(WalReaderSetup){
        .version = version,
        .system_identifier = header.system_identifier,
        .segment_size = header.segment_size,
        .start = header.address,
        .on_record = prints ? print_record : NULL,
        .context = (void *)(uintptr_t)version,
    });
}

static bool print_files(const PgVersion *version, char **files, int count, bool each, Error *err)
{
    CLEANUP(buffer_done) Buffer segment = {0};
    CLEANUP(wal_reader_freep) WalReader *reader = NULL;

    for (int i = 0; i < count; i++) {
        segment.size = 0;
        if (!file_read_whole(files[i], FILE_MAX, &segment, err))
            return false;
        if (each)
            wal_reader_freep(&reader);
        if (reader == NULL)
            reader = reader_for(version, &segment, !each, err);
        /* In two uneven parts, so that records are cut somewhere. */
        if (reader == NULL || !wal_reader_feed(reader, segment.data, segment.size / 3, err) ||
            !wal_reader_feed(reader, segment.data + segment.size / 3,
                             segment.size - segment.size / 3, err))
            return error_context(err, "%s", files[i]);
        if (each) {
            printf("%s ", basename(files[i]));
            print_end(wal_reader_state(reader));
        }
    }
    if (!each && reader != NULL)
        print_end(wal_reader_state(reader));
    return true;
}

static bool measure(const PgVersion *version, char **files, int count, Error *err)
{
    CLEANUP(buffer_done) Buffer segment = {0};
    uint64_t bytes = 0;
    TimeUs elapsed = 0;

    for (int i = 0; i < count; i++) {
        segment.size = 0;
        if (!file_read_whole(files[i], FILE_MAX, &segment, err))
            return false;
        for (int round = 0; round < ROUNDS; round++) {
            CLEANUP(wal_reader_freep)
            WalReader *reader = reader_for(version, &segment, false, err);
            TimeUs started = time_monotonic();

            if (reader == NULL || !wal_reader_feed(reader, segment.data, segment.size, err))
                return false;
            elapsed += time_monotonic() - started;
            bytes += segment.size;
        }
    }
    printf("%" PRIu64 " MB/s\n", bytes / (uint64_t)(elapsed > 0 ? elapsed : 1));
    return true;
}

int main(int argc, char **argv)
{
    Error err = {0};
    const PgVersion *version =
        argc > 3 ? pg_version_of_major((unsigned)strtoul(argv[2], NULL, 10)) : NULL;
    bool ok;

    if (version == NULL)
        return 2;
    if (strcmp(argv[1], "speed") == 0) {
        ok = measure(version, argv + 3, argc - 3, &err);
    } else {
        ok = print_files(version, argv + 3, argc - 3, strcmp(argv[1], "ends") == 0, &err);
    }
    if (!ok)
        fprintf(stderr, "%s: %s\n", err.context, err.message);
    return ok ? 0 : (int)err.code;
}
