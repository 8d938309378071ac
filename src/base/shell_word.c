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
