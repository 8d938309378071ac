/*
 * probe_counts.h - numbers that the next drill compares with.
 */
#pragma once

#include "probe_look.h"

void probe_note_count(ProbeLook *look, bool is_sequence, const char *name, const char *number);
/* Where the sequences of this database stand. */
bool probe_sequences(ProbeLook *look, Error *err) MUST_CHECK;
/* Against request->before_...: at the end, for the whole cluster. */
void probe_compare_counts(ProbeLook *look);
