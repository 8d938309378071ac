#include "configuration.h"

#include "base/text.h"
#include "preflight.h"
#include "rebuild/extra_place.h"
#include "rebuild/recovery_settings.h"
#include "replace/data_state.h"

#include "base/file.h"
#include "base/log.h"
#include "base/owner.h"
#include "rebuild/empty_directory.h"
#include "stream/digest.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const ManifestEntry *find_extra(const Manifest *manifest, const char *path)
{
    for (size_t i = manifest->entry_count; i > 0; i--) {
        const ManifestEntry *entry = &manifest->entries[i - 1];
        if (entry->kind != ENTRY_EXTRA)
            break;
        if (strcmp(entry->path, path) == 0)
            return entry;
    }
    return NULL;
}

static bool has_extra_below(const Manifest *manifest, const char *directory)
{
    for (size_t i = manifest->entry_count; i > 0; i--) {
        const ManifestEntry *entry = &manifest->entries[i - 1];
        if (entry->kind != ENTRY_EXTRA)
            break;
        if (path_is_inside(entry->path, directory))
            return true;
    }
    return false;
}

/* What follows the data directory of the backup, by either of its names; NULL: it is elsewhere. */
static const char *inside_data(const ManifestHeader *header, const char *path)
{
    const char *const names[] = {header->data_directory, header->server_directory};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t length = names[i] != NULL ? strlen(names[i]) : 0;
        if (length > 0 && strncmp(path, names[i], length) == 0 && path[length] == '/')
            return path + length + strspn(path + length, "/");
    }
    return NULL;
}

/* Where what the configuration calls `path` lies now, or NULL. A LocateFunction. */
static const char *configuration_locate(void *context, const char *path, bool is_directory,
                                        Arena *arena)
{
    const RestorePlan *plan = context;
    const char *inside = inside_data(&plan->decision.manifest.header, path);
    bool is_kept = is_directory ? has_extra_below(&plan->decision.manifest, path)
                                : find_extra(&plan->decision.manifest, path) != NULL;
    const char *there = path;

    if (inside != NULL) {
        there = arena_format(arena, "%s/%s", plan->placement.data, inside);
    } else if (is_kept && plan->placement.extra_directory != NULL && !plan->placement.puts_back) {
        there = arena_format(arena, "%s%s", plan->placement.extra_directory, path);
    }
    return access(there, F_OK) == 0 ? there : NULL;
}

/*
 * The absolute name that a file had. What the server says is in the header, if the role of the
 * backup was allowed to know; else the usual name tells.
 */
static const char *name_of(RestorePlan *plan, const char *told, const char *usual)
{
    const Manifest *manifest = &plan->decision.manifest;

    if (told != NULL && *told == '/')
        return told;
    if (told == NULL || *told == '\0') {
        CLEANUP(text_freep) char *end = text_format("/%s", usual);
        for (size_t i = manifest->entry_count; i > 0; i--) {
            const ManifestEntry *entry = &manifest->entries[i - 1];
            if (entry->kind != ENTRY_EXTRA)
                break;
            if (text_ends_with(entry->path, end))
                return entry->path;
        }
        told = usual;
    }
    return arena_format(&plan->arena, "%s/%s", manifest->header.data_directory, told);
}

typedef enum ExtraState { EXTRA_SAME, EXTRA_ABSENT, EXTRA_OTHER } ExtraState;

static ExtraState state_of(const Cluster *cluster, const ManifestEntry *entry)
{
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0}; /* what can't be read is not what it was */

    if (access(entry->path, F_OK) != 0 && errno == ENOENT)
        return EXTRA_ABSENT;
    if (!file_read_whole(entry->path, (size_t)entry->size, &content, &err) ||
        content.size != entry->size)
        return EXTRA_OTHER;
    bool is_same =
        content.size == 0 ||
        (crc32c_update(0, content.data, content.size) == entry->crc32c &&
         xxh3_of(cluster->repo->hash_seed, content.data, content.size) == entry->content_hash);
    return is_same ? EXTRA_SAME : EXTRA_OTHER;
}

/* "/etc/postgresql/15/main" of "/etc/postgresql/15/main/postgresql.conf", else NULL. */
static const char *debian_directory(RestorePlan *plan)
{
    const char *file = plan->decision.manifest.header.config_file;
    size_t root = strlen(DEBIAN_ROOT);

    if (file == NULL || strncmp(file, DEBIAN_ROOT, root) != 0 || file[root] != '/')
        return NULL;
    const char *version = file + root + 1;
    size_t length = strcspn(version, "/");
    const char *name = version + length + (version[length] == '/');
    size_t name_length = strcspn(name, "/");
    if (length == 0 || strspn(version, "0123456789") != length || name_length == 0 ||
        *name == '.' || strcmp(name + name_length, "/postgresql.conf") != 0)
        return NULL;
    plan->placement.debian_version = arena_text_part(&plan->arena, version, length);
    plan->placement.debian_name = arena_text_part(&plan->arena, name, name_length);
    return arena_text_part(&plan->arena, file, (size_t)(name + name_length - file));
}

/* In the nearest directory above that is there. errno says why not. */
static bool can_be_made(const char *path)
{
    CLEANUP(text_freep) char *place = text_format("%s", path);
    char *slash;

    while ((slash = strrchr(place, '/')) != NULL && access(place, F_OK) != 0)
        slash[slash == place ? 1 : 0] = '\0';
    return access(place, W_OK | X_OK) == 0;
}

/* The cluster comes back to where it was, not beside it. */
static bool configuration_is_at_home(const RestoreRequest *request, const RestorePlan *plan)
{
    const ManifestHeader *header = &plan->decision.manifest.header;

    return !request->as_copy && (strcmp(plan->placement.data, header->data_directory) == 0 ||
                                 (header->server_directory != NULL &&
                                  strcmp(plan->placement.data, header->server_directory) == 0));
}

static bool can_put_back(const RestorePlan *plan, const char *path)
{
    return path_is_inside(path, plan->placement.debian_directory) &&
           !extra_place_has_link(DEBIAN_ROOT, path);
}

typedef struct ExtraStates {
    size_t first; /* It is an index into the manifest's entries. */
    ExtraState *states;
    bool all_same, none_other, can_put_back;
} ExtraStates;

static void look_at_extras(const Cluster *cluster, RestorePlan *plan, ExtraStates *extras)
{
    const Manifest *manifest = &plan->decision.manifest;

    extras->all_same = extras->none_other = true;
    extras->can_put_back = plan->placement.debian_directory != NULL &&
                           access(DEBIAN_ROOT, F_OK) == 0 &&
                           can_be_made(plan->placement.debian_directory);
    extras->states = arena_alloc(&plan->arena, (manifest->entry_count - extras->first + 1) *
                                                   sizeof *extras->states);
    for (size_t i = extras->first; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        ExtraState state = state_of(cluster, entry);
        extras->states[i - extras->first] = state;
        extras->all_same = extras->all_same && state == EXTRA_SAME;
        extras->none_other = extras->none_other && state != EXTRA_OTHER;
        if (state == EXTRA_ABSENT)
            extras->can_put_back = extras->can_put_back && can_put_back(plan, entry->path);
    }
}

/* What is there already is left alone. */
static void drop_same(RestorePlan *plan, const ExtraStates *extras)
{
    Manifest *manifest = &plan->decision.manifest;
    size_t kept = extras->first;

    for (size_t i = extras->first; i < manifest->entry_count; i++) {
        if (extras->states[i - extras->first] != EXTRA_SAME)
            manifest->entries[kept++] = manifest->entries[i];
    }
    manifest->entry_count = kept;
}

static bool keep_beside(RestorePlan *plan, Error *err)
{
    bool is_empty;

    plan->placement.extra_directory =
        arena_format(&plan->arena, "%s.pgcairn-config-%s", plan->placement.data, plan->old.stamp);
    plan_warn(plan, "configuration from outside the data directory will be in %s",
              plan->placement.extra_directory);
    if (!directory_is_empty(plan->placement.extra_directory, &is_empty, err))
        return false;
    if (!is_empty)
        return error_set(err, ERR_REFUSED, "%s is not empty", plan->placement.extra_directory);
    if (can_be_made(plan->placement.extra_directory))
        return true;
    error_set_errno(err, ERR_REFUSED, errno, "make %s", plan->placement.extra_directory);
    Account ours = {.name = "the server's"};
    Error unknown = {0}; /* then it is said so */
    (void)!account_find(geteuid(), getegid(), &plan->arena, &ours, &unknown);
    return error_hint(err,
                      "let user %s write to the directory that holds %s, or restore to a place "
                      "where it may",
                      ours.name, plan->placement.data);
}

static bool has_configuration(RestorePlan *plan)
{
    const char *name = name_of(plan, plan->decision.manifest.header.config_file, "postgresql.conf");
    const char *inside = inside_data(&plan->decision.manifest.header, name);

    if (find_extra(&plan->decision.manifest, name) != NULL)
        return true;
    for (size_t i = 0; inside != NULL && i < plan->decision.manifest.entry_count; i++) {
        if (plan->decision.manifest.entries[i].kind == ENTRY_FILE &&
            strcmp(plan->decision.manifest.entries[i].path, inside) == 0)
            return true;
    }
    return false;
}

bool configuration_plan(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                        Error *err)
{
    ExtraStates extras = {.first = plan->decision.manifest.entry_count};
    bool is_at_its_place = configuration_is_at_home(request, plan);

    plan->placement.debian_directory = is_at_its_place ? debian_directory(plan) : NULL;
    if (!has_configuration(plan))
        plan_warn(plan, "the backup holds no postgresql.conf: the server needs one to start");
    while (extras.first > 0 &&
           plan->decision.manifest.entries[extras.first - 1].kind == ENTRY_EXTRA)
        extras.first--;
    if (extras.first == plan->decision.manifest.entry_count)
        return true;
    look_at_extras(cluster, plan, &extras);
    if (is_at_its_place && extras.all_same) {
        plan_warn(plan, "configuration outside the data directory is as it was: used where it is");
        drop_same(plan, &extras);
        return true;
    }
    if (!is_at_its_place || !extras.none_other || !extras.can_put_back)
        return keep_beside(plan, err);
    plan->placement.puts_back = true;
    plan->placement.extra_directory = "/";
    plan_warn(plan, "configuration will be put back into %s", plan->placement.debian_directory);
    drop_same(plan, &extras);
    return true;
}

static bool is_of_place(const char *name)
{
    static const char *const names[] = {"data_directory", "config_file", "hba_file", "ident_file",
                                        NULL};

    for (const char *const *known = names; *known != NULL; known++) {
        if (strcmp(name, *known) == 0)
            return true;
    }
    return false;
}

static bool is_same_list(const SettingList *left, const SettingList *right)
{
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++) {
        if (strcmp(left->items[i].spelling, right->items[i].spelling) != 0 ||
            strcmp(left->items[i].value, right->items[i].value) != 0)
            return false;
    }
    return true;
}

/* One file of them all, in their order; where it is found the server is told. */
static void configuration_join(const RestorePlan *plan, const SettingList *settings, Buffer *text)
{
    const char *file = "";

    buffer_print(text,
                 "# The configuration of the backup in one file, for the start of %s:\n"
                 "# what its files include is elsewhere on this host, or missing.\n",
                 plan->placement.data);
    for (size_t i = 0; i < settings->count; i++) {
        const Setting *setting = &settings->items[i];
        if (strcmp(setting->file, file) != 0)
            buffer_print(text, "\n# %s\n", setting->file);
        file = setting->file;
        if (is_of_place(setting->name))
            continue;
        buffer_print(text, "%s = ", setting->name);
        settings_quote(setting->value, text);
        buffer_append(text, "\n", 1);
    }
}

/* Beside the data directory, or in it when nothing can be made beside it. */
static const char *joined_directory(RestorePlan *plan)
{
    const char *beside = plan->placement.extra_directory != NULL && !plan->placement.puts_back
                             ? plan->placement.extra_directory
                             : arena_format(&plan->arena, "%s.pgcairn-config-%s",
                                            plan->placement.data, plan->old.stamp);

    return can_be_made(beside) ? beside : plan->placement.data;
}

static bool write_joined(RestorePlan *plan, const SettingList *settings, const Error *problem,
                         Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;
    CLEANUP(held_done) HeldDirectory place = HELD_NONE;
    const char *directory = joined_directory(plan);
    const char *name =
        directory == plan->placement.data ? "pgcairn.postgresql.conf" : "postgresql.conf";
    bool is_new;

    configuration_join(plan, settings, &text);
    plan->configuration.is_joined = true;
    plan->configuration.config_file = arena_format(&plan->arena, "%s/%s", directory, name);
    if (!held_make(&place, directory, &is_new, err) ||
        (is_new && !file_sync_parent(directory, err)) ||
        !held_writer_open(&file, held_at(&place, name), 0600, err) ||
        !file_writer_write(&file, text.data, text.size, err) || !file_writer_replace(&file, err))
        return error_context(err, "write the configuration for the start");
    log_warn("the configuration does not fit this host as it is: one file was made of it",
             log_str("file", plan->configuration.config_file),
             log_str("reason", problem->code != ERR_NONE ? problem->message : ""));
    return true;
}

/*
 * Spellings that the server takes for the same name, and only then compares as text. Of targets
 * only: others, as recovery_target_action, can't be empty, and the last one that is set counts.
 */
static void note_spellings(RestorePlan *plan, const SettingList *settings)
{
    size_t count = 0;

    plan->configuration.spellings =
        arena_alloc(&plan->arena, (settings->count + 1) * sizeof *plan->configuration.spellings);
    for (size_t i = 0; i < settings->count; i++) {
        const Setting *setting = &settings->items[i];
        if (recovery_target_is(setting->name) && strcmp(setting->name, setting->spelling) != 0)
            plan->configuration.spellings[count++] = arena_text(&plan->arena, setting->spelling);
    }
}

/* Of hba_file and ident_file: NULL when the server finds it by itself, as it is started here. */
static const char *other_place(RestorePlan *plan, const char *value, const char *told,
                               const char *usual)
{
    const char *name = name_of(plan, told, usual);
    const char *is = configuration_locate(plan, name, false, &plan->arena);
    CLEANUP(text_freep) char *own = text_format("%s/%s", plan->placement.data, usual);
    const char *found = value != NULL && !plan->configuration.is_joined ? value : own;

    if (is == NULL) {
        log_warn("a file of the configuration is not here", log_str("file", name));
        return NULL;
    }
    return strcmp(is, found) != 0 ? arena_text(&plan->arena, is) : NULL;
}

static bool choose_file(RestorePlan *plan, const char *base, const SettingList *settings,
                        const Error *problem, Error *err)
{
    CLEANUP(settings_done) SettingList plain = {0};
    CLEANUP(text_freep) char *own = text_format("%s/postgresql.conf", plan->placement.data);
    Error unfit = {0};

    if (settings_read(base, &plain, &unfit) && is_same_list(&plain, settings)) {
        plan->configuration.config_file =
            strcmp(base, own) != 0 ? arena_text(&plan->arena, base) : NULL;
        return true;
    }
    return write_joined(plan, settings, problem, err);
}

static void warn_of_directory(const RestorePlan *plan, const SettingList *settings)
{
    const char *named = settings_value(settings, "data_directory");

    if (named != NULL && strcmp(named, plan->placement.data) != 0 &&
        plan->configuration.config_file == NULL) {
        log_warn(
            "the configuration names another data directory: started without the settings that "
            "are told, the server would run on that one",
            log_str("data_directory", named));
    }
}

bool configuration_settle(RestorePlan *plan, Error *err)
{
    CLEANUP(settings_done) SettingList settings = {0};
    const ManifestHeader *header = &plan->decision.manifest.header;
    const char *name = name_of(plan, header->config_file, "postgresql.conf");
    const char *base = configuration_locate(plan, name, false, &plan->arena);
    SettingsPlaces places = {.locate = configuration_locate, .context = plan};

    if (base == NULL)
        return true; /* told before */
    settings_read_from(name, &places, &settings);
    note_spellings(plan, &settings);
    if (!choose_file(plan, base, &settings, &places.problem, err))
        return false;
    plan->configuration.hba_file =
        other_place(plan, settings_value(&settings, "hba_file"), header->hba_file, "pg_hba.conf");
    plan->configuration.ident_file = other_place(plan, settings_value(&settings, "ident_file"),
                                                 header->ident_file, "pg_ident.conf");
    plan->configuration.names_data_directory = settings_value(&settings, "data_directory") != NULL;
    warn_of_directory(plan, &settings);
    return true;
}
