/* sandbox.c - what a pod's containers share: folders, network namespace, addresses, stage1.
 *
 * Runs on pool threads. sandbox_create() undoes what it made when a later step fails;
 * sandbox_destroy() takes down whatever is there and may be repeated. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "kubelet/internal.h"
#include "netlink/rtnl.h"

static void pod_path(const Kubelet *k, const char *uid, const char *what,
                     char buf[static PATH_SIZE])
{
    snprintf(buf, PATH_SIZE, "%s/node/%s/%s", k->cfg.data_dir, what, uid);
}

/* ---- network namespace ---- */

typedef struct NetnsJob {
    const char *path;
    int result;
    Err err;
} NetnsJob;

static int loopback_up(Err *err)
{
    Rtnl *nl = NULL;
    RtnlLink lo;
    int r = rtnl_open(&nl, err);
    if (r == 0 && (r = rtnl_link_get(nl, "lo", &lo, err)) == 0)
        r = rtnl_link_set_up(nl, lo.index, err);
    rtnl_close(nl);
    return r;
}

/* In a thread of its own, which ends with it: the pool's threads stay in the host's namespace. */
static void *netns_thread(void *ctx)
{
    NetnsJob *job = ctx;
    if (unshare(CLONE_NEWNET) < 0 ||
        mount("/proc/thread-self/ns/net", job->path, NULL, MS_BIND, NULL) < 0)
        job->result = err_errno(&job->err, "make a network namespace at '%s'", job->path);
    else
        job->result = loopback_up(&job->err);
    return NULL;
}

/* With its lo up, as a loopback plugin would do it; the API offers no choice of another. On failure
 * the mount may be there: clear_remains() takes it away. */
static int make_netns(const char *path, Err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
    if (fd < 0)
        return err_errno(err, "make '%s'", path);
    close(fd);
    NetnsJob job = { .path = path };
    pthread_t thread;
    int r = pthread_create(&thread, NULL, netns_thread, &job);
    if (r == 0)
        pthread_join(thread, NULL);
    if (r > 0)
        return err_neg(err, -r, "start a thread");
    if (job.result < 0 && err)
        *err = job.err;
    return job.result;
}

static int remove_netns(const char *path, Err *err)
{
    while (umount2(path, MNT_DETACH) == 0) /* more than one mount after a crash in between */
        ;
    if (errno != EINVAL && errno != ENOENT)
        return err_errno(err, "unmount '%s'", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_errno(err, "remove '%s'", path);
    return 0;
}

static CniAttachment attachment(const Kubelet *k, const char *uid, const char *netns)
{
    return (CniAttachment){ .container_id = uid,
                            .netns = netns,
                            .ifname = "eth0",
                            .plugin_path = k->plugin_dir,
                            .cache_dir = k->cni_dir };
}

/* Adds the mappings of one list of containers. */
static bool add_mappings(const Value *containers, Value *list, Arena *a)
{
    value_list_foreach (c, containers) {
        value_list_foreach (p, value_get(c, SV("ports"))) {
            Value m = value_map();
            if (value_int_or(value_get(p, SV("hostPort")), 0) == 0)
                continue;
            static const StrView fields[] = { SV_INIT("hostPort"), SV_INIT("containerPort"),
                                              SV_INIT("protocol"), SV_INIT("hostIP") };
            for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                const Value *v = value_get(p, fields[i]);
                if (v && !value_set(a, &m, fields[i], *v))
                    return false;
            }
            if (!value_push(a, list, m))
                return false;
        }
    }
    return true;
}

/* {"portMappings":[…]}; empty without host ports. */
static bool port_mappings(SetupJob *job, Value *ret)
{
    Value list = value_list();
    Arena *a = &job->arena;
    *ret = value_map();
    return add_mappings(value_path(&job->pod, "spec.containers"), &list, a) &&
           add_mappings(value_path(&job->pod, "spec.initContainers"), &list, a) &&
           (!value_len(&list) || value_set(a, ret, SV("portMappings"), list));
}

static int connect_network(SetupJob *job, const char *netns, Err *err)
{
    CniAttachment eth = attachment(job->k, job->uid, netns);
    CniResult res;
    char text[IP_TEXT_SIZE];
    Value args;
    int r;
    if (!port_mappings(job, &args))
        return err_nomem(err);
    bool has_ports = value_len(&args) > 0;
    if (has_ports)
        eth.capability_args = &args;
    eth.args =
        arena_printf(&job->arena,
                     "IgnoreUnknown=1;K8S_POD_NAMESPACE=%.*s;K8S_POD_NAME=%.*s;K8S_POD_UID=%s",
                     SV_FMT(value_path_str(&job->pod, "metadata.namespace")),
                     SV_FMT(value_path_str(&job->pod, "metadata.name")), job->uid);
    if ((r = cni_add(has_ports ? job->k->network_ports : job->k->network, &eth, &job->arena, &res,
                     err)) < 0)
        return r;
    if (!res.n_ips)
        return err_set(err, ERR_PROTO, 0, "the pod network gave no address");
    snprintf(job->pod_ip, sizeof job->pod_ip, "%s", ip_text(&res.ips[0].address, false, text));
    return 0;
}

/* ---- stage1 ---- */

static const char *qos_of(const Value *pod)
{
    StrView qos = value_path_str(pod, "status.qosClass");
    return sv_eq(qos, SV("Guaranteed"))  ? "guaranteed"
           : sv_eq(qos, SV("Burstable")) ? "burstable"
                                         : "besteffort";
}

static void cgroup_of(const Kubelet *k, const char *class, const char *uid,
                      char buf[static PATH_SIZE])
{
    snprintf(buf, PATH_SIZE, "/%s/pods/%s/pod%s", k->cfg.instance, class, uid);
}

void sandbox_cgroup(const Kubelet *k, const Value *pod, const char *uid, char buf[static PATH_SIZE])
{
    cgroup_of(k, qos_of(pod), uid, buf);
}

static int start_stage1(SetupJob *job, const char *dir, const char *netns, Err *err)
{
    const Value *spec = value_get(&job->pod, SV("spec"));
    bool host_net = pod_is_host_network(&job->pod);
    PodSpec p = { .id = job->uid,
                  .netns = host_net ? "" : netns,
                  .oom_score_adj = -998,
                  .domainname = "",
                  .host_ipc = value_bool_or(value_get(spec, SV("hostIPC")), false),
                  .host_pid = value_bool_or(value_get(spec, SV("hostPID")), false),
                  .host_uts = host_net,
                  .shared_pid =
                      value_bool_or(value_get(spec, SV("shareProcessNamespace")), false) };
    char cgroup[PATH_SIZE];
    sandbox_cgroup(job->k, &job->pod, job->uid, cgroup);
    p.cgroup = arena_cstr(&job->arena, sv_cstr(cgroup));
    p.limits.pids_max = MAX(job->k->cfg.pod_max_pids, INT64_C(0));
    if (sysctls_of(&job->pod, &job->arena, &p, err) < 0)
        return -(int)ERR_NOMEM;
    p.hostname = "";
    if (!p.cgroup)
        return err_nomem(err);
    int r = host_net ? 0 : pod_hostname(job, &p.hostname, err);
    if (r < 0)
        return r;
    return pod_start_supervisor(dir, &p, NULL, &job->conn, err);
}

static int write_ip(SetupJob *job, const char *dir, Err *err)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/ip", dir);
    int r = file_write_atomic(AT_FDCWD, path, sv_cstr(job->pod_ip), 0644, false);
    return r < 0 ? err_neg(err, r, "write '%s'", path) : 0;
}

int sandbox_read_ip(Kubelet *k, const char *uid, char ip[static 48])
{
    char dir[PATH_SIZE], path[PATH_SIZE + 16];
    _cleanup_buf_ Buf text = BUF_INIT;
    pod_path(k, uid, "pods", dir);
    snprintf(path, sizeof path, "%s/ip", dir);
    int r = file_read(AT_FDCWD, path, 64, &text);
    return r < 0 ? r : sv_copy_cstr(buf_view(&text), ip, 48) ? 0 : -EINVAL;
}

enum { REMAINS_WAIT_MS = 10000, REMAINS_STEP_US = 10000 };

/* A pod whose record was lost or damaged does not tell its group: each that it may have is looked
 * at. */
static int remove_cgroups(Kubelet *k, const char *uid, Err *err)
{
    static const char *const classes[] = { "guaranteed", "burstable", "besteffort" };
    enum { KILL_WAIT_MS = 10000 };
    char path[PATH_SIZE];
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(classes) && r == 0; i++) {
        cgroup_of(k, classes[i], uid, path);
        if ((r = cgroup_kill(&k->cgroups, path, KILL_WAIT_MS, err)) == 0)
            r = cgroup_remove(&k->cgroups, path, err);
    }
    return r;
}

/* Ends a supervisor that nobody is connected to any more. One that has only just been started does
 * not listen yet: it is asked again until it does, or has gone. One that nobody can reach any more,
 * its socket being lost, is killed. */
static int end_supervisor(Kubelet *k, const char *uid, const char *dir, Err *err)
{
    int64_t deadline = clock_mono_ns() + REMAINS_WAIT_MS * NSEC_PER_MSEC;
    int r;
    while ((r = pod_cleanup(dir, err)) == -ERR_BUSY && clock_mono_ns() < deadline) {
        Pod *conn = NULL;
        if (pod_connect(dir, &conn, NULL) < 0 || pod_stop(conn, 0, NULL) < 0)
            usleep(REMAINS_STEP_US);
        pod_close(conn);
    }
    if (r == 0)
        return remove_cgroups(k, uid, err);
    /* Its folder may be such that nothing can be removed in it: its processes end none the less. */
    err_clear(err);
    r = remove_cgroups(k, uid, err);
    return r < 0 ? r : pod_cleanup(dir, err);
}

/* A network namespace that was lost may have left an address and mappings, and a damaged result
 * does not say which mappings. */
static int disconnect_network(Kubelet *k, const char *uid, const char *netns, Err *err)
{
    CniAttachment eth = attachment(k, uid, netns);
    CniCached had = cni_cached(k->network, &eth);
    bool ports = had == CNI_CACHED_ARGS || had == CNI_CACHED_DAMAGED;
    char lo[PATH_SIZE + 128];
    /* Of a pod that an earlier version set up, by the loopback plugin. */
    snprintf(lo, sizeof lo, "%s/results/lo-%s-lo", k->cni_dir, uid);
    unlink(lo);
    if (!path_exists(AT_FDCWD, netns) && had == CNI_CACHED_NOT)
        return 0;
    return cni_del(ports ? k->network_ports : k->network, &eth, err);
}

/* What is taken down of a pod although something before it could not be: the first failure is told.
 */
typedef struct FirstFailure {
    int r;
    Err err;
} FirstFailure;

static void tried(FirstFailure *first, int r, const Err *err)
{
    if (r < 0 && first->r == 0)
        *first = (FirstFailure){ r, *err };
}

/* What a sandbox from before has left in the way: its apps' files stay, they tell of earlier
 * attempts. One whose supervisor lives on keeps its network. */
static int clear_remains(Kubelet *k, const char *uid, const char *dir, const char *netns, Err *err)
{
    FirstFailure first = { 0 };
    Err own = { 0 };
    if (path_exists(AT_FDCWD, dir))
        tried(&first, end_supervisor(k, uid, dir, &own), &own);
    if (first.r != -ERR_BUSY) {
        tried(&first, disconnect_network(k, uid, netns, &own), &own);
        tried(&first, remove_netns(netns, &own), &own);
    }
    if (first.r < 0 && err)
        *err = first.err;
    return first.r;
}

/* The pod's folder, with the folder of its volumes, and the one in memory that its supervisor's
 * specs lie in: they have the values of variables that come from Secrets. */
static int make_folders(SetupJob *job, const char *dir, Err *err)
{
    char path[PATH_SIZE + 16], to[128];
    int r;
    pod_path(job->k, job->uid, MEMORY_DIR, path);
    if ((r = mkdir_p(AT_FDCWD, path, 0700)) < 0)
        return err_neg(err, r, "make '%s'", path);
    snprintf(path, sizeof path, "%s/volumes", dir);
    if ((r = mkdir_p(AT_FDCWD, path, 0755)) < 0)
        return err_neg(err, r, "make '%s'", path);
    snprintf(path, sizeof path, "%s/memory", dir);
    snprintf(to, sizeof to, "../../" MEMORY_DIR "/%s", job->uid);
    return symlink(to, path) < 0 && errno != EEXIST ? err_errno(err, "link '%s'", path) : 0;
}

int sandbox_create(SetupJob *job, Err *err)
{
    char dir[PATH_SIZE], netns[PATH_SIZE];
    Kubelet *k = job->k;
    int r;
    pod_path(k, job->uid, "pods", dir);
    pod_path(k, job->uid, "netns", netns);
    if ((r = clear_remains(k, job->uid, dir, netns, err)) < 0)
        return err_wrap(err, "clear what is left of an earlier sandbox");
    if ((r = make_folders(job, dir, err)) < 0)
        return r;
    if (pod_is_host_network(&job->pod))
        snprintf(job->pod_ip, sizeof job->pod_ip, "%s", k->cfg.node_ip);
    else if ((r = make_netns(netns, err)) < 0 || (r = connect_network(job, netns, err)) < 0)
        goto fail;
    if ((r = write_ip(job, dir, err)) < 0 || (r = hosts_write(job, dir, err)) < 0 ||
        (r = start_stage1(job, dir, netns, err)) < 0)
        goto fail;
    return 0;
fail:
    if (clear_remains(k, job->uid, dir, netns, NULL) < 0)
        return r; /* the first failure is the one to tell; the next try clears again */
    return r;
}

/* tmpfs of emptyDir volumes, and what else is mounted below the pod's folder. */
static int unmount_below(const char *dir, Err *err)
{
    char prefix[PATH_SIZE];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "%s/", dir);
    for (int rounds = 0; rounds < 64; rounds++) {
        _cleanup_buf_ Buf mounts = BUF_INIT;
        StrView rest, line;
        bool any = false;
        if (file_read(AT_FDCWD, "/proc/self/mounts", 16 * 1024 * 1024, &mounts) < 0)
            return 0;
        rest = buf_view(&mounts);
        while (sv_next(&rest, '\n', &line)) {
            StrView device, target, more;
            char path[PATH_SIZE];
            sv_cut(line, ' ', &device, &more);
            sv_cut(more, ' ', &target, &more);
            if (!sv_starts(target, sv_n(prefix, n)) || !sv_copy_cstr(target, path, sizeof path))
                continue;
            if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
                return err_errno(err, "unmount '%s'", path);
            any = true;
        }
        if (!any)
            return 0;
    }
    return 0;
}

/* Pins are named "pod-UID.CONTAINER" (container.c). Of a store that cannot be opened they stay. */
static int unpin_images(Kubelet *k, const char *uid, Err *err)
{
    char path[PATH_SIZE], prefix[80];
    snprintf(path, sizeof path, "%s/images/pins", k->cfg.data_dir);
    snprintf(prefix, sizeof prefix, "pod-%s.", uid);
    struct dirent *e;
    DIR *d;
    int r = dir_list(AT_FDCWD, path, &d), more = 0;
    if (r < 0)
        return r == -ENOENT ? 0 : err_neg(err, r, "list '%s'", path);
    while (r == 0 && (more = dir_next(d, &e)) > 0)
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
            r = k->images ? image_unpin(k->images, e->d_name, err)
                          : err_set(err, ERR_SYS, 0, "pin '%s/%s' stays", path, e->d_name);
    closedir(d);
    return more < 0 ? err_neg(err, more, "list '%s'", path) : r;
}

/* The folder goes last: while there is one, the rest is tried again. */
int sandbox_destroy(Kubelet *k, const char *uid, Err *err)
{
    char dir[PATH_SIZE], netns[PATH_SIZE], memory[PATH_SIZE];
    FirstFailure first = { 0 };
    Err own = { 0 };
    int r;
    pod_path(k, uid, "pods", dir);
    pod_path(k, uid, "netns", netns);
    pod_path(k, uid, MEMORY_DIR, memory);
    tried(&first, clear_remains(k, uid, dir, netns, &own), &own);
    if (first.r != -ERR_BUSY)
        tried(&first, unmount_below(dir, &own), &own);
    if (first.r < 0 && err)
        *err = first.err;
    if (first.r < 0)
        return first.r;
    if ((r = rm_rf(AT_FDCWD, memory)) < 0)
        return err_neg(err, r, "remove '%s'", memory);
    if ((r = unpin_images(k, uid, err)) < 0)
        return r;
    if ((r = rm_rf(AT_FDCWD, dir)) < 0)
        return err_neg(err, r, "remove '%s'", dir);
    return 0;
}

/* The pod that a cached result of the network belongs to: "pods-UID-eth0". */
static bool uid_of_result(const char *name, char uid[static 64])
{
    StrView s = sv_cstr(name);
    return sv_starts(s, SV("pods-")) && sv_ends(s, SV("-eth0")) && s.len > 10 &&
           sv_copy_cstr(sv_n(s.ptr + 5, s.len - 10), uid, 64) && pod_id_is_valid(uid, 63);
}

void sandbox_sweep(Kubelet *k)
{
    char path[PATH_SIZE + 16], dir[PATH_SIZE], uid[64];
    snprintf(path, sizeof path, "%s/results", k->cni_dir);
    struct dirent *e;
    DIR *d = NULL;
    int more = dir_list(AT_FDCWD, path, &d);
    if (more == -ENOENT)
        return;
    while (more >= 0 && (more = dir_next(d, &e)) > 0) {
        Err err = { 0 };
        if (!uid_of_result(e->d_name, uid))
            continue;
        pod_path(k, uid, "pods", dir);
        if (path_exists(AT_FDCWD, dir))
            continue;
        log_warn("pod %s from before has lost its folder: it is taken down", uid);
        if (remove_cgroups(k, uid, &err) < 0 || sandbox_destroy(k, uid, &err) < 0)
            log_warn("pod %s: %s, ignoring", uid, err.msg);
    }
    if (d)
        closedir(d);
    if (more < 0)
        log_warn("list '%s': %s, ignoring", path, strerror(-more));
}
