#include "setup/secrets.h"

#include "base/log.h"

#include <stdlib.h>
#include <sys/prctl.h>

/* "password=...", also in a URI's parameters, or "postgresql://user:secret@host". */
static bool holds_password(const char *conninfo)
{
    const char *authority = strstr(conninfo, "://");
    const char *at = authority != NULL ? strchr(authority, '@') : NULL;
    const char *colon = authority != NULL ? strchr(authority + 3, ':') : NULL;

    return strstr(conninfo, "password") != NULL || (at != NULL && colon != NULL && colon < at);
}

static void warn_of_readers(const Options *options)
{
    if (!options->conninfo_is_from_file || !options->config_is_public)
        return;
    log_warn("everybody on this host can read the password in the configuration file: take the "
             "right to read from others (chmod o-r), or put the password into ~/.pgpass",
             log_str("file", options->config_file));
}

void secrets_guard(const Options *options)
{
    bool is_given = options->conninfo != NULL && holds_password(options->conninfo);

    if (is_given)
        warn_of_readers(options);
    if (is_given || getenv("PGPASSWORD") != NULL)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* what it protects from is a help, no promise */
}
