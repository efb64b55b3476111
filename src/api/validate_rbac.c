/* validate_rbac.c - roles and their bindings. */
#include "api/validate_internal.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

static void check_rules(ApiErrors *e, const Value *rules, bool namespaced)
{
    ApiPath p = API_FIELD(NULL, "rules");
    uint32_t i = 0;

    value_list_foreach (r, rules) {
        ApiPath at = API_INDEX(&p, i++), verbs = API_FIELD(&at, "verbs");
        ApiPath urls = API_FIELD(&at, "nonResourceURLs"), groups = API_FIELD(&at, "apiGroups");
        ApiPath resources = API_FIELD(&at, "resources");
        bool any = count(r, "apiGroups") || count(r, "resources") || count(r, "resourceNames");
        if (count(r, "verbs") == 0)
            api_required(e, &verbs, "verbs must contain at least one value");
        if (count(r, "nonResourceURLs") > 0) {
            if (namespaced)
                api_invalid(e, &urls, *get(r, "nonResourceURLs"),
                            "namespaced rules cannot apply to non-resource URLs");
            if (any)
                api_invalid(e, &urls, *get(r, "nonResourceURLs"),
                            "rules cannot apply to both regular resources and non-resource URLs");
            continue;
        }
        if (count(r, "apiGroups") == 0)
            api_required(e, &groups, "resource rules must supply at least one api group");
        if (count(r, "resources") == 0)
            api_required(e, &resources, "resource rules must supply at least one resource");
    }
}

void validate_role(const Value *obj, const Value *old, ApiErrors *e)
{
    check_rules(e, get(obj, "rules"), true);
}

void validate_cluster_role(const Value *obj, const Value *old, ApiErrors *e)
{
    ApiPath p = API_FIELD(NULL, "aggregationRule"), list = API_FIELD(&p, "clusterRoleSelectors");
    const Value *rule = get(obj, "aggregationRule");
    uint32_t i = 0;

    check_rules(e, get(obj, "rules"), false);
    if (rule && count(rule, "clusterRoleSelectors") == 0)
        api_required(e, &list,
                     "at least one clusterRoleSelector required if aggregationRule is "
                     "non-nil");
    value_list_foreach (s, get(rule, "clusterRoleSelectors")) {
        ApiPath at = API_INDEX(&list, i++);
        check_label_selector(e, &at, s);
    }
}

static void check_subject(ApiErrors *e, const ApiPath *p, const Value *s, bool namespaced)
{
    static const StrView kinds[] = { SV_INIT("ServiceAccount"), SV_INIT("User"), SV_INIT("Group") };
    static const StrView none[] = { SV_INIT("") }, rbac[] = { SV_INIT(RBAC_GROUP) };
    ApiPath name = API_FIELD(p, "name"), ns = API_FIELD(p, "namespace");
    ApiPath group = API_FIELD(p, "apiGroup"), kind = API_FIELD(p, "kind");
    StrView what = text(s, "kind"), in = text(s, "apiGroup");

    if (text(s, "name").len == 0)
        api_required(e, &name, "");
    if (sv_eq(what, kinds[0])) {
        if (text(s, "name").len > 0)
            check_name(e, &name, text(s, "name"), name_dns1123_subdomain);
        if (in.len > 0)
            api_not_supported(e, &group, value_sv(in), none, 1);
        if (!namespaced && text(s, "namespace").len == 0)
            api_required(e, &ns, "");
    } else if (sv_eq(what, kinds[1]) || sv_eq(what, kinds[2])) {
        if (!sv_eq(in, rbac[0]))
            api_not_supported(e, &group, value_sv(in), rbac, 1);
    } else {
        api_not_supported(e, &kind, value_sv(what), kinds, ARRAY_SIZE(kinds));
    }
}

static void check_binding(const Value *obj, const Value *old, ApiErrors *e, bool namespaced)
{
    static const StrView rbac[] = { SV_INIT(RBAC_GROUP) };
    static const StrView both[] = { SV_INIT("Role"), SV_INIT("ClusterRole") };
    ApiPath p = API_FIELD(NULL, "roleRef"), group = API_FIELD(&p, "apiGroup");
    ApiPath kind = API_FIELD(&p, "kind"), name = API_FIELD(&p, "name");
    ApiPath subjects = API_FIELD(NULL, "subjects");
    const Value *ref = get(obj, "roleRef");
    const StrView *allowed = namespaced ? both : both + 1;
    size_t n = namespaced ? 2 : 1;
    bool known = false;
    uint32_t i = 0;

    if (!sv_eq(text(ref, "apiGroup"), rbac[0]))
        api_not_supported(e, &group, value_sv(text(ref, "apiGroup")), rbac, 1);
    for (size_t k = 0; k < n; k++)
        known = known || sv_eq(text(ref, "kind"), allowed[k]);
    if (!known)
        api_not_supported(e, &kind, value_sv(text(ref, "kind")), allowed, n);
    check_required_name(e, &name, text(ref, "name"), name_path_segment);
    value_list_foreach (s, get(obj, "subjects")) {
        ApiPath at = API_INDEX(&subjects, i++);
        check_subject(e, &at, s, namespaced);
    }
    if (old && !value_equal(ref, get(old, "roleRef")))
        api_invalid(e, &p, shown(ref), "cannot change roleRef");
}

void validate_role_binding(const Value *obj, const Value *old, ApiErrors *e)
{
    check_binding(obj, old, e, true);
}

void validate_cluster_role_binding(const Value *obj, const Value *old, ApiErrors *e)
{
    check_binding(obj, old, e, false);
}
