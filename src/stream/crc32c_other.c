#include "crc32c_engine.h"

uint32_t crc32c_machine(uint32_t state, const uint8_t *data, size_t size)
{
    return crc32c_by_table(state, data, size);
}
