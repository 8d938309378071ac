#include "../walk/archive_builder.h"
#include "../walk/backup_builder.h"

#include "base/file.h"
#include "catalog/backups.h"
#include "walk/wal_source.h"
#include "walk/wal_walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Timeline 1 has segments 3 and 4 whole. In segment 5 there are nine commits; what is there of it,
 * and of whom, is laid for each case. A place 1..9 is after that many of them.
 */
enum { COMMITS = 9, SEGMENT = 5 };

typedef struct Scene {
    Archive archive;
    WalBuilder wal;         /* of timeline 1 */
    WalBuilder other;       /* the same up to place 2, then something else */
    Lsn place[COMMITS + 1]; /* where the next record begins */
    Lsn last[COMMITS + 1];  /* the record before it */
    char directory[64];
} Scene;

static Lsn align_up(Lsn lsn)
{
    return (lsn + 7) & ~(Lsn)7;
}

static void scene_init(Scene *scene)
{
    archive_init(&scene->archive);
    scene->wal = wal_builder_begin(15, MIB, 3 * MIB, 1);
    wal_builder_fill_to(&scene->wal, 5 * MIB, 0);
    scene->place[0] = SEGMENT * MIB + WAL_SEGMENT_HEADER_SIZE;
    for (int i = 1; i <= COMMITS; i++) {
        scene->last[i] = wal_builder_commit(&scene->wal, 700 + (uint32_t)i, i * 1000);
        scene->place[i] = align_up(scene->wal.at);
    }
    wal_builder_filler(&scene->wal, 3 * WAL_BLOCK_SIZE);
    scene->other = wal_builder_fork(&scene->wal, scene->place[2], scene->last[2], 1);
    for (int i = 3; i <= COMMITS; i++)
        wal_builder_commit(&scene->other, 900 + (uint32_t)i, i * 1000);
    wal_builder_filler(&scene->other, 100);
    archive_put_segments(&scene->archive, &scene->wal, 1, 3, 4);
    (void)snprintf(scene->directory, sizeof scene->directory, "/tmp/wal_source.XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
}

static void scene_done(Scene *scene)
{
    for (int i = 0; i < 10; i++) {
        CLEANUP(text_freep) char *path = text_format("%s/%d", scene->directory, i);
        (void)unlink(path);
    }
    (void)rmdir(scene->directory);
    wal_builder_done(&scene->wal);
    wal_builder_done(&scene->other);
    archive_done(&scene->archive);
}

static uint32_t offset_of(const Scene *scene, int place)
{
    return (uint32_t)(scene->place[place] % MIB);
}

/* Segment 5 up to a place, then `rest`. */
static void content(const WalBuilder *wal, uint32_t size, uint8_t rest, Buffer *bytes)
{
    buffer_reserve(bytes, MIB);
    memset(bytes->data, rest, MIB);
    memcpy(bytes->data, wal_builder_segment(wal, SEGMENT), size);
    bytes->size = MIB;
}

typedef enum Form { NONE, WHOLE, PIECES, PARTIAL, FILE_HERE } Form;

/* What is laid: under the name of this timeline, of WAL up to this place. */
typedef struct Laid {
    Form form;
    uint32_t timeline;
    int until;
    int fork;        /* of a child of timeline 1; 0: it is none */
    uint32_t parent; /* of a grandchild: that timeline was left at `fork` */
    bool is_other;   /* of somebody with other WAL after place 2 */
    uint8_t rest;    /* what follows in the file */
    bool is_damaged;
} Laid;

static void lay_pieces(Scene *scene, const Laid *laid, const uint8_t *bytes, uint32_t size)
{
    const WalPiece piece = {.timeline = laid->timeline, .segment = SEGMENT, .to = size};
    CodecContext *codec = codec_context_new();
    Error err = {0};

    assert_true(wal_piece_store(&scene->archive.cluster, &piece, bytes, codec, &err));
    codec_context_freep(&codec);
}

static void lay_file(Scene *scene, const uint8_t *bytes, int number)
{
    CLEANUP(text_freep) char *path = text_format("%s/%d", scene->directory, number);
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;
    Error err = {0};

    assert_true(file_writer_open(&file, path, 0600, &err));
    assert_true(file_writer_write(&file, bytes, MIB, &err));
    assert_true(file_writer_replace(&file, &err));
}

static void lay_history(Scene *scene, const Laid *laid, const Laid *before)
{
    char text[160] = "", lsn[LSN_TEXT_SIZE];
    int used = 0;

    if (laid->parent != 0) {
        used = snprintf(text, sizeof text, "1\t%s\tx\n", lsn_text(scene->place[before->fork], lsn));
    }
    (void)snprintf(text + used, sizeof text - (size_t)used, "%u\t%s\tx\n",
                   laid->parent != 0 ? laid->parent : 1, lsn_text(scene->place[laid->fork], lsn));
    archive_put_history(&scene->archive, laid->timeline, text);
}

/* A child's own WAL after its fork. */
static void child_content(const Scene *scene, const Laid *laid, Buffer *bytes)
{
    const WalBuilder *parent = laid->is_other ? &scene->other : &scene->wal;
    CLEANUP(wal_builder_done)
    WalBuilder wal =
        wal_builder_fork(parent, scene->place[laid->fork], scene->last[laid->fork], laid->timeline);

    for (int i = 0; i < COMMITS; i++)
        wal_builder_commit(&wal, 500 + (uint32_t)i, 99000);
    content(&wal, (uint32_t)(wal.at % MIB), laid->rest, bytes);
}

static void lay(Scene *scene, const Laid *laid, const Laid *before, int number)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    const char *kind = laid->form == PARTIAL ? ".partial" : "";
    char segment[WAL_NAME_SIZE], name[2 * WAL_NAME_SIZE];

    if (laid->fork != 0) {
        lay_history(scene, laid, before);
        child_content(scene, laid, &bytes);
    } else {
        content(laid->is_other ? &scene->other : &scene->wal, offset_of(scene, laid->until),
                laid->rest, &bytes);
    }
    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = laid->timeline, .segment = SEGMENT},
                  MIB, segment);
    (void)snprintf(name, sizeof name, "%s%s", segment, kind);
    if (laid->form == PIECES)
        lay_pieces(scene, laid, bytes.data, offset_of(scene, laid->until));
    if (laid->form == PARTIAL || laid->form == WHOLE)
        archive_put(&scene->archive, name, bytes.data, MIB, NULL);
    if (laid->form == FILE_HERE)
        lay_file(scene, bytes.data, number);
    if (laid->is_damaged)
        archive_damage_name(&scene->archive, name, 40);
}

static void show_files(Scene *scene, const Laid *laid, int count)
{
    for (int i = 0; i < count; i++) {
        CLEANUP(text_freep) char *path = text_format("%s/%d", scene->directory, i);
        const WalFile file = {.timeline = laid[i].timeline, .segment = SEGMENT, .path = path};

        if (laid[i].form == FILE_HERE)
            wal_inventory_add_local(&scene->archive.inventory, &file, 1);
    }
}

static bool append(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

static void check_bytes(const Scene *scene, const WalSource *source)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint64_t stored_size;
    Error err = {0};

    assert_true(wal_source_read(&scene->archive.cluster, &scene->archive.inventory, source, 1,
                                append, &bytes, &stored_size, &err));
    assert_int_equal(bytes.size, source->size);
    assert_memory_equal(bytes.data, wal_builder_segment(&scene->wal, SEGMENT), bytes.size);
}

enum { LAID_MAX = 4 };

static void of_what_is_there_the_farthest_counts(void **state)
{
    static const struct {
        const char *what;
        Laid laid[LAID_MAX];
        WalForm form;
        uint32_t holder;
        int until;
        const char *fault; /* a word of it */
    } cases[] = {
        {"nothing", {{0}}, WAL_NOWHERE, 1, 0, NULL},
        {"pieces", {{PIECES, 1, 4}}, WAL_IN_PIECES, 1, 4, NULL},
        {"a .partial, zeros behind it", {{PARTIAL, 1, 4}}, WAL_AS_PARTIAL, 1, 4, NULL},
        {"a .partial of a recycled file", {{PARTIAL, 1, 4, .rest = 0x55}}, WAL_AS_PARTIAL, 1, 4, 0},
        {"a .partial in which no WAL is", {{PARTIAL, 1, 0}}, WAL_NOWHERE, 1, 0, NULL},
        {"a child", {{WHOLE, 2, .fork = 4}}, WAL_WHOLE, 2, 4, NULL},
        {"a child in pieces", {{PIECES, 2, 6, .fork = 4}}, WAL_IN_PIECES, 2, 4, NULL},
        {"a child in pieces that end before its fork",
         {{PIECES, 2, 3, .fork = 4}},
         WAL_IN_PIECES,
         2,
         3,
         NULL},
        {"a child that is a .partial", {{PARTIAL, 2, .fork = 4}}, WAL_AS_PARTIAL, 2, 4, NULL},
        {"two children", {{WHOLE, 2, .fork = 4}, {WHOLE, 3, .fork = 6}}, WAL_WHOLE, 3, 6, NULL},
        {"two children, the older one left later",
         {{WHOLE, 2, .fork = 6}, {WHOLE, 3, .fork = 4}},
         WAL_WHOLE,
         2,
         6,
         NULL},
        {"three at one place",
         {{WHOLE, 2, .fork = 4}, {WHOLE, 3, .fork = 4}, {WHOLE, 4, .fork = 4}},
         WAL_WHOLE,
         2,
         4,
         NULL},
        {"only a grandchild: timeline 2 began and was left in the segment",
         {{NONE, 2, .fork = 4}, {WHOLE, 3, .fork = 6, .parent = 2}},
         WAL_WHOLE,
         3,
         4,
         NULL},
        {"a .partial that goes on behind the fork",
         {{PARTIAL, 1, 7}, {WHOLE, 2, .fork = 4}},
         WAL_AS_PARTIAL,
         1,
         7,
         NULL},
        {"a .partial that ends before the fork",
         {{PARTIAL, 1, 3}, {WHOLE, 2, .fork = 4}},
         WAL_WHOLE,
         2,
         4,
         NULL},
        {"a .partial and more pieces", {{PIECES, 1, 6}, {PARTIAL, 1, 3}}, WAL_IN_PIECES, 1, 6, 0},
        {"pieces and a longer .partial",
         {{PIECES, 1, 2}, {PARTIAL, 1, 3}},
         WAL_AS_PARTIAL,
         1,
         3,
         0},
        {"a local file", {{FILE_HERE, 1, 5}}, WAL_LOCAL_FILE, 1, 5, NULL},
        {"a local file of a recycled segment",
         {{FILE_HERE, 1, 5, .rest = 0x55}},
         WAL_LOCAL_FILE,
         1,
         5,
         NULL},
        {"a local file that has more",
         {{PARTIAL, 1, 3}, {FILE_HERE, 1, 5}},
         WAL_LOCAL_FILE,
         1,
         5,
         NULL},
        {"a local file that has less",
         {{PARTIAL, 1, 5}, {FILE_HERE, 1, 3}},
         WAL_AS_PARTIAL,
         1,
         5,
         NULL},
        {"a local file of another history",
         {{PARTIAL, 1, 3}, {FILE_HERE, 1, 8, .is_other = true}},
         WAL_AS_PARTIAL,
         1,
         3,
         NULL},
        {"two local files", {{FILE_HERE, 1, 3}, {FILE_HERE, 1, 8}}, WAL_LOCAL_FILE, 1, 8, NULL},
        {"another timeline's file", {{FILE_HERE, 2, 8}}, WAL_NOWHERE, 1, 0, NULL},
        {"a .partial of another history",
         {{PARTIAL, 1, 6, .is_other = true}, {WHOLE, 2, .fork = 4}},
         WAL_AS_PARTIAL,
         1,
         0,
         "different WAL"},
        {"a damaged .partial",
         {{PARTIAL, 1, 6, .is_damaged = true}},
         WAL_AS_PARTIAL,
         1,
         0,
         "partial"},
        {"a damaged .partial beside a child",
         {{PARTIAL, 1, 6, .is_damaged = true}, {WHOLE, 2, .fork = 4}},
         WAL_WHOLE,
         2,
         4,
         "partial"},
        {"a damaged child beside the .partial",
         {{PARTIAL, 1, 6}, {WHOLE, 2, .fork = 4, .is_damaged = true}},
         WAL_AS_PARTIAL,
         1,
         6,
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        WalSource source;
        Error err = {0};

        scene_init(&scene);
        for (int j = 0; j < LAID_MAX && cases[i].laid[j].timeline != 0; j++)
            lay(&scene, &cases[i].laid[j], &cases[i].laid[0], j);
        archive_look(&scene.archive);
        show_files(&scene, cases[i].laid, LAID_MAX);
        print_message("%s\n", cases[i].what);
        assert_true(wal_source_find(&scene.archive.cluster, &scene.archive.inventory, 1, SEGMENT,
                                    &source, &err));
        assert_int_equal(source.form, cases[i].form);
        assert_int_equal(source.holder, cases[i].holder);
        assert_int_equal(source.size, cases[i].until == 0 ? 0 : offset_of(&scene, cases[i].until));
        if (cases[i].fault == NULL) {
            assert_null(source.fault);
        } else {
            assert_non_null(source.fault);
            assert_non_null(strstr(source.fault, cases[i].fault));
        }
        if (source.size > 0)
            check_bytes(&scene, &source);
    }
}

/* A server that left it after the damage had read what is damaged now. */
static void damage_in_a_partial_is_no_end_where_its_server_was_further(void **state)
{
    static const struct {
        int fork; /* 0: nobody left it */
        bool goes_on, is_broken;
    } cases[] = {{6, true, true}, {6, false, false}, {4, true, false}, {0, true, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(buffer_done) Buffer bytes = {0};
        const Laid child = {NONE, 2, .fork = cases[i].fork};
        WalSource source;
        Error err = {0};

        scene_init(&scene);
        content(&scene.wal, cases[i].goes_on ? scene.wal.at % MIB : WAL_BLOCK_SIZE, 0, &bytes);
        bytes.data[offset_of(&scene, 4) + 30] ^= 1;
        archive_put(&scene.archive, "000000010000000000000005.partial", bytes.data, MIB, NULL);
        if (cases[i].fork != 0)
            lay_history(&scene, &child, NULL);
        archive_look(&scene.archive);
        assert_true(wal_source_find(&scene.archive.cluster, &scene.archive.inventory, 1, SEGMENT,
                                    &source, &err));
        assert_int_equal(source.size, offset_of(&scene, 4));
        assert_int_equal(source.trailer->summary.reader.end,
                         cases[i].is_broken ? WAL_END_BROKEN : WAL_END_OPEN);
    }
}

/* A timeline's first segment, with nothing of its own in it, is not what a recovery reads. */
static void a_child_of_which_only_its_parents_wal_is_there_is_nowhere(void **state)
{
    static const struct {
        Laid laid;
        int until;
    } cases[] = {
        {{PIECES, 2, 3, .fork = 4}, 0},
        {{PIECES, 2, 4, .fork = 4}, 0},
        {{PIECES, 2, 5, .fork = 4}, 5},
        {{PARTIAL, 2, 9, .fork = 4}, 9},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(arena_done) Arena arena = {0};
        WalSource source;
        Error err = {0};

        scene_init(&scene);
        lay(&scene, &cases[i].laid, NULL, 0);
        archive_look(&scene.archive);
        const TimelinePath path = archive_path(&scene.archive, 2, &arena);
        assert_true(wal_source_on_path(&scene.archive.cluster, &scene.archive.inventory, &path,
                                       SEGMENT, &source, &err));
        assert_int_equal(source.form != WAL_NOWHERE, cases[i].until > 0);
        if (cases[i].laid.form == PIECES && cases[i].until > 0)
            assert_int_equal(source.size, offset_of(&scene, cases[i].until));
        assert_true(wal_source_on_path(&scene.archive.cluster, &scene.archive.inventory, &path,
                                       SEGMENT - 1, &source, &err));
        assert_int_equal(source.form, WAL_WHOLE);
    }
}

/* A backup that ends in the segment in which its server left the timeline. */
static void a_backup_can_end_in_a_segment_that_is_not_whole(void **state)
{
    static const struct {
        Laid laid;
        BackupState state;
    } cases[] = {
        {{NONE, 1}, BACKUP_WAITING},
        {{PARTIAL, 1, 5}, BACKUP_RESTORABLE},
        {{PARTIAL, 1, 4}, BACKUP_WAITING},
        {{PIECES, 1, 5}, BACKUP_RESTORABLE},
        {{PIECES, 1, 4}, BACKUP_WAITING},
        {{WHOLE, 2, .fork = 6}, BACKUP_RESTORABLE},
        {{WHOLE, 2, .fork = 4}, BACKUP_WAITING},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(backup_list_done) BackupList list = {0};
        Error err = {0};

        scene_init(&scene);
        archive_put_backup(&scene.archive, &(BackupFields){.id = "20261122T031500Z-k3v7qa",
                                                           .timeline = 1,
                                                           .start = 3 * MIB + 40,
                                                           .stop = scene.place[5]});
        lay(&scene, &cases[i].laid, NULL, 0);
        archive_look(&scene.archive);
        assert_true(
            backup_list_load(&list, &scene.archive.cluster, &scene.archive.inventory, &err));
        assert_int_equal(list.items[0].state, cases[i].state);
    }
}

static void put_file(Scene *scene, const WalBuilder *wal, uint32_t timeline, uint64_t segment,
                     uint32_t size)
{
    CLEANUP(text_freep) char *path = text_format("%s/%d", scene->directory, (int)segment);
    CLEANUP(buffer_done) Buffer bytes = {0};

    buffer_reserve(&bytes, MIB);
    memset(bytes.data, 0x55, MIB);
    memcpy(bytes.data, wal_builder_segment(wal, segment), size);
    lay_file(scene, bytes.data, (int)segment);
    wal_inventory_add_local(&scene->archive.inventory,
                            &(WalFile){.timeline = timeline, .segment = segment, .path = path}, 1);
}

static WalkStep count_segment(void *context, uint32_t timeline, uint64_t segment,
                              const WalTrailer *trailer, Error *err)
{
    (void)timeline, (void)segment, (void)trailer, (void)err;
    ++*(int *)context;
    return WALK_ON;
}

static int walk(const Scene *scene, const TimelinePath *path, WalWalkEnd *end)
{
    const WalWalk walk = {.cluster = &scene->archive.cluster,
                          .inventory = &scene->archive.inventory,
                          .path = path,
                          .from = 3 * MIB,
                          .threads = 1};
    Error err = {0};
    int count = 0;

    assert_true(wal_walk_trailers(&walk, count_segment, &count, end, &err));
    return count;
}

/* WAL of timeline 1 up to the middle of segment 7. */
static void grow(WalBuilder *wal)
{
    wal_builder_fill_to(wal, 7 * MIB, 0);
    wal_builder_commit(wal, 999, 5000);
}

static void a_walk_goes_on_into_local_files(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(arena_done) Arena arena = {0};
    WalWalkEnd end;

    (void)state;
    scene_init(&scene);
    archive_look(&scene.archive);
    const TimelinePath path = archive_path(&scene.archive, 1, &arena);
    assert_int_equal(walk(&scene, &path, &end), 2);
    assert_int_equal(end.local, 0);

    grow(&scene.wal);
    put_file(&scene, &scene.wal, 1, 5, MIB);
    put_file(&scene, &scene.wal, 1, 6, MIB);
    put_file(&scene, &scene.wal, 1, 7, (uint32_t)(scene.wal.at % MIB));
    put_file(&scene, &scene.wal, 1, 4, 100); /* the archive has it */
    assert_int_equal(walk(&scene, &path, &end), 5);
    assert_int_equal(end.last_end, scene.wal.at);
    assert_int_equal(end.local, 5);
    assert_true(end.is_open);
    assert_false(end.is_broken);
    assert_false(end.is_hole);
}

static void a_local_file_that_does_not_fit_is_the_end(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(arena_done) Arena arena = {0};
    WalWalkEnd end;

    (void)state;
    scene_init(&scene);
    archive_look(&scene.archive);
    const TimelinePath path = archive_path(&scene.archive, 1, &arena);

    grow(&scene.wal);
    wal_builder_filler(&scene.other, 2000);
    grow(&scene.other);
    put_file(&scene, &scene.wal, 1, 5, MIB);
    put_file(&scene, &scene.other, 1, 6, MIB);
    assert_int_equal(walk(&scene, &path, &end), 3);
    assert_int_equal(end.last_segment, 5);
    assert_false(end.is_broken);
    assert_false(end.is_hole);
}

static void a_timeline_that_is_only_local_is_no_hole(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(arena_done) Arena arena = {0};
    WalWalkEnd end;

    (void)state;
    scene_init(&scene);
    lay_history(&scene, &(Laid){NONE, 2, .fork = 4}, NULL);
    archive_look(&scene.archive);
    const TimelinePath path = archive_path(&scene.archive, 2, &arena);
    assert_int_equal(walk(&scene, &path, &end), 2);
    assert_true(end.is_hole);

    CLEANUP(wal_builder_done)
    WalBuilder child = wal_builder_fork(&scene.wal, scene.place[4], scene.last[4], 2);
    wal_builder_commit(&child, 999, 5000);
    put_file(&scene, &child, 2, 5, (uint32_t)(child.at % MIB));
    assert_int_equal(walk(&scene, &path, &end), 3);
    assert_int_equal(end.last_end, child.at);
    assert_false(end.is_hole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_what_is_there_the_farthest_counts),
        cmocka_unit_test(damage_in_a_partial_is_no_end_where_its_server_was_further),
        cmocka_unit_test(a_child_of_which_only_its_parents_wal_is_there_is_nowhere),
        cmocka_unit_test(a_backup_can_end_in_a_segment_that_is_not_whole),
        cmocka_unit_test(a_walk_goes_on_into_local_files),
        cmocka_unit_test(a_local_file_that_does_not_fit_is_the_end),
        cmocka_unit_test(a_timeline_that_is_only_local_is_no_hole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
