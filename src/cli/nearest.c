#include "nearest.h"

enum { NAME_MAX_SIZE = 40 };

static size_t smaller_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Edits (one character more, less, another, or two swapped) that turn a into b: optimal string
 * alignment, three rows at a time.
 */
static size_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][NAME_MAX_SIZE + 1] = {{0}};

    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = before[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = smaller_of(change, 1 + smaller_of(before[j], now[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller_of(now[j], earlier[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

void nearest_try(Nearest *nearest, const char *candidate)
{
    size_t size = strlen(candidate);

    if (nearest->size > NAME_MAX_SIZE || size > NAME_MAX_SIZE)
        return;
    size_t distance = edit_distance(nearest->wanted, nearest->size, candidate, size);
    if (distance > 1 + smaller_of(nearest->size, size) / 4)
        return;
    if (nearest->found == NULL || distance < nearest->distance) {
        nearest->found = candidate;
        nearest->distance = distance;
    }
}
