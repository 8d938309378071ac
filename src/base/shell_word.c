#include "base/shell_word.h"

void shell_word_append(Buffer *line, const char *word)
{
    bool is_plain =
        *word != '\0' && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789_-+=:,./@")] == '\0';

    if (is_plain) {
        buffer_print(line, "%s", word);
        return;
    }
    buffer_print(line, "'");
    for (const char *c = word; *c != '\0'; c++)
        buffer_print(line, *c == '\'' ? "'\\''" : "%c", *c);
    buffer_print(line, "'");
}

char *shell_word(const char *word)
{
    CLEANUP(buffer_done) Buffer line = {0};

    shell_word_append(&line, word);
    return text_format("%.*s", (int)line.size, (const char *)line.data);
}

static const char word_ends[] = " \t\n;|&()";

/* What stands in quotes, or after a backslash; *at goes on after it. */
static void take_quoted(const char **at, Buffer *word)
{
    const char quote = *(*at)++;

    if (quote == '\\') {
        if (**at != '\0')
            buffer_print(word, "%c", *(*at)++);
        return;
    }
    for (; **at != '\0' && **at != quote; (*at)++) {
        if (quote == '"' && **at == '\\' && (*at)[1] != '\0')
            (*at)++;
        buffer_print(word, "%c", **at);
    }
    *at += **at == quote;
}

const char *shell_word_next(const char **rest, Arena *arena)
{
    CLEANUP(buffer_done) Buffer word = {0};
    const char *at = *rest + strspn(*rest, word_ends);

    if (*at == '\0') {
        *rest = at;
        return NULL;
    }
    while (*at != '\0' && strchr(word_ends, *at) == NULL) {
        if (*at == '\'' || *at == '"' || *at == '\\') {
            take_quoted(&at, &word);
        } else {
            buffer_print(&word, "%c", *at++);
        }
    }
    *rest = at;
    return arena_text_part(arena, word.size > 0 ? (const char *)word.data : "", word.size);
}
