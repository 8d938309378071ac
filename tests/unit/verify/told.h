/* told.h - what verify has told about a vault. */
#pragma once

#include "vault.h"

void print_findings(const VerifyReport *report);

/* The worst finding about this object; NULL when there is none. */
const Finding *about(const VerifyReport *report, const char *object);

/* It is told that something is wrong with this object, and what that means. */
const Finding *expect_trouble(Vault *vault, VerifyReport *report, const char *object,
                              const char *harm);

/* The text of this finding has these words. */
void expect_words(const Finding *finding, const char *text, const char *words);
