#include "stock_manifest.h"

#include "rebuild/held_places.h"
#include "rebuild/plan_entry.h"
#include "rebuild/recovery_settings.h"

#include "base/file.h"
#include "postgres/backup_manifest.h"
#include "repo/recovery_plan.h"
#include "stream/digest.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOCK_MANIFEST_FILE "backup_manifest"

enum { MANIFEST_PIECE = 1 << 20, SMALL_TEXT_MAX = 1 << 20 };

/* Takes the text piece by piece. */
typedef bool StockSink(void *context, const Buffer *piece, Error *err);

typedef struct StockManifest {
    const RestorePlan *plan;
    BackupManifestWriter *writer;
    Buffer out;
    StockSink *sink;
    void *context;
} StockManifest;

static void stock_manifest_done(StockManifest *stock)
{
    backup_manifest_freep(&stock->writer);
    buffer_done(&stock->out);
}

static bool stock_flush(StockManifest *stock, size_t at_least, Error *err)
{
    if (stock->out.size < at_least || stock->out.size == 0)
        return true;
    if (!stock->sink(stock->context, &stock->out, err))
        return false;
    stock->out.size = 0;
    return true;
}

/* Its time says nothing to anybody; that of the backup is the same each time. */
static bool stock_list_own_file(StockManifest *stock, const char *name, Error *err)
{
    const RestorePlan *plan = stock->plan;
    CLEANUP(buffer_done) Buffer text = {0};

    if (!held_read_whole(held_at(&plan->placement.held->data, name), SMALL_TEXT_MAX, &text, err))
        return false;
    backup_manifest_file(stock->writer, name, text.size, plan->decision.manifest.header.stopped_at,
                         crc32c_update(0, text.data, text.size));
    return true;
}

static bool stock_list_entries(StockManifest *stock, Error *err)
{
    const Manifest *manifest = &stock->plan->decision.manifest;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (!plan_entry_is_written(entry) && entry->kind != ENTRY_HOLLOW)
            continue;
        backup_manifest_file(stock->writer, entry->path, entry->size, entry->mtime, entry->crc32c);
        if (!stock_flush(stock, MANIFEST_PIECE, err))
            return false;
    }
    return stock_list_own_file(stock, "backup_label", err) &&
           stock_list_own_file(stock, RECOVERY_PLAN_FILE, err);
}

static bool stock_manifest_make(const RestorePlan *plan, StockSink *sink, void *context, Error *err)
{
    const ManifestHeader *header = &plan->decision.manifest.header;
    CLEANUP(stock_manifest_done)
    StockManifest stock = {.plan = plan, .sink = sink, .context = context};

    stock.writer = backup_manifest_new(header->major, header->system_identifier, &stock.out);
    if (!stock_list_entries(&stock, err))
        return false;
    backup_manifest_finish(stock.writer, header->timeline, header->start, header->stop);
    return stock_flush(&stock, 0, err);
}

/* What is there, beside what would be written. */
typedef struct StockFound {
    int fd;
    uint64_t size;
    bool differs;
} StockFound;

static bool compare_piece(void *context, const Buffer *piece, Error *err)
{
    StockFound *found = context;
    CLEANUP(buffer_done) Buffer there = {0};
    size_t got = 0;
    Error unread = {0}; /* then it differs */

    (void)err;
    if (found->differs)
        return true;
    buffer_reserve(&there, piece->size);
    found->differs = !file_read_at(found->fd, there.data, piece->size, found->size, &got,
                                   STOCK_MANIFEST_FILE, &unread) ||
                     got != piece->size || memcmp(there.data, piece->data, piece->size) != 0;
    found->size += piece->size;
    return true;
}

/* Where it is, it belongs to a directory whose files were durable: see replace/strays.c. */
static bool is_there_already(const RestorePlan *plan, HeldPath at, bool *is_there, Error *err)
{
    CLEANUP(fd_done) int fd = -1;
    StockFound found = {.differs = false};
    Error absent = {0};
    struct stat status;

    *is_there = false;
    if (!held_read(at, &fd, &absent))
        return true;
    found.fd = fd;
    if (!stock_manifest_make(plan, compare_piece, &found, err))
        return false;
    *is_there = !found.differs && fstat(fd, &status) == 0 &&
                (uint64_t)status.st_size == found.size &&
                (status.st_mode & 07777) == data_file_mode(&plan->placement) && fsync(fd) == 0;
    return true;
}

static bool write_piece(void *context, const Buffer *piece, Error *err)
{
    return file_writer_write(context, piece->data, piece->size, err);
}

bool stock_manifest_put(const RestorePlan *plan, Error *err)
{
    const HeldPath at = held_at(&plan->placement.held->data, STOCK_MANIFEST_FILE);
    const mode_t mode = data_file_mode(&plan->placement);
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;
    bool is_there;

    if (!is_there_already(plan, at, &is_there, err))
        return false;
    if (is_there)
        return true;
    if (!held_writer_open(&file, at, mode, err) ||
        !stock_manifest_make(plan, write_piece, &file, err))
        return false;
    if (fchmod(file.fd, mode) != 0)
        return error_set_errno(err, ERR_IO, errno, "set the mode of %s", file.path);
    return file_writer_replace(&file, err);
}
