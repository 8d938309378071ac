/*
 * stored_settings.h - the configuration as it will come back: read from the backup, before anything
 * is written.
 */
#pragma once

#include "restore/restore.h"

typedef struct StoredSettings {
    SettingList settings; /* The caller calls settings_done(). */
    /* The result does not depend on an included file, which may have changed by then. */
    bool is_certain;
} StoredSettings;

/* What is missing or damaged is left out: those who need it refuse it. */
void stored_settings_read(const Cluster *cluster, const RestorePlan *plan, StoredSettings *stored);
