/*
 * requests.h - archive-push for many files: one question a line, one answer a line.
 */
#pragma once

#include "cli/options.h"

typedef bool PushFunction(const Options *options, Error *err);

/*
 * Reads paths from standard input, a line each, until its end, and pushes one after the other.
 * Answers on standard output: "0" when the file is durable in the repository, else the exit status
 * that a call of its own would have had, a space, and why. A file that fails does not end it. True
 * at the end of input; ERR_INTERRUPTED after a signal. A configuration file that was changed ends
 * it too (true): the question is left without an answer, and is for a process that has read the
 * file.
 */
bool requests_serve(const Options *options, PushFunction *push, Error *err) MUST_CHECK;
