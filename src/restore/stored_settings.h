/*
 * stored_settings.h - the configuration as it will come back: read from the backup, before anything
 * is written.
 */
#pragma once

#include "restore/restore.h"

typedef struct StoredSettings {
    SettingList settings; /* settings_done() is the caller's */
    bool is_certain;      /* no included file, which may be a different one by then, has a say */
} StoredSettings;

/* What is missing or damaged is left out: those who need it refuse it. */
void stored_settings_read(const Cluster *cluster, const RestorePlan *plan, StoredSettings *stored);
