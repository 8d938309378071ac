/*
 * old_archiving.h - whether the server of an old data directory archives into this archive.
 *
 * A clone that goes on exactly where the archive ends can't be told from its original by its WAL.
 * Its settings tell: archiving is off, stores nothing, or goes to another repository or under
 * another name.
 */
#pragma once

#include "repo/repo.h"

/*
 * As far as its own files say: the settings of its last start (postmaster.opts), and those in the
 * directory. What is not known (a script, settings that are elsewhere) counts as yes.
 */
bool old_directory_archives(const Cluster *cluster, const char *data);
