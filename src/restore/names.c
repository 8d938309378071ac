#include "restore/restore.h"

const char *target_action_name(TargetAction action)
{
    switch (action) {
    case ACTION_PAUSE:
        return "pause";
    case ACTION_PROMOTE:
        return "promote";
    case ACTION_SHUTDOWN:
        return "shutdown";
    }
    return "";
}

const char *target_kind_name(TargetKind kind)
{
    switch (kind) {
    case TARGET_LATEST:
        return "latest";
    case TARGET_IMMEDIATE:
        return "immediate";
    case TARGET_TIME:
        return "time";
    case TARGET_XID:
        return "xid";
    case TARGET_LSN:
        return "lsn";
    case TARGET_NAME:
        return "name";
    }
    return "";
}
