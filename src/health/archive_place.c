/*
 * archive_place.c - whether the server's archive_command stores where status looks.
 */
#include "look.h"

/* What a shell makes of simple words: up to a blank, without quotes. */
const char *command_option(const char *command, const char *option, Arena *arena)
{
    CLEANUP(text_freep) char *flag = text_format(" --%s", option);
    const char *found = NULL;

    /* The last one counts. */
    for (const char *at = strstr(command, flag); at != NULL; at = strstr(at + 1, flag)) {
        const char *value = at + strlen(flag);

        if (*value == '=' || *value == ' ')
            found = value + 1;
    }
    if (found == NULL)
        return NULL;
    const char *ends = *found == '\'' ? "'" : *found == '"' ? "\"" : NULL;
    if (ends != NULL)
        found++;
    size_t size = strcspn(found, ends != NULL ? ends : " \t;|&");
    return size > 0 ? arena_text_part(arena, found, size) : NULL;
}

/* Whether another repository is there. One that can't be opened is perhaps this one. */
static bool is_other_repository(const Health *health, const StorageSetup *place, bool *is,
                                Error *err)
{
    CLEANUP(repo_done) Repo repo = {.storage = NULL};
    Error attempt = {0};
    Storage *storage = storage_open(place, &attempt);

    *is = storage != NULL && repo_open(&repo, storage, &attempt) &&
          strcmp(repo.id, health->cluster.repo->id) != 0;
    if (!is_final(&attempt))
        return true;
    return error_pass(err, &attempt);
}

bool archive_place_look(const StorageSetup *store, Health *health, Arena *arena, Error *err)
{
    ServerLook *server = &health->server;
    bool is_other = false;

    server->archives_to = "";
    if (!server->answers || !health->has_repository || *server->archive.library != '\0' ||
        strstr(server->archive.command, "archive-push") == NULL)
        return true;
    const char *repo = command_option(server->archive.command, "repo", arena);
    const char *cluster = command_option(server->archive.command, "cluster", arena);
    StorageSetup place = *store;
    place.address = repo;
    if (repo != NULL && !is_other_repository(health, &place, &is_other, err))
        return false;
    if (is_other) {
        server->archives_to = repo;
    } else if (cluster != NULL && strcmp(cluster, health->cluster.name) != 0) {
        server->archives_to = arena_format(arena, "cluster \"%s\"", cluster);
    }
    return true;
}
