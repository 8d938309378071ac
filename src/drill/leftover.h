/*
 * leftover.h - the processes of a drill that was killed, or is over.
 */
#pragma once

#include "base/error.h"

#include <sys/types.h>

/*
 * End every process that works in the data directory (its working directory is there), and `server`
 * unless it is 0: at once, as the cluster is thrown away, and its shared memory too. data need not
 * be there. ERR_IO when one does not end.
 */
bool leftover_end_server(const char *data, pid_t server, Error *err) MUST_CHECK;
