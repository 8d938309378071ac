#include "pack/manifest.h"

#include "../../fuzz/manifest_example.h"
#include "../repo/fixture.h"
#include "../stored_bytes.h"
#include "base/bytes.h"
#include "repo/layout.h"
#include "stream/codec.h"
#include "stream/digest.h"

#include <inttypes.h>
#include <time.h>

static const char backup_id[] = "20261122T031500Z-k3v7qa";

static Fragment fragments[] = {
    {{.pack = 0,
      .codec = CODEC_ZSTD,
      .offset = 80,
      .stored_size = 500,
      .raw_size = 4000,
      .checksum = 0xabc},
     8191,
     0},
    {{.pack = 1,
      .codec = CODEC_NONE,
      .offset = 5000,
      .stored_size = 100,
      .raw_size = 100,
      .checksum = UINT64_MAX},
     1,
     0},
};
static ManifestRange ranges[] = {
    {.index = 0,
     .size = RANGE_SIZE,
     .hash = 1,
     .is_settled = true,
     .fragment_count = 2,
     .fragments = fragments},
    {.index = 1, .size = 8192, .hash = 0, .fragment_count = 1, .fragments = fragments + 1},
};
static ManifestEntry entries[] = {
    {.kind = ENTRY_FILE,
     .path = "PG_VERSION",
     .mode = 0600,
     .owner = "postgres",
     .group = "postgres",
     .size = 3,
     .mtime = 1795000000123456,
     .ctime = -5,
     .inode = 77,
     .crc32c = 0xdeadbeef,
     .is_small = true,
     .content = {.pack = 1,
                 .codec = CODEC_LZ4,
                 .offset = 300,
                 .stored_size = 40,
                 .raw_size = 3,
                 .checksum = 9},
     .content_hash = 0x0123456789abcdef},
    {.kind = ENTRY_DIRECTORY, .path = "base", .mode = 0700, .owner = "postgres", .group = "a b"},
    {.kind = ENTRY_FILE,
     .path = "base/1",
     .mode = 0600,
     .owner = "postgres",
     .group = "postgres",
     .size = RANGE_SIZE + 8192,
     .mtime = TIME_US_NONE,
     .inode = UINT64_MAX,
     .ranges = ranges,
     .range_count = 2},
    {.kind = ENTRY_FILE,
     .path = "base/2",
     .mode = 0777,
     .owner = "",
     .group = "-",
     .is_small = true},
    {.kind = ENTRY_FILE, .path = "base/3", .mode = 0600, .owner = "1000", .group = "1000"},
    {.kind = ENTRY_FILE,
     .path = "name\t with \n%41 \x01 \xc3\xa4 \x7f",
     .mode = 0600,
     .owner = "postgres",
     .group = "postgres",
     .is_small = true},
    {.kind = ENTRY_LINK, .path = "pg_tblspc/16400", .target = "/srv/a b"},
    {.kind = ENTRY_EXTRA,
     .path = "/etc/postgresql/15/main/pg_hba.conf",
     .mode = 0640,
     .owner = "postgres",
     .group = "postgres",
     .is_small = true},
    {.kind = ENTRY_EXTRA,
     .path = "/etc/postgresql/15/main/pg_ident.conf",
     .mode = 0640,
     .owner = "postgres",
     .group = "postgres",
     .size = 1 << 20,
     .is_small = true,
     .content =
         {.pack = 1, .codec = CODEC_ZSTD, .offset = 80, .stored_size = 40, .raw_size = 1 << 20}},
};
static Tablespace tablespaces[] = {{16400, "/srv/a b"}, {16500, "/srv/\xc3\xa4"}};
static PackInfo packs[] = {
    {.id = "00112233445566778899aabbccddeeff",
     .size = 1000,
     .sha256 = {1, 2, 3},
     .backup = EXAMPLE_BACKUP},
    {.id = "ffffffffffffffffffffffffffffffff",
     .size = UINT64_C(1) << 40,
     .sha256 = {4},
     .backup = "20261121T031500Z-k3v7qa"},
};

static Manifest example(void)
{
    return (Manifest){
        .header =
            {
                .id = "20261122T031500Z-k3v7qa",
                .cluster = "main",
                .system_identifier = FIXTURE_SYSTEM,
                .server_version = 150018,
                .major = 15,
                .tool_version = "0.1.0",
                .timeline = 3,
                .history = "1\t0/3000000\tno recovery target specified\n",
                .start = 0xA94000028,
                .stop = 0xA95000000,
                .started_at = 1795000000000001,
                .stopped_at = 1795000000000002,
                .commit_time_max = TIME_US_NONE,
                .label = "START WAL LOCATION: A/94000028\nLABEL: 100%\n",
                .tablespace_map = "16400 /srv/a b\n",
                .host = "db1",
                .boot_id = "b",
                .data_directory = "/var/lib/postgresql/15/main",
                .options = "-",
                .wal_segment_size = 16 << 20,
                .checksums = 1,
                .libc_version = "2.36",
                .bad_pages = 1,
                .file_count = 2,
                .bytes = 3,
                .bytes_new = UINT64_MAX,
                .followed_links = "base/5 -> /mnt/a b\n",
                .config_file = "/etc/postgresql/15/main/postgresql.conf",
                .hba_file = "pg_hba.conf",
                .ident_file = "",
                .server_directory = "/srv/pg",
            },
        .tablespaces = tablespaces,
        .tablespace_count = ARRAY_SIZE(tablespaces),
        .packs = packs,
        .pack_count = ARRAY_SIZE(packs),
        .entries = entries,
        .entry_count = ARRAY_SIZE(entries),
    };
}

static void assert_same_frame(const Frame *a, const Frame *b)
{
    assert_int_equal(a->pack, b->pack);
    assert_int_equal(a->codec, b->codec);
    assert_true(a->offset == b->offset && a->checksum == b->checksum);
    assert_int_equal(a->stored_size, b->stored_size);
    assert_int_equal(a->raw_size, b->raw_size);
}

static void assert_same_ranges(const ManifestEntry *a, const ManifestEntry *b)
{
    assert_int_equal(a->range_count, b->range_count);
    for (uint32_t i = 0; i < a->range_count; i++) {
        assert_int_equal(a->ranges[i].index, b->ranges[i].index);
        assert_true(a->ranges[i].size == b->ranges[i].size);
        assert_true(a->ranges[i].hash == b->ranges[i].hash);
        assert_int_equal(a->ranges[i].crc32c, b->ranges[i].crc32c);
        assert_int_equal(a->ranges[i].is_settled, b->ranges[i].is_settled);
        assert_int_equal(a->ranges[i].fragment_count, b->ranges[i].fragment_count);
        for (uint8_t f = 0; f < a->ranges[i].fragment_count; f++) {
            const Fragment *one = &a->ranges[i].fragments[f], *other = &b->ranges[i].fragments[f];

            assert_same_frame(&one->table, &other->table);
            assert_int_equal(one->live, other->live);
            assert_int_equal(one->data_pack, other->data_pack);
        }
    }
}

static void assert_same_entry(const ManifestEntry *a, const ManifestEntry *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->path, b->path);
    if (a->kind == ENTRY_LINK) {
        assert_string_equal(a->target, b->target);
        return;
    }
    assert_int_equal(a->mode, b->mode);
    assert_string_equal(a->owner, b->owner);
    assert_string_equal(a->group, b->group);
    assert_true(a->size == b->size && a->inode == b->inode);
    assert_true(a->mtime == b->mtime && a->ctime == b->ctime);
    assert_int_equal(a->crc32c, b->crc32c);
    assert_int_equal(a->is_small, b->is_small);
    assert_same_ranges(a, b);
    if (a->is_small) {
        assert_true(a->content_hash == b->content_hash);
        assert_same_frame(&a->content, &b->content);
    }
}

static void assert_same_header(const ManifestHeader *a, const ManifestHeader *b)
{
    assert_string_equal(a->id, b->id);
    assert_string_equal(a->cluster, b->cluster);
    assert_true(a->system_identifier == b->system_identifier);
    assert_true(a->server_version == b->server_version && a->major == b->major);
    assert_string_equal(a->tool_version, b->tool_version);
    assert_int_equal(a->timeline, b->timeline);
    assert_string_equal(a->history, b->history);
    assert_true(a->start == b->start && a->stop == b->stop);
    assert_true(a->started_at == b->started_at && a->stopped_at == b->stopped_at);
    assert_true(a->commit_time_max == b->commit_time_max);
    assert_string_equal(a->label, b->label);
    assert_string_equal(a->tablespace_map, b->tablespace_map);
    assert_string_equal(a->host, b->host);
    assert_string_equal(a->boot_id, b->boot_id);
    assert_string_equal(a->data_directory, b->data_directory);
    assert_string_equal(a->options, b->options);
    assert_int_equal(a->wal_segment_size, b->wal_segment_size);
    assert_int_equal(a->checksums, b->checksums);
    assert_int_equal(a->from_standby, b->from_standby);
    assert_string_equal(a->libc_version, b->libc_version);
    assert_true(a->bad_pages == b->bad_pages && a->file_count == b->file_count);
    assert_true(a->bytes == b->bytes && a->bytes_new == b->bytes_new);
    assert_string_equal(a->followed_links, b->followed_links);
    assert_string_equal(a->config_file, b->config_file);
    assert_string_equal(a->hba_file, b->hba_file);
    assert_string_equal(a->ident_file, b->ident_file);
    assert_string_equal(a->server_directory, b->server_directory);
    assert_string_equal(a->databases, b->databases != NULL ? b->databases : "");
}

static void assert_same_manifest(const Manifest *a, const Manifest *b)
{
    assert_same_header(&a->header, &b->header);
    assert_int_equal(a->tablespace_count, b->tablespace_count);
    for (size_t i = 0; i < a->tablespace_count; i++) {
        assert_int_equal(a->tablespaces[i].oid, b->tablespaces[i].oid);
        assert_string_equal(a->tablespaces[i].path, b->tablespaces[i].path);
    }
    assert_int_equal(a->pack_count, b->pack_count);
    for (size_t i = 0; i < a->pack_count; i++) {
        assert_string_equal(a->packs[i].id, b->packs[i].id);
        assert_true(a->packs[i].size == b->packs[i].size);
        assert_memory_equal(a->packs[i].sha256, b->packs[i].sha256, 32);
        assert_string_equal(a->packs[i].backup, b->packs[i].backup);
    }
    assert_int_equal(a->entry_count, b->entry_count);
    for (size_t i = 0; i < a->entry_count; i++)
        assert_same_entry(&a->entries[i], &b->entries[i]);
}

static bool decode(const Buffer *text, Error *err)
{
    CLEANUP(manifest_done) Manifest found = {0};

    return manifest_decode(&found, (const char *)text->data, text->size, err);
}

static void decode_returns_what_encode_wrote(void **state)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(manifest_done) Manifest found = {0};
    Manifest manifest = example();
    Error err = {0};

    (void)state;
    manifest.header.databases = "1 template1\n16385 a%0Ab c\n";
    manifest_encode(&manifest, &text);
    assert_true(manifest_decode(&found, (const char *)text.data, text.size, &err));
    assert_same_manifest(&found, &manifest);
}

/* In the worst case three bytes stand for each: what was written must be read again. */
static void names_of_any_length_are_read_again(void **state)
{
    (void)state;
    for (size_t size = 1; size < 600; size++) {
        CLEANUP(text_freep) char *name = text_format("%*s", (int)size, "");
        CLEANUP(buffer_done) Buffer text = {0};
        CLEANUP(manifest_done) Manifest found = {0};
        ManifestEntry entry = entries[1];
        Manifest manifest = example();
        Error err = {0};

        entry.owner = name;
        manifest.entries = &entry;
        manifest.entry_count = 1;
        manifest_encode(&manifest, &text);
        assert_true(manifest_decode(&found, (const char *)text.data, text.size, &err));
        assert_same_manifest(&found, &manifest);
    }
}

/* Memory is promised per file: what each of many costs, read back. */
static void a_file_costs_few_bytes(void **state)
{
    enum { COUNT = 20000, PATH_SIZE = 24, PER_FILE = 112 + PATH_SIZE };
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(manifest_done) Manifest found = {0};
    ManifestEntry *many = arena_alloc(&arena, COUNT * sizeof many[0]);
    Manifest manifest = example();
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        many[i] = entries[0];
        many[i].path = arena_format(&arena, "base/16384/%06zu", i);
    }
    manifest.entries = many;
    manifest.entry_count = COUNT;
    manifest_encode(&manifest, &text);
    assert_true(manifest_decode(&found, (const char *)text.data, text.size, &err));
    assert_int_equal(found.entry_count, COUNT);
    assert_string_equal(found.entries[COUNT - 1].path, "base/16384/019999");
    assert_in_range(found.arena.total / COUNT, 100, PER_FILE);
}

static void lines_are_as_the_format_says(void **state)
{
    static const char *const lines[] = {
        "pgcairn-manifest\t1\nh\tbackup\t20261122T031500Z-k3v7qa\nh\tcluster\tmain\n",
        "\nh\tstart\tA/94000028\n",
        "\nh\tcommit_time_max\t-\n",
        "\nh\toptions\t%2D\n",
        "\nh\tbackup_label\tSTART%20WAL%20LOCATION:%20A/94000028%0ALABEL:%20100%25%0A\n",
        "\nt\t16400\t/srv/a%20b\n",
        "\np\t0\t00112233445566778899aabbccddeeff\t1000\t01020300",
        "\nf\tPG_VERSION\t600\tpostgres\tpostgres\t3\t1795000000123456\t-5\t77\tdeadbeef\t"
        "0123456789abcdef\t1:300:40:3:2:0000000000000009\n",
        "\nd\tbase\t700\tpostgres\ta%20b\n",
        "\nF\tbase/1\t600\tpostgres\tpostgres\t67117056\t-\t0\t18446744073709551615\t00000000\t2\n"
        "r\t0\t67108864\t1\t0000000000000001\t00000000\t0:80:500:4000:1:0000000000000abc/8191,"
        "1:5000:100:100:0:ffffffffffffffff/1/0\n"
        "r\t1\t8192\t0\t0000000000000000\t00000000\t1:5000:100:100:0:ffffffffffffffff/1/0\n",
        "\nf\tbase/2\t777\t-\t%2D\t0\t0\t0\t0\t00000000\t-\t-\n",
        "\nf\tname%09%20with%20%0A%2541%20%01%20\xc3\xa4%20%7F\t600\t",
        "\nl\tpg_tblspc/16400\t/srv/a%20b\n",
        "\nx\t/etc/postgresql/15/main/pg_hba.conf\t640\t",
        "\nh\tfollowed_links\tbase/5%20->%20/mnt/a%20b%0A\n",
        "\nhead\t36\t",
        "\nend\t48\t",
    };
    CLEANUP(buffer_done) Buffer text = {0};
    Manifest manifest = example();

    (void)state;
    manifest_encode(&manifest, &text);
    buffer_append(&text, "", 1);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        if (strstr((const char *)text.data, lines[i]) == NULL)
            fail_msg("not in the manifest: %s\n%s", lines[i], (const char *)text.data);
    }
}

static void any_changed_bit_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer text = {0};
    Manifest manifest = example();
    size_t newer = 0;

    (void)state;
    manifest_encode(&manifest, &text);
    for (size_t bit = 0; bit < text.size * 8; bit++) {
        Error err = {0};

        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(decode(&text, &err));
        assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        newer += err.code == ERR_VERSION;
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(newer, 3); /* "1" becomes 3, 5 or 9 */
}

static void any_cut_or_addition_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer text = {0};
    Manifest manifest = example();
    Error err = {0};

    (void)state;
    manifest_encode(&manifest, &text);
    for (size_t size = 0; size < text.size; size++) {
        Buffer cut = {.data = text.data, .size = size};

        err = (Error){0};
        assert_false(decode(&cut, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
    buffer_append(&text, "d\tz\t700\ta\ta\n", 12);
    err = (Error){0};
    assert_false(decode(&text, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* Put `to` in place of the only `from`, with ends that agree: what an attacker can do. */
static void forge(const Manifest *manifest, const char *from, const char *to, Buffer *forged)
{
    CLEANUP(buffer_done) Buffer text = {0};

    manifest_encode(manifest, &text);
    buffer_append(&text, "", 1);
    char *start = (char *)text.data;
    char *end = strstr(start, "\nend\t") + 1;
    char *at = strstr(start, from);
    if (at == NULL || at > end)
        fail_msg("not in the manifest: %s", from);

    buffer_append(forged, start, (size_t)(at - start));
    buffer_append(forged, to, strlen(to));
    buffer_append(forged, at + strlen(from), (size_t)(end - at) - strlen(from));
    manifest_seal(forged);
}

static void forged_manifests_are_refused(void **state)
{
    static const struct {
        const char *from, *to;
        ErrorCode code;
    } cases[] = {
        /* Paths that would lead outside the data directory. */
        {"\nf\tPG_VERSION\t", "\nf\t../PG_VERSION\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\t/PG_VERSION\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\t.\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\t..\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\tA/../../b\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\tA/..\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\tA/./b\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\tA//b\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\tA/\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\t-\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\t%2E%2E/b\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\tA%00/../b\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\tA%2\t", ERR_CORRUPT},
        {"\nf\tPG_VERSION\t", "\nf\tA%G0\t", ERR_CORRUPT},
        {"\nx\t/etc/postgresql/15/main/pg_hba.conf\t", "\nx\tetc/x\t", ERR_CORRUPT},
        {"\nx\t/etc/postgresql/15/main/pg_hba.conf\t", "\nx\t/../x\t", ERR_CORRUPT},
        /* A link through which files would be written elsewhere. */
        {"\nl\tpg_tblspc/16400\t", "\nl\tpg_tblspc\t", ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400\t", "\nl\tpg_tblspc/16400/x\t", ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400\t", "\nl\tpg_wal\t", ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400\t/srv/a%20b", "\nl\tpg_tblspc/16400\tsrv", ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400\t", "\nl\tpg_tblspc/\t", ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400\t", "\nl\tpg_tblspd/16400\t", ERR_CORRUPT},
        /* Order, and everything once. */
        {"\nf\tPG_VERSION\t", "\nf\tzzz\t", ERR_CORRUPT},
        {"\nf\tbase/2\t", "\nf\tbase/1\t", ERR_CORRUPT},
        {"\nh\tcluster\tmain\n", "\nh\tcluster\tmain\nh\tcluster\tmain\n", ERR_CORRUPT},
        {"\nh\tcluster\tmain\n", "\n", ERR_CORRUPT},
        {"\nd\tbase\t", "\nhead\t0\t0\nd\tbase\t", ERR_CORRUPT},
        {"\nt\t16400\t", "\nhead\t0\t0\nt\t16400\t", ERR_CORRUPT},
        {"\nt\t16500\t", "\nd\tA\t700\ta\ta\nt\t16500\t", ERR_CORRUPT},
        {"\nhead\t", "\nd\tA\t700\ta\ta\nhead\t", ERR_CORRUPT},
        {"\nhead\t", "\n?head\t", ERR_CORRUPT},
        {"\nd\tbase\t700\tpostgres\ta%20b\n", "\nd\tbase\t700\tpostgres\ta%20b\nh\tnewer\t1\n",
         ERR_CORRUPT},
        {"\nd\tbase\t700\tpostgres\ta%20b\n",
         "\nx\t/a\t600\ta\ta\t0\t0\t0\t0\t00000000\t-\t-\nd\tbase\t700\ta\ta\n", ERR_CORRUPT},
        /* Header. */
        {"\nh\tbackup\t20261122T031500Z-k3v7qa", "\nh\tbackup\t20261122T031500Z-k3v7qaa",
         ERR_CORRUPT},
        {"\nh\tbackup\t20261122T031500Z-k3v7qa", "\nh\tbackup\t20261122T031500Z-k3v\a7q",
         ERR_CORRUPT},
        {"\nh\tbackup\t20261122T031500Z-k3v7qa", "\nh\tbackup\t2026112%32031500Z-k3v7q",
         ERR_CORRUPT},
        {"\nh\tstart\tA/94000028", "\nh\tstart\tB/94000028", ERR_CORRUPT},
        {"\nh\tstart\tA/94000028", "\nh\tstart\t0/0", ERR_CORRUPT},
        {"\nh\tstart\tA/94000028", "\nh\tstart\tA", ERR_CORRUPT},
        {"\nh\twal_segment_size\t16777216", "\nh\twal_segment_size\t5", ERR_CORRUPT},
        {"\nh\tsystem_identifier\t7300000000000000001", "\nh\tsystem_identifier\t0", ERR_CORRUPT},
        {"\nh\tmajor\t15", "\nh\tmajor\t0", ERR_CORRUPT},
        {"\nh\ttimeline\t3", "\nh\ttimeline\t0", ERR_CORRUPT},
        {"\nh\ttimeline\t3", "\nh\ttimeline\t4294967296", ERR_CORRUPT},
        {"\nh\tchecksums\t1", "\nh\tchecksums\t2", ERR_NONE},
        {"\nh\tbad_pages\t1", "\nh\tbad_pages\t-1", ERR_CORRUPT},
        {"\nh\tbad_pages\t1", "\nh\tbad_pages\t18446744073709551616", ERR_CORRUPT},
        {"\nh\tbad_pages\t1", "\nh\tbad_pages\t1\t1", ERR_VERSION},
        {"pgcairn-manifest\t1\n", "pgcairn-manifesto\t1\n", ERR_CORRUPT},
        {"pgcairn-manifest\t1\n", "pgcairn-manifest\t2\n", ERR_VERSION},
        {"pgcairn-manifest\t1\n", "pgcairn-manifest\t0\n", ERR_CORRUPT},
        {"pgcairn-manifest\t1\n", "pgcairn-manifest\t\n", ERR_CORRUPT},
        /* Lines of a newer version. */
        {"\nd\tbase\t", "\ni\tbase\t", ERR_VERSION},
        {"\nd\tbase\t", "\nend\t", ERR_CORRUPT},
        {"\nd\tbase\t", "\ndd\tbase\t", ERR_VERSION},
        {"\nd\tbase\t700\tpostgres\ta%20b\n", "\n\n", ERR_VERSION},
        {":3:2:0000000000000009", ":3:9:0000000000000009", ERR_VERSION},
        /* Packs. */
        {"\np\t0\t", "\np\t1\t", ERR_CORRUPT},
        {"\t20261121T031500Z-k3v7qa", "", ERR_CORRUPT},
        {"\t20261121T031500Z-k3v7qa", "\t-", ERR_CORRUPT},
        {"\t20261121T031500Z-k3v7qa", "\t20261121T031500Z-k3v7qaa", ERR_CORRUPT},
        {"\np\t0\t00112233445566778899aabbccddeeff", "\np\t0\t../12233445566778899aabbccddeeff",
         ERR_CORRUPT},
        {"\np\t0\t00112233445566778899aabbccddeeff\t1000",
         "\np\t0\t00112233445566778899aabbccddeeff\t500", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t2:300:40:3:2:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t4294967296:300:40:3:2:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t1:30:40:3:2:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t1:18446744073709551600:40:3:2:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t1:300:4000:3:2:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t1:300:0:3:2:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t1:300:40:4:2:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t1:300:40:3:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t1:300:40:3:2:0:", ERR_CORRUPT},
        {"\t1:300:40:3:2:", "\t-", ERR_CORRUPT},
        /* Files and ranges. */
        {"\t777\t-\t%2D\t0\t0\t", "\t777\t-\t%2D\t1\t0\t", ERR_CORRUPT},
        {"\t777\t", "\t17777\t", ERR_CORRUPT},
        /* Only the server's own directory in a tablespace. */
        {"\nl\tpg_tblspc/16400", "\nd\tpg_tblspc/1/bin\t700\ta\ta\nl\tpg_tblspc/16400",
         ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400", "\nd\tpg_tblspc/1/PG_16_1\t700\ta\ta\nl\tpg_tblspc/16400",
         ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400", "\nd\tpg_tblspc/1/PG_15_\t700\ta\ta\nl\tpg_tblspc/16400",
         ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400", "\nd\tpg_tblspc/1/PG_15_1x\t700\ta\ta\nl\tpg_tblspc/16400",
         ERR_CORRUPT},
        {"\nl\tpg_tblspc/16400", "\nd\tpg_tblspc/1/PG_15_1/5\t700\ta\ta\nl\tpg_tblspc/16400",
         ERR_NONE},
        {"\t777\t", "\t4755\t", ERR_CORRUPT}, /* a program that runs as its owner */
        {"\t777\t", "\t1777\t", ERR_CORRUPT},
        {"\t777\t", "\t8\t", ERR_CORRUPT},
        {"\tdeadbeef\t", "\tDEADBEEF\t", ERR_CORRUPT},
        {"\tdeadbeef\t", "\tdeadbee\t", ERR_CORRUPT},
        {"\tdeadbeef\t", "\tdeadbeef0\t", ERR_CORRUPT},
        {"\t0123456789abcdef\t", "\t0123456789abcdef0\t", ERR_CORRUPT},
        {"\t777\t", "\t00777\t", ERR_CORRUPT},
        {"\t777\t", "\t\t", ERR_CORRUPT},
        {"\nh\tbad_pages\t1", "\nh\tbad_pages\t", ERR_CORRUPT},
        {"\nh\tbad_pages\t1", "\nh\tbad_pages\t000000000000000000001", ERR_CORRUPT},
        /* More fields than any line has. */
        {"\nd\tbase\t700\tpostgres\ta%20b\n",
         "\nd\tbase\t700\tpostgres\ta%20b\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\n",
         ERR_VERSION},
        {"\t67117056\t-\t", "\t67117057\t-\t", ERR_CORRUPT},
        {"\t67117056\t-\t", "\t67117055\t-\t", ERR_CORRUPT},
        {"\t00000000\t2\n", "\t00000000\t1\n", ERR_CORRUPT},
        {"\t00000000\t2\n", "\t00000000\t3\n", ERR_CORRUPT},
        {"\t00000000\t2\n", "\t00000000\t4294967295\n", ERR_CORRUPT},
        {"\nr\t0\t67108864\t", "\nr\t1\t67108864\t", ERR_CORRUPT},
        {"\nr\t0\t67108864\t", "\nr\t0\t8192\t", ERR_CORRUPT},
        {"\nr\t0\t67108864\t", "\nd\tbase/0\t700\ta\ta\nr\t0\t67108864\t", ERR_CORRUPT},
        {"\nd\tbase\t",
         "\nr\t0\t1\t0\t0000000000000000\t00000000\t0:80:1:1:0:0000000000000000/1\nd\tbase\t",
         ERR_CORRUPT},
        {"\t0:80:500:4000:1:0000000000000abc/8191,", "\t", ERR_CORRUPT}, /* pages of nobody */
        {"\t0:80:500:4000:1:0000000000000abc/8191,", "\t,", ERR_CORRUPT},
        {"0000000000000abc/8191,", "0000000000000abc/8190,", ERR_CORRUPT},
        {"0000000000000abc/8191,", "0000000000000abc,", ERR_CORRUPT},
        {"0000000000000abc/8191,", "0000000000000abc/,", ERR_CORRUPT},
        {"0000000000000abc/8191,", "0000000000000abc/x,", ERR_CORRUPT},
        {"0000000000000abc/8191,", "0000000000000abc/8191/1,", ERR_NONE},
        {"0000000000000abc/8191,", "0000000000000abc/8191/2,", ERR_CORRUPT}, /* of two packs */
        {"0000000000000abc/8191,", "0000000000000abc/8191/,", ERR_CORRUPT},
        {"0000000000000abc/8191,", "0000000000000abc/8191/0/1,", ERR_VERSION},
        {"\nr\t0\t67108864\t1\t0000000000000001\t00000000\t",
         "\nr\t0\t67108864\t1\t0000000000000001\t00000001\t", ERR_CORRUPT},
        {"\nr\t0\t67108864\t1\t0000000000000001\t00000000\t",
         "\nr\t0\t67108864\t1\t0000000000000001\t0000000\t", ERR_CORRUPT},
        /* A page table larger than any can be. */
        {"\t0:80:500:4000:1:", "\t1:80:500000:458793:1:", ERR_CORRUPT},
        /* What a newer version may add. */
        {"\nh\tcluster\tmain\n", "\nh\tcluster\tmain\nh\tnewer\twhatever\n", ERR_NONE},
    };
    Manifest manifest = example();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buffer_done) Buffer text = {0};
        Error err = {0};

        forge(&manifest, cases[i].from, cases[i].to, &text);
        (void)decode(&text, &err);
        if (err.code != cases[i].code)
            fail_msg("\"%s\" for \"%s\" gives %d: %s", cases[i].to, cases[i].from, err.code,
                     err.message);
    }
}

/* More than a writer of this version makes, so that one of a later version can be read. */
static void a_range_of_up_to_64_fragments_is_read(void **state)
{
    static const char fragment[] = "0:80:500:4000:1:0000000000000abc/0,";
    Manifest manifest = example();

    (void)state;
    for (size_t count = 63; count <= 65; count++) {
        CLEANUP(buffer_done) Buffer many = {0};
        CLEANUP(buffer_done) Buffer text = {0};
        CLEANUP(manifest_done) Manifest found = {0};
        Error err = {0};

        buffer_print(&many, "\t0:80:500:4000:1:0000000000000abc/8191,");
        for (size_t i = 2; i < count; i++) /* the last one is there */
            buffer_print(&many, "%s", fragment);
        forge(&manifest, "\t0:80:500:4000:1:0000000000000abc/8191,", (const char *)many.data,
              &text);
        assert_int_equal(manifest_decode(&found, (const char *)text.data, text.size, &err),
                         count <= 64);
        assert_int_equal(err.code, count <= 64 ? ERR_NONE : ERR_VERSION);
        if (count <= 64)
            assert_int_equal(found.entries[2].ranges[0].fragment_count, count);
    }
}

/* Whatever could be put into one: the same questions are asked before it is saved. */
static void an_impossible_manifest_is_neither_saved_nor_believed(void **state)
{
    enum { CASES = 16 };

    (void)state;
    for (int i = 0; i <= CASES; i++) {
        CLEANUP(fixture_done) Fixture fixture;
        Manifest manifest = example();
        ManifestEntry changed[ARRAY_SIZE(entries)];
        ManifestRange three[3] = {ranges[0], ranges[1], {.index = 2, .fragment_count = 1}};
        Fragment too_many[RANGE_FRAGMENTS_MAX + 1];
        Tablespace places[2] = {tablespaces[0], tablespaces[1]};
        PackInfo bad_packs[2] = {packs[0], packs[1]};
        Error err = {0};

        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        memcpy(changed, entries, sizeof changed);
        three[2].fragments = fragments;
        for (size_t f = 0; f < ARRAY_SIZE(too_many); f++)
            too_many[f] = fragments[0];
        manifest.entries = changed;
        manifest.tablespaces = places;
        manifest.packs = bad_packs;
        CLEANUP(text_freep) char *long_path = text_format("%05000d", 0);
        switch (i) {
        case 0:
            changed[1].mode = 010000;
            break;
        case 1:
            changed[2].ranges = three; /* one that has nothing left to hold */
            changed[2].range_count = 3;
            break;
        case 2:
            changed[2].range_count = 1; /* some bytes are in none */
            break;
        case 3:
            changed[2].ranges = three;
            three[1].fragment_count = 0;
            break;
        case 4:
            changed[2].ranges = three;
            three[0].fragments = too_many;
            three[0].fragment_count = ARRAY_SIZE(too_many);
            break;
        case 5:
            changed[7].is_small = false; /* an extra file in ranges */
            break;
        case 6:
            manifest.header.id[3] = 'x';
            break;
        case 7:
            manifest.header.system_identifier = 0;
            break;
        case 8:
            manifest.header.major = 0;
            break;
        case 9:
            places[0].path = "srv";
            break;
        case 10:
            places[1].oid = places[0].oid;
            break;
        case 11:
            bad_packs[0].size = 10;
            changed[2].range_count = 0;
            changed[2].size = 0;
            break;
        case 12:
            changed[0].path = long_path;
            break;
        case 13:
            changed[6].path = "pg_tblspc/";
            break;
        case 14:
            changed[6].path = "pg_tblspd/16400";
            break;
        case 15:
            changed[8].size = changed[8].content.raw_size = 3 << 20;
            changed[8].content.stored_size = 1 << 20;
            break;
        default:
            break; /* the example itself is good */
        }
        if (manifest_save(&manifest, &fixture.cluster, &err) != (i == CASES))
            fail_msg("case %d", i);
    }
}

enum { TRAILER = 64 };

/* X of the X of each frame. */
static uint64_t checksum_of(const uint8_t *stored, size_t size, uint64_t seed)
{
    CLEANUP(buffer_done) Buffer sums = {0};
    Error err = {0};
    uint64_t raw_size;
    size_t frame;

    for (size_t at = 0; at < size; at += frame) {
        uint8_t sum[8];

        assert_true(codec_zstd_frame_size(stored + at, size - at, &frame, &raw_size, &err));
        put_le64(sum, xxh3_of(seed, stored + at, frame));
        buffer_append(&sums, sum, sizeof sum);
    }
    return xxh3_of(seed, sums.data, sums.size);
}

/* A trailer for the frames that are there, as docs/format.md has it. */
static void add_trailer(Buffer *stored, size_t head_size, uint64_t seed)
{
    uint8_t trailer[TRAILER] = {0x5e, 0x2a, 0x4d, 0x18, TRAILER - 8};

    memcpy(trailer + 8, "PGCNMEND", 8);
    put_le16(trailer + 16, 1);
    put_le64(trailer + 24, head_size);
    put_le64(trailer + 32, stored->size);
    put_le64(trailer + 40, checksum_of(stored->data, head_size, seed));
    put_le64(trailer + 48, checksum_of(stored->data, stored->size, seed));
    put_le64(trailer + 56, xxh3_of(seed, trailer + 8, TRAILER - 16));
    buffer_append(stored, trailer, sizeof trailer);
}

static void add_frame(Buffer *stored, const uint8_t *text, size_t size)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer frame = {0};
    Error err = {0};

    assert_true(codec_compress(codec, (Compression){.codec = CODEC_ZSTD, .level = 1}, text, size,
                               &frame, &err));
    buffer_append(stored, frame.data, frame.size);
}

/* Bytes of the lines of its head. */
static size_t head_of(const Buffer *text)
{
    const char *line = memmem(text->data, text->size, "\nhead\t", 6);

    assert_non_null(line);
    return (size_t)(strchr(line + 1, '\n') + 1 - (const char *)text->data);
}

/*
 * The text in two frames, the first of which has `first` bytes, and a trailer that calls `frames`
 * of them the head, with the right checksums: what an attacker can store.
 */
static void put_split(Fixture *fixture, const Buffer *text, size_t first, int frames)
{
    CLEANUP(buffer_done) Buffer stored = {0};
    CLEANUP(text_freep) char *name = layout_manifest("main", backup_id);

    add_frame(&stored, text->data, first);
    const size_t size = frames == 0 ? 0 : stored.size;
    add_frame(&stored, text->data + first, text->size - first);
    add_trailer(&stored, frames == 2 ? stored.size : size, fixture->repo.hash_seed);
    object_put(fixture, name, stored.data, stored.size);
}

static void what_was_forged_is_not_loaded(void **state)
{
    static const struct {
        const char *from, *to;
        ErrorCode code;
    } cases[] = {
        {"\nd\tbase\t", "\nd\tbase\t", ERR_NONE},
        {"\nf\tPG_VERSION\t", "\nf\t../PG_VERSION\t", ERR_CORRUPT},
        {"\nh\tcluster\tmain\n", "\nh\tcluster\tother\n", ERR_CORRUPT},
        {"\nh\tbackup\t20261122T031500Z-k3v7qa", "\nh\tbackup\t20261122T031500Z-aaaaaa",
         ERR_CORRUPT},
    };
    Manifest manifest = example();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(fixture_done) Fixture fixture;
        CLEANUP(manifest_done) Manifest found = {0};
        CLEANUP(buffer_done) Buffer text = {0};
        Error err = {0};

        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        forge(&manifest, cases[i].from, cases[i].to, &text);
        put_split(&fixture, &text, head_of(&text), 1);
        if (manifest_load(&found, &fixture.cluster, backup_id, &err) != (i == 0))
            fail_msg("case %zu: %s", i, err.message);
        assert_int_equal(err.code, cases[i].code);
    }
}

static void assert_same_head(const ManifestHead *head, const Manifest *whole)
{
    const Manifest without_files = {.header = head->header,
                                    .tablespaces = head->tablespaces,
                                    .tablespace_count = head->tablespace_count,
                                    .packs = head->packs,
                                    .pack_count = head->pack_count};
    Manifest expected = *whole;

    expected.entry_count = 0;
    assert_same_manifest(&without_files, &expected);
}

/* Whoever reads the head alone and whoever reads all must see the same. */
static void a_head_ends_where_the_trailer_says(void **state)
{
    Manifest manifest = example();
    CLEANUP(buffer_done) Buffer text = {0};

    (void)state;
    manifest_encode(&manifest, &text);
    const size_t head_size = head_of(&text);
    const struct {
        size_t first;
        int frames; /* that the trailer calls the head */
        bool is_good;
    } cases[] = {
        {head_size, 1, true},       {head_size, 0, false},     {head_size, 2, false},
        {head_size - 10, 1, false}, {head_size + 1, 1, false}, {text.size - 1, 1, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(fixture_done) Fixture fixture;
        CLEANUP(manifest_done) Manifest found = {0};
        CLEANUP(manifest_head_done) ManifestHead head = {0};
        Error err = {0};
        Error head_err = {0};

        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        put_split(&fixture, &text, cases[i].first, cases[i].frames);
        if (manifest_load(&found, &fixture.cluster, backup_id, &err) != cases[i].is_good ||
            manifest_head_load(&head, &fixture.cluster, backup_id, &head_err) != cases[i].is_good)
            fail_msg("case %zu: %s; %s", i, err.message, head_err.message);
        assert_int_equal(err.code, cases[i].is_good ? ERR_NONE : ERR_CORRUPT);
        assert_int_equal(head_err.code, err.code);
        if (cases[i].is_good)
            assert_same_head(&head, &manifest);
    }
}

/* Two files' lines in frames enough that the head is not among what is read from the end. */
static void many_files(Manifest *many, size_t count)
{
    *many = example();
    many->entries = arena_alloc(&many->arena, count * sizeof *many->entries);
    many->entry_count = count;
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[XXH128_SIZE];

        many->entries[i] = entries[i % 2 == 0 ? 0 : 2];
        xxh128_of(i, "hard to compress", 16, bytes);
        many->entries[i].inode = get_le64(bytes);
        if (many->entries[i].is_small)
            many->entries[i].crc32c = (uint32_t)get_le64(bytes + 8);
        many->entries[i].path = arena_format(&many->arena, "base/16384/%07zu", i);
    }
}

/*
 * What a list can promise: of the head and the trailer each bit is told, and each cut; of the rest
 * only that it has its size, which whoever reads all of it finds damaged.
 */
static void a_head_is_read_alone_and_each_bit_of_it_is_covered(void **state)
{
    enum { FILES = 5000 };
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(manifest_done) Manifest many = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(text_freep) char *name = layout_manifest("main", backup_id);
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    many_files(&many, FILES);
    assert_true(manifest_save(&many, &fixture.cluster, &err));
    object_get(&fixture, name, &object);
    assert_true(object.size > 64 << 10);
    const size_t head_size = get_le64(object.data + object.size - TRAILER + 24);
    assert_in_range(head_size, 200, 2000);
    for (size_t at = 0; at < object.size;
         at += at < head_size + 2 || at > object.size - 66 ? 1 : 997) {
        CLEANUP(manifest_head_done) ManifestHead head = {0};
        CLEANUP(manifest_done) Manifest found = {0};
        const bool is_covered = at < head_size || at >= object.size - TRAILER;

        object.data[at] ^= (uint8_t)(1 << at % 8);
        object_put(&fixture, name, object.data, object.size);
        object.data[at] ^= (uint8_t)(1 << at % 8);
        err = (Error){0};
        if (manifest_head_load(&head, &fixture.cluster, backup_id, &err) == is_covered)
            fail_msg("byte %zu of %zu: %s", at, object.size, err.message);
        if (!is_covered)
            assert_same_head(&head, &many);
        err = (Error){0};
        assert_false(manifest_load(&found, &fixture.cluster, backup_id, &err));
    }
    for (size_t size = 0; size<object.size; size += size> object.size - 66 ? 1 : 991) {
        CLEANUP(manifest_head_done) ManifestHead head = {0};

        object_put(&fixture, name, object.data, size);
        err = (Error){0};
        assert_false(manifest_head_load(&head, &fixture.cluster, backup_id, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
    /* A piece of the middle is missing, and both ends are there. */
    memmove(object.data + head_size, object.data + head_size + 10, object.size - head_size - 10);
    object_put(&fixture, name, object.data, object.size - 10);
    err = (Error){0};
    CLEANUP(manifest_head_done) ManifestHead head = {0};
    assert_false(manifest_head_load(&head, &fixture.cluster, backup_id, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void a_newer_trailer_is_told_from_damage(void **state)
{
    static const struct {
        size_t from_end;
        uint8_t value;
        ErrorCode code;
    } cases[] = {
        {64, 0, ERR_CORRUPT}, {60, 57, ERR_CORRUPT}, {56, 'X', ERR_CORRUPT},
        {48, 2, ERR_VERSION}, {48, 0, ERR_CORRUPT},  {46, 1, ERR_VERSION},
        {45, 1, ERR_NONE},    {44, 1, ERR_VERSION},  {40, 0, ERR_CORRUPT},
    };
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(text_freep) char *name = layout_manifest("main", backup_id);
    Manifest manifest = example();
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(manifest_save(&manifest, &fixture.cluster, &err));
    object_get(&fixture, name, &object);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(manifest_done) Manifest found = {0};
        CLEANUP(manifest_head_done) ManifestHead head = {0};
        uint8_t *trailer = object.data + object.size - TRAILER;
        uint8_t *at = object.data + object.size - cases[i].from_end;
        uint8_t before = *at;

        err = (Error){0};
        *at = cases[i].value;
        put_le64(trailer + 56, xxh3_of(fixture.repo.hash_seed, trailer + 8, TRAILER - 16));
        object_put(&fixture, name, object.data, object.size);
        assert_int_equal(manifest_load(&found, &fixture.cluster, backup_id, &err),
                         cases[i].code == ERR_NONE);
        if (err.code != cases[i].code)
            fail_msg("case %zu: %d", i, (int)err.code);
        err = (Error){0};
        assert_int_equal(manifest_head_load(&head, &fixture.cluster, backup_id, &err),
                         cases[i].code == ERR_NONE);
        assert_int_equal(err.code, cases[i].code);
        *at = before;
    }
}

static void a_saved_manifest_is_loaded_and_never_replaced(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(manifest_done) Manifest found = {0};
    Manifest manifest = example();
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(manifest_save(&manifest, &fixture.cluster, &err));
    assert_true(manifest_load(&found, &fixture.cluster, backup_id, &err));
    assert_same_manifest(&found, &manifest);
    assert_false(manifest_save(&manifest, &fixture.cluster, &err));
    assert_int_equal(err.code, ERR_EXISTS);
}

static void any_changed_bit_of_the_object_is_noticed(void **state)
{
    static const char name[] = "main/backup/20261122T031500Z-k3v7qa/manifest";
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer object = {0};
    Manifest manifest = example();
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(manifest_save(&manifest, &fixture.cluster, &err));
    object_get(&fixture, name, &object);
    for (size_t bit = 0; bit < object.size * 8; bit++) {
        CLEANUP(manifest_done) Manifest found = {0};

        err = (Error){0};
        object.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        object_put(&fixture, name, object.data, object.size);
        assert_false(manifest_load(&found, &fixture.cluster, backup_id, &err));
        assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        object.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < object.size; size++) {
        CLEANUP(manifest_done) Manifest found = {0};

        err = (Error){0};
        object_put(&fixture, name, object.data, size);
        assert_false(manifest_load(&found, &fixture.cluster, backup_id, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void a_manifest_under_another_name_is_noticed(void **state)
{
    static const char other[] = "20261122T031500Z-aaaaaa";
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(manifest_done) Manifest found = {0};
    CLEANUP(text_freep) char *name = layout_manifest("main", backup_id);
    CLEANUP(text_freep) char *other_name = layout_manifest("main", other);
    Manifest manifest = example();
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_false(manifest_load(&found, &fixture.cluster, other, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    err = (Error){0};
    assert_true(manifest_save(&manifest, &fixture.cluster, &err));
    object_get(&fixture, name, &object);
    object_put(&fixture, other_name, object.data, object.size);
    assert_false(manifest_load(&found, &fixture.cluster, other, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void what_could_not_be_read_again_is_not_saved(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Manifest manifest = example();
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    manifest.pack_count = 1; /* frames refer to the second one */
    assert_false(manifest_save(&manifest, &fixture.cluster, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_int_equal(object_count(&fixture, "main/backup/"), 0);
}

/* More than one zstd frame, and what docs/measurements.md tells: at most 300 bytes of memory a
 * file. */
static void many_files_are_quick_and_small(void **state)
{
    enum { FILES = 100000 };
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(manifest_done) Manifest many = example();
    CLEANUP(manifest_done) Manifest found = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    many.entries = arena_alloc(&many.arena, FILES * sizeof *many.entries);
    many.entry_count = FILES;
    for (size_t i = 0; i < FILES; i++) {
        many.entries[i] = entries[i % 2 == 0 ? 0 : 2];
        many.entries[i].path = arena_format(&many.arena, "base/16384/%07zu", i);
    }
    clock_t start = clock();
    assert_true(manifest_save(&many, &fixture.cluster, &err));
    clock_t saved = clock();
    assert_true(manifest_load(&found, &fixture.cluster, backup_id, &err));
    clock_t loaded = clock();

    assert_same_manifest(&found, &many);
    assert_true(found.arena.total / FILES <= 300);
    print_message("%d files: save %ld ms, load %ld ms, %zu bytes a file\n", FILES,
                  (saved - start) * 1000 / CLOCKS_PER_SEC, (loaded - saved) * 1000 / CLOCKS_PER_SEC,
                  found.arena.total / FILES);
}

static void backup_ids_are_new_each_time(void **state)
{
    char first[BACKUP_ID_SIZE];
    char second[BACKUP_ID_SIZE];
    char found[BACKUP_ID_SIZE];
    Error err = {0};

    (void)state;
    assert_true(backup_id_new(first, &err));
    assert_true(backup_id_new(second, &err));
    assert_string_not_equal(first, second);
    CLEANUP(text_freep) char *name = layout_manifest("main", first);
    assert_true(layout_backup_id_of("main", name, found));
    assert_string_equal(found, first);
}

/* Whoever takes, lists, verifies or restores asks the same. */
static void what_nothing_can_be_restored_from_is_told(void **state)
{
    static const char label[] = "START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\n"
                                "CHECKPOINT LOCATION: 0/3000028\nBACKUP METHOD: streamed\n"
                                "BACKUP FROM: primary\nSTART TIME: x\nLABEL: x\n"
                                "START TIMELINE: 1\n";
    static const struct {
        int without; /* this entry */
        const char *label;
        bool has_no_tablespace;
        uint64_t bytes;
        const char *word; /* "": nothing is wrong */
    } cases[] = {
        {-1, label, false, 0, ""},
        {0, label, false, 0, "PG_VERSION"},
        {1, label, false, 0, "base"},
        {2, label, false, 0, "base/1"},
        {4, label, false, 0, "global"},
        {5, label, false, 0, "global/pg_control"},
        {6, label, false, 0, "pg_tblspc"},
        {7, label, false, 0, "pg_tblspc/16400"},
        {8, label, false, 0, "pg_tblspc/16400/PG_15_202209061"},
        {-1, label, true, 0, "pg_tblspc/16400"},
        {-1, label, false, 5, "0 bytes"},
        {-1, "", false, 0, "START WAL LOCATION"},
        {-1, "START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\n", false, 0,
         "CHECKPOINT LOCATION"},
        {-1, label, false, 0, ""},
    };
    static const struct {
        const char *path;
        EntryKind kind;
    } all[] = {{"PG_VERSION", ENTRY_FILE},
               {"base", ENTRY_DIRECTORY},
               {"base/1", ENTRY_DIRECTORY},
               {"base/1/1259", ENTRY_FILE},
               {"global", ENTRY_DIRECTORY},
               {"global/pg_control", ENTRY_FILE},
               {"pg_tblspc", ENTRY_DIRECTORY},
               {"pg_tblspc/16400", ENTRY_LINK},
               {"pg_tblspc/16400/PG_15_202209061", ENTRY_DIRECTORY},
               {"pg_tblspc/16400/PG_15_202209061/1", ENTRY_FILE}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        ManifestEntry chosen[ARRAY_SIZE(all)] = {0};
        Tablespace tablespace = {.oid = 16400, .path = "/t"};
        Manifest manifest = {
            .entries = chosen,
            .tablespaces = &tablespace,
            .tablespace_count = cases[i].has_no_tablespace ? 0 : 1,
            .header = {.start = 0x3000028, .bytes = cases[i].bytes, .label = cases[i].label}};
        ManifestFault fault;

        for (size_t e = 0; e < ARRAY_SIZE(all); e++) {
            if ((int)e == cases[i].without)
                continue;
            chosen[manifest.entry_count++] =
                (ManifestEntry){.kind = all[e].kind, .path = all[e].path, .target = ""};
            manifest.header.file_count += all[e].kind == ENTRY_FILE;
        }
        const bool has_fault = manifest_find_fault(&manifest, &fault);
        if (has_fault != (cases[i].word[0] != '\0'))
            fail_msg("case %zu", i);
        if (has_fault && strstr(manifest_fault_text(&fault, &arena), cases[i].word) == NULL)
            fail_msg("case %zu: %s", i, manifest_fault_text(&fault, &arena));
    }
}

/* What a newer version may put between the frames and the trailer: the programs skip it. */
static void a_skippable_frame_before_the_trailer_is_passed_over(void **state)
{
    static const uint8_t added[] = "\x5e\x2a\x4d\x18\x08\0\0\0PGCNNEWS";
    enum { ADDED = sizeof added - 1 };
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer newer = {0};
    CLEANUP(manifest_done) Manifest found = {0};
    const Manifest manifest = example();
    const char *name = "main/backup/20261122T031500Z-k3v7qa/manifest";
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(manifest_save(&manifest, &fixture.cluster, &err));
    object_get(&fixture, name, &object);
    const size_t head_size = get_le64(object.data + object.size - TRAILER + 24);
    buffer_append(&newer, object.data, object.size - TRAILER);
    buffer_append(&newer, added, ADDED);
    add_trailer(&newer, head_size, fixture.repo.hash_seed);
    object_put(&fixture, name, newer.data, newer.size);
    assert_true(manifest_load(&found, &fixture.cluster, "20261122T031500Z-k3v7qa", &err));
    assert_same_manifest(&found, &manifest);
    newer.data[newer.size - TRAILER - 1] ^= 1; /* but each of its bytes is covered */
    object_put(&fixture, name, newer.data, newer.size);
    manifest_done(&found);
    assert_false(manifest_load(&found, &fixture.cluster, "20261122T031500Z-k3v7qa", &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* The frames are the compressor's; what follows them is ours, and speaks of them. */
static void what_is_stored_stays_as_it_is(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer frames = {0};
    const Manifest manifest = example();
    Error err = {0};

    (void)state;
    manifest_encode(&manifest, &text);
    assert_stored_bytes(text.data, text.size,
                        "86977fb94286cb9a5c79d14386c2ae525bd4e2792e24ae72b491c0d92d5129bd");

    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(manifest_save(&manifest, &fixture.cluster, &err));
    object_get(&fixture, "main/backup/20261122T031500Z-k3v7qa/manifest", &object);
    buffer_append(&frames, object.data, object.size - TRAILER);
    add_trailer(&frames, get_le64(object.data + object.size - TRAILER + 24),
                fixture.repo.hash_seed);
    assert_int_equal(object.size, frames.size);
    assert_memory_equal(object.data, frames.data, frames.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_skippable_frame_before_the_trailer_is_passed_over),
        cmocka_unit_test(what_is_stored_stays_as_it_is),
        cmocka_unit_test(decode_returns_what_encode_wrote),
        cmocka_unit_test(names_of_any_length_are_read_again),
        cmocka_unit_test(a_file_costs_few_bytes),
        cmocka_unit_test(lines_are_as_the_format_says),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(any_cut_or_addition_is_noticed),
        cmocka_unit_test(forged_manifests_are_refused),
        cmocka_unit_test(a_range_of_up_to_64_fragments_is_read),
        cmocka_unit_test(a_saved_manifest_is_loaded_and_never_replaced),
        cmocka_unit_test(any_changed_bit_of_the_object_is_noticed),
        cmocka_unit_test(a_manifest_under_another_name_is_noticed),
        cmocka_unit_test(what_could_not_be_read_again_is_not_saved),
        cmocka_unit_test(many_files_are_quick_and_small),
        cmocka_unit_test(backup_ids_are_new_each_time),
        cmocka_unit_test(what_nothing_can_be_restored_from_is_told),
        cmocka_unit_test(an_impossible_manifest_is_neither_saved_nor_believed),
        cmocka_unit_test(what_was_forged_is_not_loaded),
        cmocka_unit_test(a_head_ends_where_the_trailer_says),
        cmocka_unit_test(a_head_is_read_alone_and_each_bit_of_it_is_covered),
        cmocka_unit_test(a_newer_trailer_is_told_from_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
