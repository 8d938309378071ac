#include "wal_record.h"

#include "base/bytes.h"
#include "stream/digest.h"

bool wal_record_decode(const uint8_t *bytes, size_t size, Lsn lsn, WalRecord *record)
{
    uint32_t total = size >= RECORD_HEADER_SIZE ? get_le32(bytes) : 0;
    uint32_t crc;

    if (total < RECORD_HEADER_SIZE || total > size)
        return false;
    crc = crc32c_update(0, bytes + RECORD_HEADER_SIZE, total - RECORD_HEADER_SIZE);
    if (crc32c_update(crc, bytes, RECORD_CRC_OFFSET) != get_le32(bytes + RECORD_CRC_OFFSET))
        return false;
    *record = (WalRecord){
        .lsn = lsn,
        .end = lsn + total,
        .prev = get_le64(bytes + 8),
        .total_size = total,
        .xid = get_le32(bytes + 4),
        .rmgr = bytes[17],
        .info = bytes[16],
        .bytes = bytes,
        .head = bytes,
        .head_size = total,
    };
    return true;
}

bool payload_of(const WalRecord *record, Payload *payload)
{
    const uint8_t *at = record->bytes + RECORD_HEADER_SIZE;
    const uint8_t *end = record->bytes + record->total_size;

    while (end - at >= 2) {
        uint8_t id = *at++;

        if (id == ID_DATA_SHORT) {
            *payload = (Payload){.bytes = at + 1, .size = *at};
            return payload->size == (size_t)(end - payload->bytes);
        }
        if (id == ID_DATA_LONG && end - at >= 4) {
            *payload = (Payload){.bytes = at + 4, .size = get_le32(at)};
            return payload->size == (size_t)(end - payload->bytes);
        }
        if (id != ID_ORIGIN && id != ID_TOPLEVEL_XID)
            return false;
        if (end - at < 4)
            return false;
        at += id == ID_ORIGIN ? 2 : 4;
    }
    return false;
}

bool payload_skip(Payload *payload, size_t size)
{
    if (payload->size < size)
        return false;
    payload->bytes += size;
    payload->size -= size;
    return true;
}

bool payload_skip_items(Payload *payload, size_t item_size, const uint8_t **items, uint32_t *count)
{
    if (payload->size < 4)
        return false;

    uint32_t found = get_le32(payload->bytes);
    uint64_t size = 4 + (uint64_t)found * item_size;
    if (size > payload->size)
        return false;
    if (items != NULL) {
        *items = payload->bytes + 4;
        *count = found;
    }
    payload->bytes += size;
    payload->size -= (size_t)size;
    return true;
}
