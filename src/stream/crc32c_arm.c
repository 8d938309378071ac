#include "crc32c_engine.h"

#include <sys/auxv.h>

/* The CRC instructions are optional before ARMv8.1: the kernel says whether they are there. */
#define HAS_CRC32_INSTRUCTIONS (1UL << 7) /* It is HWCAP_CRC32 of asm/hwcap.h. */

/*
 * As assembly, since gcc and clang spell the permission to use the intrinsics of arm_acle.h in
 * one function in two ways.
 */
static inline uint32_t step_of_eight(uint32_t state, uint64_t value)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(value));
    return state;
}

static inline uint32_t step_of_one(uint32_t state, uint32_t value)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"(value));
    return state;
}

uint32_t crc32c_machine(uint32_t state, const uint8_t *data, size_t size)
{
    if ((getauxval(AT_HWCAP) & HAS_CRC32_INSTRUCTIONS) == 0)
        return crc32c_by_table(state, data, size);

    for (; size >= 8; size -= 8, data += 8) {
        uint64_t value;
        memcpy(&value, data, sizeof(value));
        state = step_of_eight(state, value);
    }
    for (; size > 0; size--, data++)
        state = step_of_one(state, *data);
    return state;
}
