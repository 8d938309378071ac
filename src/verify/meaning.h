/*
 * meaning.h - what each trouble costs the operator.
 */
#pragma once

#include "verify_run.h"

/* Once all is known: sets the meaning of each. */
void troubles_tell(VerifyRun *run);
