#include "repo/percent.h"

void percent_encode(Buffer *out, const char *text, unsigned char below)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *plain = text; /* what is not yet appended and needs no encoding */

    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte >= below && byte != '%' && byte != 0x7f)
            continue;
        char code[3] = {'%', digits[byte >> 4], digits[byte & 15]};
        buffer_append(out, plain, (size_t)(text - plain));
        buffer_append(out, code, sizeof code);
        plain = text + 1;
    }
    buffer_append(out, plain, (size_t)(text - plain));
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool percent_decode(const char *text, size_t size, char *to)
{
    for (size_t i = 0; i < size; i++) {
        char byte = text[i];

        if (byte == '%') {
            int high = size - i > 2 ? digit_of(text[i + 1]) : -1;
            int low = size - i > 2 ? digit_of(text[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            byte = (char)(high << 4 | low);
            i += 2;
        }
        if (byte == '\0')
            return false;
        *to++ = byte;
    }
    *to = '\0';
    return true;
}
