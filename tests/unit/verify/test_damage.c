/* Every kind of harm to every object of a small repository, one after the other. */
#include "verify/verify.h"

#include "repo/layout.h"
#include "told.h"
#include "vault.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Every byte of small objects; of larger ones their ends, and places all over. */
static size_t next_offset(size_t offset, size_t size)
{
    size_t step = size <= 400 ? 5 : offset < 120 || offset + 120 > size ? 13 : size / 12;

    return offset + (step > 0 ? step : 1);
}

static void any_flipped_bit_is_found_and_its_object_named(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(buffer_done) Buffer content = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_list(&vault, &list);
    assert_int_equal(list.count, 14);
    for (size_t i = 0; i < list.count; i++) {
        const char *name = list.objects[i].name;

        vault_get(&vault, name, &content);
        for (size_t at = 0; at < content.size; at = next_offset(at, content.size)) {
            CLEANUP(verify_report_done) VerifyReport report = {0};
            CLEANUP(text_freep) char *harm = text_format("byte %zu flipped", at);

            content.data[at] ^= (uint8_t)(1U << (at % 8));
            vault_put(&vault, name, content.data, content.size);
            expect_trouble(&vault, &report, name, harm);
            content.data[at] ^= (uint8_t)(1U << (at % 8));
        }
        vault_put(&vault, name, content.data, content.size);
    }
}

static void any_cut_is_found_and_its_object_named(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(buffer_done) Buffer content = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_list(&vault, &list);
    for (size_t i = 0; i < list.count; i++) {
        const char *name = list.objects[i].name;

        vault_get(&vault, name, &content);
        const size_t sizes[] = {0, 1, 63, content.size / 2, content.size - 1};
        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
            CLEANUP(verify_report_done) VerifyReport report = {0};
            CLEANUP(text_freep) char *harm = text_format("cut to %zu bytes", sizes[s]);

            vault_put(&vault, name, content.data, sizes[s]);
            expect_trouble(&vault, &report, name, harm);
        }
        buffer_append(&content, "x", 1);
        CLEANUP(verify_report_done) VerifyReport report = {0};
        vault_put(&vault, name, content.data, content.size);
        expect_trouble(&vault, &report, name, "a byte appended");
        vault_put(&vault, name, content.data, content.size - 1);
    }
}

/*
 * Nobody can know of what nothing refers to: a whole backup, the ends of both timelines, what the
 * journal told.
 */
static bool can_be_missed(const Vault *vault, const char *name)
{
    CLEANUP(text_freep) char *end_of_parent = vault_segment(1, 5);
    CLEANUP(text_freep) char *end_of_child = vault_segment(2, 7);
    char id[BACKUP_ID_SIZE];

    (void)vault;
    return !layout_backup_id_of("main", name, id) && strncmp(name, "main/journal/", 13) != 0 &&
           strcmp(name, end_of_parent) != 0 && strcmp(name, end_of_child) != 0;
}

static void any_object_that_is_gone_is_missed(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(buffer_done) Buffer content = {0};
    size_t missed = 0;

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_list(&vault, &list);
    for (size_t i = 0; i < list.count; i++) {
        const char *name = list.objects[i].name;
        CLEANUP(verify_report_done) VerifyReport report = {0};

        if (!can_be_missed(&vault, name))
            continue;
        missed++;
        vault_get(&vault, name, &content);
        vault_remove(&vault, name);
        assert_int_equal(expect_trouble(&vault, &report, name, "removed")->severity,
                         FINDING_MISSING);
        vault_put(&vault, name, content.data, content.size);
    }
    assert_int_equal(missed, 9);
}

/* When its only manifest is lost with it, nobody refers to a pack: that is a note. */
static bool is_pack_of(const char *name, const char *other)
{
    char id[BACKUP_ID_SIZE];

    return strncmp(name, "main/pack/", 10) == 0 && layout_backup_id_of("main", other, id);
}

static void any_two_objects_that_changed_places_are_found(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(buffer_done) Buffer one = {0};
    CLEANUP(buffer_done) Buffer other = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_list(&vault, &list);
    for (size_t i = 0; i < list.count; i++) {
        for (size_t j = 0; j < i; j++) {
            const char *names[] = {list.objects[i].name, list.objects[j].name};

            vault_get(&vault, names[0], &one);
            vault_get(&vault, names[1], &other);
            vault_put(&vault, names[0], other.data, other.size);
            vault_put(&vault, names[1], one.data, one.size);
            for (size_t n = 0; n < 2; n++) {
                CLEANUP(verify_report_done) VerifyReport report = {0};

                if (!is_pack_of(names[n], names[1 - n])) {
                    expect_trouble(&vault, &report, names[n], "changed places");
                    continue;
                }
                vault_verify(&vault, &report);
                assert_non_null(about(&report, names[n]));
            }
            vault_put(&vault, names[0], one.data, one.size);
            vault_put(&vault, names[1], other.data, other.size);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_flipped_bit_is_found_and_its_object_named),
        cmocka_unit_test(any_cut_is_found_and_its_object_named),
        cmocka_unit_test(any_object_that_is_gone_is_missed),
        cmocka_unit_test(any_two_objects_that_changed_places_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
