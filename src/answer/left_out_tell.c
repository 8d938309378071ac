#include "answer/left_out_tell.h"

#include "cli/output.h"

#include <inttypes.h>

static void print_names(const char *title, const char *const *names)
{
    out_print("  %-10s ", title);
    for (size_t i = 0; names[i] != NULL; i++)
        out_print("%s%s", i > 0 ? ", " : "", names[i]);
    out_print("%s\n", names[0] == NULL ? "none" : "");
}

void left_out_print(const LeftOut *left_out)
{
    char bytes[OUT_TEXT_SIZE];

    if (left_out->kept == NULL)
        return;
    print_names("databases", left_out->kept);
    print_names("left empty", left_out->empty);
    out_print("             %" PRIu64 " files, %s, are not written. Nobody can connect to these "
              "databases;\n"
              "             they are to be dropped. This is not the whole cluster: take from it "
              "what\n"
              "             you need, and never put it in the place of the original\n",
              left_out->files, out_bytes(left_out->bytes, bytes));
}

/* An SQL identifier: quoted, with its quotes doubled. */
static void print_identifier(const char *name)
{
    out_print("\"");
    for (const char *at = name; *at != '\0'; at++)
        out_print(*at == '"' ? "\"\"" : "%c", *at);
    out_print("\"");
}

void left_out_print_next(const LeftOut *left_out)
{
    if (left_out->kept == NULL)
        return;
    for (size_t i = 0; left_out->empty[i] != NULL; i++) {
        out_print("  %-10s DROP DATABASE ", i == 0 ? "to drop" : "");
        print_identifier(left_out->empty[i]);
        out_print(";%s\n",
                  i == 0 ? "  once it is open; until then no backup of it can be taken" : "");
    }
}

static void names_to_json(const char *key, const char *const *names, Json *json)
{
    json_begin_array(json, key);
    for (size_t i = 0; names[i] != NULL; i++)
        json_text(json, NULL, names[i]);
    json_end_array(json);
}

void left_out_to_json(const LeftOut *left_out, Json *json)
{
    if (left_out->kept == NULL) {
        json_text(json, "only_databases", NULL);
        return;
    }
    json_begin_object(json, "only_databases");
    names_to_json("brought_back", left_out->kept, json);
    names_to_json("left_empty", left_out->empty, json);
    json_u64(json, "files_not_written", left_out->files);
    json_u64(json, "bytes_not_written", left_out->bytes);
    json_end_object(json);
}
