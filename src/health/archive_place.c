/*
 * archive_place.c - whether the server's archive_command stores where status looks.
 */
#include "look.h"

#include "base/shell_word.h"

/* The last one counts. */
static const char *option_among_words(const char *command, const char *flag, Arena *arena)
{
    const size_t length = strlen(flag);
    const char *found = NULL;
    const char *word;

    while ((word = shell_word_next(&command, arena)) != NULL) {
        if (strcmp(word, flag) == 0) {
            found = shell_word_next(&command, arena);
        } else if (strncmp(word, flag, length) == 0 && word[length] == '=') {
            found = word + length + 1;
        }
    }
    return found != NULL && *found != '\0' ? found : NULL;
}

/* In the command itself, else in one that it has a shell run: sh -c '...'. */
const char *command_option(const char *command, const char *option, Arena *arena)
{
    CLEANUP(text_freep) char *flag = text_format("--%s", option);
    const char *found = option_among_words(command, flag, arena);
    const char *word;

    while (found == NULL && (word = shell_word_next(&command, arena)) != NULL) {
        if (strpbrk(word, " \t") != NULL)
            found = option_among_words(word, flag, arena);
    }
    return found;
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
