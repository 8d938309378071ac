#include "stored_settings.h"

#include "pack/backed_up_file.h"
#include "pack/small_file.h"

/* The name that the file has in the backup: below the data directory, or absolute. */
static const char *stored_name(const ManifestHeader *header)
{
    const char *file = header->config_file;
    const char *const directories[] = {header->data_directory, header->server_directory};

    for (size_t i = 0; file != NULL && i < ARRAY_SIZE(directories); i++) {
        size_t length = directories[i] != NULL ? strlen(directories[i]) : 0;
        if (length > 0 && strncmp(file, directories[i], length) == 0 && file[length] == '/')
            return file + length + 1;
    }
    return file != NULL && *file == '/' ? file : "postgresql.conf";
}

/* From the backup, since that is what comes back. */
static void stored_file_read(const Cluster *cluster, const RestorePlan *plan, const char *path,
                             StoredSettings *stored)
{
    const ManifestEntry *entry = backed_up_entry_find(&plan->decision.manifest, path);
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(text_freep) char *inside = text_format("%s/%s", plan->placement.data, path);
    const char *file = *path == '/' ? path : inside;
    const size_t first = stored->settings.count;
    Error unread = {0}; /* what is damaged is refused by those who need it */

    if (entry == NULL || !small_file_is_possible(&plan->decision.manifest, entry, &unread))
        return;
    buffer_reserve(&text, entry->size + 1);
    stored->is_certain =
        small_file_read(cluster, &plan->decision.manifest, entry, text.data, &unread) &&
        stored->is_certain;
    if (unread.code != ERR_NONE)
        return;
    text.size = entry->size;
    settings_show_zeros(&text);
    text.data[text.size] = '\0';
    stored->is_certain =
        settings_parse((const char *)text.data, file, &stored->settings, &unread) &&
        stored->is_certain;
    for (size_t i = first; i < stored->settings.count; i++) {
        if (strcmp(stored->settings.items[i].file, file) != 0)
            stored->is_certain = false;
    }
}

void stored_settings_read(const Cluster *cluster, const RestorePlan *plan, StoredSettings *stored)
{
    *stored = (StoredSettings){.is_certain = true};
    stored_file_read(cluster, plan, stored_name(&plan->decision.manifest.header), stored);
    stored_file_read(cluster, plan, "postgresql.auto.conf", stored);
}
