/*
 * listen.h - the settings that say where a server listens.
 */
#pragma once

#include "base/memory.h"
#include "postgres/settings.h"

/* As the server takes it, from the settings or the environment. */
unsigned listen_port(const SettingList *settings);

/*
 * The next one of unix_socket_directories, "/a, \"/b c\"", allocated, and *list moved on; NULL at
 * its end. Names with a comma are not told apart.
 */
char *listen_next_directory(const char **list);
