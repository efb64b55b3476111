/* deployment.c - one ReplicaSet for each pod template of a Deployment, and the way from the old
 * ones to the new: rolling or by recreation, with revisions, pause, scaling and a limited history.
 * ReplicaSets that it selects and that nobody controls are adopted. */
#include "controller/deployment.h"

#include "codec/json.h"

#define HASH_LABEL  SV("pod-template-hash")
#define REVISION    SV("deployment.kubernetes.io/revision")
#define DESIRED     SV("deployment.kubernetes.io/desired-replicas")
#define MAX_ALLOWED SV("deployment.kubernetes.io/max-replicas")

static void queue_owner(Controller *c, const ApiObject *rs)
{
    const Value *ref = obj_controller_ref(rs);
    if (ref && sv_eq(value_str(value_get(ref, SV("kind"))), SV("Deployment")))
        controller_queue(c, rs->ns, value_str(value_get(ref, SV("name"))));
}

static void queue_all(Controller *c, StrView ns)
{
    size_t n;
    ApiObject *const *all = informer_by_index(c->cs->informers[KIND_DEPLOYMENT], INDEX_NS, ns, &n);
    for (size_t i = 0; i < n; i++)
        controller_queue(c, all[i]->ns, all[i]->name);
}

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    if (kind == KIND_DEPLOYMENT)
        controller_queue(c, o->ns, o->name);
    if (kind == KIND_POD && !now) { /* Recreate waits for the last old pod */
        const Value *ref = obj_controller_ref(o);
        o = ref ? obj_find(c->cs, KIND_REPLICASET, o->ns, value_str(value_get(ref, SV("name"))))
                : NULL;
    } else if (kind != KIND_REPLICASET)
        return;
    if (o)
        queue_owner(c, o);
    if (old && now)
        queue_owner(c, old); /* it may have had another one */
    if (kind == KIND_REPLICASET && now && !obj_controller_ref(now))
        queue_all(c, now->ns); /* whoever selects it adopts it */
}

/* ---- what there is ---- */

static int64_t annotation_int(const ApiObject *o, StrView key)
{
    int64_t n;
    StrView text = value_str(value_get(value_get(obj_meta(o), SV("annotations")), key));
    return sv_to_i64(text, &n) < 0 ? 0 : n;
}

static int64_t replicas_of(const ApiObject *rs)
{
    return value_int_or(value_path(obj_doc(rs), "spec.replicas"), 1);
}

static bool same_template(Job *j, const ApiObject *rs, const Value *tmpl)
{
    Value copy;
    if (!value_clone(&j->arena, value_path(obj_doc(rs), "spec.template"), &copy))
        return false;
    value_del(value_path(&copy, "metadata.labels"), HASH_LABEL);
    return value_equal(&copy, tmpl);
}

static int by_age(const void *a, const void *b)
{
    const ApiObject *x = *(ApiObject *const *)a, *y = *(ApiObject *const *)b;
    int c = sv_cmp(value_path_str(obj_doc(x), "metadata.creationTimestamp"),
                   value_path_str(obj_doc(y), "metadata.creationTimestamp"));
    return c ? c : sv_cmp(x->name, y->name);
}

static bool gather(DeploymentView *v)
{
    size_t n_owned;
    ApiObject *const *owned = obj_owned(v->job->c->cs, KIND_REPLICASET, v->deployment, &n_owned);
    v->sets = arena_array(&v->job->arena, ApiObject *, n_owned + 1);
    v->plan = arena_array(&v->job->arena, RolloutSet, n_owned + 1);
    if (!v->sets || !v->plan)
        return false;
    v->n = 1;
    for (size_t i = 0; i < n_owned; i++) {
        if (claim_matches(v->selector, owned[i]))
            v->sets[v->n++] = owned[i];
        else if (!obj_deleting(v->deployment))
            claim_release(v->job, v->deployment, KIND_REPLICASET, owned[i]);
    }
    qsort(v->sets + 1, v->n - 1, sizeof *v->sets, by_age);
    for (size_t i = 1; i < v->n; i++) {
        if (!same_template(v->job, v->sets[i], value_path(v->doc, "spec.template")))
            continue;
        v->sets[0] = v->sets[i];
        memmove(v->sets + i, v->sets + i + 1, (v->n - i - 1) * sizeof *v->sets);
        v->n--;
        break;
    }
    int64_t old_revision = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (!v->sets[i])
            continue;
        v->plan[i] =
            (RolloutSet){ replicas_of(v->sets[i]),
                          value_int_or(value_path(obj_doc(v->sets[i]), "status.availableReplicas"),
                                       0),
                          annotation_int(v->sets[i], MAX_ALLOWED) };
        if (i)
            old_revision = MAX(old_revision, annotation_int(v->sets[i], REVISION));
    }
    int64_t own = v->sets[0] ? annotation_int(v->sets[0], REVISION) : 0;
    v->revision = own > old_revision ? own : old_revision + 1;
    return true;
}

/* ---- the ReplicaSets ---- */

static StrView template_hash(Job *j, const Value *tmpl, int64_t collisions)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789"; /* no vowels: no words */
    _cleanup_buf_ Buf text = BUF_INIT;
    json_encode(tmpl, &text);
    if (collisions)
        buf_i64(&text, collisions);
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < text.len; i++)
        h = (h ^ (unsigned char)text.ptr[i]) * 1099511628211u;
    char *out = arena_alloc(&j->arena, 10);
    for (int i = 0; out && i < 10; i++, h /= sizeof alphabet - 1)
        out[i] = alphabet[h % (sizeof alphabet - 1)];
    return sv_n(out, out && !text.failed ? 10 : 0);
}

static void annotate(DeploymentView *v, Value *rs, bool newest)
{
    Arena *a = &v->job->arena;
    Value *meta = value_get(rs, SV("metadata")), *notes = value_get(meta, SV("annotations"));
    if (!value_is(notes, VALUE_MAP))
        notes = value_set(a, meta, SV("annotations"), value_map());
    if (!notes)
        return;
    value_map_foreach (m, value_path(v->doc, "metadata.annotations")) {
        bool own = sv_starts(m->key, SV("deployment.kubernetes.io/")) ||
                   sv_eq(m->key, SV("kubectl.kubernetes.io/last-applied-configuration"));
        if (newest && !own)
            value_set(a, notes, m->key, m->val);
    }
    if (newest)
        value_set(a, notes, REVISION, value_sv(arena_printf(a, "%lld", (long long)v->revision)));
    value_set(a, notes, DESIRED, value_sv(arena_printf(a, "%lld", (long long)v->replicas)));
    value_set(a, notes, MAX_ALLOWED,
              value_sv(arena_printf(a, "%lld", (long long)(v->replicas + v->limits.surge))));
}

static void scaled_event(DeploymentView *v, StrView name, int64_t from, int64_t to)
{
    obj_event(v->job->c, KIND_DEPLOYMENT, v->deployment, SV("Normal"), SV("ScalingReplicaSet"),
              "Scaled %s replica set %.*s from %lld to %lld", to > from ? "up" : "down",
              SV_FMT(name), (long long)from, (long long)to);
}

static void create_set(DeploymentView *v)
{
    Job *j = v->job;
    Arena *a = &j->arena;
    Value tmpl, selector, rs = value_map();
    StrView hash = template_hash(j, value_path(v->doc, "spec.template"),
                                 value_int_or(value_path(v->doc, "status.collisionCount"), 0));
    if (!hash.len || !value_clone(a, value_path(v->doc, "spec.template"), &tmpl) ||
        !value_clone(a, value_path(v->doc, "spec.selector"), &selector)) {
        job_fail(j);
        return;
    }
    StrView name = arena_printf(a, "%.*s-%.*s", SV_FMT(v->deployment->name), SV_FMT(hash));
    Value *labels = value_make_path(a, &tmpl, "metadata.labels.x"),
          *match = value_make_path(a, &selector, "matchLabels.x");
    if (!labels || !match) {
        job_fail(j);
        return;
    }
    value_set(a, labels, HASH_LABEL, value_sv(hash));
    value_set(a, match, HASH_LABEL, value_sv(hash));
    if (!v->recreate)
        rollout_step(v->plan, v->n, v->replicas, v->limits);
    else
        v->plan[0].replicas = v->replicas;
    value_set(a, &rs, SV("apiVersion"), value_sv(SV("apps/v1")));
    value_set(a, &rs, SV("kind"), value_sv(SV("ReplicaSet")));
    value_set_path(a, &rs, "metadata.name", value_sv(name));
    value_set_path(a, &rs, "metadata.namespace", value_sv(v->deployment->ns));
    value_set_path(a, &rs, "metadata.labels", *labels);
    value_set_path(a, &rs, "metadata.ownerReferences",
                   obj_owner_refs(a, KIND_DEPLOYMENT, v->deployment));
    value_set_path(a, &rs, "spec.replicas", value_int(v->plan[0].replicas));
    value_set_path(a, &rs, "spec.minReadySeconds",
                   value_int(value_int_or(value_path(v->doc, "spec.minReadySeconds"), 0)));
    value_set_path(a, &rs, "spec.selector", selector);
    value_set_path(a, &rs, "spec.template", tmpl);
    annotate(v, &rs, true);
    job_create(j, KIND_REPLICASET, &rs, NULL, NULL);
    if (v->plan[0].replicas)
        scaled_event(v, name, 0, v->plan[0].replicas);
}

/* Writes what the plan changes; true when anything was. */
static bool write_sets(DeploymentView *v)
{
    bool wrote = false;
    for (size_t i = 0; i < v->n; i++) {
        ApiObject *rs = v->sets[i];
        if (!rs || obj_deleting(rs))
            continue;
        int64_t had = replicas_of(rs);
        Value copy = obj_copy(v->job, rs);
        if (i == 0 || had || v->plan[i].replicas)
            annotate(v, &copy, i == 0);
        value_set_path(&v->job->arena, &copy, "spec.replicas", value_int(v->plan[i].replicas));
        if (value_equal(&copy, obj_doc(rs)))
            continue;
        job_update(v->job, KIND_REPLICASET, SV_NULL, &copy);
        wrote = true;
        if (had != v->plan[i].replicas)
            scaled_event(v, rs->name, had, v->plan[i].replicas);
    }
    return wrote;
}

/* Whether spec.replicas changed since the sets were last written. */
static bool is_scaling(const DeploymentView *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->sets[i] && v->plan[i].replicas > 0 &&
            annotation_int(v->sets[i], DESIRED) != v->replicas)
            return true;
    return false;
}

static bool old_pods_exist(const DeploymentView *v)
{
    for (size_t i = 1; i < v->n; i++) {
        size_t n;
        ApiObject *const *pods = obj_owned(v->job->c->cs, KIND_POD, v->sets[i], &n);
        for (size_t k = 0; k < n; k++) {
            StrView phase = value_path_str(obj_doc(pods[k]), "status.phase");
            if (!sv_eq(phase, SV("Succeeded")) && !sv_eq(phase, SV("Failed")))
                return true;
        }
    }
    return false;
}

static void recreate(DeploymentView *v)
{
    for (size_t i = 1; i < v->n; i++)
        v->plan[i].replicas = 0;
    bool waiting = old_pods_exist(v);
    if (v->sets[0] && !waiting)
        v->plan[0].replicas = v->replicas;
    write_sets(v);
    if (!v->sets[0] && !waiting)
        create_set(v);
}

static int by_revision(const void *a, const void *b)
{
    int64_t x = annotation_int(*(ApiObject *const *)a, REVISION),
            y = annotation_int(*(ApiObject *const *)b, REVISION);
    return (x > y) - (x < y);
}

static void clean_history(DeploymentView *v)
{
    int64_t limit = value_int_or(value_path(v->doc, "spec.revisionHistoryLimit"), 10);
    ApiObject **idle = arena_array(&v->job->arena, ApiObject *, v->n);
    size_t n = 0;
    for (size_t i = 1; idle && i < v->n; i++)
        if (!replicas_of(v->sets[i]) &&
            !value_int_or(value_path(obj_doc(v->sets[i]), "status.replicas"), 0) &&
            !obj_deleting(v->sets[i]))
            idle[n++] = v->sets[i];
    if (n)
        qsort(idle, n, sizeof *idle, by_revision);
    for (size_t i = 0; i + (size_t)limit < n; i++)
        job_delete(v->job, KIND_REPLICASET, idle[i], SV("Background"), NULL, NULL);
}

static void roll(DeploymentView *v)
{
    if (v->paused || is_scaling(v)) {
        if (is_scaling(v))
            rollout_scale(v->plan, v->n, v->replicas, v->limits);
        if (v->sets[0] || v->n > 1)
            write_sets(v);
    } else if (v->recreate) {
        recreate(v);
    } else if (!v->sets[0]) {
        create_set(v);
    } else {
        rollout_step(v->plan, v->n, v->replicas, v->limits);
        if (!write_sets(v) && deployment_complete(v))
            clean_history(v);
    }
}

/* True when there is something to do for this round; false: it comes back, or cannot go on. */
static bool claim_sets(DeploymentView *v)
{
    Job *j = v->job;
    Selector *selector = arena_new(&j->arena, Selector);
    if (!selector ||
        selector_from_object(value_path(v->doc, "spec.selector"), &j->arena, selector, NULL) < 0) {
        job_fail(j);
        return false;
    }
    v->selector = selector;
    if (obj_deleting(v->deployment) ||
        !claim_orphans(j, KIND_DEPLOYMENT, v->deployment, KIND_REPLICASET, selector))
        return true;
    job_again(j, 10); /* they count when the informer has seen whose they are */
    return false;
}

static void reconcile(Job *j)
{
    DeploymentView v = { .job = j,
                         .deployment = obj_find(j->c->cs, KIND_DEPLOYMENT, j->ns, j->name) };
    if (!v.deployment)
        return;
    v.doc = obj_doc(v.deployment);
    v.replicas = value_int_or(value_path(v.doc, "spec.replicas"), 1);
    v.paused = value_bool_or(value_path(v.doc, "spec.paused"), false);
    v.recreate = sv_eq(value_path_str(v.doc, "spec.strategy.type"), SV("Recreate"));
    if (!v.recreate)
        v.limits = rollout_limits(value_path(v.doc, "spec.strategy.rollingUpdate.maxSurge"),
                                  value_path(v.doc, "spec.strategy.rollingUpdate.maxUnavailable"),
                                  v.replicas);
    if (!claim_sets(&v))
        return;
    if (!gather(&v)) {
        job_fail(j);
        return;
    }
    if (obj_deleting(v.deployment)) {
        deployment_write_status(&v);
        return;
    }
    if (v.sets[0] && !v.paused && annotation_int(v.deployment, REVISION) != v.revision) {
        /* The revision first: its write gives the next reconcile the resourceVersion for the rest.
         */
        Value copy = obj_copy(j, v.deployment), *meta = value_get(&copy, SV("metadata"));
        if (!value_get(meta, SV("annotations")))
            value_set(&j->arena, meta, SV("annotations"), value_map());
        value_set(&j->arena, value_get(meta, SV("annotations")), REVISION,
                  value_sv(arena_printf(&j->arena, "%lld", (long long)v.revision)));
        job_update(j, KIND_DEPLOYMENT, SV_NULL, &copy);
        job_again(j, 10);
        return;
    }
    roll(&v);
    deployment_write_status(&v);
}

const ControllerDef deployment_controller = { "deployment-controller", observe, reconcile, 5 };
