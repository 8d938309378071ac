#include "folder.h"

#include "base/file.h"
#include "base/tree.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[32];

int enter_folder(void **state)
{
    (void)state;
    memcpy(path, "/tmp/pgcairn-unit-XXXXXX", sizeof "/tmp/pgcairn-unit-XXXXXX");
    return mkdtemp(path) != NULL && chdir(path) == 0 ? 0 : -1;
}

int leave_folder(void **state)
{
    Error err = {0};

    (void)state;
    return chdir("/") == 0 && tree_remove(path, &err) ? 0 : -1;
}

const char *folder_path(void)
{
    return path;
}
