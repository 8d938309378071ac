#include "copied.h"

#include "postgres/wal_changes.h"

typedef struct DatabaseCopy {
    uint32_t database, source;
    bool is_source_gone, is_source_changed;
} DatabaseCopy;

void copied_done(CopiedDatabases *copied)
{
    buffer_done(&copied->copies);
}

static size_t copied_count(const CopiedDatabases *copied)
{
    return copied->copies.size / sizeof(DatabaseCopy);
}

static DatabaseCopy copy_at(const CopiedDatabases *copied, size_t i)
{
    DatabaseCopy copy;

    memcpy(&copy, copied->copies.data + i * sizeof copy, sizeof copy);
    return copy;
}

static void put_at(CopiedDatabases *copied, size_t i, const DatabaseCopy *copy)
{
    memcpy(copied->copies.data + i * sizeof *copy, copy, sizeof *copy);
}

/* A database that is dropped again need not come back; its files are nobody's template any more. */
static void take_drop(CopiedDatabases *copied, uint32_t database)
{
    size_t kept = 0;

    for (size_t i = 0; i < copied_count(copied); i++) {
        DatabaseCopy copy = copy_at(copied, i);
        copy.is_source_gone |= copy.source == database;
        if (copy.database != database)
            put_at(copied, kept++, &copy);
    }
    copied->copies.size = kept * sizeof(DatabaseCopy);
}

static void take_change(CopiedDatabases *copied, uint32_t database)
{
    for (size_t i = 0; i < copied_count(copied); i++) {
        DatabaseCopy copy = copy_at(copied, i);
        copy.is_source_changed |= copy.source == database;
        put_at(copied, i, &copy);
    }
}

void copied_take(CopiedDatabases *copied, const WalRecord *record)
{
    DatabaseCopy copy = {0};
    uint32_t database;

    if (wal_copied_database_of(record, &copy.database, &copy.source)) {
        /* One that moves to another tablespace is its own source: completeness_check_moved(). */
        if (copy.database != copy.source)
            buffer_append(&copied->copies, &copy, sizeof copy);
    } else if (copied->copies.size == 0) {
        return;
    } else if (wal_dropped_database_of(record, copied->version, &database)) {
        take_drop(copied, database);
    } else if (wal_database_of(record, copied->version, &database)) {
        take_change(copied, database);
    }
}

bool copied_check(const CopiedDatabases *copied, Error *err)
{
    for (size_t i = 0; i < copied_count(copied); i++) {
        const DatabaseCopy copy = copy_at(copied, i);
        if (!copy.is_source_gone && !copy.is_source_changed)
            continue;
        error_set(err, ERR_REFUSED,
                  "while the backup ran the database with oid %u was made by copying the files of "
                  "the one with oid %u, which was %s before the backup ended: a recovery would "
                  "copy what the backup has of that",
                  copy.database, copy.source, copy.is_source_gone ? "dropped" : "changed");
        return error_hint(err, "take the backup again, while no database is created");
    }
    return true;
}
