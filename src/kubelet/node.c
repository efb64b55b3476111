/* node.c - the Node object: registered at start, its status looked at every ten seconds and told
 * when it is news or five minutes have gone by, and a Lease renewed every ten seconds, by whose age
 * others judge whether this node lives. */
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"
#include "kubelet/internal.h"
#include "kubelet/node_status.h"

enum {
    LEASE_SECONDS = 40,
    LEASE_EVERY_MS = 10 * 1000,
    STATUS_EVERY_MS = 10 * 1000,      /* nodeStatusUpdateFrequency */
    STATUS_REPORT_MS = 5 * 60 * 1000, /* nodeStatusReportFrequency */
    RETRY_MS = 500,
    PODS_MAX = 110
};

struct NodeAgent {
    Kubelet *k;
    Source *lease_timer, *status_timer;
    ApiCall *lease_call, *status_call;
    bool registered, ready_told;
    bool disk_pressure; /* as last seen */
    int64_t reported;   /* monotonic ns: when the status was sent last */
    char uid[64];       /* of the Node, once seen */
    bool lease_owned;   /* the Lease names the Node as its owner, as far as it is known */
};

static Value text(Arena *a, const char *s)
{
    return value_sv(arena_sv(a, sv_cstr(s)));
}

static StrView now_text(Arena *a, int frac)
{
    char buf[RFC3339_SIZE];
    return arena_sv(a, sv_cstr(rfc3339_format(clock_real_ns(), frac, buf)));
}

static void read_line(const char *path, char *buf, size_t size)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    if (file_read(AT_FDCWD, path, 4096, &b) < 0 || !sv_copy_cstr(sv_trim(buf_view(&b)), buf, size))
        buf[0] = 0;
}

/* PRETTY_NAME of /etc/os-release. */
static void os_image(char *buf, size_t size)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    StrView rest, line;
    snprintf(buf, size, "Linux");
    if (file_read(AT_FDCWD, "/etc/os-release", 65536, &b) < 0)
        return;
    rest = buf_view(&b);
    while (sv_next(&rest, '\n', &line))
        if (sv_starts(line, SV("PRETTY_NAME=\"")) && sv_ends(line, SV("\""))) {
            StrView name = sv_skip(line, 13);
            sv_copy_cstr(sv_head(name, name.len - 1), buf, size);
        }
}

static Value node_info(Arena *a)
{
    struct utsname u;
    char id[64], boot[64], os[128];
    Value v = value_map();
    uname(&u);
    read_line("/etc/machine-id", id, sizeof id);
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    os_image(os, sizeof os);
    value_set(a, &v, SV("machineID"), text(a, id));
    value_set(a, &v, SV("systemUUID"), text(a, id));
    value_set(a, &v, SV("bootID"), text(a, boot));
    value_set(a, &v, SV("kernelVersion"), text(a, u.release));
    value_set(a, &v, SV("osImage"), text(a, os));
    value_set(a, &v, SV("containerRuntimeVersion"), value_sv(SV("knarr://" KNARR_VERSION)));
    value_set(a, &v, SV("kubeletVersion"), value_sv(SV("v1.35.0+knarr.1")));
    value_set(a, &v, SV("kubeProxyVersion"), value_sv(SV("")));
    value_set(a, &v, SV("operatingSystem"), value_sv(SV("linux")));
    value_set(a, &v, SV("architecture"),
              value_sv(strcmp(u.machine, "aarch64") == 0 ? SV("arm64") : SV("amd64")));
    return v;
}

/* A tenth of the file system stays free for images, logs and the platform's own state: what
 * Kubernetes' default threshold of eviction (nodefs.available < 10 %) takes off, too. */
enum { STORAGE_RESERVED_PERCENT = 10 };

/* Bytes of the file system on which pods' writable layers, volumes and logs lie; 0: unknown. */
static int64_t storage_capacity(const NodeAgent *n)
{
    struct statvfs fs;
    if (statvfs(n->k->cfg.data_dir, &fs) < 0) {
        log_warn("size of the file system of %s: %m, ignoring", n->k->cfg.data_dir);
        return 0;
    }
    return (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
}

/* Is there so little room, or so few files left, that no more pods should come? The bounds are
 * those of one-node distributions; what there is less of decides. */
static bool has_disk_pressure(const NodeAgent *n)
{
    enum { BEGINS_PERCENT = 5, ENDS_PERCENT = 6 };
    struct statvfs fs;
    if (statvfs(n->k->cfg.data_dir, &fs) < 0)
        return n->disk_pressure;
    uint64_t bound = n->disk_pressure ? ENDS_PERCENT : BEGINS_PERCENT;
    return fs.f_bavail * 100 < fs.f_blocks * bound || fs.f_favail * 100 < fs.f_files * bound;
}

static Value resources(int64_t memory, int64_t storage, Arena *a)
{
    Value v = value_map();
    value_set(a, &v, SV("cpu"), value_sv(arena_printf(a, "%ld", sysconf(_SC_NPROCESSORS_ONLN))));
    value_set(a, &v, SV("memory"), value_sv(arena_printf(a, "%lldKi", (long long)memory / 1024)));
    value_set(a, &v, SV("ephemeral-storage"),
              value_sv(arena_printf(a, "%lldKi", (long long)storage / 1024)));
    value_set(a, &v, SV("pods"), value_sv(arena_printf(a, "%d", PODS_MAX)));
    return v;
}

static Value condition(Arena *a, StrView type, bool yes, StrView reason, StrView message)
{
    Value v = value_map();
    value_set(a, &v, SV("type"), value_sv(type));
    value_set(a, &v, SV("status"), value_sv(yes ? SV("True") : SV("False")));
    value_set(a, &v, SV("reason"), value_sv(reason));
    value_set(a, &v, SV("message"), value_sv(message));
    value_set(a, &v, SV("lastHeartbeatTime"), value_sv(now_text(a, 0)));
    value_set(a, &v, SV("lastTransitionTime"), value_sv(now_text(a, 0)));
    return v;
}

static Value address(Arena *a, StrView type, const char *addr)
{
    Value v = value_map();
    value_set(a, &v, SV("type"), value_sv(type));
    value_set(a, &v, SV("address"), text(a, addr));
    return v;
}

static Value node_status(NodeAgent *n, Arena *a)
{
    Value v = value_map(), list = value_list(), addresses = value_list();
    value_push(a, &list,
               condition(a, SV("MemoryPressure"), false, SV("KubeletHasSufficientMemory"),
                         SV("kubelet has sufficient memory available")));
    n->disk_pressure = has_disk_pressure(n);
    value_push(a, &list,
               condition(a, SV("DiskPressure"), n->disk_pressure,
                         n->disk_pressure ? SV("KubeletHasDiskPressure")
                                          : SV("KubeletHasNoDiskPressure"),
                         n->disk_pressure ? SV("kubelet has disk pressure")
                                          : SV("kubelet has no disk pressure")));
    value_push(a, &list,
               condition(a, SV("PIDPressure"), false, SV("KubeletHasSufficientPID"),
                         SV("kubelet has sufficient PID available")));
    value_push(a, &list,
               condition(a, SV("Ready"), true, SV("KubeletReady"),
                         SV("kubelet is posting ready status")));
    value_push(a, &addresses, address(a, SV("InternalIP"), n->k->cfg.node_ip));
    value_push(a, &addresses, address(a, SV("Hostname"), n->k->cfg.node_name));
    int64_t storage = storage_capacity(n), kept = storage / 100 * STORAGE_RESERVED_PERCENT;
    value_set(a, &v, SV("capacity"),
              resources(node_allocatable_memory() + MEMORY_RESERVED, storage, a));
    value_set(a, &v, SV("allocatable"), resources(node_allocatable_memory(), storage - kept, a));
    value_set(a, &v, SV("conditions"), list);
    value_set(a, &v, SV("addresses"), addresses);
    value_set_path(a, &v, "daemonEndpoints.kubeletEndpoint.Port", value_int(n->k->cfg.port));
    value_set(a, &v, SV("nodeInfo"), node_info(a));
    Value images;
    if (image_keeper_list(n->k->image_keeper, a, &images))
        value_set(a, &v, SV("images"), images);
    return v;
}

static Value node_object(NodeAgent *n, Arena *a)
{
    Value v = value_map(), labels = value_map(), cidrs = value_list();
    const char *name = n->k->cfg.node_name;
    struct utsname u;
    uname(&u);
    StrView arch = strcmp(u.machine, "aarch64") == 0 ? SV("arm64") : SV("amd64");
    value_set(a, &v, SV("kind"), value_sv(SV("Node")));
    value_set(a, &v, SV("apiVersion"), value_sv(SV("v1")));
    value_set(a, &labels, SV("kubernetes.io/hostname"), text(a, name));
    value_set(a, &labels, SV("kubernetes.io/os"), value_sv(SV("linux")));
    value_set(a, &labels, SV("kubernetes.io/arch"), value_sv(arch));
    value_set(a, &labels, SV("beta.kubernetes.io/os"), value_sv(SV("linux")));
    value_set(a, &labels, SV("beta.kubernetes.io/arch"), value_sv(arch));
    value_set_path(a, &v, "metadata.name", text(a, name));
    value_set(a, value_get(&v, SV("metadata")), SV("labels"), labels);
    value_push(a, &cidrs, text(a, n->k->cfg.pod_cidr));
    value_set_path(a, &v, "spec.podCIDR", text(a, n->k->cfg.pod_cidr));
    value_set_path(a, &v, "spec.podCIDRs", cidrs);
    value_set(a, &v, SV("status"), node_status(n, a));
    return v;
}

static ApiTarget node_target(const NodeAgent *n, StrView sub)
{
    return (ApiTarget){ SV(""), SV("v1"), SV("nodes"), SV_NULL, sv_cstr(n->k->cfg.node_name), sub };
}

/* ---- status ---- */

static void post_status(void *ctx);

static void status_again(NodeAgent *n, int64_t ms)
{
    source_set_timer(n->status_timer, (uint64_t)ms, 0, NULL);
}

static void on_status(void *ctx, const ApiResult *r)
{
    NodeAgent *n = ctx;
    n->status_call = NULL;
    if (r->err && r->err->code == ERR_NOT_FOUND) { /* deleted by somebody: register anew */
        n->registered = n->ready_told = false;
        status_again(n, 0);
        return;
    }
    if (r->err) {
        log_warn("report node status: %s", r->err->msg);
        status_again(n, RETRY_MS * 4);
        return;
    }
    if (!n->ready_told && n->k->cfg.on_ready)
        n->k->cfg.on_ready(n->k->cfg.ctx);
    n->ready_told = true;
    status_again(n, STATUS_EVERY_MS);
}

static void on_registered(void *ctx, const ApiResult *r)
{
    NodeAgent *n = ctx;
    n->status_call = NULL;
    if (r->err && r->err->code != ERR_EXISTS) {
        log_warn("register node %s: %s", n->k->cfg.node_name, r->err->msg);
        status_again(n, RETRY_MS);
        return;
    }
    n->registered = true;
    post_status(n);
}

static void on_old_node(void *ctx, const ApiResult *r);

static void post_status(void *ctx)
{
    NodeAgent *n = ctx;
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Err err = { 0 };
    int rc;
    if (n->status_call)
        return;
    if (!n->registered) {
        Value node = node_object(n, &a);
        ApiTarget t = node_target(n, SV_NULL);
        t.name = SV_NULL;
        rc = api_create(n->k->api, &t, &node, on_registered, n, &n->status_call, &err);
    } else { /* read first: times of transitions are kept while a condition does not change */
        ApiTarget t = node_target(n, SV_NULL);
        rc = api_get(n->k->api, &t, on_old_node, n, &n->status_call, &err);
    }
    if (rc < 0) {
        log_warn("report node status: %s", err.msg);
        status_again(n, RETRY_MS);
    }
}

static void on_old_node(void *ctx, const ApiResult *r)
{
    NodeAgent *n = ctx;
    n->status_call = NULL;
    if (r->err) {
        on_status(ctx, r);
        return;
    }
    Value patch = value_map(), status = node_status(n, r->arena);
    Err err = { 0 };
    int64_t now = clock_mono_ns();
    sv_copy_cstr(value_path_str(r->body, "metadata.uid"), n->uid, sizeof n->uid);
    node_status_join(r->body, &status, r->arena);
    if (n->ready_told && now - n->reported < STATUS_REPORT_MS * NSEC_PER_MSEC &&
        !node_status_is_news(r->body, &status)) {
        status_again(n, STATUS_EVERY_MS);
        return;
    }
    value_set(r->arena, &patch, SV("status"), status);
    ApiTarget t = node_target(n, SV("status"));
    n->reported = now;
    /* Strategic: conditions of others stay. */
    if (api_patch(n->k->api, &t, API_PATCH_STRATEGIC, SV_NULL, &patch, on_status, n,
                  &n->status_call, &err) < 0)
        status_again(n, RETRY_MS);
}

/* ---- lease ---- */

static void on_lease(void *ctx, const ApiResult *r);

static void lease_again(NodeAgent *n, int64_t ms)
{
    source_set_timer(n->lease_timer, (uint64_t)ms, 0, NULL);
}

/* The Node owns its Lease: with the Node deleted for good, the Lease goes. Known once the Node has
 * been read; until then the Lease has no owner, as in Kubernetes. */
static void set_owner(NodeAgent *n, Value *lease, Arena *a)
{
    Value owner = value_map(), list = value_list();
    if (!n->uid[0])
        return;
    value_set(a, &owner, SV("apiVersion"), value_sv(SV("v1")));
    value_set(a, &owner, SV("kind"), value_sv(SV("Node")));
    value_set(a, &owner, SV("name"), text(a, n->k->cfg.node_name));
    value_set(a, &owner, SV("uid"), text(a, n->uid));
    value_push(a, &list, owner);
    value_set_path(a, lease, "metadata.ownerReferences", list);
}

static bool has_owner(const NodeAgent *n, const Value *lease)
{
    return n->uid[0] &&
           sv_eq(value_path_str(value_at(value_path(lease, "metadata.ownerReferences"), 0), "uid"),
                 sv_cstr(n->uid));
}

static void create_lease(NodeAgent *n)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value lease = value_map();
    Err err = { 0 };
    value_set(&a, &lease, SV("kind"), value_sv(SV("Lease")));
    value_set(&a, &lease, SV("apiVersion"), value_sv(SV("coordination.k8s.io/v1")));
    value_set_path(&a, &lease, "metadata.name", text(&a, n->k->cfg.node_name));
    set_owner(n, &lease, &a);
    value_set_path(&a, &lease, "spec.holderIdentity", text(&a, n->k->cfg.node_name));
    value_set_path(&a, &lease, "spec.leaseDurationSeconds", value_int(LEASE_SECONDS));
    value_set_path(&a, &lease, "spec.renewTime", value_sv(now_text(&a, 6)));
    ApiTarget t = { SV("coordination.k8s.io"), SV("v1"), SV("leases"),
                    SV("kube-node-lease"),     SV_NULL,  SV_NULL };
    if (api_create(n->k->api, &t, &lease, on_lease, n, &n->lease_call, &err) < 0)
        lease_again(n, RETRY_MS);
}

static void on_lease(void *ctx, const ApiResult *r)
{
    NodeAgent *n = ctx;
    n->lease_call = NULL;
    if (r->err && r->err->code == ERR_NOT_FOUND) {
        create_lease(n);
        return;
    }
    if (r->err)
        log_warn("renew the node's lease: %s", r->err->msg);
    else
        n->lease_owned = has_owner(n, r->body);
    lease_again(n, r->err ? RETRY_MS * 4 : LEASE_EVERY_MS);
}

static void renew_lease(void *ctx)
{
    NodeAgent *n = ctx;
    if (n->registered && has_disk_pressure(n) != n->disk_pressure)
        post_status(n);
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value patch = value_map();
    Err err = { 0 };
    if (!n->lease_owned)
        set_owner(n, &patch, &a);
    value_set_path(&a, &patch, "spec.renewTime", value_sv(now_text(&a, 6)));
    ApiTarget t = { SV("coordination.k8s.io"),    SV("v1"), SV("leases"), SV("kube-node-lease"),
                    sv_cstr(n->k->cfg.node_name), SV_NULL };
    if (api_patch(n->k->api, &t, API_PATCH_MERGE, SV_NULL, &patch, on_lease, n, &n->lease_call,
                  &err) < 0)
        lease_again(n, RETRY_MS);
}

int node_agent_new(Kubelet *k, NodeAgent **ret, Err *err)
{
    NodeAgent *n = calloc(1, sizeof *n);
    if (!n)
        return err_nomem(err);
    n->k = k;
    int r;
    if ((r = loop_add_timer(k->loop, 0, 0, post_status, n, &n->status_timer, err)) < 0 ||
        (r = loop_add_timer(k->loop, 0, 0, renew_lease, n, &n->lease_timer, err)) < 0) {
        node_agent_free(n);
        return r;
    }
    *ret = n;
    return 0;
}

NodeAgent *node_agent_free(NodeAgent *n)
{
    if (!n)
        return NULL;
    api_call_cancel(n->status_call);
    api_call_cancel(n->lease_call);
    source_free(n->status_timer);
    source_free(n->lease_timer);
    free(n);
    return NULL;
}
