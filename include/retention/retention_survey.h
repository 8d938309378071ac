/*
 * retention_survey.h - what the plan is made of: all that is in a cluster's part of the repository,
 * looked at once, in an order in which nothing that is new is taken for a leftover.
 *
 *     packs      before manifests: a pack without a manifest has none that was committed since
 *     leases     before all of it: who comes later sees what is condemned
 *
 * What can't be looked at whole is an error, or the plan's obstacle.
 */
#pragma once

#include "catalog/branches.h"
#include "repo/condemned.h"
#include "repo/lease.h"
#include "retention/plan.h"

typedef struct SurveyRequest {
    RetentionPolicy policy;
    /* It is the time zone of days, weeks, months and years: a name, or "UTC". */
    const char *zone;
    TimeUs now;           /* It is by the store's clock. */
    const Lease *own;     /* NULL means that we hold none. */
    const char *given_up; /* A person wants this backup gone. It may be NULL. */
    bool is_only_told;    /* Nothing is done with it: remembered WAL need not be listed again. */
} SurveyRequest;

typedef struct RetentionSurvey {
    const Cluster *cluster;
    LeaseList leases;
    CondemnedList condemned;
    WalInventory wal;
    BackupList backups;
    BranchList branches;
    ObjectList packs;
    RetentionPack *uses; /* It tells for each pack who refers to it. */
    RetentionInput input;
    Arena arena;
} RetentionSurvey;

static inline bool pack_is_shared(const RetentionPack *pack)
{
    return pack->users != NULL &&
           (pack->users->next != NULL || pack->users->first != pack->users->last);
}

bool retention_survey(RetentionSurvey *survey, const Cluster *cluster, const SurveyRequest *request,
                      Error *err) MUST_CHECK;
void retention_survey_done(RetentionSurvey *survey); /* for CLEANUP() */

/* One that lives, of somebody who reads or writes backups. */
bool lease_is_of_user(const LeaseInfo *lease);
/* A lease that lives and may be one of this purpose: "" can be any. */
const LeaseInfo *survey_find_lease(const RetentionSurvey *survey, const char *purpose);
/*
 * A reader that does not name what it reads, or whose backup is gone by now: while it lives nothing
 * is removed. It may be NULL.
 */
const LeaseInfo *survey_find_reader(const RetentionSurvey *survey);
const LeaseInfo *leases_find_reader(const LeaseList *leases, const BackupList *backups);
/* Whether each manifest that is there can be read: else nobody knows which packs are needed. */
bool survey_knows_references(const RetentionSurvey *survey);
/* Whether some record says that this segment is about to be removed. */
bool survey_wal_is_condemned(const RetentionSurvey *survey, uint32_t timeline, uint64_t segment);
/* "SEGMENT SEGMENT" of a condemned stretch; false: it is not one of this cluster. */
bool condemned_wal_parse(const char *text, uint32_t segment_size, WalName *first, WalName *last);
