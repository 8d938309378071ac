/*
 * no_network.h - a server without a network: whatever its functions, triggers and libraries try,
 * nothing leaves this host.
 *
 * Settings can't do that: SQL reaches other hosts by dblink, foreign tables, untrusted languages.
 * So the process gives up the right to open any socket but those of the local file system
 * (seccomp(2): socket(2) of another family fails with EAFNOSUPPORT), and all that it starts does so
 * with it. That needs no right, no namespace and no other user: unlike in a user namespace files
 * keep their owners, and a container has it as well as a host. io_uring_setup(2) fails with ENOSYS,
 * as a ring could open what the process itself may not. Programs with the setuid bit have no
 * effect from then on (PR_SET_NO_NEW_PRIVS).
 */
#pragma once

#include "base/base.h"

/* Whether this kernel and this processor let us do it: tried, in a child. */
bool network_can_be_left(void);

/*
 * For ProcessSetup.in_child. It holds from now on and can't be undone. When it fails, errno says
 * why.
 */
bool network_leave(void);
