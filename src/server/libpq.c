#include "libpq.h"

#include <dlfcn.h>
#include <pthread.h>

/* Written once, under pthread_once(), and only read afterwards. */
static Libpq functions;
static Error failure;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The list of functions, as names and as places in the table: X macro, so that none is forgotten.
 */
static const struct {
    const char *name;
    size_t offset;
} places[] = {
#define LIBPQ_PLACE(name) {#name, offsetof(Libpq, name)},
    LIBPQ_FUNCTIONS(LIBPQ_PLACE)
#undef LIBPQ_PLACE
};

static void libpq_load_once(void)
{
    /* Never closed: libpq and OpenSSL leave handlers that must stay mapped. */
    void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        error_set(&failure, ERR_USAGE, "%s", dlerror());
        error_hint(&failure, "install PostgreSQL's client library (Debian: libpq5)");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        void *function = dlsym(library, places[i].name);
        if (function == NULL) {
            error_set(&failure, ERR_USAGE, "libpq.so.5 has no %s", places[i].name);
            error_hint(&failure, "PostgreSQL's client library is too old: 13 or later is needed");
            return;
        }
        memcpy((char *)&functions + places[i].offset, &function, sizeof function);
    }
}

const Libpq *libpq_load(Error *err)
{
    (void)pthread_once(&once, libpq_load_once);
    if (failure.code != ERR_NONE) {
        *err = failure;
        return NULL;
    }
    return &functions;
}
