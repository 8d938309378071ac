/*
 * service.h - telling systemd about us: sd_notify(3) by hand, so that no library is needed.
 */
#pragma once

#include "base/base.h"

/*
 * "READY=1", "STATUS=...", "STOPPING=1", "WATCHDOG=1"; several separated by line feeds. Nothing
 * happens unless $NOTIFY_SOCKET names a socket, and a failure has no effect.
 */
void service_notify(const char *state);

/* How often WATCHDOG=1 is wanted, half of $WATCHDOG_USEC; 0: not at all. */
uint64_t service_watchdog_ms(void);
