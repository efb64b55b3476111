/* namespace.c - empties a namespace that is being deleted, then lets it go.
 *
 * A round asks the server which kinds it has - custom and aggregated ones, too - and goes through
 * those of namespaced objects that can be listed and deleted: Pods first and alone, because what
 * they use (network policies, accounts, volumes) has to stay until they have ended; the rest once
 * no Pod is left. What is still there, and what went wrong, is said in the namespace's conditions.
 * After a round that found nothing the finalizer "kubernetes" is removed; after any other one the
 * next follows. As Kubernetes' namespaced_resources_deleter with OrderedNamespaceDeletion. */
#include "api/discovery.h"
#include "controller/controller_internal.h"
#include "controller/namespace_report.h"

enum {
    LOOK_AGAIN_MS = 300, /* pods take their grace period to go */
    KINDS_AT_ONCE = 8,   /* in which one round looks at the same time */
};

#define PAGE "500"

typedef struct Round {
    Job *job;
    ServedKind *kinds; /* that it looks at; this and all else in the job's arena */
    size_t n_kinds;
    NamespaceReport report;
    size_t next;      /* of the kinds */
    unsigned waiting; /* kinds under way */
    bool core_known;  /* of discovery: the core group */
    bool pods_only;   /* the first half of the round */
} Round;

typedef struct Sweep { /* of one kind */
    Round *round;
    const ServedKind *kind;
    bool swept; /* deletion was asked for: what is there now remains */
    unsigned waiting;
} Sweep;

static void observe(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    (void)kind, (void)old;
    if (now && obj_deleting(now))
        controller_queue(c, SV_NULL, now->name);
}

/* ---- the end of a round ---- */

static void finalize(Job *j, const Value *ns)
{
    Value copy, kept = value_list();
    const Value *finalizers = value_path(ns, "spec.finalizers");
    if (!value_clone(&j->arena, ns, &copy)) {
        job_fail(j);
        return;
    }
    value_list_foreach (f, finalizers) {
        if (!sv_eq(value_str(f), SV("kubernetes")))
            value_push(&j->arena, &kept, *f);
    }
    if (kept.len == value_len(finalizers))
        return; /* somebody else holds it */
    value_set_path(&j->arena, &copy, "spec.finalizers", kept);
    job_update(j, &kind_namespaces, SV("finalize"), &copy);
}

static void report(Round *r, const ApiObject *ns, const Value *doc)
{
    Job *j = r->job;
    Value patch = value_map(),
          list = namespace_report_conditions(&r->report, value_path(doc, "status.conditions"),
                                             time_now(&j->arena));
    if (!value_is(&list, VALUE_LIST))
        return;
    value_set_path(&j->arena, &patch, "status.conditions", list);
    job_patch(j, &kind_namespaces, ns, SV("status"), API_PATCH_MERGE, &patch);
}

static bool on_namespace(Job *j, const ApiResult *res, void *arg)
{
    Round *r = arg;
    const ApiObject *ns = obj_find(j->c, &kind_namespaces, SV_NULL, j->name);
    if (res->err)
        return res->err->code == ERR_NOT_FOUND;
    if (!ns || !sv_eq(value_path_str(res->body, "metadata.uid"), ns->uid))
        return true;
    if (namespace_report_clean(&r->report)) {
        finalize(j, res->body);
        return true;
    }
    report(r, ns, res->body);
    job_again(j, LOOK_AGAIN_MS);
    return true;
}

static void end_round(Round *r)
{
    if (r->job->arena.failed)
        job_fail(r->job);
    else
        job_get(r->job, &kind_namespaces, SV_NULL, r->job->name, on_namespace, r);
}

/* ---- one kind ---- */

static void next_kinds(Round *r);

static ApiTarget target_of(const Sweep *s)
{
    return (ApiTarget){ .group = s->kind->group,
                        .version = s->kind->version,
                        .plural = s->kind->plural,
                        .ns = s->round->job->name };
}

static void sweep_done(Sweep *s)
{
    s->round->waiting--;
    next_kinds(s->round);
}

/* A kind that is not there (any more) is no failure. */
static void note_error(Sweep *s, const Err *err)
{
    NamespaceReport *report = &s->round->report;
    if (err->code != ERR_NOT_FOUND && err->code != ERR_UNSUPPORTED)
        value_push(report->arena, &report->content_errors,
                   value_sv(arena_sv(report->arena, sv_cstr(err->msg))));
}

static void list(Sweep *s);

static void note_rest(Sweep *s, const Value *found)
{
    NamespaceReport *report = &s->round->report;
    int64_t more = value_int_or(value_path(found, "metadata.remainingItemCount"), 0);
    const Value *items = value_get(found, SV("items"));
    namespace_report_remaining(report, s->kind->plural, s->kind->group, value_len(items) + more);
    value_list_foreach (o, items) {
        value_list_foreach (f, value_path(o, "metadata.finalizers"))
            namespace_report_finalizer(report, value_str(f));
    }
}

static bool on_deleted(Job *j, const ApiResult *res, void *arg)
{
    Sweep *s = arg;
    (void)j;
    if (res->err)
        note_error(s, res->err);
    if (--s->waiting == 0)
        list(s);
    return true;
}

/* A call for the collection, or one for each object where the kind has no such verb. */
static void delete_all(Sweep *s, const Value *found)
{
    Job *j = s->round->job;
    JobRequest req = { .method = SV("DELETE"),
                       .query = SV("propagationPolicy=Background"),
                       .target = target_of(s),
                       .done = on_deleted,
                       .arg = s };
    s->swept = true;
    if (s->kind->swept) {
        s->waiting++;
        job_call(j, &req);
        return;
    }
    value_list_foreach (o, value_get(found, SV("items"))) {
        req.target.name = value_path_str(o, "metadata.name");
        s->waiting++;
        job_call(j, &req);
    }
}

static bool on_list(Job *j, const ApiResult *res, void *arg)
{
    Sweep *s = arg;
    (void)j;
    if (!res->err && value_len(value_get(res->body, SV("items"))) && !s->swept) {
        delete_all(s, res->body);
        return true;
    }
    if (res->err)
        note_error(s, res->err);
    else
        note_rest(s, res->body);
    sweep_done(s);
    return true;
}

static void list(Sweep *s)
{
    JobRequest req = { .method = SV("GET"),
                       .query = SV("limit=" PAGE),
                       .target = target_of(s),
                       .done = on_list,
                       .arg = s };
    req.target.metadata_only = true;
    job_call(s->round->job, &req);
}

static bool is_pods(const ServedKind *k)
{
    return !k->group.len && sv_eq(k->plural, SV("pods"));
}

/* The first half of a round is the Pods; the second half begins when none is left. */
static void next_kinds(Round *r)
{
    Job *j = r->job;
    while (r->next < r->n_kinds && r->waiting < KINDS_AT_ONCE && !j->failed) {
        const ServedKind *k = &r->kinds[r->next++];
        if (is_pods(k) != r->pods_only)
            continue;
        Sweep *s = arena_new(&j->arena, Sweep);
        if (!s) {
            job_fail(j);
            return;
        }
        *s = (Sweep){ .round = r, .kind = k };
        r->waiting++;
        list(s);
    }
    if (r->waiting || j->failed)
        return;
    if (r->pods_only && !r->report.remaining.len && !r->report.content_errors.len) {
        r->pods_only = false;
        r->next = 0;
        next_kinds(r);
    } else {
        end_round(r);
    }
}

/* ---- the kinds ---- */

static void note_versions(Round *r, const ServedKinds *found)
{
    Arena *a = &r->job->arena;
    vec_foreach (gv, &found->stale)
        value_push(a, &r->report.discovery_errors,
                   value_sv(arena_printf(a, "%.*s/%.*s: stale GroupVersion discovery: %.*s/%.*s",
                                         SV_FMT(gv->group), SV_FMT(gv->version), SV_FMT(gv->group),
                                         SV_FMT(gv->version))));
    vec_foreach (gv, &found->wrong)
        value_push(a, &r->report.parse_errors,
                   value_sv(arena_printf(a, "unexpected GroupVersion string: %.*s/%.*s",
                                         SV_FMT(gv->group), SV_FMT(gv->version))));
}

static bool take_kinds(Round *r, const Value *doc)
{
    Arena *a = &r->job->arena;
    ServedKinds found = { 0 };
    bool ok = served_kinds_add(&found, doc, a);
    size_t size = sizeof *r->kinds;
    ServedKind *all = ok ? arena_realloc(a, r->kinds, r->n_kinds * size,
                                         (r->n_kinds + found.kinds.len + 1) * size)
                         : NULL;
    if (all) {
        r->kinds = all;
        vec_foreach (k, &found.kinds) {
            if (k->namespaced && k->listed && k->deleted)
                all[r->n_kinds++] = *k;
        }
        note_versions(r, &found);
    }
    served_kinds_free(&found);
    return all != NULL;
}

static bool on_kinds(Job *j, const ApiResult *res, void *arg);

static void discover(Round *r, const char *path)
{
    job_call(r->job, &(JobRequest){ .method = SV("GET"),
                                    .raw_path = sv_cstr(path),
                                    .accept = SV(DISCOVERY_ACCEPT),
                                    .done = on_kinds,
                                    .arg = r });
}

static bool on_kinds(Job *j, const ApiResult *res, void *arg)
{
    Round *r = arg;
    if (res->err)
        return false;
    if (!take_kinds(r, res->body)) {
        job_fail(j);
    } else if (!r->core_known) {
        r->core_known = true;
        discover(r, "/apis");
    } else {
        next_kinds(r);
    }
    return true;
}

static void reconcile(Job *j)
{
    if (!obj_deleting(obj_find(j->c, &kind_namespaces, SV_NULL, j->name)))
        return;
    Round *r = arena_new(&j->arena, Round);
    if (!r) {
        job_fail(j);
        return;
    }
    r->job = j;
    r->pods_only = true;
    namespace_report_init(&r->report, &j->arena);
    discover(r, "/api");
}

const ControllerDef namespace_controller = { .name = "namespace-controller",
                                             .queue = "namespace",
                                             .workers = 2,
                                             .kinds = { &kind_namespaces },
                                             .observe = observe,
                                             .reconcile = reconcile };
