#include "cli/output.h"

#include "base/memory.h"
#include "base/plain.h"
#include "base/utf8.h"

#include <ctype.h>

struct Table {
    size_t columns;
    size_t rows;
    size_t capacity;
    const char **cells; /* It has rows * columns elements. */
    Arena arena;
};

Table *table_new(size_t columns)
{
    Table *table = mem_alloc(sizeof *table);

    table->columns = columns;
    return table;
}

/* Made plain before its width is measured. */
static const char *plain_cell(Table *table, const char *cell)
{
    CLEANUP(buffer_done) Buffer text = {0};

    plain_append(&text, cell != NULL ? cell : "");
    buffer_append(&text, "", 1);
    return arena_text(&table->arena, (const char *)text.data);
}

void table_row(Table *table, const char *const *cells)
{
    if (table->rows == table->capacity) {
        table->capacity = table->capacity > 0 ? table->capacity * 2 : 16;
        table->cells =
            mem_resize(table->cells, table->capacity * table->columns * sizeof table->cells[0]);
    }
    for (size_t i = 0; i < table->columns; i++) {
        table->cells[table->rows * table->columns + i] = plain_cell(table, cells[i]);
    }
    table->rows++;
}

static const char *cell_at(const Table *table, size_t row, size_t column)
{
    return table->cells[row * table->columns + column];
}

/* Characters, of one column each: names of people's clusters and tablespaces. */
static size_t cell_width(const char *text)
{
    size_t width = 0;

    while (*text != '\0') {
        size_t size = utf8_size(text);
        text += size > 0 ? size : 1;
        width++;
    }
    return width;
}

static bool cell_is_number(const char *cell)
{
    return isdigit((unsigned char)*cell) != 0;
}

/* A heading stands where the cells below it do. */
static bool is_right(const Table *table, size_t row, size_t column)
{
    size_t looked_at = row == 0 && table->rows > 1 ? 1 : row;

    return cell_is_number(cell_at(table, looked_at, column));
}

static size_t column_width(const Table *table, size_t column)
{
    size_t width = 0;

    for (size_t row = 0; row < table->rows; row++) {
        size_t wanted = cell_width(cell_at(table, row, column));
        width = wanted > width ? wanted : width;
    }
    return width;
}

/* No blanks at the end of a line: the last column is padded on its left only. */
static void print_cell(const char *cell, size_t width, bool right, bool last)
{
    int padding = (int)(width - cell_width(cell));

    out_print("%*s%s", right ? padding : 0, "", cell);
    if (!last)
        out_print("%*s", (right ? 0 : padding) + 2, "");
}

void table_print(const Table *table)
{
    size_t *widths = mem_alloc(table->columns * sizeof widths[0]);

    for (size_t column = 0; column < table->columns; column++)
        widths[column] = column_width(table, column);
    for (size_t row = 0; row < table->rows; row++) {
        size_t end = table->columns;
        while (end > 0 && *cell_at(table, row, end - 1) == '\0')
            end--;
        for (size_t column = 0; column < end; column++) {
            print_cell(cell_at(table, row, column), widths[column], is_right(table, row, column),
                       column + 1 == end);
        }
        out_print("\n");
    }
    mem_free(widths);
}

void table_freep(Table **table)
{
    if (*table == NULL)
        return;
    arena_done(&(*table)->arena);
    mem_free((*table)->cells);
    mem_free(*table);
    *table = NULL;
}
