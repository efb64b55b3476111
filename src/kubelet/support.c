/* support.c - fields that this kubelet does not implement: a pod that uses one is refused with its
 * path. Nothing that an author relies on is accepted and ignored. */
#include <stdio.h>

#include "kubelet/internal.h"

static int refuse(Err *err, const char *where, StrView field)
{
    return err_set(err, ERR_UNSUPPORTED, 0, "%s%.*s is not supported by this node", where,
                   SV_FMT(field));
}

/* Refuses any member of `v` that is not in the list. */
static int only(const Value *v, const char *where, const char *const *allowed, Err *err)
{
    value_map_foreach (m, v) {
        bool known = false;
        for (const char *const *a = allowed; *a && !known; a++)
            known = sv_eq(m->key, sv_cstr(*a));
        if (!known)
            return refuse(err, where, m->key);
    }
    return 0;
}

static int check_volume(const Value *v, unsigned i, Err *err)
{
    static const char *const kinds[] = { "name",   "emptyDir",  "hostPath",    "configMap",
                                         "secret", "projected", "downwardAPI", NULL };
    static const char *const sources[] = { "configMap", "secret", "downwardAPI",
                                           "serviceAccountToken", NULL };
    char where[64];
    snprintf(where, sizeof where, "spec.volumes[%u].", i);
    int r = only(v, where, kinds, err);
    snprintf(where, sizeof where, "spec.volumes[%u].projected.sources.", i);
    value_list_foreach (src, value_path(v, "projected.sources")) {
        if (r == 0)
            r = only(src, where, sources, err);
    }
    StrView medium = value_path_str(v, "emptyDir.medium");
    if (r == 0 && medium.len && !sv_eq(medium, SV("Memory")))
        r = err_set(err, ERR_UNSUPPORTED, 0,
                    "spec.volumes[%u].emptyDir.medium: '%.*s' is not supported by this node", i,
                    SV_FMT(medium));
    return r;
}

static int check_security(const Value *sc, const char *where, Err *err)
{
    static const char *const known[] = { "runAsUser",
                                         "runAsGroup",
                                         "runAsNonRoot",
                                         "allowPrivilegeEscalation",
                                         "privileged",
                                         "capabilities",
                                         "readOnlyRootFilesystem",
                                         "seccompProfile",
                                         "procMount",
                                         "supplementalGroups",
                                         "supplementalGroupsPolicy",
                                         "fsGroup",
                                         "fsGroupChangePolicy",
                                         "sysctls",
                                         NULL };
    int r = only(sc, where, known, err);
    StrView type = value_path_str(sc, "seccompProfile.type"),
            proc = value_str(value_get(sc, SV("procMount")));
    StrView groups = value_str(value_get(sc, SV("supplementalGroupsPolicy")));
    if (r == 0 && type.len && !sv_eq(type, SV("RuntimeDefault")) && !sv_eq(type, SV("Unconfined")))
        r = err_set(err, ERR_UNSUPPORTED, 0,
                    "%sseccompProfile.type: '%.*s' is not supported by this node", where,
                    SV_FMT(type));
    if (r == 0 && proc.len && !sv_eq(proc, SV("Default")))
        r = refuse(err, where, SV("procMount"));
    if (r == 0 && groups.len && !sv_eq(groups, SV("Merge")) && !sv_eq(groups, SV("Strict")))
        r = refuse(err, where, SV("supplementalGroupsPolicy"));
    return r;
}

static int check_container(const Value *c, const char *list, unsigned i, Err *err)
{
    char where[64], security[96];
    snprintf(where, sizeof where, "spec.%s[%u].", list, i);
    snprintf(security, sizeof security, "%ssecurityContext.", where);
    if (value_len(value_get(c, SV("volumeDevices"))))
        return refuse(err, where, SV("volumeDevices"));
    if (value_len(value_path(c, "resources.claims")))
        return refuse(err, where, SV("resources.claims"));
    if (value_len(value_get(c, SV("restartPolicyRules"))))
        return refuse(err, where, SV("restartPolicyRules"));
    return check_security(value_get(c, SV("securityContext")), security, err);
}

static int check_spec(const Value *spec, Err *err)
{
    static const char *const refused[] = { "hostUsers",           "resourceClaims",
                                           "runtimeClassName",    "overhead",
                                           "ephemeralContainers", "resources",
                                           "hostnameOverride",    NULL };
    for (const char *const *f = refused; *f; f++) {
        const Value *v = value_get(spec, sv_cstr(*f));
        bool harmless =
            !v || (value_is(v, VALUE_LIST) && !v->len) || (value_is(v, VALUE_BOOL) && v->b);
        if (!harmless)
            return refuse(err, "spec.", sv_cstr(*f));
    }
    StrView os = value_path_str(spec, "os.name");
    if (os.len && !sv_eq(os, SV("linux")))
        return refuse(err, "spec.", SV("os.name"));
    return check_security(value_get(spec, SV("securityContext")), "spec.securityContext.", err);
}

int support_check(const Value *pod, Err *err)
{
    static const char *const lists[] = { "containers", "initContainers" };
    const Value *spec = value_get(pod, SV("spec"));
    int r = check_spec(spec, err);
    const Value *volumes = value_get(spec, SV("volumes"));
    for (uint32_t i = 0; i < value_len(volumes) && r == 0; i++)
        r = check_volume(value_at(volumes, i), i, err);
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        const Value *containers = value_get(spec, sv_cstr(lists[l]));
        for (uint32_t i = 0; i < value_len(containers) && r == 0; i++)
            r = check_container(value_at(containers, i), lists[l], i, err);
    }
    return r;
}
