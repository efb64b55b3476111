/* replicaset.c - keeps spec.replicas pods of each ReplicaSet and ReplicationController: creates
 * what is missing - in batches of 1, 2, 4 …, so that a template which is refused costs one request
 * -, deletes what is too many (the least useful first), adopts and releases pods, and reports the
 * counts. A template whose pods fail at once is tried again after growing delays only. */
#include "controller/attempt.h"
#include "controller/rank.h"

#include "controller/controller_internal.h"

enum { BURST = 500 }; /* pods made or deleted in one go */

static const WatchedKind *set_kind(const Controller *c)
{
    return c->def->kinds[0];
}

static const ReplicasView *view(const ApiObject *set)
{
    return set->projection;
}

static void queue_owner(Controller *c, const ApiObject *pod)
{
    const OwnerRef *ref = controller_of(pod);
    if (ref && sv_eq(ref->kind, set_kind(c)->kind))
        controller_queue(c, pod->ns, ref->name);
}

static void observe(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    if (kind == set_kind(c)) {
        controller_queue(c, o->ns, o->name);
        return;
    }
    if (!now || obj_deleting(now))
        map_del(&c->doomed, o->uid);
    queue_owner(c, o);
    if (old && now)
        queue_owner(c, old); /* it may have had another one */
    if (now && !controller_of(now)) {
        size_t n; /* whoever selects it may adopt it */
        ApiObject *const *sets = obj_indexed(c, set_kind(c), INDEX_NS, now->ns, &n);
        for (size_t i = 0; i < n; i++)
            controller_queue(c, sets[i]->ns, sets[i]->name);
    }
}

/* ---- claiming ---- */

static Selector *selector_of(Job *j, const ApiObject *rs)
{
    Selector *ret = arena_new(&j->arena, Selector);
    if (!ret) {
        job_fail(j);
        return NULL;
    }
    const Value *sel = &view(rs)->selector;
    int r = set_kind(j->c) == &kind_replicasets ? selector_from_object(sel, &j->arena, ret, NULL)
                                                : selector_from_labels(sel, &j->arena, ret, NULL);
    if (r < 0)
        job_fail(j);
    return r < 0 ? NULL : ret;
}

/* ---- creating ---- */

typedef struct Batch {
    Value pod;
    int64_t left, size, waiting;
    bool failed;
} Batch;

static void create_batch(Job *j, Batch *b);

static bool on_created(Job *j, const ApiResult *r, void *arg)
{
    Batch *b = arg;
    ApiObject *rs = obj_find(j->c, set_kind(j->c), j->ns, j->name);
    bool ending =
        r->err && sv_find(sv_cstr(r->err->msg), SV("because it is being terminated")) >= 0;
    if (rs && !r->err)
        obj_event(j->c, set_kind(j->c), rs, SV("Normal"), SV("SuccessfulCreate"),
                  "Created pod: %.*s", SV_FMT(value_path_str(r->body, "metadata.name")));
    else if (rs && !ending)
        obj_event(j->c, set_kind(j->c), rs, SV("Warning"), SV("FailedCreate"), "Error creating: %s",
                  r->err->msg);
    b->failed |= r->err != NULL;
    if (--b->waiting == 0 && !b->failed && b->left > 0) {
        b->size *= 2;
        create_batch(j, b);
    }
    return ending; /* nothing can be made in a namespace that ends: no repetition */
}

static void create_batch(Job *j, Batch *b)
{
    int64_t n = MIN(b->size, b->left);
    b->left -= n;
    b->waiting = n;
    for (int64_t i = 0; i < n && !j->failed; i++)
        job_create(j, &kind_pods, &b->pod, on_created, b);
}

/* The pod that the set's template describes. */
static Value pod_of_template(Job *j, const Value *set, const ApiObject *rs)
{
    static const StrView copied[] = { SV_INIT("labels"), SV_INIT("annotations"),
                                      SV_INIT("finalizers") };
    Arena *a = &j->arena;
    const Value *tmpl = value_path(set, "spec.template"), *spec = value_get(tmpl, SV("spec"));
    Value pod = value_map(), meta = value_map(), own = value_null();
    value_set(a, &meta, SV("generateName"), value_sv(arena_printf(a, "%.*s-", SV_FMT(rs->name))));
    value_set(a, &meta, SV("namespace"), value_sv(rs->ns));
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        const Value *v = value_get(value_get(tmpl, SV("metadata")), copied[i]);
        if (v)
            value_set(a, &meta, copied[i], *v);
    }
    value_set(a, &meta, SV("ownerReferences"), obj_owner_refs(a, set_kind(j->c), rs));
    value_set(a, &pod, SV("apiVersion"), value_sv(SV("v1")));
    value_set(a, &pod, SV("kind"), value_sv(SV("Pod")));
    value_set(a, &pod, SV("metadata"), meta);
    if (spec)
        value_set(a, &pod, SV("spec"), *spec);
    if (!value_clone(a, &pod, &own)) /* the answer that has the template goes */
        job_fail(j);
    return own;
}

/* The set as it is now: it may ask for fewer than it did, or be another one. */
static bool on_template(Job *j, const ApiResult *r, void *arg)
{
    Batch *b = arg;
    const ApiObject *rs = obj_find(j->c, set_kind(j->c), j->ns, j->name);
    if (r->err)
        return r->err->code == ERR_NOT_FOUND;
    if (!rs || !sv_eq(value_path_str(r->body, "metadata.uid"), rs->uid) ||
        value_path_str(r->body, "metadata.deletionTimestamp").len ||
        value_int_or(value_path(r->body, "metadata.generation"), 0) != view(rs)->generation)
        return true; /* its change brings it back */
    b->pod = pod_of_template(j, r->body, rs);
    if (!j->failed)
        create_batch(j, b);
    return true;
}

static void create_pods(Job *j, const ApiObject *rs, int64_t n)
{
    Batch *b = arena_new(&j->arena, Batch);
    if (!b) {
        job_fail(j);
        return;
    }
    b->left = n;
    b->size = 1;
    job_get(j, set_kind(j->c), rs->ns, rs->name, on_template, b);
}

static Attempt attempt_of(const ApiObject *pod)
{
    const PodView *v = pod_of(pod);
    Attempt a = { v->meta.created_ns, ATTEMPT_TAKEN };
    if (v->phase == POD_FAILED) {
        int64_t age_ms = (v->ended_ns - a.created_ns) / NSEC_PER_MSEC;
        if (age_ms < ATTEMPT_YOUNG_MS)
            a.outcome = ATTEMPT_REFUSED;
    } else if (v->phase != POD_RUNNING && v->phase != POD_SUCCEEDED)
        a.outcome = ATTEMPT_OPEN;
    return a;
}

/* While the pods fail at once, one is tried at growing intervals; the rest follow when a node takes
 * it. */
static void create_missing(Job *j, const ApiObject *rs, ApiObject *const *owned, size_t n_owned,
                           int64_t missing)
{
    Attempt *attempts = arena_array(&j->arena, Attempt, n_owned + 1);
    if (!attempts) {
        job_fail(j);
        return;
    }
    for (size_t i = 0; i < n_owned; i++)
        attempts[i] = attempt_of(owned[i]);
    AttemptDelay d = attempt_delay(attempts, n_owned, clock_real_ns());
    if (d.wait_ms > 0)
        job_again(j, d.wait_ms);
    else
        create_pods(j, rs, d.refused ? 1 : missing);
}

/* ---- deleting ---- */

static bool on_deleted(Job *j, const ApiResult *r, void *arg)
{
    StrView *name_uid = arg;
    ApiObject *rs = obj_find(j->c, set_kind(j->c), j->ns, j->name);
    if (r->err)
        map_del(&j->c->doomed, name_uid[1]);
    if (rs && !r->err)
        obj_event(j->c, set_kind(j->c), rs, SV("Normal"), SV("SuccessfulDelete"),
                  "Deleted pod: %.*s", SV_FMT(name_uid[0]));
    return false;
}

static PodRank rank_of(const ApiObject *pod)
{
    const PodView *v = pod_of(pod);
    return (PodRank){ .pod = pod,
                      .assigned = v->node.len > 0,
                      .ready = v->ready,
                      .phase = v->phase == POD_RUNNING   ? 2
                               : v->phase == POD_UNKNOWN ? 1
                                                         : 0,
                      .created_ns = v->meta.created_ns,
                      .ready_ns = v->ready_since_ns,
                      .deletion_cost = v->deletion_cost,
                      .restarts = v->restarts };
}

static void delete_pods(Job *j, ApiObject *const *active, size_t n_active, size_t n)
{
    PodRank *ranks = arena_array(&j->arena, PodRank, n_active);
    if (!ranks) {
        job_fail(j);
        return;
    }
    for (size_t i = 0; i < n_active; i++)
        ranks[i] = rank_of(active[i]);
    pod_rank_sort(ranks, n_active);
    for (size_t i = 0; i < n; i++) {
        const ApiObject *pod = ranks[i].pod;
        StrView *arg = arena_array(&j->arena, StrView, 2);
        if (!arg || !map_set(&j->c->doomed, pod->uid, j->c, NULL)) {
            job_fail(j);
            return;
        }
        arg[0] = arena_sv(&j->arena, pod->name);
        arg[1] = arena_sv(&j->arena, pod->uid);
        job_delete(j, &kind_pods, pod, SV("Background"), on_deleted, arg);
    }
}

/* ---- status ---- */

typedef struct Counts {
    int64_t replicas, labeled, ready, available;
} Counts;

static bool matches_all(const Value *have, const Value *labels)
{
    value_map_foreach (m, labels) {
        const Value *v = value_get(have, m->key);
        if (!v || !sv_eq(value_str(v), value_str(&m->val)))
            return false;
    }
    return true;
}

static Counts count(Job *j, const ReplicasView *rs, ApiObject *const *active, size_t n)
{
    Counts c = { .replicas = (int64_t)n };
    int64_t now = clock_real_ns();
    for (size_t i = 0; i < n; i++) {
        const PodView *pod = pod_of(active[i]);
        uint64_t wait;
        c.labeled += matches_all(&pod->meta.labels, &rs->template_labels);
        c.ready += pod->ready;
        c.available += pod_available(pod, rs->min_ready_s, now, &wait);
        if (wait)
            job_again(j, wait);
    }
    return c;
}

static void write_status(Job *j, const ApiObject *rs, const Counts *c)
{
    const ReplicasView *v = view(rs);
    const struct {
        StrView name;
        int64_t had, value;
    } fields[] = { { SV("replicas"), v->status.replicas, c->replicas },
                   { SV("fullyLabeledReplicas"), v->status.labeled, c->labeled },
                   { SV("readyReplicas"), v->status.ready, c->ready },
                   { SV("availableReplicas"), v->status.available, c->available },
                   { SV("observedGeneration"), v->status.observed, v->generation } };
    Value patch = value_map(), status = value_map();
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (fields[i].had != fields[i].value)
            value_set(&j->arena, &status, fields[i].name,
                      fields[i].value || i == 0 ? value_int(fields[i].value) : value_null());
    if (!status.len)
        return;
    value_set(&j->arena, &patch, SV("status"), status);
    job_patch(j, set_kind(j->c), rs, SV("status"), API_PATCH_MERGE, &patch);
}

static void reconcile(Job *j)
{
    ApiObject *rs = obj_find(j->c, set_kind(j->c), j->ns, j->name);
    const Selector *selector = rs ? selector_of(j, rs) : NULL;
    if (!selector)
        return;
    if (!obj_deleting(rs) && claim_orphans(j, set_kind(j->c), rs, &kind_pods, selector)) {
        job_again(j, 10); /* counted when the informer has seen it */
        return;
    }
    size_t n_owned, n = 0;
    ApiObject *const *owned = obj_owned(j->c, &kind_pods, rs, &n_owned);
    ApiObject **active = arena_array(&j->arena, ApiObject *, n_owned + 1);
    if (!active) {
        job_fail(j);
        return;
    }
    for (size_t i = 0; i < n_owned; i++) {
        if (!pod_active(j->c, owned[i]))
            continue;
        if (claim_matches(selector, owned[i]))
            active[n++] = owned[i];
        else if (!obj_deleting(rs))
            claim_release(j, rs, &kind_pods, owned[i]);
    }
    int64_t diff = view(rs)->replicas - (int64_t)n;
    Counts counts = count(j, view(rs), active, n);
    write_status(j, rs, &counts);
    if (obj_deleting(rs))
        return;
    if (diff > 0)
        create_missing(j, rs, owned, n_owned, MIN(diff, BURST));
    else if (diff < 0)
        delete_pods(j, active, n, (size_t)MIN(-diff, BURST));
}

const ControllerDef replicaset_controller = { .name = "replicaset-controller",
                                              .queue = "replicaset",
                                              .workers = 5,
                                              .kinds = { &kind_replicasets, &kind_pods },
                                              .observe = observe,
                                              .reconcile = reconcile };
const ControllerDef replication_controller = { .name = "replication-controller",
                                               .queue = "replicationmanager",
                                               .workers = 5,
                                               .kinds = { &kind_replicationcontrollers,
                                                          &kind_pods },
                                               .observe = observe,
                                               .reconcile = reconcile };
