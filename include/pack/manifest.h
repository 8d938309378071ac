/*
 * manifest.h - the list of everything in one backup: a backup exists when its manifest does.
 *
 * Text, one record a line, sorted by path, zstd-compressed: docs/format.md, chapter 5. Written
 * once, last; immutable from then on.
 */
#pragma once

#include "base/memory.h"
#include "base/time.h"
#include "pack/pack.h"
#include "postgres/backup_label.h"
#include "repo/layout.h"

enum { RANGE_FRAGMENTS_MAX = 64 };

/* What a backup stored of one range, or an earlier one did: the content is their overlay. */
typedef struct Fragment {
    Frame table;   /* It is the frame of the fragment's page table. */
    uint32_t live; /* This many of its pages are still in the range and in no newer fragment. */
    /* The extents are in this pack. It is table.pack, unless the table stands alone. */
    uint32_t data_pack;
} Fragment;

typedef struct ManifestRange {
    uint32_t index; /* It is the range's number in the file. */
    bool is_settled;
    uint8_t fragment_count;
    /* It is that of the range's content. Those of all ranges combine to the file's. */
    uint32_t crc32c;
    uint64_t size;
    uint64_t hash;       /* It is a range_hash(). */
    Fragment *fragments; /* The oldest comes first. */
} ManifestRange;

typedef enum EntryKind {
    ENTRY_FILE,
    ENTRY_DIRECTORY,
    ENTRY_LINK, /* It is pg_tblspc/OID. `target` is where the tablespace was. */
    /* It is a file of configuration outside the data directory, so its path is absolute. */
    ENTRY_EXTRA,
    /*
     * It is in a restore's plan, never in a manifest: a file of a database that is left out. It
     * will have its length but no content (restore/left_out.c).
     */
    ENTRY_HOLLOW,
} EntryKind;

/*
 * A cluster may have millions of files, and backup, restore and verify hold one of these for each:
 * its size and its path's are what their memory depends on (architecture.md, law 10). So what a
 * large file, a small one and a link have for themselves share their place.
 */
typedef struct ManifestEntry {
    EntryKind kind : 8;
    bool is_small;   /* The content is one frame, or none when size is 0. */
    uint16_t mode;   /* It has the permission bits. */
    uint32_t crc32c; /* It is that of the content. */
    /* It is relative to the data directory. Inside tablespaces it is pg_tblspc/OID/... */
    const char *path;
    /* They are names, or the numbers as text where the host knew no name. */
    const char *owner, *group;
    uint64_t size;
    TimeUs mtime, ctime; /* They are what fstat said before the first read. */
    uint64_t inode;
    uint32_t range_count; /* It is 0 when is_small. */
    union {
        const char *target; /* It is set for ENTRY_LINK. */
        struct {            /* They are set when is_small and size > 0. */
            Frame content;
            uint64_t content_hash; /* It is the XXH3 of the raw content. */
        };
        ManifestRange *ranges; /* It is set when range_count > 0. */
    };
} ManifestEntry;

typedef struct ManifestHeader {
    char id[BACKUP_ID_SIZE];
    const char *cluster;
    uint64_t system_identifier;
    unsigned server_version; /* It is, for example, 150018. */
    unsigned major;
    const char *tool_version;
    uint32_t timeline;
    const char *history; /* It is the text of the timeline's history file, or "" for timeline 1. */
    Lsn start, stop;
    TimeUs started_at, stopped_at; /* They are by the clock of the host that took the backup. */
    /* It is the latest commit time between start and stop, from the archive, or TIME_US_NONE. */
    TimeUs commit_time_max;
    const char *label; /* It is backup_label, byte for byte. */
    const char *tablespace_map;
    const char *host, *boot_id, *data_directory;
    const char *options; /* They are as given, for people to read. */
    uint32_t wal_segment_size;
    /*
     * It is data_checksum_version of pg_control. 0 means off, and 1 is the only other value known.
     */
    uint32_t checksums;
    bool from_standby;
    const char *libc_version; /* Restore compares it, to warn that collations may differ. */
    uint64_t bad_pages;       /* This many pages were stored although their checksum is wrong. */
    /*
     * The next ones are left out when they are empty. followed_links has a line for each symbolic
     * link that was followed: "base/5 -> /mnt/x". The configuration files are named as the server
     * names them, but relative to the data directory if they are in it. server_directory is the
     * server's name for the data directory, when that is not the path that we read.
     */
    const char *followed_links;
    const char *config_file, *hba_file, *ident_file;
    const char *server_directory;
    /*
     * It has their names: database_names.h. It is "" when the pgcairn that took the backup did not
     * ask for them.
     */
    const char *databases;
    /*
     * The next ones are left out when they are empty or 0, too. source_fs has a line for each file
     * system that was read (backup/unread.h), and machine_id is the host's own. `base` is the
     * backup that this one shares with. changes_by says how it was found what had changed ("all",
     * "pages", "stat+pages", "wal"), and bytes_read what was read for that.
     */
    const char *source_fs, *machine_id;
    const char *base, *changes_by;
    /* check_round tells which part of what seemed unchanged was read. */
    uint64_t bytes_read, check_round;
    uint32_t block_size, catalog_version; /* They are the server's. */
    /* The fields below are totals. */
    /* `bytes` is raw. bytes_new is what this backup stored of it. */
    uint64_t file_count, bytes, bytes_new;
} ManifestHeader;

typedef struct Manifest {
    ManifestHeader header;
    Tablespace *tablespaces;
    size_t tablespace_count;
    PackInfo *packs; /* Frame.pack is an index into this array. */
    size_t pack_count;
    ManifestEntry *entries; /* They are sorted by path (strcmp), with extras last. */
    size_t entry_count;
    Arena arena; /* It owns everything above. */
} Manifest;

/*
 * What a manifest says about the backup as a whole, without its files. It is read alone, so that
 * the cost of listing backups does not depend on how many files each has. It has a type of its own,
 * so that nobody takes it for a complete manifest.
 */
typedef struct ManifestHead {
    ManifestHeader header;
    Tablespace *tablespaces;
    size_t tablespace_count;
    PackInfo *packs;
    size_t pack_count;
    Arena arena; /* It owns everything above. */
} ManifestHead;

/*
 * Encode, compress and commit as the cluster's backup header.id: from then on it exists.
 * ERR_EXISTS when there is one of this id.
 */
bool manifest_save(const Manifest *manifest, const Cluster *cluster, Error *err) MUST_CHECK;

/*
 * Load the whole manifest. Every line is checked, and the count and SHA-256 of the end line.
 * ERR_CORRUPT, ERR_VERSION, ERR_NOT_FOUND.
 */
bool manifest_load(Manifest *manifest, const Cluster *cluster, const char *id,
                   Error *err) MUST_CHECK;
void manifest_done(Manifest *manifest); /* for CLEANUP() */

/*
 * One read or two, whatever the backup's size. It promises that the head is what was written, and
 * that the object has the size with which it was written. The lines of the files may still be
 * damaged, which manifest_load() finds out. The errors are the same.
 */
bool manifest_head_load(ManifestHead *head, const Cluster *cluster, const char *id,
                        Error *err) MUST_CHECK;
void manifest_head_done(ManifestHead *head); /* for CLEANUP() */

/* Only text; for tests, fuzzing and manifest_save(). Appended to out. */
void manifest_encode(const Manifest *manifest, Buffer *out);
bool manifest_decode(Manifest *manifest, const char *text, size_t size, Error *err) MUST_CHECK;

/*
 * What a manifest that can be read lacks, or says against itself, so that nothing can be restored
 * from it: the one check of whoever takes, lists, verifies or restores a backup. False: nothing.
 */
typedef struct ManifestFault {
    const char *what;
    char expected[512], found[512]; /* They are "" where there is nothing to say. */
} ManifestFault;
bool manifest_find_fault(const Manifest *manifest, ManifestFault *fault) MUST_CHECK;
/* Of it what a head can show. */
bool manifest_find_head_fault(const ManifestHeader *header, ManifestFault *fault) MUST_CHECK;
/* In one line. */
const char *manifest_fault_text(const ManifestFault *fault, Arena *arena);
