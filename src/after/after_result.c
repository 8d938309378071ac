#include "after_parts.h"

bool after_unknown(AfterLook *look, CheckKind kind, const Error *attempt, Error *err)
{
    if (attempt->code == ERR_INTERRUPTED)
        return error_pass(err, attempt);
    checks_put(look->list, kind, CHECK_UNKNOWN, attempt->message, attempt->hint);
    return true;
}
