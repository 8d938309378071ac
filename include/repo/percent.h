/*
 * percent.h - text made safe for a line: bytes that would end or split it become %XX.
 *
 * Records and manifests use it (docs/format.md, chapters 3 and 5). Bytes from 0x80 on stay as
 * they are, so that names in UTF-8, and in any other encoding, read as people wrote them.
 */
#pragma once

#include "base/buffer.h"

/* Append text; encodes '%', 0x7f and every byte below `below`. */
void percent_encode(Buffer *out, const char *text, unsigned char below);

/*
 * Decode size bytes in place or elsewhere: `to` has room for size + 1 and gets a terminating zero.
 * False for a '%' without two hex digits, and for %00 or a zero byte: no text has one.
 */
bool percent_decode(const char *text, size_t size, char *to) MUST_CHECK;
