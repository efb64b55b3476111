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
    const OwnerRef *ref = controller_of(rs);
    if (ref && sv_eq(ref->kind, SV("Deployment")))
        controller_queue(c, rs->ns, ref->name);
}

static void queue_all(Controller *c, StrView ns)
{
    size_t n;
    ApiObject *const *all = obj_indexed(c, &kind_deployments, INDEX_NS, ns, &n);
    for (size_t i = 0; i < n; i++)
        controller_queue(c, all[i]->ns, all[i]->name);
}

static void observe(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    if (kind == &kind_deployments) {
        controller_queue(c, o->ns, o->name);
        return;
    }
    if (kind == &kind_pods) { /* Recreate waits for the last old pod */
        const OwnerRef *ref = now ? NULL : controller_of(o);
        if (ref && (o = obj_find(c, &kind_replicasets, o->ns, ref->name)) != NULL)
            queue_owner(c, o);
        return;
    }
    queue_owner(c, o);
    if (old && now)
        queue_owner(c, old); /* it may have had another one */
    if (now && !controller_of(now))
        queue_all(c, now->ns); /* whoever selects it adopts it */
}

/* ---- what there is ---- */

static int64_t note_int(const Value *annotations, StrView key)
{
    int64_t n;
    return sv_to_i64(value_str(value_get(annotations, key)), &n) < 0 ? 0 : n;
}

static int64_t set_note(const ApiObject *set, StrView key)
{
    return note_int(&set_view(set)->annotations, key);
}

static int by_age(const void *a, const void *b)
{
    const ApiObject *x = *(ApiObject *const *)a, *y = *(ApiObject *const *)b;
    int64_t a_ns = meta_of(x)->created_ns, b_ns = meta_of(y)->created_ns;
    int c = (a_ns > b_ns) - (a_ns < b_ns);
    return c ? c : sv_cmp(x->name, y->name);
}

static bool gather(Rollout *v)
{
    size_t n_owned;
    ApiObject *const *owned = obj_owned(v->job->c, &kind_replicasets, v->deployment, &n_owned);
    v->sets = arena_array(&v->job->arena, ApiObject *, n_owned + 1);
    v->plan = arena_array(&v->job->arena, RolloutSet, n_owned + 1);
    if (!v->sets || !v->plan)
        return false;
    v->n = 1;
    for (size_t i = 0; i < n_owned; i++) {
        if (claim_matches(v->selector, owned[i]))
            v->sets[v->n++] = owned[i];
        else if (!obj_deleting(v->deployment))
            claim_release(v->job, v->deployment, &kind_replicasets, owned[i]);
    }
    qsort(v->sets + 1, v->n - 1, sizeof *v->sets, by_age);
    for (size_t i = 1; i < v->n; i++) {
        if (set_view(v->sets[i])->template_digest != v->view->template_digest)
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
        const ReplicasView *set = set_view(v->sets[i]);
        v->plan[i] = (RolloutSet){ set->replicas, set->status.available,
                                   note_int(&set->annotations, MAX_ALLOWED) };
        if (i)
            old_revision = MAX(old_revision, note_int(&set->annotations, REVISION));
    }
    int64_t own = v->sets[0] ? set_note(v->sets[0], REVISION) : 0;
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

/* Sets what the annotations of one of the sets should say in the map `notes`. */
static void annotate(Rollout *v, Value *notes, bool newest)
{
    Arena *a = &v->job->arena;
    int64_t replicas = v->view->replicas, max = replicas + v->limits.surge;
    value_map_foreach (m, &v->view->annotations) {
        if (newest && !sv_starts(m->key, SV("deployment.kubernetes.io/")))
            value_set(a, notes, m->key, m->val);
    }
    if (newest)
        value_set(a, notes, REVISION, value_sv(arena_printf(a, "%lld", (long long)v->revision)));
    value_set(a, notes, DESIRED, value_sv(arena_printf(a, "%lld", (long long)replicas)));
    value_set(a, notes, MAX_ALLOWED, value_sv(arena_printf(a, "%lld", (long long)max)));
}

static void scaled_event(Rollout *v, StrView name, int64_t from, int64_t to)
{
    obj_event(v->job->c, &kind_deployments, v->deployment, SV("Normal"), SV("ScalingReplicaSet"),
              "Scaled %s replica set %.*s from %lld to %lld", to > from ? "up" : "down",
              SV_FMT(name), (long long)from, (long long)to);
}

static Value set_of(Rollout *v, const Value *deployment, StrView name, StrView hash)
{
    Job *j = v->job;
    Arena *a = &j->arena;
    Value tmpl = value_null(), selector = value_null(), rs = value_map(), notes = value_map();
    if (!value_clone(a, value_path(deployment, "spec.template"), &tmpl) ||
        !value_clone(a, value_path(deployment, "spec.selector"), &selector))
        job_fail(j);
    Value *labels = value_make_path(a, &tmpl, "metadata.labels.x"),
          *match = value_make_path(a, &selector, "matchLabels.x");
    if (!labels || !match) {
        job_fail(j);
        return rs;
    }
    value_set(a, labels, HASH_LABEL, value_sv(hash));
    value_set(a, match, HASH_LABEL, value_sv(hash));
    annotate(v, &notes, true);
    value_set(a, &rs, SV("apiVersion"), value_sv(SV("apps/v1")));
    value_set(a, &rs, SV("kind"), value_sv(SV("ReplicaSet")));
    value_set_path(a, &rs, "metadata.name", value_sv(name));
    value_set_path(a, &rs, "metadata.namespace", value_sv(v->deployment->ns));
    value_set_path(a, &rs, "metadata.labels", *labels);
    value_set_path(a, &rs, "metadata.annotations", notes);
    value_set_path(a, &rs, "metadata.ownerReferences",
                   obj_owner_refs(a, &kind_deployments, v->deployment));
    value_set_path(a, &rs, "spec.replicas", value_int(v->plan[0].replicas));
    value_set_path(a, &rs, "spec.minReadySeconds",
                   value_int(value_int_or(value_path(deployment, "spec.minReadySeconds"), 0)));
    value_set_path(a, &rs, "spec.selector", selector);
    value_set_path(a, &rs, "spec.template", tmpl);
    return rs;
}

static void create_set(Rollout *v, const Value *deployment)
{
    Job *j = v->job;
    StrView hash =
        template_hash(j, value_path(deployment, "spec.template"),
                      value_int_or(value_get(&v->view->status, SV("collisionCount")), 0));
    StrView name = arena_printf(&j->arena, "%.*s-%.*s", SV_FMT(v->deployment->name), SV_FMT(hash));
    Value rs = set_of(v, deployment, name, hash);
    if (!hash.len || j->failed) {
        job_fail(j);
        return;
    }
    job_create(j, &kind_replicasets, &rs, NULL, NULL);
    if (v->plan[0].replicas)
        scaled_event(v, name, 0, v->plan[0].replicas);
}

/* What the plan changes in one of the sets; an empty map: nothing. */
static Value patch_of(Rollout *v, size_t i)
{
    Arena *a = &v->job->arena;
    const ReplicasView *set = set_view(v->sets[i]);
    Value patch = value_map(), want = value_map();
    if (set->replicas != v->plan[i].replicas)
        value_set_path(a, &patch, "spec.replicas", value_int(v->plan[i].replicas));
    if (i > 0 && !set->replicas && !v->plan[i].replicas)
        return patch;
    if (!value_clone(a, &set->annotations, &want))
        job_fail(v->job);
    annotate(v, &want, i == 0);
    Value notes = map_patch(a, &set->annotations, &want);
    if (notes.len)
        value_set_path(a, &patch, "metadata.annotations", notes);
    return patch;
}

/* Writes what the plan changes; true when anything was. */
static bool write_sets(Rollout *v)
{
    bool wrote = false;
    for (size_t i = 0; i < v->n; i++) {
        ApiObject *rs = v->sets[i];
        if (!rs || obj_deleting(rs))
            continue;
        int64_t had = set_view(rs)->replicas;
        Value patch = patch_of(v, i);
        if (!patch.len)
            continue;
        job_patch(v->job, &kind_replicasets, rs, SV_NULL, API_PATCH_MERGE, &patch);
        wrote = true;
        if (had != v->plan[i].replicas)
            scaled_event(v, rs->name, had, v->plan[i].replicas);
    }
    return wrote;
}

/* Whether spec.replicas changed since the sets were last written. */
static bool is_scaling(const Rollout *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->sets[i] && v->plan[i].replicas > 0 &&
            set_note(v->sets[i], DESIRED) != v->view->replicas)
            return true;
    return false;
}

static bool old_pods_exist(const Rollout *v)
{
    for (size_t i = 1; i < v->n; i++) {
        size_t n;
        ApiObject *const *pods = obj_owned(v->job->c, &kind_pods, v->sets[i], &n);
        for (size_t k = 0; k < n; k++)
            if (!pod_ended(pod_of(pods[k])))
                return true;
    }
    return false;
}

/* Whether a set for the present template is to be made now; plans how large it begins. */
static bool wants_set(Rollout *v)
{
    if (v->sets[0] || v->view->paused || is_scaling(v) || (v->view->recreate && old_pods_exist(v)))
        return false;
    if (v->view->recreate)
        v->plan[0].replicas = v->view->replicas;
    else
        rollout_step(v->plan, v->n, v->view->replicas, v->limits);
    return true;
}

static void recreate(Rollout *v)
{
    for (size_t i = 1; i < v->n; i++)
        v->plan[i].replicas = 0;
    if (v->sets[0] && !old_pods_exist(v))
        v->plan[0].replicas = v->view->replicas;
    write_sets(v);
}

static int by_revision(const void *a, const void *b)
{
    int64_t x = set_note(*(ApiObject *const *)a, REVISION),
            y = set_note(*(ApiObject *const *)b, REVISION);
    return (x > y) - (x < y);
}

static void clean_history(Rollout *v)
{
    int64_t limit = v->view->history_limit;
    ApiObject **idle = arena_array(&v->job->arena, ApiObject *, v->n);
    size_t n = 0;
    for (size_t i = 1; idle && i < v->n; i++)
        if (!set_view(v->sets[i])->replicas && !set_view(v->sets[i])->status.replicas &&
            !obj_deleting(v->sets[i]))
            idle[n++] = v->sets[i];
    if (n)
        qsort(idle, n, sizeof *idle, by_revision);
    for (size_t i = 0; i + (size_t)limit < n; i++)
        job_delete(v->job, &kind_replicasets, idle[i], SV("Background"), NULL, NULL);
}

/* ---- one round ---- */

static bool look(Rollout *v);

/* The Deployment as it is now, with the template. What has changed meanwhile brings the key back.
 */
static bool on_template(Job *j, const ApiResult *r, void *arg)
{
    Rollout v = { .job = j };
    const Value *deployment = r->body;
    (void)arg;
    if (r->err)
        return r->err->code == ERR_NOT_FOUND;
    if (!look(&v) || !sv_eq(value_path_str(deployment, "metadata.uid"), v.deployment->uid) ||
        obj_deleting(v.deployment) ||
        value_path_str(deployment, "metadata.deletionTimestamp").len ||
        value_int_or(value_path(deployment, "metadata.generation"), 0) != v.view->generation ||
        !wants_set(&v))
        return true;
    create_set(&v, deployment);
    return true;
}

static void roll(Rollout *v)
{
    const DeploymentView *d = v->view;
    if (d->paused || is_scaling(v)) {
        if (is_scaling(v))
            rollout_scale(v->plan, v->n, d->replicas, v->limits);
        if (v->sets[0] || v->n > 1)
            write_sets(v);
        return;
    }
    if (d->recreate)
        recreate(v);
    if (wants_set(v))
        job_get(v->job, &kind_deployments, v->deployment->ns, v->deployment->name, on_template,
                NULL);
    if (d->recreate || !v->sets[0])
        return;
    rollout_step(v->plan, v->n, d->replicas, v->limits);
    if (!write_sets(v) && deployment_complete(v))
        clean_history(v);
}

/* True when there is something to do for this round; false: it comes back, or cannot go on. */
static bool claim_sets(Rollout *v)
{
    Job *j = v->job;
    if (obj_deleting(v->deployment) ||
        !claim_orphans(j, &kind_deployments, v->deployment, &kind_replicasets, v->selector))
        return true;
    job_again(j, 10); /* they count when the informer has seen whose they are */
    return false;
}

/* Finds the Deployment. False: it is gone, or the job has failed. */
static bool find(Rollout *v)
{
    Job *j = v->job;
    v->deployment = obj_find(j->c, &kind_deployments, j->ns, j->name);
    if (!v->deployment)
        return false;
    v->view = v->deployment->projection;
    if (!v->view->recreate)
        v->limits =
            rollout_limits(&v->view->max_surge, &v->view->max_unavailable, v->view->replicas);
    Selector *selector = arena_new(&j->arena, Selector);
    if (!selector || selector_from_object(&v->view->selector, &j->arena, selector, NULL) < 0) {
        job_fail(j);
        return false;
    }
    v->selector = selector;
    return true;
}

/* Finds it and its sets, as they are known now. */
static bool look(Rollout *v)
{
    if (!find(v))
        return false;
    if (!gather(v)) {
        job_fail(v->job);
        return false;
    }
    return true;
}

/* The revision first: its write gives the next reconcile the resourceVersion for the rest. */
static void write_revision(Rollout *v)
{
    Arena *a = &v->job->arena;
    Value patch = value_map(), notes = value_map();
    value_set(a, &notes, REVISION, value_sv(arena_printf(a, "%lld", (long long)v->revision)));
    value_set_path(a, &patch, "metadata.annotations", notes);
    job_patch(v->job, &kind_deployments, v->deployment, SV_NULL, API_PATCH_MERGE, &patch);
    job_again(v->job, 10);
}

static void reconcile(Job *j)
{
    Rollout v = { .job = j };
    if (!find(&v) || !claim_sets(&v) || !look(&v))
        return;
    if (obj_deleting(v.deployment)) {
        deployment_write_status(&v);
    } else if (v.sets[0] && !v.view->paused &&
               note_int(&v.view->annotations, REVISION) != v.revision) {
        write_revision(&v);
    } else {
        roll(&v);
        deployment_write_status(&v);
    }
}

const ControllerDef deployment_controller = { .name = "deployment-controller",
                                              .queue = "deployment",
                                              .workers = 5,
                                              .kinds = { &kind_deployments, &kind_replicasets,
                                                         &kind_pods },
                                              .observe = observe,
                                              .reconcile = reconcile };
