#include "told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

void print_findings(const VerifyReport *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const Finding *finding = &report->findings[i];

        print_message("%s %s: %s; expected %s; found %s; %s\n",
                      finding_severity_name(finding->severity), finding->object, finding->what,
                      finding->expected, finding->found, finding->meaning);
    }
}

const Finding *about(const VerifyReport *report, const char *object)
{
    for (size_t i = 0; i < report->count; i++) {
        if (strcmp(report->findings[i].object, object) == 0)
            return &report->findings[i];
    }
    return NULL;
}

const Finding *expect_trouble(Vault *vault, VerifyReport *report, const char *object,
                              const char *harm)
{
    vault_verify(vault, report);
    const Finding *finding = about(report, object);

    if (finding == NULL || finding->severity == FINDING_NOTE || *finding->meaning == '\0') {
        print_findings(report);
        fail_msg("%s: nothing is told of %s", harm, object);
        abort();
    }
    return finding;
}

void expect_words(const Finding *finding, const char *text, const char *words)
{
    if (strstr(text, words) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", finding->object, text, words);
}
