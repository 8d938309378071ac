#include "rebuild/extra_place.h"

#include "base/file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEBIAN_MODE = 0755 };

bool extra_place_make(const RestorePlan *plan, Error *err)
{
    if (!plan->puts_back)
        return file_make_directories(plan->extra_directory, EXTRA_PLACE_MODE, err);
    /* pg_createcluster makes it, postgresql.conf includes it, and it is empty most often. */
    CLEANUP(text_freep) char *path = text_format("%s/conf.d/", plan->debian_directory);
    for (char *slash = path + strlen(DEBIAN_ROOT) + 1; (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = '\0';
        if (access(path, F_OK) != 0 &&
            (!file_make_directories(path, DEBIAN_MODE, err) || chmod(path, DEBIAN_MODE) != 0)) {
            return err->code != ERR_NONE ? false
                                         : error_set_errno(err, ERR_IO, errno, "chmod %s", path);
        }
        *slash = '/';
    }
    return true;
}
