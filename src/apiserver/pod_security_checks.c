/* pod_security_checks.c - one function per rule of the Pod Security Standards.
 *
 * A rule says whether a pod breaks it, and writes what breaks it. To add a rule, or a version of
 * one, write its function and add a row to checks[]; rows of the baseline come first, then by name,
 * as Kubernetes reports them. */
#include "apiserver/pod_security_checks.h"

#include "codec/json.h"

enum { LISTED_MAX = 32 }; /* distinct values that a report lists */

typedef struct PodView {
    const Value *metadata, *spec;
    unsigned minor;
} PodView;

/* Writes the reason and the detail; false: the rule is kept. */
typedef bool CheckFn(const PodView *p, Buf *reason, Buf *detail);

/* ---- containers, and lists of what is wrong ---- */

typedef struct ContainerIter {
    unsigned list;
    uint32_t at;
} ContainerIter;

static const Value *next_container(const PodView *p, ContainerIter *it)
{
    static const StrView lists[] = { SV_INIT("initContainers"), SV_INIT("containers"),
                                     SV_INIT("ephemeralContainers") };
    for (; it->list < ARRAY_SIZE(lists); it->list++, it->at = 0) {
        const Value *c = value_at(value_get(p->spec, lists[it->list]), it->at);
        if (c) {
            it->at++;
            return c;
        }
    }
    return NULL;
}

#define container_foreach(c, p)                                                                    \
    for (ContainerIter it_ = { 0, 0 }, *once_ = &it_; once_; once_ = NULL)                         \
        for (const Value *c; (c = next_container((p), &it_));)

/* Distinct texts in order. */
typedef struct Texts {
    StrView v[LISTED_MAX];
    unsigned n;
} Texts;

static void texts_add(Texts *t, StrView s)
{
    unsigned at = 0;
    while (at < t->n && sv_cmp(t->v[at], s) < 0)
        at++;
    if ((at < t->n && sv_eq(t->v[at], s)) || t->n == LISTED_MAX)
        return;
    memmove(&t->v[at + 1], &t->v[at], (t->n - at) * sizeof t->v[0]);
    t->v[at] = s;
    t->n++;
}

static void texts_write(const Texts *t, Buf *out)
{
    for (unsigned i = 0; i < t->n; i++) {
        buf_sv(out, i ? SV(", ") : SV(""));
        json_encode_string(t->v[i], out);
    }
}

/* Who is at fault: `pod and containers "a", "b"`. */
typedef struct Setters {
    bool pod;
    Buf names; /* of containers, quoted */
    unsigned n;
} Setters;

static void setters_add(Setters *s, const Value *container)
{
    buf_sv(&s->names, s->n++ ? SV(", ") : SV(""));
    json_encode_string(value_str(value_get(container, SV("name"))), &s->names);
}

static void setters_write(const Setters *s, const char *glue, Buf *out)
{
    buf_sv(out, s->pod ? SV("pod") : SV(""));
    if (s->n)
        buf_printf(out, "%s%s %.*s", s->pod ? glue : "", s->n == 1 ? "container" : "containers",
                   (int)s->names.len, s->names.ptr);
}

static bool setters_any(const Setters *s)
{
    return s->pod || s->n;
}

static void setters_free(Setters *s)
{
    buf_free(&s->names);
}

static const Value *security(const Value *of, StrView key)
{
    return value_get(value_get(of, SV("securityContext")), key);
}

static bool is_windows(const PodView *p)
{
    return p->minor >= 25 && sv_eq(value_path_str(p->spec, "os.name"), SV("windows"));
}

static bool among(StrView s, const StrView *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sv_eq(list[i], s))
            return true;
    return false;
}

/* ---- baseline ---- */

static bool check_app_armor(const PodView *p, Buf *reason, Buf *detail)
{
    StrView prefix = SV("container.apparmor.security.beta.kubernetes.io/");
    _cleanup_(setters_free) Setters who = { 0 };
    unsigned n = 0;
    who.pod =
        sv_eq(value_path_str(security(p->spec, SV("appArmorProfile")), "type"), SV("Unconfined"));
    container_foreach(c, p)
    {
        if (sv_eq(value_path_str(security(c, SV("appArmorProfile")), "type"), SV("Unconfined")))
            setters_add(&who, c);
    }
    if (setters_any(&who)) {
        setters_write(&who, " and ", detail);
        buf_sv(detail, SV(" must not set AppArmor profile type to \"Unconfined\""));
        n++;
    }
    value_map_foreach (m, value_get(p->metadata, SV("annotations"))) {
        StrView v = value_str(&m->val);
        if (!sv_starts(m->key, prefix) || !v.len || sv_eq(v, SV("runtime/default")) ||
            sv_starts(v, SV("localhost/")))
            continue;
        buf_printf(detail, "%s%.*s=", n++ ? ", " : "", SV_FMT(m->key));
        json_encode_string(v, detail);
    }
    buf_sv(reason, n == 1 ? SV("forbidden AppArmor profile") : SV("forbidden AppArmor profiles"));
    return n > 0;
}

static bool check_capabilities(const PodView *p, Buf *reason, Buf *detail)
{
    static const StrView allowed[] = {
        SV_INIT("AUDIT_WRITE"),  SV_INIT("CHOWN"),
        SV_INIT("DAC_OVERRIDE"), SV_INIT("FOWNER"),
        SV_INIT("FSETID"),       SV_INIT("KILL"),
        SV_INIT("MKNOD"),        SV_INIT("NET_BIND_SERVICE"),
        SV_INIT("SETFCAP"),      SV_INIT("SETGID"),
        SV_INIT("SETPCAP"),      SV_INIT("SETUID"),
        SV_INIT("SYS_CHROOT"),
    };
    _cleanup_(setters_free) Setters who = { 0 };
    Texts bad = { .n = 0 };
    container_foreach(c, p)
    {
        bool found = false;
        value_list_foreach (cap, value_get(security(c, SV("capabilities")), SV("add"))) {
            if (among(value_str(cap), allowed, ARRAY_SIZE(allowed)))
                continue;
            texts_add(&bad, value_str(cap));
            found = true;
        }
        if (found)
            setters_add(&who, c);
    }
    buf_sv(reason, SV("non-default capabilities"));
    setters_write(&who, "", detail);
    buf_sv(detail, SV(" must not include "));
    texts_write(&bad, detail);
    buf_sv(detail, SV(" in securityContext.capabilities.add"));
    return who.n > 0;
}

static bool check_host_namespaces(const PodView *p, Buf *reason, Buf *detail)
{
    static const StrView fields[] = { SV_INIT("hostNetwork"), SV_INIT("hostPID"),
                                      SV_INIT("hostIPC") };
    bool found = false;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (!value_bool_or(value_get(p->spec, fields[i]), false))
            continue;
        buf_printf(detail, "%s%.*s=true", found ? ", " : "", SV_FMT(fields[i]));
        found = true;
    }
    buf_sv(reason, SV("host namespaces"));
    return found;
}

static bool check_host_path(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_buf_ Buf names = BUF_INIT;
    unsigned n = 0;
    value_list_foreach (v, value_get(p->spec, SV("volumes"))) {
        if (!value_is(value_get(v, SV("hostPath")), VALUE_MAP))
            continue;
        buf_sv(&names, n++ ? SV(", ") : SV(""));
        json_encode_string(value_str(value_get(v, SV("name"))), &names);
    }
    buf_sv(reason, SV("hostPath volumes"));
    buf_printf(detail, "%s %.*s", n == 1 ? "volume" : "volumes", (int)names.len, names.ptr);
    return n > 0;
}

static bool check_host_ports(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters who = { 0 };
    _cleanup_buf_ Buf ports = BUF_INIT;
    unsigned n = 0;
    container_foreach(c, p)
    {
        bool found = false;
        value_list_foreach (port, value_get(c, SV("ports"))) {
            int64_t host = value_int_or(value_get(port, SV("hostPort")), 0);
            if (host == 0)
                continue;
            buf_printf(&ports, "%s%lld", n++ ? ", " : "", (long long)host);
            found = true;
        }
        if (found)
            setters_add(&who, c);
    }
    buf_sv(reason, n == 1 ? SV("hostPort") : SV("hostPorts"));
    setters_write(&who, "", detail);
    buf_printf(detail, " %s %s %.*s", who.n == 1 ? "uses" : "use",
               n == 1 ? "hostPort" : "hostPorts", (int)ports.len, ports.ptr);
    return n > 0;
}

static bool add_hosts(const Value *handler, Texts *hosts)
{
    StrView http = value_path_str(handler, "httpGet.host"),
            tcp = value_path_str(handler, "tcpSocket.host");
    if (http.len)
        texts_add(hosts, http);
    if (tcp.len)
        texts_add(hosts, tcp);
    return http.len || tcp.len;
}

static bool check_probe_hosts(const PodView *p, Buf *reason, Buf *detail)
{
    static const char *const handlers[] = { "livenessProbe", "readinessProbe", "startupProbe",
                                            "lifecycle.postStart", "lifecycle.preStop" };
    _cleanup_(setters_free) Setters who = { 0 };
    Texts hosts = { .n = 0 };
    container_foreach(c, p)
    {
        bool found = false;
        for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
            found |= add_hosts(value_path(c, handlers[i]), &hosts);
        if (found)
            setters_add(&who, c);
    }
    buf_sv(reason, SV("probe or lifecycle host"));
    setters_write(&who, "", detail);
    buf_printf(detail, " %s %s ", who.n == 1 ? "uses" : "use",
               hosts.n == 1 ? "probe or lifecycle host" : "probe or lifecycle hosts");
    texts_write(&hosts, detail);
    return who.n > 0;
}

static bool check_privileged(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters who = { 0 };
    container_foreach(c, p)
    {
        if (value_bool_or(security(c, SV("privileged")), false))
            setters_add(&who, c);
    }
    buf_sv(reason, SV("privileged"));
    setters_write(&who, "", detail);
    buf_sv(detail, SV(" must not set securityContext.privileged=true"));
    return who.n > 0;
}

static bool check_proc_mount(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters who = { 0 };
    Texts bad = { .n = 0 };
    container_foreach(c, p)
    {
        StrView type = value_str(security(c, SV("procMount")));
        if (!type.len || sv_eq(type, SV("Default")))
            continue;
        texts_add(&bad, type);
        setters_add(&who, c);
    }
    buf_sv(reason, SV("procMount"));
    setters_write(&who, "", detail);
    buf_sv(detail, SV(" must not set securityContext.procMount to "));
    texts_write(&bad, detail);
    return who.n > 0;
}

/* From 1.35 on a pod with its own user namespace may see its whole /proc. */
static bool check_proc_mount_of_host(const PodView *p, Buf *reason, Buf *detail)
{
    return value_bool_or(value_get(p->spec, SV("hostUsers")), true) &&
           check_proc_mount(p, reason, detail);
}

typedef struct SeLinux {
    Texts types;
    bool user, role;
} SeLinux;

static bool se_linux_is_bad(const PodView *p, const Value *options, SeLinux *found)
{
    static const StrView allowed[] = { SV_INIT(""), SV_INIT("container_t"),
                                       SV_INIT("container_init_t"), SV_INIT("container_kvm_t"),
                                       SV_INIT("container_engine_t") };
    size_t n = p->minor >= 31 ? ARRAY_SIZE(allowed) : ARRAY_SIZE(allowed) - 1;
    StrView type = value_str(value_get(options, SV("type")));
    bool bad = !among(type, allowed, n), user = value_str(value_get(options, SV("user"))).len > 0,
         role = value_str(value_get(options, SV("role"))).len > 0;
    if (bad)
        texts_add(&found->types, type);
    found->user |= user;
    found->role |= role;
    return bad || user || role;
}

static bool check_se_linux(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters who = { 0 };
    SeLinux found = { .user = false };
    who.pod = se_linux_is_bad(p, security(p->spec, SV("seLinuxOptions")), &found);
    container_foreach(c, p)
    {
        if (se_linux_is_bad(p, security(c, SV("seLinuxOptions")), &found))
            setters_add(&who, c);
    }
    buf_sv(reason, SV("seLinuxOptions"));
    setters_write(&who, " and ", detail);
    buf_sv(detail, SV(" set forbidden securityContext.seLinuxOptions: "));
    if (found.types.n)
        buf_sv(detail, found.types.n == 1 ? SV("type ") : SV("types "));
    texts_write(&found.types, detail);
    if (found.user)
        buf_printf(detail, "%suser may not be set", found.types.n ? "; " : "");
    if (found.role)
        buf_printf(detail, "%srole may not be set", found.types.n || found.user ? "; " : "");
    return setters_any(&who);
}

static bool seccomp_is_safe(StrView type)
{
    return sv_eq(type, SV("RuntimeDefault")) || sv_eq(type, SV("Localhost"));
}

/* Who sets a seccomp profile that is none. */
static bool seccomp_is_bad(const Value *of, Texts *bad)
{
    const Value *profile = security(of, SV("seccompProfile"));
    StrView type = value_str(value_get(profile, SV("type")));
    if (!value_is(profile, VALUE_MAP) || seccomp_is_safe(type))
        return false;
    texts_add(bad, type);
    return true;
}

static bool check_seccomp(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters who = { 0 };
    Texts bad = { .n = 0 };
    who.pod = seccomp_is_bad(p->spec, &bad);
    container_foreach(c, p)
    {
        if (seccomp_is_bad(c, &bad))
            setters_add(&who, c);
    }
    buf_sv(reason, SV("seccompProfile"));
    setters_write(&who, " and ", detail);
    buf_sv(detail, SV(" must not set securityContext.seccompProfile.type to "));
    texts_write(&bad, detail);
    return setters_any(&who);
}

static bool check_sysctls(const PodView *p, Buf *reason, Buf *detail)
{
    static const struct {
        StrView name;
        unsigned minor;
    } safe[] = {
        { SV_INIT("kernel.shm_rmid_forced"), 0 },
        { SV_INIT("net.ipv4.ip_local_port_range"), 0 },
        { SV_INIT("net.ipv4.tcp_syncookies"), 0 },
        { SV_INIT("net.ipv4.ping_group_range"), 0 },
        { SV_INIT("net.ipv4.ip_unprivileged_port_start"), 0 },
        { SV_INIT("net.ipv4.ip_local_reserved_ports"), 27 },
        { SV_INIT("net.ipv4.tcp_keepalive_time"), 29 },
        { SV_INIT("net.ipv4.tcp_fin_timeout"), 29 },
        { SV_INIT("net.ipv4.tcp_keepalive_intvl"), 29 },
        { SV_INIT("net.ipv4.tcp_keepalive_probes"), 29 },
        { SV_INIT("net.ipv4.tcp_rmem"), 32 },
        { SV_INIT("net.ipv4.tcp_wmem"), 32 },
    };
    unsigned n = 0;
    value_list_foreach (s, security(p->spec, SV("sysctls"))) {
        StrView name = value_str(value_get(s, SV("name")));
        bool ok = false;
        for (size_t i = 0; i < ARRAY_SIZE(safe); i++)
            ok |= p->minor >= safe[i].minor && sv_eq(safe[i].name, name);
        if (!ok)
            buf_printf(detail, "%s%.*s", n++ ? ", " : "", SV_FMT(name));
    }
    buf_sv(reason, SV("forbidden sysctls"));
    return n > 0;
}

static bool is_host_process(const Value *of)
{
    return value_bool_or(value_get(security(of, SV("windowsOptions")), SV("hostProcess")), false);
}

static bool check_host_process(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters who = { .pod = is_host_process(p->spec) };
    container_foreach(c, p)
    {
        if (is_host_process(c))
            setters_add(&who, c);
    }
    buf_sv(reason, SV("hostProcess"));
    setters_write(&who, " and ", detail);
    buf_sv(detail, SV(" must not set securityContext.windowsOptions.hostProcess=true"));
    return setters_any(&who);
}

/* ---- restricted ---- */

static bool check_escalation(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters who = { 0 };
    container_foreach(c, p)
    {
        if (value_bool_or(security(c, SV("allowPrivilegeEscalation")), true))
            setters_add(&who, c);
    }
    buf_sv(reason, SV("allowPrivilegeEscalation != false"));
    setters_write(&who, "", detail);
    buf_sv(detail, SV(" must set securityContext.allowPrivilegeEscalation=false"));
    return who.n > 0 && !is_windows(p);
}

static bool drops_all(const Value *container)
{
    value_list_foreach (cap, value_get(security(container, SV("capabilities")), SV("drop"))) {
        if (sv_eq(value_str(cap), SV("ALL")))
            return true;
    }
    return false;
}

static bool check_all_dropped(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters keep = { 0 }, add = { 0 };
    Texts bad = { .n = 0 };
    container_foreach(c, p)
    {
        bool adds = false;
        if (!drops_all(c))
            setters_add(&keep, c);
        value_list_foreach (cap, value_get(security(c, SV("capabilities")), SV("add"))) {
            if (sv_eq(value_str(cap), SV("NET_BIND_SERVICE")))
                continue;
            texts_add(&bad, value_str(cap));
            adds = true;
        }
        if (adds)
            setters_add(&add, c);
    }
    buf_sv(reason, SV("unrestricted capabilities"));
    setters_write(&keep, "", detail);
    if (keep.n)
        buf_sv(detail, SV(" must set securityContext.capabilities.drop=[\"ALL\"]"));
    if (add.n) {
        buf_sv(detail, keep.n ? SV("; ") : SV(""));
        setters_write(&add, "", detail);
        buf_sv(detail, SV(" must not include "));
        texts_write(&bad, detail);
        buf_sv(detail, SV(" in securityContext.capabilities.add"));
    }
    return (keep.n || add.n) && !is_windows(p);
}

/* The member of a volume that says what it is, where that is not allowed; empty: it is. */
static StrView restricted_type(const Value *volume)
{
    static const StrView allowed[] = {
        SV_INIT("configMap"), SV_INIT("csi"),       SV_INIT("downwardAPI"),
        SV_INIT("emptyDir"),  SV_INIT("ephemeral"), SV_INIT("persistentVolumeClaim"),
        SV_INIT("projected"), SV_INIT("secret"),
    };
    value_map_foreach (m, volume)
        if (m->val.kind == VALUE_MAP && !among(m->key, allowed, ARRAY_SIZE(allowed)))
            return m->key;
    return SV(""); /* one without a source is an emptyDir */
}

static bool check_volume_types(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_buf_ Buf names = BUF_INIT;
    Texts types = { .n = 0 };
    unsigned n = 0;
    value_list_foreach (v, value_get(p->spec, SV("volumes"))) {
        StrView type = restricted_type(v);
        if (!type.len)
            continue;
        texts_add(&types, type);
        buf_sv(&names, n++ ? SV(", ") : SV(""));
        json_encode_string(value_str(value_get(v, SV("name"))), &names);
    }
    buf_sv(reason, SV("restricted volume types"));
    buf_printf(detail, "%s %.*s %s restricted volume %s ", n == 1 ? "volume" : "volumes",
               (int)names.len, names.ptr, n == 1 ? "uses" : "use", types.n == 1 ? "type" : "types");
    texts_write(&types, detail);
    return n > 0;
}

static bool check_non_root(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters says = { 0 }, silent = { 0 };
    const Value *of_pod = security(p->spec, SV("runAsNonRoot"));
    bool pod_sets = value_bool_or(of_pod, false);
    says.pod = value_is(of_pod, VALUE_BOOL) && !pod_sets;
    container_foreach(c, p)
    {
        const Value *own = security(c, SV("runAsNonRoot"));
        if (value_is(own, VALUE_BOOL) && !own->b)
            setters_add(&says, c);
        else if (!value_is(own, VALUE_BOOL) && !pod_sets)
            setters_add(&silent, c);
    }
    buf_sv(reason, SV("runAsNonRoot != true"));
    if (setters_any(&says)) {
        setters_write(&says, " and ", detail);
        buf_sv(detail, SV(" must not set securityContext.runAsNonRoot=false"));
        return true;
    }
    silent.pod = silent.n > 0;
    setters_write(&silent, " or ", detail);
    buf_sv(detail, SV(" must set securityContext.runAsNonRoot=true"));
    return silent.n > 0;
}

static bool is_root(const Value *of)
{
    return value_int_or(security(of, SV("runAsUser")), 1) == 0;
}

static bool check_user(const PodView *p, Buf *reason, Buf *detail)
{
    _cleanup_(setters_free) Setters who = { .pod = is_root(p->spec) };
    container_foreach(c, p)
    {
        if (is_root(c))
            setters_add(&who, c);
    }
    buf_sv(reason, SV("runAsUser=0"));
    setters_write(&who, " and ", detail);
    buf_sv(detail, SV(" must not set runAsUser=0"));
    return setters_any(&who);
}

static bool check_seccomp_set(const PodView *p, Buf *reason, Buf *detail)
{
    if (is_windows(p))
        return false;
    if (check_seccomp(p, reason, detail))
        return true;
    buf_clear(detail); /* it has begun a sentence */
    _cleanup_(setters_free) Setters silent = { 0 };
    bool of_pod = value_is(security(p->spec, SV("seccompProfile")), VALUE_MAP);
    container_foreach(c, p)
    {
        if (!of_pod && !value_is(security(c, SV("seccompProfile")), VALUE_MAP))
            setters_add(&silent, c);
    }
    silent.pod = silent.n > 0;
    setters_write(&silent, " or ", detail);
    buf_sv(detail, SV(" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or "
                      "\"Localhost\""));
    return silent.n > 0;
}

/* ---- all of them ---- */

enum { ALWAYS = POD_SECURITY_LATEST + 1 };

static const struct {
    PodSecurityLevel level;
    unsigned from, to; /* minor versions: from `from` on, before `to` */
    bool overridden;   /* by a stricter rule of the restricted level */
    CheckFn *fn;
} checks[] = {
    { POD_SECURITY_BASELINE, 0, ALWAYS, false, check_app_armor },
    { POD_SECURITY_BASELINE, 0, ALWAYS, true, check_capabilities },
    { POD_SECURITY_BASELINE, 0, ALWAYS, false, check_host_namespaces },
    { POD_SECURITY_BASELINE, 0, ALWAYS, true, check_host_path },
    { POD_SECURITY_BASELINE, 0, ALWAYS, false, check_host_ports },
    { POD_SECURITY_BASELINE, 34, ALWAYS, false, check_probe_hosts },
    { POD_SECURITY_BASELINE, 0, ALWAYS, false, check_privileged },
    { POD_SECURITY_BASELINE, 0, 35, false, check_proc_mount },
    { POD_SECURITY_BASELINE, 35, ALWAYS, true, check_proc_mount_of_host },
    { POD_SECURITY_BASELINE, 0, ALWAYS, false, check_se_linux },
    { POD_SECURITY_BASELINE, 0, ALWAYS, true, check_seccomp },
    { POD_SECURITY_BASELINE, 0, ALWAYS, false, check_sysctls },
    { POD_SECURITY_BASELINE, 0, ALWAYS, false, check_host_process },
    { POD_SECURITY_RESTRICTED, 8, ALWAYS, false, check_escalation },
    { POD_SECURITY_RESTRICTED, 22, ALWAYS, false, check_all_dropped },
    { POD_SECURITY_RESTRICTED, 0, 22, false, check_capabilities },
    { POD_SECURITY_RESTRICTED, 35, ALWAYS, false, check_proc_mount },
    { POD_SECURITY_RESTRICTED, 0, ALWAYS, false, check_volume_types },
    { POD_SECURITY_RESTRICTED, 0, ALWAYS, false, check_non_root },
    { POD_SECURITY_RESTRICTED, 23, ALWAYS, false, check_user },
    { POD_SECURITY_RESTRICTED, 19, ALWAYS, false, check_seccomp_set },
    { POD_SECURITY_RESTRICTED, 0, 19, false, check_seccomp },
};

static void append(Buf *out, const Buf *reason, const Buf *detail)
{
    if (!out)
        return;
    buf_printf(out, "%s%.*s", out->len ? ", " : "", (int)reason->len, reason->ptr);
    if (detail)
        buf_printf(out, " (%.*s)", (int)detail->len, detail->ptr);
}

bool pod_security_check(PodSecurityLevel level, unsigned minor, const Value *metadata,
                        const Value *spec, Buf *reasons, Buf *details)
{
    PodView p = { .metadata = metadata, .spec = spec, .minor = minor };
    _cleanup_buf_ Buf reason = BUF_INIT, detail = BUF_INIT;
    bool ok = true;
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        if (checks[i].level > level || minor < checks[i].from || minor >= checks[i].to ||
            (checks[i].overridden && level == POD_SECURITY_RESTRICTED))
            continue;
        buf_clear(&reason);
        buf_clear(&detail);
        if (!checks[i].fn(&p, &reason, &detail))
            continue;
        ok = false;
        append(reasons, &reason, NULL);
        append(details, &reason, &detail);
    }
    return ok;
}
