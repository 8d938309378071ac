#include "rebuild/recovery_settings.h"

#include "postgres/control.h"
#include "rebuild/held_places.h"
#include "repo/recovery_plan.h"

#include <errno.h>
#include <sys/stat.h>

#define AUTO_CONF "postgresql.auto.conf"

enum { CONF_SIZE_MAX = 4 << 20, SETTINGS_MAX = 48, SPELLINGS_MAX = 16 };

/* The five that share one state in the server: xlogrecovery.c, error_multiple_recovery_targets().
 */
static const char *const target_parameters[] = {
    "recovery_target",     "recovery_target_time", "recovery_target_xid",
    "recovery_target_lsn", "recovery_target_name",
};

bool recovery_target_is(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(target_parameters); i++) {
        if (strcmp(target_parameters[i], name) == 0)
            return true;
    }
    return false;
}

/*
 * A copy must do nothing to others: not to the archive, and not to the publishers of the original's
 * subscriptions. Its workers would use the same replication slots, and what they confirm there the
 * original never gets (launcher.c starts none of them with this limit). Nor does it write its pid
 * where the original's is, by which others stop that one.
 */
static const Setting copy_settings[] = {
    {.name = "archive_mode", .value = "off"},
    {.name = "max_logical_replication_workers", .value = "0"},
    {.name = "external_pid_file", .value = ""},
};

/* A word of /bin/sh that is also safe from the server's %-substitution. */
static void append_word(Buffer *command, const char *word)
{
    bool is_plain =
        *word != '\0' && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789_-+=:,./@")] == '\0';

    if (!is_plain)
        buffer_append(command, "'", 1);
    for (const char *next = word; *next != '\0'; next++) {
        if (*next == '%') {
            buffer_append(command, "%%", 2);
        } else if (*next == '\'') {
            buffer_append(command, "'\\''", 4);
        } else {
            buffer_append(command, next, 1);
        }
    }
    buffer_append(command, is_plain ? " " : "' ", is_plain ? 1 : 2);
}

void recovery_command_build(const RestoreRequest *request, RestorePlan *plan)
{
    CLEANUP(buffer_done) Buffer command = {0};

    if (request->restore_command != NULL) {
        plan->restore_command = arena_text(&plan->arena, request->restore_command);
        return;
    }
    append_word(&command, request->tool);
    append_word(&command, "archive-get");
    for (size_t i = 0; request->tool_options != NULL && request->tool_options[i] != NULL; i++)
        append_word(&command, request->tool_options[i]);
    buffer_print(&command, "--recovery-timeline=%u %%f \"%%p\"",
                 path_last_timeline(&plan->decision.path));
    plan->restore_command = arena_text(&plan->arena, (const char *)command.data);
}

static bool replace_file(HeldPath at, const void *text, size_t size, mode_t mode, Error *err)
{
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;

    if (!held_writer_open(&file, at, mode, err) || !file_writer_write(&file, text, size, err))
        return false;
    if (fchmod(file.fd, mode) != 0)
        return error_set_errno(err, ERR_IO, errno, "set the mode of %s", file.path);
    return file_writer_replace(&file, err);
}

mode_t data_file_mode(const Placement *placement)
{
    return (placement->data_mode & 0050) != 0 ? 0640 : 0600;
}

bool data_file_put(const Placement *placement, const char *name, const void *text, size_t size,
                   Error *err)
{
    return replace_file(held_at(&placement->held->data, name), text, size,
                        data_file_mode(placement), err);
}

typedef struct Additions {
    Setting items[SETTINGS_MAX];
    size_t count;
    Arena arena;
} Additions;

static void additions_done(Additions *additions)
{
    arena_done(&additions->arena);
}

static void addition_add(Additions *additions, const char *name, const char *value)
{
    additions->items[additions->count++] =
        (Setting){.name = name, .value = arena_text(&additions->arena, value)};
}

/*
 * A target in postgresql.conf (or a file that it includes) would make two of them with ours, which
 * is fatal. Empty values before ours end that, without a change to the operator's file: the last
 * line of a name counts, and one that is set last stays set (docs/postgres-facts.md 7.1, "ordering
 * trap").
 */
static void add_neutralisers(Additions *additions, const char *ours)
{
    for (size_t i = 0; i < ARRAY_SIZE(target_parameters); i++) {
        if (ours == NULL || strcmp(target_parameters[i], ours) != 0)
            addition_add(additions, target_parameters[i], "");
    }
    addition_add(additions, "recovery_end_command", "");
    addition_add(additions, "archive_cleanup_command", "");
    /* It is honoured in every archive recovery: commits of the last hours would be waited for. */
    addition_add(additions, "recovery_min_apply_delay", "0");
}

static void add_target(Additions *additions, const Target *target)
{
    char text[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE], xid[16];

    switch (target->kind) {
    case TARGET_LATEST:
        add_neutralisers(additions, NULL);
        return;
    case TARGET_IMMEDIATE:
        add_neutralisers(additions, "recovery_target");
        addition_add(additions, "recovery_target", "immediate");
        return;
    case TARGET_TIME:
        add_neutralisers(additions, "recovery_target_time");
        addition_add(additions, "recovery_target_time", time_text_postgres(target->time, text));
        break;
    case TARGET_XID:
        add_neutralisers(additions, "recovery_target_xid");
        (void)snprintf(xid, sizeof xid, "%u", target->xid);
        addition_add(additions, "recovery_target_xid", xid);
        break;
    case TARGET_LSN:
        add_neutralisers(additions, "recovery_target_lsn");
        addition_add(additions, "recovery_target_lsn", lsn_text(target->lsn, lsn));
        break;
    case TARGET_NAME:
        add_neutralisers(additions, "recovery_target_name");
        addition_add(additions, "recovery_target_name", target->name);
        return;
    }
    addition_add(additions, "recovery_target_inclusive", target->is_exclusive ? "false" : "true");
}

/* One element of a list of directories (varlena.c, SplitDirectoriesString). */
static const char *directory_element(const char *directory, Arena *arena)
{
    CLEANUP(buffer_done) Buffer text = {0};

    buffer_print(&text, "\"");
    for (const char *c = directory; *c != '\0'; c++)
        buffer_print(&text, *c == '"' ? "\"\"" : "%c", *c);
    buffer_print(&text, "\"");
    return arena_text_part(arena, (const char *)text.data, text.size);
}

/* Who connects to the original by its address must never be answered by a copy of it. */
static bool is_private(const RestoreRequest *request)
{
    return request->as_copy && request->will_start && request->port == 0;
}

static void add_listening(const RestoreRequest *request, Additions *additions)
{
    char port[16];

    (void)snprintf(port, sizeof port, "%u", request->port);
    if (request->port != 0)
        addition_add(additions, "port", port);
    if (request->socket != NULL) {
        addition_add(additions, "unix_socket_directories",
                     directory_element(request->socket, &additions->arena));
    }
    if (is_private(request))
        addition_add(additions, "listen_addresses", "");
}

/*
 * "Recovery_Target_Time" in the operator's file is the same parameter to the server, but not the
 * same line: it would be set first and refuse ours. Emptied under its own spelling it is not.
 */
static void add_spellings(const RestorePlan *plan, Additions *additions)
{
    for (size_t i = 0; plan->configuration.spellings != NULL &&
                       plan->configuration.spellings[i] != NULL && i < SPELLINGS_MAX;
         i++)
        addition_add(additions, plan->configuration.spellings[i], "");
}

/*
 * Into databases that are left empty replay writes as into others, but for what finds a page of
 * zeros where WAL has no image of it: VACUUM's records of pages that are visible to all, without
 * checksums (heapam.c, log_heap_visible()), and hash indexes. The server takes that for missing WAL
 * and ends, unless it is told to go on. What it says of databases that are brought back counts all
 * the same: recovery/invalid_pages.h.
 */
static void add_left_out(const RestorePlan *plan, Additions *additions)
{
    if (plan->decision.left_out.kept != NULL)
        addition_add(additions, "ignore_invalid_pages", "on");
}

static void additions_collect(const RestoreRequest *request, const RestorePlan *plan,
                              Additions *additions)
{
    char timeline[16];

    add_spellings(plan, additions);
    add_target(additions, &plan->decision.target);
    /* Plain decimal: a leading zero makes the server read octal (docs/postgres-facts.md 7.2). */
    (void)snprintf(timeline, sizeof timeline, "%u", path_last_timeline(&plan->decision.path));
    addition_add(additions, "recovery_target_timeline", timeline);
    if (plan->decision.target.kind != TARGET_LATEST)
        addition_add(additions, "recovery_target_action", target_action_name(request->action));
    addition_add(additions, "restore_command", plan->restore_command);
    add_left_out(plan, additions);
    for (size_t i = 0; request->as_copy && i < ARRAY_SIZE(copy_settings); i++)
        addition_add(additions, copy_settings[i].name, copy_settings[i].value);
    add_listening(request, additions);
}

static bool rewrite_settings_file(HeldPath at, const char *const *remove, const Setting *additions,
                                  size_t count, mode_t mode, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(buffer_done) Buffer result = {0};

    if (!held_read_whole(at, CONF_SIZE_MAX, &text, err)) {
        if (err->code != ERR_NOT_FOUND)
            return false;
        error_clear(err);
        buffer_print(&text, "%s", "");
    }
    settings_show_zeros(&text);
    settings_rewrite((const char *)text.data, remove, additions, count, &result);
    return replace_file(at, result.data, result.size, mode, err);
}

/* recovery_parameters, and those that are added beside them. */
static const char *const *removed_parameters(const RestoreRequest *request, Arena *arena)
{
    const bool as_copy = request->as_copy;
    size_t count = 0;

    while (recovery_parameters[count] != NULL)
        count++;
    const char **names =
        arena_alloc(arena, (count + ARRAY_SIZE(copy_settings) + 4) * sizeof *names);
    memcpy(names, recovery_parameters, count * sizeof *names);
    for (size_t i = 0; as_copy && i < ARRAY_SIZE(copy_settings); i++)
        names[count++] = copy_settings[i].name;
    if (request->port != 0)
        names[count++] = "port";
    if (request->socket != NULL)
        names[count++] = "unix_socket_directories";
    if (is_private(request))
        names[count++] = "listen_addresses";
    return (const char *const *)names;
}

static void name_segment(const RestorePlan *plan, uint64_t segment, char text[WAL_NAME_SIZE])
{
    uint32_t size = plan->decision.manifest.header.wal_segment_size;
    WalName name = {.kind = WAL_SEGMENT,
                    .timeline = path_timeline_of_segment(&plan->decision.path, segment, size),
                    .segment = segment};

    wal_name_text(&name, size, text);
}

/*
 * The last segment that the target needs: archive-get takes what lies after it for no hole. And
 * where replay ends: watch and promote tell a pause there from one on the way. Without a target
 * what the archive has whole: an archive that ends before that when the server asks was lost.
 */
static bool save_recovery_plan(const RestorePlan *plan, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    RecoveryPlan recovery = {.timeline = path_last_timeline(&plan->decision.path),
                             .data = plan->placement.data};

    if (!recovery_settings_on_disk(plan->placement.data, &arena, &recovery.settings, err))
        return false;
    if (plan->decision.target.kind != TARGET_LATEST) {
        name_segment(plan, plan->decision.point.segment, recovery.bound);
        recovery.target_end = plan->decision.point.replay_end;
    } else if (plan->decision.archive_end != 0) {
        name_segment(plan, plan->decision.archive_end, recovery.archive_end);
    }
    return recovery_plan_save(&plan->placement.held->data, &recovery, err);
}

bool recovery_settings_write(const RestoreRequest *request, const RestorePlan *plan, Error *err)
{
    CLEANUP(additions_done) Additions additions = {0};
    HeldPath at = held_at(&plan->placement.held->data, AUTO_CONF);

    additions_collect(request, plan, &additions);
    return rewrite_settings_file(at, removed_parameters(request, &additions.arena), additions.items,
                                 additions.count, data_file_mode(&plan->placement), err) &&
           data_file_put(&plan->placement, "recovery.signal", "", 0, err) &&
           save_recovery_plan(plan, err);
}

/* The file keeps its mode. */
static bool settings_change(const HeldDirectory *data, const char *const *remove,
                            const Setting *additions, size_t count, Error *err)
{
    HeldPath at = held_at(data, AUTO_CONF);
    struct stat status;

    if (!held_look(at, &status)) {
        return error_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                               "look at %s/" AUTO_CONF, data->path);
    }
    return rewrite_settings_file(at, remove, additions, count, status.st_mode & 0777, err);
}

/*
 * Where replay has to stop before the next record, when the server that stands at its target starts
 * again: 0 unless the record at the target is a checkpoint of a shutdown. Replay would begin after
 * it, and a target "from that LSN on" be taken for reached only at the record that follows.
 */
static bool find_passed_target(const char *data, Lsn *stop_before, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    PgControl control;
    const char *settings, *text, *inclusive;
    Error wrong = {0};
    Lsn target;

    *stop_before = 0;
    if (!recovery_settings_on_disk(data, &arena, &settings, &wrong))
        return true; /* nor can the server read them */
    text = recovery_settings_value(settings, "recovery_target_lsn", &arena);
    inclusive = recovery_settings_value(settings, "recovery_target_inclusive", &arena);
    if (text == NULL || !lsn_parse(text, &target, &wrong) ||
        (inclusive != NULL && strcmp(inclusive, "true") != 0))
        return true;
    if (!pg_control_read(data, &control, NULL, &wrong)) {
        /* Without one nothing can be started: there is no replay that could begin anywhere. */
        if (wrong.code == ERR_NOT_FOUND)
            return true;
        return error_pass(err, &wrong);
    }
    if (control.state == PG_SHUT_DOWN_IN_RECOVERY && control.redo == control.checkpoint &&
        control.checkpoint >= target)
        *stop_before = control.min_recovery_point;
    return true;
}

bool restore_set_action(const char *data, TargetAction action, Error *err)
{
    static const char *const remove[] = {"recovery_target_action", "recovery_target_lsn",
                                         "recovery_target_inclusive", NULL};
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    char lsn[LSN_TEXT_SIZE];
    Lsn stop_before;

    if (!held_open_resolved(&held, data, err) || !find_passed_target(data, &stop_before, err))
        return false;
    const Setting additions[] = {
        {.name = remove[0], .value = target_action_name(action)},
        {.name = remove[1], .value = lsn_text(stop_before, lsn)},
        {.name = remove[2], .value = "false"},
    };
    static const char *const remove_action[] = {"recovery_target_action", NULL};
    if (stop_before == 0)
        return settings_change(&held, remove_action, additions, 1, err);
    return settings_change(&held, remove, additions, ARRAY_SIZE(additions), err);
}

bool recovery_settings_set_socket(const char *data, const char *directory, Error *err)
{
    static const char *const remove[] = {"unix_socket_directories", NULL};
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    CLEANUP(arena_done) Arena arena = {0};
    Setting addition = {.name = remove[0], .value = directory_element(directory, &arena)};

    return held_open_resolved(&held, data, err) &&
           settings_change(&held, remove, &addition, 1, err);
}

bool restore_clear_settings(const char *data, Error *err)
{
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;

    return held_open_resolved(&held, data, err) &&
           settings_change(&held, recovery_parameters, NULL, 0, err) &&
           recovery_plan_remove(&held, err);
}
