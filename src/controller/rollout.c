/* rollout.c - how many replicas each ReplicaSet of a Deployment gets next. */
#include "controller/rollout.h"

int64_t rollout_amount(const Value *v, int64_t replicas, bool up)
{
    if (value_is(v, VALUE_INT))
        return MAX(v->i, 0);
    StrView text = value_str(v);
    int64_t percent;
    if (!sv_ends(text, SV("%")) || sv_to_i64(sv_head(text, text.len - 1), &percent) < 0 ||
        percent < 0 || percent > 1000000)
        return 0;
    return (percent * replicas + (up ? 99 : 0)) / 100;
}

RolloutLimits rollout_limits(const Value *max_surge, const Value *max_unavailable, int64_t replicas)
{
    RolloutLimits l = { rollout_amount(max_surge, replicas, true),
                        rollout_amount(max_unavailable, replicas, false) };
    if (l.surge == 0 && l.unavailable == 0)
        l.unavailable = 1;
    l.unavailable = MIN(l.unavailable, replicas);
    return l;
}

static int64_t total_of(const RolloutSet *sets, size_t n)
{
    int64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += sets[i].replicas;
    return total;
}

static bool step_old(RolloutSet *sets, size_t n, int64_t replicas, RolloutLimits l)
{
    int64_t min_available = replicas - l.unavailable, available = sets[0].available;
    int64_t spare =
        total_of(sets, n) - min_available - MAX(sets[0].replicas - sets[0].available, 0);
    bool changed = false;
    /* Pods that do not serve anyway go first: they only take the room of new ones. */
    for (size_t i = 1; i < n && spare > 0; i++) {
        int64_t cut = MIN(MAX(sets[i].replicas - sets[i].available, 0), spare);
        sets[i].replicas -= cut;
        spare -= cut;
        changed = changed || cut > 0;
    }
    for (size_t i = 1; i < n; i++)
        available += sets[i].available;
    spare = MIN(spare, available - min_available);
    for (size_t i = 1; i < n && spare > 0; i++) {
        int64_t cut = MIN(sets[i].replicas, spare);
        sets[i].replicas -= cut;
        spare -= cut;
        changed = changed || cut > 0;
    }
    return changed;
}

bool rollout_step(RolloutSet *sets, size_t n, int64_t replicas, RolloutLimits l)
{
    if (sets[0].replicas > replicas) {
        sets[0].replicas = replicas;
        return true;
    }
    int64_t room = MIN(replicas + l.surge - total_of(sets, n), replicas - sets[0].replicas);
    if (room > 0) {
        sets[0].replicas += room;
        return true;
    }
    return step_old(sets, n, replicas, l);
}

bool rollout_scale(RolloutSet *sets, size_t n, int64_t replicas, RolloutLimits l)
{
    int64_t total = total_of(sets, n), allowed = replicas > 0 ? replicas + l.surge : 0,
            left = allowed - total;
    size_t active = 0, only = 0;
    for (size_t i = 0; i < n; i++)
        if (sets[i].replicas > 0) {
            active++;
            only = i;
        }
    if (active <= 1) {
        bool changed = sets[only].replicas != replicas;
        sets[only].replicas = replicas;
        return changed;
    }
    if (left == 0)
        return false;
    size_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        if (sets[i].replicas > sets[largest].replicas)
            largest = i;
        int64_t base = sets[i].max_replicas > 0 ? sets[i].max_replicas : total;
        int64_t share = (2 * sets[i].replicas * allowed + base) / (2 * base) - sets[i].replicas;
        share = left > 0 ? MAX(MIN(share, left), 0) : MIN(MAX(share, left), 0);
        sets[i].replicas += share;
        left -= share;
    }
    sets[largest].replicas = MAX(sets[largest].replicas + left, 0); /* what rounding left over */
    return true;
}
