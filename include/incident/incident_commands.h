/*
 * incident_commands.h - the commands that bring a database back, and those that try it beforehand;
 * src/incident has one file for each. All others: command/commands.h.
 */
#pragma once

#include "cli/options.h"

bool command_restore(const Options *options, Error *err) MUST_CHECK;
bool command_watch(const Options *options, Error *err) MUST_CHECK;
bool command_advance(const Options *options, Error *err) MUST_CHECK;
bool command_promote(const Options *options, Error *err) MUST_CHECK;
bool command_drill(const Options *options, Error *err) MUST_CHECK;
bool command_incident(const Options *options, Error *err) MUST_CHECK;
