#include "server/presence.h"

#define SECONDS(n) ((TimeUs)(n)*1000000)

/*
 * A server looks once a minute whether its lock file still has its own number, and ends at once
 * when it has not. It wakes up once a minute too, so two can pass, and its processes get seconds to
 * end (ServerLoop(), postmaster.c).
 */
static const TimeUs ends_without_lock = SECONDS(150);
/* Clocks of two hosts differ. */
static const TimeUs ends_without_lock_elsewhere = SECONDS(600);
/* From its first moment until it says in pg_control that it is in production. */
static const TimeUs says_that_it_runs = SECONDS(300);

static TimeUs time_to_end(const PresenceFacts *facts)
{
    return facts->may_be_shared ? ends_without_lock_elsewhere : ends_without_lock;
}

static bool is_seen(const PresenceFacts *facts)
{
    return facts->process != 0 || facts->tool != 0 || facts->memory == MEMORY_ATTACHED ||
           facts->socket == SOCKET_ANSWERS;
}

/* What pg_control and the files beside it prove, wherever a server may be. */
static bool is_at_rest(const PresenceFacts *facts)
{
    /* One that is seen to be there, and not where, may be one that never looks (--single). */
    bool has_ended = facts->unseen == 0 && facts->quiet > time_to_end(facts);

    if (!facts->has_lock && (facts->is_untouched || has_ended))
        return true;
    return facts->is_stopped && (!facts->has_lock || facts->lock_age > says_that_it_runs);
}

/* The lock file's own server is dead: what only it had is still there. */
static bool presence_is_dead(const PresenceFacts *facts)
{
    return facts->has_lock && (facts->memory == MEMORY_LEFT || facts->socket == SOCKET_REFUSES);
}

Presence presence_judge(const PresenceFacts *facts)
{
    if (is_seen(facts))
        return PRESENCE_SERVER;
    if (is_at_rest(facts) || presence_is_dead(facts))
        return PRESENCE_NONE;
    if (!facts->may_be_shared &&
        (facts->sees_all || (facts->has_lock && facts->is_lock_before_boot)))
        return PRESENCE_NONE;
    return PRESENCE_DOUBT;
}

bool presence_check_none(const char *data, Error *err)
{
    PresenceFacts facts;

    if (!presence_look(data, &facts, err))
        return false;
    /* Without a lock file one that works is one that ends at once: what it left tells more. */
    if (presence_judge(&facts) == PRESENCE_NONE || !facts.has_lock)
        return true;
    error_set(err, ERR_UNREACHABLE,
              "the server of %s (process %d) can't be seen from here; it may run all the same",
              data, (int)facts.lock_pid);
    return error_hint(err, "run this where the server runs: as its user, on its host, in its "
                           "container");
}

TimeUs presence_wait(const PresenceFacts *facts)
{
    if (presence_judge(facts) != PRESENCE_DOUBT || facts->has_lock || facts->may_be_shared ||
        facts->unseen != 0)
        return 0;
    return time_to_end(facts) - facts->quiet + SECONDS(1);
}
