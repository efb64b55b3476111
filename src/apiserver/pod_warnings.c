/* pod_warnings.c - see pod_warnings.h. Sentences: k8s.io/kubernetes/pkg/api/pod/warnings.go. */
#include "apiserver/pod_warnings.h"

#include "apiserver/respond.h"
#include "codec/key_index.h"

const char *pod_template_path(const ApiResource *res)
{
    static const struct {
        StrView group, kind;
        const char *path;
    } rows[] = {
        { SV_INIT(""), SV_INIT("Pod"), "" },
        { SV_INIT(""), SV_INIT("PodTemplate"), "template" },
        { SV_INIT(""), SV_INIT("ReplicationController"), "spec.template" },
        { SV_INIT("apps"), SV_INIT("ReplicaSet"), "spec.template" },
        { SV_INIT("apps"), SV_INIT("Deployment"), "spec.template" },
        { SV_INIT("apps"), SV_INIT("DaemonSet"), "spec.template" },
        { SV_INIT("apps"), SV_INIT("StatefulSet"), "spec.template" },
        { SV_INIT("batch"), SV_INIT("Job"), "spec.template" },
        { SV_INIT("batch"), SV_INIT("CronJob"), "spec.jobTemplate.spec.template" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (sv_eq(rows[i].kind, res->kind) && sv_eq(rows[i].group, res->group))
            return rows[i].path;
    return NULL;
}

/* "spec.template.spec.containers[1]" */
typedef struct Place {
    const char *template; /* as pod_template_path() */
    const char *list;
    uint32_t at;
} Place;

static StrView place_text(ApiCall *x, const Place *p)
{
    return arena_printf(x->arena, "%s%sspec.%s[%u]", p->template, *p->template ? "." : "", p->list,
                        p->at);
}

/* Notes the key of item i. True: item *ret_first had it before. */
static bool had_before(ApiCall *x, KeyIndex *seen, StrView key, uint32_t i, uint32_t *ret_first)
{
    bool fresh = true;
    return key.ptr && key_index_add(seen, x->arena, key, i, ret_first, &fresh) && !fresh;
}

static void warn_of_env(ApiCall *x, const Place *p, const Value *env)
{
    KeyIndex seen = { 0 };
    for (uint32_t i = 0, first; i < value_len(env); i++) {
        StrView name = value_str(value_get(value_at(env, i), SV("name")));
        if (had_before(x, &seen, name, i, &first))
            respond_warning(x, arena_printf(x->arena,
                                            "%.*s.env[%u]: hides previous definition of \"%.*s\", "
                                            "which may be dropped when using apply",
                                            SV_FMT(place_text(x, p)), i, SV_FMT(name)));
    }
}

static void warn_of_ports(ApiCall *x, const Place *p, const Value *ports)
{
    KeyIndex seen = { 0 };
    for (uint32_t i = 0, first; i < value_len(ports); i++) {
        const Value *port = value_at(ports, i);
        StrView protocol = value_str(value_get(port, SV("protocol")));
        StrView key = arena_printf(x->arena, "%lld/%lld/%.*s/%.*s",
                                   (long long)value_int_or(value_get(port, SV("containerPort")), 0),
                                   (long long)value_int_or(value_get(port, SV("hostPort")), 0),
                                   SV_FMT(protocol.len ? protocol : SV("TCP")),
                                   SV_FMT(value_str(value_get(port, SV("hostIP")))));
        StrView place = place_text(x, p);
        if (had_before(x, &seen, key, i, &first))
            respond_warning(
                x, arena_printf(x->arena,
                                "%.*s.ports[%u]: duplicate port definition with %.*s.ports[%u]",
                                SV_FMT(place), i, SV_FMT(place), first));
    }
}

void pod_warn(ApiCall *x, const Value *obj, const Value *old)
{
    static const char *const lists[] = { "initContainers", "containers" };
    const char *template = pod_template_path(x->res);
    if (!template || x->sub.len || (old && !*template))
        return;
    const Value *pod = *template ? value_path(obj, template) : obj;
    const Value *spec = value_get(pod, SV("spec"));
    const Value *before = old ? value_get(value_path(old, template), SV("spec")) : NULL;
    if (!spec || (before && value_equal(spec, before)))
        return;
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        const Value *list = value_get(spec, sv_cstr(lists[l]));
        for (uint32_t i = 0; i < value_len(list); i++) {
            Place place = { template, lists[l], i };
            warn_of_env(x, &place, value_get(value_at(list, i), SV("env")));
            warn_of_ports(x, &place, value_get(value_at(list, i), SV("ports")));
        }
    }
}
