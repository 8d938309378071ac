#include "walk/set_aside.h"

/* What is not told is not known, and then taken; but for an interruption and a repository that is
 * out of reach. */
static bool is_serious(const Error *attempt, Error *err)
{
    if (attempt->code != ERR_INTERRUPTED && attempt->code != ERR_UNREACHABLE)
        return false;
    *err = *attempt;
    return true;
}

/* Where it would be in a set of what was set aside, folder being "main/quarantine/ID/". */
static bool is_in_set(const Cluster *cluster, const char *folder, const char *object,
                      char id[BACKUP_ID_SIZE], bool *is, Error *err)
{
    CLEANUP(text_freep)
    char *place = text_format("%s%s", folder, object + strlen(cluster->name) + 1);
    const char *what;
    Error attempt = {0};

    *is = false;
    if (!layout_quarantine_of(cluster->name, place, id, &what))
        return true;
    *is = storage_stat(cluster->repo->storage, place, NULL, NULL, &attempt);
    return *is || attempt.code == ERR_NOT_FOUND || !is_serious(&attempt, err);
}

bool wal_set_aside_as(const Cluster *cluster, const WalName *name, char id[BACKUP_ID_SIZE],
                      Error *err)
{
    char text[WAL_NAME_SIZE];
    CLEANUP(text_freep)
    char *object = layout_wal(cluster->name, wal_name_text(name, cluster->wal_segment_size, text));
    CLEANUP(text_freep) char *prefix = layout_quarantine_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList sets = {0};
    Error attempt = {0};

    *id = '\0';
    if (!storage_list_folders(cluster->repo->storage, prefix, &sets, &attempt))
        return !is_serious(&attempt, err);
    for (size_t i = 0; i < sets.count; i++) {
        char set[BACKUP_ID_SIZE];
        bool is;

        if (!is_in_set(cluster, sets.objects[i].name, object, set, &is, err))
            return false;
        if (is)
            memcpy(id, set, BACKUP_ID_SIZE);
    }
    return true;
}

/* *id is "" when it is in the archive, or was never set aside. */
static bool set_aside_look(const Cluster *cluster, const WalName *name, char id[BACKUP_ID_SIZE],
                           Error *err)
{
    char text[WAL_NAME_SIZE], identity[OBJECT_IDENTITY_SIZE];
    CLEANUP(text_freep)
    char *object = layout_wal(cluster->name, wal_name_text(name, cluster->wal_segment_size, text));
    Error attempt = {0};

    *id = '\0';
    if (storage_identify(cluster->repo->storage, object, identity, &attempt))
        return true;
    return attempt.code == ERR_NOT_FOUND ? wal_set_aside_as(cluster, name, id, err)
                                         : !is_serious(&attempt, err);
}

static bool set_aside_refuse(const Cluster *cluster, const WalName *name, const char *id,
                             Error *err)
{
    char text[WAL_NAME_SIZE];

    error_set(
        err, ERR_REFUSED,
        "it goes on from %s, which wal-quarantine set aside as %s, and nothing is in its place",
        wal_name_text(name, cluster->wal_segment_size, text), id);
    return error_hint(err,
                      "stop this server's archiving; if it is the right one: "
                      "`pgcairn wal-quarantine --undo=%s`",
                      id);
}

bool wal_not_set_aside(const Cluster *cluster, const WalName *name, const WalBefore *before,
                       Error *err)
{
    const WalName needed[] = {{.kind = WAL_HISTORY, .timeline = name->timeline}, before->name};

    for (size_t i = name->timeline == 1; i < ARRAY_SIZE(needed) - (name->segment == 0); i++) {
        char id[BACKUP_ID_SIZE];

        if (!set_aside_look(cluster, &needed[i], id, err))
            return false;
        if (*id != '\0')
            return set_aside_refuse(cluster, &needed[i], id, err);
    }
    return true;
}
