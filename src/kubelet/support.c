/* support.c - every field of a pod's spec, and what this node makes of it: a pod that needs what is
 * not done here is refused with the field's path. Nothing that an author relies on is accepted and
 * ignored.
 *
 * The table names the fields of each type that can be reached from PodSpec; a field in no row fails
 * the build (tests/unit/kubelet/pod_fields.c). When Kubernetes gets a new one it comes with the
 * schema, and has to be put into the row that is true. */
#include <stdio.h>

#include "api/kinds.h"
#include "api/quantity.h"
#include "base/file.h"
#include "kubelet/internal.h"

typedef struct TypeRow {
    StrView type;
    StrView node;    /* acted upon by this node; what is inside is looked at in its own row */
    StrView others;  /* acted upon by the API server, scheduler or controllers, as a whole */
    StrView ignored; /* a kubelet on such a machine ignores it, too */
    StrView refused; /* unless it is empty or false */
} TypeRow;

#define TEXT(s) SV_INIT(s)

static const TypeRow rows[] = {
    { TEXT("PodSpec"),
      .node = TEXT(
          "volumes initContainers containers restartPolicy terminationGracePeriodSeconds "
          "activeDeadlineSeconds dnsPolicy hostNetwork hostPID hostIPC shareProcessNamespace imagePullSecrets "
          "securityContext hostname subdomain hostAliases dnsConfig readinessGates "
          "enableServiceLinks setHostnameAsFQDN hostnameOverride os hostUsers"),
      .others = TEXT(
          "nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName "
          "affinity schedulerName tolerations priorityClassName priority preemptionPolicy "
          "topologySpreadConstraints schedulingGates"),
      .refused = TEXT("ephemeralContainers runtimeClassName overhead resourceClaims resources "
                      "workloadRef") },
    { TEXT("LocalObjectReference"), .node = TEXT("name") },
    { TEXT("Volume"), .node = TEXT("name hostPath emptyDir secret downwardAPI configMap projected"),
      .refused = TEXT(
          "gcePersistentDisk awsElasticBlockStore gitRepo nfs iscsi glusterfs "
          "persistentVolumeClaim rbd flexVolume cinder cephfs flocker fc azureFile vsphereVolume "
          "quobyte azureDisk photonPersistentDisk portworxVolume scaleIO storageos csi ephemeral "
          "image") },
    { TEXT("HostPathVolumeSource"), .node = TEXT("path type") },
    { TEXT("EmptyDirVolumeSource"), .node = TEXT("medium sizeLimit") },
    { TEXT("SecretVolumeSource"), .node = TEXT("secretName items defaultMode optional") },
    { TEXT("ConfigMapVolumeSource"), .node = TEXT("name items defaultMode optional") },
    { TEXT("KeyToPath"), .node = TEXT("key path mode") },
    { TEXT("DownwardAPIVolumeSource"), .node = TEXT("items defaultMode") },
    { TEXT("DownwardAPIVolumeFile"), .node = TEXT("path fieldRef resourceFieldRef mode") },
    { TEXT("ObjectFieldSelector"), .node = TEXT("fieldPath"), .others = TEXT("apiVersion") },
    { TEXT("ResourceFieldSelector"), .node = TEXT("containerName resource divisor") },
    { TEXT("ProjectedVolumeSource"), .node = TEXT("sources defaultMode") },
    { TEXT("VolumeProjection"), .node = TEXT("secret downwardAPI configMap serviceAccountToken"),
      .refused = TEXT("clusterTrustBundle podCertificate") },
    { TEXT("SecretProjection"), .node = TEXT("name items optional") },
    { TEXT("ConfigMapProjection"), .node = TEXT("name items optional") },
    { TEXT("DownwardAPIProjection"), .node = TEXT("items") },
    { TEXT("ServiceAccountTokenProjection"), .node = TEXT("audience expirationSeconds path") },
    { TEXT("Container"),
      .node = TEXT(
          "name image command args workingDir ports envFrom env resources restartPolicy "
          "volumeMounts livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath "
          "terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty"),
      .ignored = TEXT("resizePolicy"), /* no pod is resized */
      .refused = TEXT("restartPolicyRules volumeDevices") },
    { TEXT("ContainerPort"), .node = TEXT("name hostPort containerPort protocol hostIP") },
    { TEXT("EnvFromSource"), .node = TEXT("prefix configMapRef secretRef") },
    { TEXT("ConfigMapEnvSource"), .node = TEXT("name optional") },
    { TEXT("SecretEnvSource"), .node = TEXT("name optional") },
    { TEXT("EnvVar"), .node = TEXT("name value valueFrom") },
    { TEXT("EnvVarSource"), .node = TEXT("fieldRef resourceFieldRef configMapKeyRef secretKeyRef"),
      .refused = TEXT("fileKeyRef") },
    { TEXT("ConfigMapKeySelector"), .node = TEXT("name key optional") },
    { TEXT("SecretKeySelector"), .node = TEXT("name key optional") },
    { TEXT("ResourceRequirements"), .node = TEXT("limits requests"), .refused = TEXT("claims") },
    { TEXT("VolumeMount"),
      .node =
          TEXT("name readOnly recursiveReadOnly mountPath subPath mountPropagation subPathExpr") },
    { TEXT("Probe"),
      .node = TEXT("exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds periodSeconds "
                   "successThreshold failureThreshold terminationGracePeriodSeconds") },
    { TEXT("ExecAction"), .node = TEXT("command") },
    { TEXT("HTTPGetAction"), .node = TEXT("path port host scheme httpHeaders") },
    { TEXT("HTTPHeader"), .node = TEXT("name value") },
    { TEXT("TCPSocketAction"), .node = TEXT("port host") },
    { TEXT("GRPCAction"), .node = TEXT("port service") },
    { TEXT("Lifecycle"), .node = TEXT("postStart preStop stopSignal") },
    { TEXT("LifecycleHandler"), .node = TEXT("exec httpGet tcpSocket sleep") },
    { TEXT("SleepAction"), .node = TEXT("seconds") },
    { TEXT("SecurityContext"),
      .node = TEXT("capabilities privileged runAsUser runAsGroup runAsNonRoot "
                   "readOnlyRootFilesystem allowPrivilegeEscalation procMount seccompProfile "
                   "appArmorProfile seLinuxOptions"),
      .ignored = TEXT("windowsOptions") },
    { TEXT("Capabilities"), .node = TEXT("add drop") },
    { TEXT("SeccompProfile"), .node = TEXT("type"), .refused = TEXT("localhostProfile") },
    { TEXT("AppArmorProfile"), .node = TEXT("type"), .refused = TEXT("localhostProfile") },
    /* Where the machine has no SELinux; else the whole is refused. */
    { TEXT("SELinuxOptions"), .ignored = TEXT("user role type level") },
    { TEXT("PodSecurityContext"),
      .node = TEXT("runAsUser runAsGroup runAsNonRoot supplementalGroups supplementalGroupsPolicy "
                   "fsGroup sysctls seccompProfile appArmorProfile seLinuxOptions"),
      /* fsGroup is set on volumes of this node's own making alone, when they are made. */
      .ignored = TEXT("windowsOptions seLinuxChangePolicy fsGroupChangePolicy") },
    { TEXT("Sysctl"), .node = TEXT("name value") },
    { TEXT("HostAlias"), .node = TEXT("ip hostnames") },
    { TEXT("PodDNSConfig"), .node = TEXT("nameservers searches options") },
    { TEXT("PodDNSConfigOption"), .node = TEXT("name value") },
    { TEXT("PodReadinessGate"), .node = TEXT("conditionType") },
    { TEXT("PodOS"), .node = TEXT("name") },
};

/* ---- values that are not honoured, of fields that are ---- */

static bool is_empty(const Value *v)
{
    return value_is(v, VALUE_NULL) || (value_is(v, VALUE_BOOL) && !v->b) ||
           (value_is(v, VALUE_STRING) && !value_str(v).len) ||
           ((value_is(v, VALUE_LIST) || value_is(v, VALUE_MAP)) && !value_len(v));
}

static bool is_linux(const Value *v)
{
    return sv_eq(value_str(v), SV("linux"));
}

static bool is_true(const Value *v)
{
    return value_bool_or(v, true);
}

static bool is_builtin_seccomp(const Value *v)
{
    return !value_str(v).len || sv_eq(value_str(v), SV("RuntimeDefault")) ||
           sv_eq(value_str(v), SV("Unconfined"));
}

static bool is_unconfined(const Value *v)
{
    return !value_str(v).len || sv_eq(value_str(v), SV("Unconfined"));
}

static bool is_default(const Value *v)
{
    return sv_eq(value_str(v), SV("Default")) || !value_str(v).len;
}

static bool is_medium(const Value *v)
{
    return sv_eq(value_str(v), SV("Memory")) || !value_str(v).len;
}

static bool is_group_policy(const Value *v)
{
    return !value_str(v).len || sv_eq(value_str(v), SV("Merge")) ||
           sv_eq(value_str(v), SV("Strict"));
}

static bool has_no_selinux(const Value *v)
{
    return is_empty(v) || !path_exists(AT_FDCWD, "/sys/fs/selinux/enforce");
}

static const struct {
    StrView type, field;
    bool (*is_honoured)(const Value *v);
} checks[] = {
    { TEXT("PodSpec"), TEXT("hostUsers"), is_true },
    { TEXT("PodOS"), TEXT("name"), is_linux },
    { TEXT("SeccompProfile"), TEXT("type"), is_builtin_seccomp },
    { TEXT("AppArmorProfile"), TEXT("type"), is_unconfined },
    { TEXT("SecurityContext"), TEXT("procMount"), is_default },
    { TEXT("SecurityContext"), TEXT("seLinuxOptions"), has_no_selinux },
    { TEXT("PodSecurityContext"), TEXT("seLinuxOptions"), has_no_selinux },
    { TEXT("PodSecurityContext"), TEXT("supplementalGroupsPolicy"), is_group_policy },
    { TEXT("EmptyDirVolumeSource"), TEXT("medium"), is_medium },
};

/* ---- the walk ---- */

static StrView short_name(const SchemaObject *o)
{
    ssize_t dot = sv_rfind_char(o->name, '.');
    return sv_skip(o->name, (size_t)(dot + 1));
}

static const TypeRow *row_of(const SchemaObject *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (sv_eq(rows[i].type, short_name(o)))
            return &rows[i];
    return NULL;
}

static bool lists(StrView names, StrView name)
{
    StrView one;
    while (sv_next(&names, ' ', &one))
        if (sv_eq(one, name))
            return true;
    return false;
}

static bool is_honoured(StrView type, StrView field, const Value *v)
{
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
        if (sv_eq(checks[i].type, type) && sv_eq(checks[i].field, field))
            return value_is(v, VALUE_NULL) || checks[i].is_honoured(v);
    return true;
}

static int refuse(Err *err, StrView path)
{
    return err_set(err, ERR_UNSUPPORTED, 0, "%.*s is not supported by this node",
                   SV_FMT(sv_head(path, 300)));
}

static int walk(const SchemaObject *o, const Value *v, Buf *path, Err *err);

static int walk_items(const SchemaField *f, const Value *v, Buf *path, Err *err)
{
    size_t len = path->len;
    int r = 0;
    if (f->card != SCHEMA_LIST)
        return walk(f->object, v, path, err);
    for (uint32_t i = 0; i < value_len(v) && r == 0; i++) {
        buf_printf(path, "[%u]", i);
        r = walk(f->object, value_at(v, i), path, err);
        path->len = len;
    }
    return r;
}

static int walk(const SchemaObject *o, const Value *v, Buf *path, Err *err)
{
    const TypeRow *row = row_of(o);
    size_t len = path->len;
    int r = row ? 0 : refuse(err, buf_view(path));
    value_map_foreach (m, v) {
        const SchemaField *f = schema_field(o, m->key);
        if (r < 0)
            break;
        buf_printf(path, ".%.*s", SV_FMT(m->key));
        if (lists(row->node, m->key) && f) {
            if (!is_honoured(row->type, m->key, &m->val))
                r = refuse(err, buf_view(path));
            else if (f->type == SCHEMA_OBJECT)
                r = walk_items(f, &m->val, path, err);
        } else if (!lists(row->others, m->key) && !lists(row->ignored, m->key) &&
                   !is_empty(&m->val))
            r = refuse(err, buf_view(path));
        path->len = len;
    }
    return r;
}

/* ---- resources ---- */

/* "example.com/dongle": somebody wrote into the Node what it has of them, and the scheduler counts;
 * there is nothing to hand to the container. */
static bool is_extended(StrView resource)
{
    StrView domain, name;
    return sv_cut(resource, '/', &domain, &name) && !sv_eq(domain, SV("kubernetes.io")) &&
           !sv_ends(domain, SV(".kubernetes.io"));
}

/* Huge pages and other things of a node that this one does not offer. */
static int check_amounts(const Value *amounts, const char *where, Err *err)
{
    static const StrView known[] = { SV_INIT("cpu"), SV_INIT("memory"),
                                     SV_INIT("ephemeral-storage") };
    value_map_foreach (m, amounts) {
        ApiQuantity q;
        bool ok = is_extended(m->key) ||
                  (api_quantity_from(&m->val, &q, NULL) == 0 && api_quantity_value(&q) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
            ok |= sv_eq(m->key, known[i]);
        if (!ok)
            return err_set(err, ERR_UNSUPPORTED, 0, "%s[%.*s]: this node has none", where,
                           SV_FMT(sv_head(m->key, 253)));
    }
    return 0;
}

static int check_resources(const Value *spec, Err *err)
{
    static const char *const lists[] = { "initContainers", "containers" };
    static const char *const kinds[] = { "limits", "requests" };
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        const Value *list = value_get(spec, sv_cstr(lists[l]));
        for (uint32_t i = 0; i < value_len(list) * ARRAY_SIZE(kinds); i++) {
            const char *kind = kinds[i % ARRAY_SIZE(kinds)];
            const Value *c = value_at(list, i / (uint32_t)ARRAY_SIZE(kinds));
            char where[80];
            snprintf(where, sizeof where, "spec.%s[%u].resources.%s", lists[l],
                     i / (unsigned)ARRAY_SIZE(kinds), kind);
            int r =
                check_amounts(value_get(value_get(c, SV("resources")), sv_cstr(kind)), where, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int support_check(const Value *pod, Err *err)
{
    const SchemaObject *type = api_schema_find(SV("io.k8s.api.core.v1.PodSpec"));
    _cleanup_buf_ Buf path = BUF_INIT;
    buf_sv(&path, SV("spec"));
    int r = walk(type, value_get(pod, SV("spec")), &path, err);
    if (r == 0 && path.failed)
        return err_nomem(err);
    return r < 0 ? r : check_resources(value_get(pod, SV("spec")), err);
}

/* ---- is every field in a row? ---- */

static void complain(Buf *out, const SchemaObject *o, StrView field, const char *what)
{
    buf_printf(out, "%.*s.%.*s %s\n", SV_FMT(short_name(o)), SV_FMT(field), what);
}

static void cover_fields(const SchemaObject *top, const SchemaObject *o, const TypeRow *row,
                         unsigned depth, Buf *out)
{
    for (uint16_t i = 0; i < o->n_fields; i++) {
        const SchemaField *f = &o->fields[i];
        if (f->flags & SCHEMA_F_INLINE) {
            cover_fields(top, f->object, row, depth, out);
            continue;
        }
        unsigned n = (unsigned)lists(row->node, f->name) + lists(row->others, f->name) +
                     lists(row->ignored, f->name) + lists(row->refused, f->name);
        if (n != 1)
            complain(out, top, f->name, n ? "is in two rows" : "is in no row");
        const TypeRow *below =
            f->type == SCHEMA_OBJECT && lists(row->node, f->name) ? row_of(f->object) : NULL;
        if (f->type == SCHEMA_OBJECT && lists(row->node, f->name) && !below)
            complain(out, top, f->name, "is of a type without rows");
        else if (below && depth)
            cover_fields(f->object, f->object, below, depth - 1, out);
    }
}

static void cover_names(const SchemaObject *o, StrView names, Buf *out)
{
    StrView one;
    while (sv_next(&names, ' ', &one))
        if (one.len && !schema_field(o, one))
            complain(out, o, one, "is no field");
}

void support_coverage(Buf *out)
{
    enum { DEPTH = 8 };
    char name[128];
    const SchemaObject *spec = api_schema_find(SV("io.k8s.api.core.v1.PodSpec"));
    cover_fields(spec, spec, row_of(spec), DEPTH, out);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        snprintf(name, sizeof name, "io.k8s.api.core.v1.%.*s", SV_FMT(rows[i].type));
        const SchemaObject *o = api_schema_find(sv_cstr(name));
        if (!o) {
            buf_printf(out, "%.*s is no type\n", SV_FMT(rows[i].type));
            continue;
        }
        const StrView columns[] = { rows[i].node, rows[i].others, rows[i].ignored,
                                    rows[i].refused };
        for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
            cover_names(o, columns[c], out);
    }
}
