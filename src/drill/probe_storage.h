/*
 * probe_storage.h - is what is stored whole? Files, pages, indexes, tables.
 */
#pragma once

#include "probe_look.h"

/* Each tablespace has its directory. Once for the cluster. */
bool probe_tablespaces(ProbeLook *look, Error *err) MUST_CHECK;
/* Each relation of this database has its file. */
bool probe_files(ProbeLook *look, Error *err) MUST_CHECK;
/* Each table and each btree index, by the extension amcheck. */
bool probe_amcheck(ProbeLook *look, Error *err) MUST_CHECK;
/* Every row of every table is read, and counted. */
bool probe_tables(ProbeLook *look, Error *err) MUST_CHECK;
