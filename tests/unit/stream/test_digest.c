#include "stream/digest.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* FIPS 180-4, examples of NIST. */
static const struct {
    const char *text;
    const char *digest;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void sha256_has_the_published_digests(void **state)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        sha256_of(vectors[i].text, strlen(vectors[i].text), digest);
        assert_string_equal(sha256_text(digest, text), vectors[i].digest);
    }
}

static void sha256_of_a_million_letters_arrives_in_pieces(void **state)
{
    CLEANUP(sha256_freep) Sha256 *sha = sha256_new();
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];
    char letters[997];

    (void)state;
    memset(letters, 'a', sizeof(letters));
    for (size_t left = 1000000; left > 0;) {
        size_t step = left < sizeof(letters) ? left : sizeof(letters);
        sha256_update(sha, letters, step);
        left -= step;
    }
    sha256_final(sha, digest);
    assert_string_equal(sha256_text(digest, text),
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");

    /* It starts anew. */
    sha256_update(sha, "abc", 3);
    sha256_final(sha, digest);
    assert_string_equal(sha256_text(digest, text), vectors[1].digest);
}

static void hex_goes_back_and_forth(void **state)
{
    uint8_t bytes[256], parsed[256];
    char text[513];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        memset(parsed, 0xee, sizeof(parsed));
        assert_int_equal(strlen(hex_text(bytes, size, text)), 2 * size);
        assert_true(hex_parse(text, parsed, size));
        assert_memory_equal(parsed, bytes, size);
    }
    assert_memory_equal(text, "000102030405060708090a0b0c0d0e0f10", 34);
}

static void what_is_not_lower_case_hex_of_that_size_is_refused(void **state)
{
    uint8_t bytes[4] = {1, 2, 3, 4};

    (void)state;
    for (int character = 1; character < 256; character++) {
        const char *digits = "0123456789abcdef";
        for (size_t at = 0; at < 8; at++) {
            char text[9] = "01234567";
            text[at] = (char)character;
            assert_int_equal(hex_parse(text, (uint8_t[4]){0}, 4),
                             strchr(digits, character) != NULL);
        }
    }
    assert_false(hex_parse("0123456", bytes, 4));
    assert_false(hex_parse("012345678", bytes, 4));
    assert_false(hex_parse("0123456789", bytes, 4));
    assert_false(hex_parse("", bytes, 4));
    assert_false(hex_parse("0123456g", bytes, 4));
    assert_memory_equal(bytes, ((uint8_t[4]){1, 2, 3, 4}), 4); /* untouched on failure */
}

/*
 * From the self test of xxHash 0.8 (cli/xsum_sanity_check.c): its buffer, and the results for
 * seed 0 and PRIME64 = 0x9e3779b185ebca8d. These numbers are on disk: they must never change.
 */
static void xxh3_has_the_published_digests(void **state)
{
    static const struct {
        size_t size;
        uint64_t seed;
        uint64_t digest;
    } known[] = {
        {0, 0, UINT64_C(0x2D06800538D394C2)},
        {0, UINT64_C(0x9E3779B185EBCA8D), UINT64_C(0xA8A6B918B2F0364A)},
        {1, 0, UINT64_C(0xC44BDFF4074EECDB)},
        {1, UINT64_C(0x9E3779B185EBCA8D), UINT64_C(0x032BE332DD766EF8)},
        {6, 0, UINT64_C(0x27B56A84CD2D7325)},
        {6, UINT64_C(0x9E3779B185EBCA8D), UINT64_C(0x84589C116AB59AB9)},
        {12, 0, UINT64_C(0xA713DAF0DFBB77E7)},
        {24, 0, UINT64_C(0xA3FE70BF9D3510EB)},
        {48, 0, UINT64_C(0x397DA259ECBA1F11)},
        {80, 0, UINT64_C(0xBCDEFBBB2C47C90A)},
        {195, 0, UINT64_C(0xCD94217EE362EC3A)},
        {403, 0, UINT64_C(0xCDEB804D65C6DEA4)},
        {512, 0, UINT64_C(0x617E49599013CB6B)},
        {2048, 0, UINT64_C(0xDD59E2C3A5F038E0)},
        {2240, 0, UINT64_C(0x6E73A90539CF2948)},
        {2367, 0, UINT64_C(0xCB37AEB9E5D361ED)},
    };
    uint8_t buffer[2367];
    uint64_t generator = 2654435761;

    (void)state;
    for (size_t i = 0; i < sizeof(buffer); i++) {
        buffer[i] = (uint8_t)(generator >> 56);
        generator *= UINT64_C(0x9E3779B185EBCA8D);
    }
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        uint64_t digest = xxh3_of(known[i].seed, buffer, known[i].size);
        if (digest != known[i].digest)
            fail_msg("%zu bytes: %016lx", known[i].size, (unsigned long)digest);
    }
}

/* From the same place: low and high half. */
static void xxh128_has_the_published_digests(void **state)
{
    static const struct {
        size_t size;
        uint64_t seed;
        uint64_t low, high;
    } known[] = {
        {0, 0, UINT64_C(0x6001C324468D497F), UINT64_C(0x99AA06D3014798D8)},
        {1, 0, UINT64_C(0xC44BDFF4074EECDB), UINT64_C(0xA6CD5E9392000F6A)},
        {6, 0, UINT64_C(0x3E7039BDDA43CFC6), UINT64_C(0x082AFE0B8162D12A)},
        {12, 0, UINT64_C(0x061A192713F69AD9), UINT64_C(0x6E3EFD8FC7802B18)},
        {2367, 0, UINT64_C(0xCB37AEB9E5D361ED), UINT64_C(0xE89C0F6FF369B427)},
        {2367, UINT64_C(0x9E3779B1), UINT64_C(0x6F5360AE69C2F406), UINT64_C(0xD23AAE4B76C31ECB)},
    };
    uint8_t buffer[2367];
    uint64_t generator = 2654435761;

    (void)state;
    for (size_t i = 0; i < sizeof(buffer); i++) {
        buffer[i] = (uint8_t)(generator >> 56);
        generator *= UINT64_C(0x9E3779B185EBCA8D);
    }
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        uint8_t digest[XXH128_SIZE];
        char found[2 * XXH128_SIZE + 1];
        char expected[2 * XXH128_SIZE + 1];

        xxh128_of(known[i].seed, buffer, known[i].size, digest);
        snprintf(expected, sizeof expected, "%016" PRIx64 "%016" PRIx64, known[i].high,
                 known[i].low);
        assert_string_equal(hex_text(digest, sizeof digest, found), expected);
    }
}

static void xxh3_depends_on_every_bit_of_seed_and_data(void **state)
{
    uint8_t data[300] = {0};

    (void)state;
    for (size_t size = 0; size <= sizeof(data); size += 25) {
        uint64_t digest = xxh3_of(42, data, size);
        for (unsigned bit = 0; bit < 64; bit++)
            assert_true(xxh3_of(UINT64_C(42) ^ UINT64_C(1) << bit, data, size) != digest);
        for (size_t bit = 0; bit < size * 8; bit++) {
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_true(xxh3_of(42, data, size) != digest);
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_has_the_published_digests),
        cmocka_unit_test(sha256_of_a_million_letters_arrives_in_pieces),
        cmocka_unit_test(hex_goes_back_and_forth),
        cmocka_unit_test(what_is_not_lower_case_hex_of_that_size_is_refused),
        cmocka_unit_test(xxh3_has_the_published_digests),
        cmocka_unit_test(xxh128_has_the_published_digests),
        cmocka_unit_test(xxh3_depends_on_every_bit_of_seed_and_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
