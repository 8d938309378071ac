/*
 * journal.h - what happened: one small record per finished operation, successful or not.
 *
 * journal/TIME-OPERATION-RANDOM. Losing an entry loses no data, so writing one never makes an
 * operation fail: the caller logs a warning. docs/format.md, chapter 7.
 */
#pragma once

#include "repo/record.h"
#include "repo/repo.h"

/*
 * Begin with record_begin(writer, "journal", 1) and add what there is to say. "operation", "status"
 * (exit status), "started" and "finished" must be among it.
 */
bool journal_store(const Cluster *cluster, const char *operation, RecordWriter *writer,
                   Error *err) MUST_CHECK;
