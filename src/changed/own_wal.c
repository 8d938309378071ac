#include "changed/own_wal.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "repo/layout.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool newest_archived(const OwnWalQuestion *question, uint64_t *segment)
{
    const WalInventory *inventory = question->inventory;
    bool is_found = false;

    for (size_t i = 0; i < inventory->run_count; i++) {
        const WalRun *run = &inventory->runs[i];

        if (run->timeline == question->timeline && (!is_found || run->last > *segment)) {
            *segment = run->last;
            is_found = true;
        }
    }
    return is_found;
}

/* access/xlog_internal.h, XLogPageHeaderData, of the first page. */
static bool is_content_of(int fd, const char *path, uint32_t timeline, Lsn start)
{
    enum { TIMELINE = 4, PAGE_ADDRESS = 8, SIZE = 16 };
    uint8_t header[SIZE];
    Error ignored = {0}; /* then it proves nothing */
    size_t got;

    return file_read_at(fd, header, SIZE, 0, &got, path, &ignored) && got == SIZE &&
           get_le32(header + TIMELINE) == timeline && get_le64(header + PAGE_ADDRESS) == start;
}

/* One of the server's files that has the segment; -1: this is not one. */
static int open_content(const OwnWalQuestion *question, const char *path, uint64_t segment)
{
    const uint32_t size = question->cluster->wal_segment_size;
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size != size ||
        !is_content_of(fd, path, question->timeline, wal_segment_start(segment, size)))
        return -1;
    return fd_take(&fd);
}

/*
 * The server's file of the segment: by its name, or by what is in it, since a segment that is not
 * needed any more gets the name of one that is to come and keeps its content until then (xlog.c,
 * RemoveXlogFile). -1: there is none.
 */
static int find_content(const OwnWalQuestion *question, const char *name, uint64_t segment)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", question->pg_wal, name);
    int fd = open_content(question, path, segment);
    CLEANUP(directory_done) DIR *list = fd >= 0 ? NULL : opendir(question->pg_wal);
    const struct dirent *entry;

    while (fd < 0 && list != NULL && (entry = readdir(list)) != NULL) {
        Error ignored = {0};
        WalName parsed;

        if (!wal_name_parse(entry->d_name, question->cluster->wal_segment_size, &parsed,
                            &ignored) ||
            parsed.kind != WAL_SEGMENT)
            continue;
        CLEANUP(text_freep)
        char *other = text_format("%s/%s", question->pg_wal, entry->d_name);
        fd = open_content(question, other, segment);
    }
    return fd;
}

typedef enum WalOwner {
    OWNER_UNKNOWN,
    OWNER_IS_SERVER,
    OWNER_IS_OTHER,
} WalOwner;

/* Whether the object is the server's file. */
static bool compare_with_file(const OwnWalQuestion *question, const char *name,
                              const uint8_t checksum[XXH128_SIZE], WalOwner *owner, Error *err)
{
    Error attempt = {0};
    WalTrailer trailer;

    *owner = OWNER_IS_OTHER;
    if (!wal_object_trailer(question->cluster, name, &trailer, &attempt)) {
        return attempt.code == ERR_CORRUPT || attempt.code == ERR_VERSION ||
               attempt.code == ERR_NOT_FOUND || error_pass(err, &attempt);
    }
    if (trailer.raw_size == question->cluster->wal_segment_size &&
        memcmp(trailer.raw_checksum, checksum, XXH128_SIZE) == 0)
        *owner = OWNER_IS_SERVER;
    return true;
}

static const char *own_segment_name(const OwnWalQuestion *question, uint64_t segment,
                                    char name[WAL_NAME_SIZE])
{
    (void)wal_name_text(
        &(WalName){.kind = WAL_SEGMENT, .timeline = question->timeline, .segment = segment},
        question->cluster->wal_segment_size, name);
    return name;
}

/* stored_at: of this object, which is there. */
static bool segment_owner(const OwnWalQuestion *question, uint64_t segment, TimeUs stored_at,
                          WalOwner *owner, Error *err)
{
    char name[WAL_NAME_SIZE];
    CLEANUP(fd_done)
    int fd = find_content(question, own_segment_name(question, segment, name), segment);
    uint8_t checksum[XXH128_SIZE];

    if (fd >= 0) {
        return wal_file_checksum(question->cluster->repo, fd, name,
                                 question->cluster->wal_segment_size, checksum, err) &&
               compare_with_file(question, name, checksum, owner, err);
    }
    *owner =
        question->since != TIME_US_NONE && stored_at != TIME_US_NONE && stored_at > question->since
            ? OWNER_IS_SERVER
            : OWNER_UNKNOWN;
    return true;
}

/* The one before the start, which may be on its way: *is_there is false when it does not come. */
static bool wait_for_last(const OwnWalQuestion *question, const char *name, bool *is_there,
                          TimeUs *stored_at, Error *err)
{
    enum { PAUSE_MS = 50 };
    CLEANUP(text_freep) char *object = layout_wal(question->cluster->name, name);
    const TimeUs until = time_monotonic() + (TimeUs)question->wait_ms * 1000;
    uint64_t size;

    for (;;) {
        Error attempt = {0};

        *is_there =
            storage_stat(question->cluster->repo->storage, object, &size, stored_at, &attempt);
        if (*is_there || attempt.code != ERR_NOT_FOUND)
            return *is_there || error_pass(err, &attempt);
        if (time_monotonic() >= until || !interrupt_check(err))
            return err->code == ERR_NONE;
        time_sleep_ms(PAUSE_MS);
    }
}

static bool last_segment_owner(const OwnWalQuestion *question, uint64_t last, WalOwner *owner,
                               Error *err)
{
    char name[WAL_NAME_SIZE];
    TimeUs stored_at;
    bool is_there;

    if (!wait_for_last(question, own_segment_name(question, last, name), &is_there, &stored_at,
                       err))
        return false;
    return !is_there || segment_owner(question, last, stored_at, owner, err);
}

static char *tell_owner(const OwnWalQuestion *question, uint64_t segment, WalOwner owner)
{
    char name[WAL_NAME_SIZE];

    (void)own_segment_name(question, segment, name);
    switch (owner) {
    case OWNER_IS_SERVER:
        return NULL;
    case OWNER_IS_OTHER:
        return text_format("archived %s is not what the server wrote, or is damaged", name);
    case OWNER_UNKNOWN:
        return text_format("nothing shows that archived %s is this server's, which does not have "
                           "that file any more",
                           name);
    }
    return NULL;
}

static bool check_newest(const OwnWalQuestion *question, uint64_t newest, char **why_not,
                         Error *err)
{
    const uint64_t last =
        wal_segment_before(question->start, question->cluster->wal_segment_size) - 1;
    const WalStored *stored = wal_inventory_stored(question->inventory, question->timeline, newest);
    uint64_t asked = newest;
    WalOwner owner;

    if (!segment_owner(question, newest, stored == NULL ? TIME_US_NONE : stored->at, &owner, err))
        return false;
    if (owner == OWNER_UNKNOWN && newest < last) {
        asked = last;
        if (!last_segment_owner(question, last, &owner, err))
            return false;
    }
    *why_not = tell_owner(question, asked, owner);
    return true;
}

bool own_wal_check(const OwnWalQuestion *question, char **why_not, Error *err)
{
    uint64_t newest = 0;

    *why_not = NULL;
    if (!newest_archived(question, &newest))
        return true;
    if (newest >= wal_segment_of(question->insert, question->cluster->wal_segment_size)) {
        *why_not = text_format("the archive has WAL that this server has not written yet");
        return true;
    }
    return check_newest(question, newest, why_not, err) ||
           error_context(err, "compare the archive with the server's WAL");
}
