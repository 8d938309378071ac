#include "base/plain.h"

#include "base/utf8.h"

static uint32_t character_code(const char *text, size_t size)
{
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)text[0] & first_bits[size];

    for (size_t i = 1; i < size; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    return code;
}

static bool is_control_character(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f);
}

/* Marks, embeddings, overrides, isolates; the separators of lines and paragraphs lie among them. */
static bool turns_direction(uint32_t code)
{
    return code == 0x061c || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

bool plain_is_fit(const char *text, size_t size)
{
    if (size == 0)
        return false;
    uint32_t code = character_code(text, size);
    return !is_control_character(code) && !turns_direction(code);
}

void plain_append_character(Buffer *to, const char *text, size_t size)
{
    buffer_print(to, "\\u%04x", (unsigned)character_code(text, size));
}

static void append_escape(Buffer *to, const char *text, size_t size)
{
    if (size == 1 && (*text == '\n' || *text == '\t')) {
        buffer_print(to, "\\%c", *text == '\n' ? 'n' : 't');
    } else if (size <= 1) {
        buffer_print(to, "\\x%02x", (unsigned)(unsigned char)*text);
    } else {
        plain_append_character(to, text, size);
    }
}

void plain_append(Buffer *to, const char *text)
{
    while (*text != '\0') {
        size_t size = utf8_size(text);

        if (plain_is_fit(text, size)) {
            buffer_append(to, text, size);
        } else {
            append_escape(to, text, size);
        }
        text += size > 0 ? size : 1;
    }
}
