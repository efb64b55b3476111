/* pod_security.c - Pod Security admission.
 *
 * A namespace's labels name a level, and the version of the rules, for each of three modes: what is
 * enforced, what is warned of, and what is audited (there is no audit log yet: the server's log has
 * it). Nobody and nothing is exempt, and a namespace without labels allows everything: Kubernetes'
 * defaults. Templates of workloads are warned of and audited only: their pods are what is refused.
 * Source: Kubernetes 1.35, "Pod Security Admission". */
#include "apiserver/pod_security.h"

#include "apiserver/object.h"
#include "apiserver/pod_security_checks.h"
#include "apiserver/pod_warnings.h"
#include "apiserver/respond.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/json.h"

enum {
    PODS_CHECKED_MAX = 3000, /* of a namespace whose level changes, as in Kubernetes */
    REASONS_MAX = 32,        /* distinct ones that such a change warns of */
    DETAILS_MAX = 8192,      /* bytes of a refusal */
};
#define CHECK_TIME_NS (20 * NSEC_PER_MSEC) /* the loop waits meanwhile */

typedef struct LevelVersion {
    PodSecurityLevel level;
    unsigned minor;
} LevelVersion;

typedef struct Policy {
    LevelVersion enforce, audit, warn;
} Policy;

static const StrView level_names[] = { SV_INIT("privileged"), SV_INIT("baseline"),
                                       SV_INIT("restricted") };

/* "baseline:latest" */
static void write_policy(const LevelVersion *p, Buf *out)
{
    buf_sv(out, level_names[p->level]);
    if (p->minor == POD_SECURITY_LATEST)
        buf_sv(out, SV(":latest"));
    else
        buf_printf(out, ":v1.%u", p->minor);
}

/* ---- labels ---- */

static bool parse_version(StrView s, unsigned *ret)
{
    uint64_t n;
    StrView digits = sv_skip(s, 3);
    if (sv_eq(s, SV("latest"))) {
        *ret = POD_SECURITY_LATEST;
        return true;
    }
    if (!sv_starts(s, SV("v1.")) || digits.len > 6 || sv_to_u64(digits, &n) < 0 ||
        (digits.len > 1 && digits.ptr[0] == '0'))
        return false;
    *ret = (unsigned)n;
    return true;
}

static void label_fault(ApiErrors *e, StrView key, const Value *v, const char *why)
{
    ApiPath metadata = API_FIELD(NULL, "metadata"), labels = API_FIELD(&metadata, "labels");
    ApiPath at = API_KEY(&labels, key);
    api_invalid(e, &at, *v, "%s", why);
}

/* The two labels of a mode. What cannot be read counts as `fallback`. True: a level is named. */
static bool read_mode(const Value *labels, StrView level_key, StrView version_key,
                      PodSecurityLevel fallback, LevelVersion *ret, ApiErrors *e)
{
    const Value *level = value_get(labels, level_key), *version = value_get(labels, version_key);
    *ret = (LevelVersion){ level ? fallback : POD_SECURITY_PRIVILEGED, POD_SECURITY_LATEST };
    bool found = false;
    for (size_t i = 0; level && i < ARRAY_SIZE(level_names); i++)
        if (sv_eq(level_names[i], value_str(level))) {
            ret->level = (PodSecurityLevel)i;
            found = true;
        }
    if (level && !found)
        label_fault(e, level_key, level, "must be one of privileged, baseline, restricted");
    if (version && !parse_version(value_str(version), &ret->minor))
        label_fault(e, version_key, version, "must be \"latest\" or \"v1.x\"");
    return found;
}

#define LABEL(name) SV("pod-security.kubernetes.io/" name)

/* Who warns of nothing is warned of what will be refused. A level that cannot be read is enforced
 * as the strictest, and not warned of. */
static void read_policy(const Value *labels, Policy *ret, ApiErrors *e)
{
    read_mode(labels, LABEL("enforce"), LABEL("enforce-version"), POD_SECURITY_RESTRICTED,
              &ret->enforce, e);
    read_mode(labels, LABEL("audit"), LABEL("audit-version"), POD_SECURITY_PRIVILEGED, &ret->audit,
              e);
    read_mode(labels, LABEL("warn"), LABEL("warn-version"), POD_SECURITY_PRIVILEGED, &ret->warn, e);
    if (!value_get(labels, LABEL("warn")) && !value_get(labels, LABEL("warn-version")))
        ret->warn = ret->enforce;
    if (!value_get(labels, LABEL("audit")) && !value_get(labels, LABEL("audit-version")))
        ret->audit = ret->enforce;
}

/* ---- pods and templates ---- */

static bool namespace_policy(ApiCall *x, Policy *ret)
{
    Value ns;
    if (!object_core(x->srv->store, SV("namespaces"), SV_NULL, x->ns, x->arena, &ns))
        return false;
    ApiErrors errors = { .arena = x->arena }; /* whoever wrote the labels was told of them */
    read_policy(value_path(&ns, "metadata.labels"), ret, &errors);
    return true;
}

static bool breaks(const LevelVersion *p, const Value *meta, const Value *spec, const char *how,
                   Buf *out)
{
    _cleanup_buf_ Buf details = BUF_INIT;
    if (pod_security_check(p->level, p->minor, meta, spec, NULL, &details))
        return false;
    buf_printf(out, "%s PodSecurity \"", how);
    write_policy(p, out);
    buf_printf(out, "\": %.*s", (int)MIN(details.len, (size_t)DETAILS_MAX), details.ptr);
    return true;
}

static AdmitResult check_pod(ApiCall *x, const Value *meta, const Value *spec, bool enforced)
{
    Policy p;
    _cleanup_buf_ Buf text = BUF_INIT;
    if (!namespace_policy(x, &p)) {
        respond_status(x, REASON_INTERNAL, "failed to lookup namespace %.*s", SV_FMT(x->ns));
        return ADMIT_REFUSED;
    }
    if (enforced && breaks(&p.enforce, meta, spec, "violates", &text)) {
        respond_forbidden(x, "%.*s", (int)text.len, text.ptr);
        return ADMIT_REFUSED;
    }
    if (breaks(&p.audit, meta, spec, "would violate", &text))
        log_info("audit: %.*s of %.*s in namespace %.*s %.*s", SV_FMT(x->verb), SV_FMT(x->resource),
                 SV_FMT(x->ns), (int)text.len, text.ptr);
    buf_clear(&text);
    if (breaks(&p.warn, meta, spec, "would violate", &text))
        respond_warning(x, buf_view(&text));
    return ADMIT_OK;
}

/* Of a pod that is there only containers can change what the rules look at. */
static bool containers_change(const Value *obj, const Value *old)
{
    static const char *const lists[] = { "spec.containers", "spec.initContainers",
                                         "spec.ephemeralContainers" };
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const Value *a = value_path(obj, lists[i]), *b = value_path(old, lists[i]);
        if (value_len(a) != value_len(b) || (value_len(a) && !value_equal(a, b)))
            return true;
    }
    return false;
}

static AdmitResult admit_pod(AdmitChain *c)
{
    if (sv_eq(c->x->sub, SV("status")) || (c->old && !containers_change(c->obj, c->old)))
        return ADMIT_OK;
    return check_pod(c->x, value_get(c->obj, SV("metadata")), value_get(c->obj, SV("spec")), true);
}

static AdmitResult admit_template(AdmitChain *c, const char *path)
{
    const Value *template = value_path(c->obj, path), *spec = value_get(template, SV("spec"));
    if (c->x->sub.len || !value_is(spec, VALUE_MAP))
        return ADMIT_OK;
    return check_pod(c->x, value_get(template, SV("metadata")), spec, false);
}

/* ---- namespaces ---- */

typedef struct Offence {
    StrView reasons, pod;
    unsigned n;
} Offence;

static void add_offence(ApiCall *x, Offence *list, unsigned *n, StrView reasons, StrView pod)
{
    unsigned i = 0;
    while (i < *n && !sv_eq(list[i].reasons, reasons))
        i++;
    if (i == REASONS_MAX)
        return;
    if (i == *n)
        list[(*n)++] = (Offence){ arena_sv(x->arena, reasons), arena_sv(x->arena, pod), 0 };
    list[i].n++;
}

static bool stored_pod_breaks(const ObjectRev *o, const LevelVersion *p, Buf *reasons)
{
    _cleanup_arena_ Arena arena;
    Value pod;
    arena_init(&arena, 0);
    return json_decode(o->val, &arena, NULL, &pod, NULL) == 0 &&
           !pod_security_check(p->level, p->minor, value_get(&pod, SV("metadata")),
                               value_get(&pod, SV("spec")), reasons, NULL);
}

/* Looks at the namespace's pods, as many as there is time for. */
static unsigned find_offences(ApiCall *x, const LevelVersion *p, unsigned *ret_checked,
                              unsigned *ret_all, Offence list[static REASONS_MAX])
{
    const ApiResource *pods = api_resource_find(SV(""), SV("v1"), SV("pods"));
    char prefix[STORE_KEY_MAX];
    unsigned n = 0;
    _cleanup_buf_ Buf reasons = BUF_INIT;
    *ret_checked = *ret_all = 0;
    if (!registry_key(pods, x->name, SV_NULL, prefix))
        return 0;
    int64_t until = clock_mono_ns() + CHECK_TIME_NS;
    bool looks = true;
    Snapshot *sn = store_snapshot(x->srv->store);
    SnapshotIter it;
    snapshot_iter(sn, sv_cstr(prefix), SV_NULL, &it);
    for (ObjectRev *o; (o = snapshot_next(&it)); (*ret_all)++) {
        StrView ns, name;
        looks = looks && *ret_checked < PODS_CHECKED_MAX && clock_mono_ns() < until;
        if (!looks)
            continue;
        (*ret_checked)++;
        buf_clear(&reasons);
        if (!stored_pod_breaks(o, p, &reasons))
            continue;
        registry_names(pods, o->key, &ns, &name);
        add_offence(x, list, &n, buf_view(&reasons), name);
    }
    snapshot_unref(sn);
    return n;
}

static void warn_of_pods(ApiCall *x, const LevelVersion *p)
{
    Offence list[REASONS_MAX];
    unsigned checked, all, n = find_offences(x, p, &checked, &all, list);
    _cleanup_buf_ Buf text = BUF_INIT;
    if (checked < all) {
        buf_printf(
            &text,
            "new PodSecurity enforce level only checked against the first %u of %u existing pods",
            checked, all);
        respond_warning(x, buf_view(&text));
    }
    if (n == 0)
        return;
    buf_clear(&text);
    buf_printf(&text,
               "existing pods in namespace \"%.*s\" violate the new PodSecurity enforce level \"",
               SV_FMT(x->name));
    write_policy(p, &text);
    buf_sv(&text, SV("\""));
    respond_warning(x, buf_view(&text));
    for (unsigned i = 0; i < n; i++) {
        buf_clear(&text);
        buf_sv(&text, list[i].pod);
        if (list[i].n == 2)
            buf_sv(&text, SV(" (and 1 other pod)"));
        else if (list[i].n > 2)
            buf_printf(&text, " (and %u other pods)", list[i].n - 1);
        buf_printf(&text, ": %.*s", SV_FMT(list[i].reasons));
        respond_warning(x, buf_view(&text));
    }
}

static AdmitResult admit_namespace(AdmitChain *c)
{
    ApiCall *x = c->x;
    Policy now, before;
    ApiErrors errors = { .arena = x->arena }, old_errors = { .arena = x->arena };
    if (x->sub.len)
        return ADMIT_OK;
    read_policy(value_path(c->obj, "metadata.labels"), &now, &errors);
    read_policy(value_path(c->old, "metadata.labels"), &before, &old_errors);
    if (errors.len > old_errors.len) {
        respond_invalid(x, x->name, &errors);
        return ADMIT_REFUSED;
    }
    if (c->old && now.enforce.level != POD_SECURITY_PRIVILEGED &&
        (now.enforce.level > before.enforce.level || now.enforce.minor != before.enforce.minor))
        warn_of_pods(x, &now.enforce);
    return ADMIT_OK;
}

AdmitResult pod_security(AdmitChain *c)
{
    const ApiResource *res = c->x->res;
    if (!res->group.len && sv_eq(res->kind, SV("Pod")))
        return admit_pod(c);
    if (!res->group.len && sv_eq(res->kind, SV("Namespace")))
        return admit_namespace(c);
    const char *template = pod_template_path(res);
    if (template)
        return admit_template(c, template);
    return ADMIT_OK;
}
