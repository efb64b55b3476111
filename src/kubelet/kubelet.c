/* kubelet.c - the agent as a whole: an informer of the pods bound to this node, and one worker for
 * each.
 *
 * At start the pod folders on disk are taken up first: what runs from before is connected to again,
 * so that the first sight of the API server's pods finds their workers. A pod that the API server
 * does not know any more is ended as soon as its list is complete. */
#include "kubelet/internal.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/file.h"
#include "base/log.h"
#include "cni/guard.h"
#include "netlink/rtnl.h"

char *worker_dir(const Worker *w, char buf[static PATH_SIZE])
{
    snprintf(buf, PATH_SIZE, "%s/node/pods/%s", w->k->cfg.data_dir, w->uid);
    return buf;
}

char *worker_netns(const Worker *w, char buf[static PATH_SIZE])
{
    snprintf(buf, PATH_SIZE, "%s/node/netns/%s", w->k->cfg.data_dir, w->uid);
    return buf;
}

char *container_log_path(const Container *c, unsigned attempt, char buf[static PATH_SIZE])
{
    const Worker *w = c->worker;
    char root[PATH_SIZE];
    snprintf(buf, PATH_SIZE, "%.400s/%s_%s_%s/%s/%u.log", log_root(w->k, root), w->ns, w->name,
             w->uid, c->name, attempt);
    return buf;
}

bool pod_is_host_network(const Value *pod)
{
    return value_bool_or(value_path(pod, "spec.hostNetwork"), false);
}

/* ---- pods from the API server ---- */

static Worker *worker_for(Kubelet *k, const ApiObject *o)
{
    Worker *w = map_get(&k->workers, o->uid);
    char uid[64];
    if (w || !sv_copy_cstr(o->uid, uid, sizeof uid))
        return w;
    w = worker_new(k, uid);
    if (w && !map_set(&k->workers, o->uid, w, NULL))
        w = worker_free(w);
    return w;
}

static void on_pod_add(void *ctx, ApiObject *o)
{
    Worker *w = worker_for(ctx, o);
    if (w)
        worker_update(w, o);
    else
        log_error("pod %.*s: out of memory", SV_FMT(o->key));
}

static void on_pod_delete(void *ctx, ApiObject *last)
{
    Kubelet *k = ctx;
    Worker *w = map_get(&k->workers, last->uid);
    if (w)
        worker_update(w, NULL);
}

static void on_pod_update(void *ctx, ApiObject *old, ApiObject *now)
{
    if (!sv_eq(old->uid, now->uid)) /* deleted and made again while we did not look */
        on_pod_delete(ctx, old);
    on_pod_add(ctx, now);
}

/* The list is complete: what was found on disk and is not in it is nobody's. */
static void on_pods_synced(void *ctx)
{
    Kubelet *k = ctx;
    StrView uid;
    void *v;
    for (size_t i = 0; map_next(&k->workers, &i, &uid, &v);) {
        Worker *w = v;
        if (!w->obj)
            worker_update(w, NULL);
    }
}

static int watch_pods(Kubelet *k, Err *err)
{
    char selector[300];
    snprintf(selector, sizeof selector, "spec.nodeName=%s", k->cfg.node_name);
    InformerConfig pods = { .target = { SV(""), SV("v1"), SV("pods"), SV_NULL, SV_NULL, SV_NULL },
                            .field_selector = sv_cstr(selector),
                            .events.on_add = on_pod_add,
                            .events.on_update = on_pod_update,
                            .events.on_delete = on_pod_delete,
                            .events.on_synced = on_pods_synced,
                            .events.ctx = k };
    InformerConfig services = { .target = { SV(""), SV("v1"), SV("services"), SV_NULL, SV_NULL,
                                            SV_NULL } };
    int r = informer_new(k->api, &services, &k->services, err);
    return r < 0 ? r : informer_new(k->api, &pods, &k->pods, err);
}

/* ---- what is on disk ---- */

typedef int FolderFn(Kubelet *k, const char *uid, Err *err);

static int each_pod_folder(Kubelet *k, FolderFn *fn, Err *err)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/node/pods", k->cfg.data_dir);
    struct dirent *e;
    DIR *d;
    int first = 0, more = dir_list(AT_FDCWD, path, &d);
    if (more < 0)
        return more == -ENOENT ? 0 : err_neg(err, more, "list '%s'", path);
    while ((more = dir_next(d, &e)) > 0) {
        Err own = { 0 };
        if (e->d_name[0] == '.')
            continue;
        int r = fn(k, e->d_name, &own);
        if (r < 0 && first == 0) {
            first = r;
            if (err)
                *err = own;
        }
    }
    closedir(d);
    return more < 0 && first == 0 ? err_neg(err, more, "list '%s'", path) : first;
}

static int restore_one(Kubelet *k, const char *uid, Err *err)
{
    Worker *w = worker_new(k, uid);
    if (!w || !map_set(&k->workers, sv_cstr(uid), w, NULL)) {
        worker_free(w);
        return err_nomem(err);
    }
    if (worker_restore(w, err) < 0)
        log_warn("pod %s from before: %s; it is set up again", uid, err->msg);
    return 0;
}

/* ---- set-up ---- */

static bool copy_text(const char **to, const char *from)
{
    *to = strdup(from ? from : "");
    return *to != NULL;
}

static int copy_config(Kubelet *k, const KubeletConfig *cfg, Err *err)
{
    k->cfg = (KubeletConfig){ .port = cfg->port,
                              .pod_max_pids = cfg->pod_max_pids,
                              .image_gc_high = cfg->image_gc_high,
                              .image_gc_low = cfg->image_gc_low,
                              .image_min_age_ms = cfg->image_min_age_ms,
                              .on_ready = cfg->on_ready,
                              .ctx = cfg->ctx };
    bool ok =
        copy_text(&k->cfg.data_dir, cfg->data_dir) && copy_text(&k->cfg.instance, cfg->instance) &&
        copy_text(&k->cfg.node_name, cfg->node_name) && copy_text(&k->cfg.node_ip, cfg->node_ip) &&
        copy_text(&k->cfg.pod_cidr, cfg->pod_cidr) &&
        copy_text(&k->cfg.service_cidr, cfg->service_cidr) &&
        copy_text(&k->cfg.cluster_dns, cfg->cluster_dns) &&
        copy_text(&k->cfg.cluster_domain, cfg->cluster_domain);
    const StrView from[] = { cfg->tls_cert, cfg->tls_key, cfg->client_ca };
    StrView *to[] = { &k->cfg.tls_cert, &k->cfg.tls_key, &k->cfg.client_ca };
    for (size_t i = 0; i < ARRAY_SIZE(from) && ok; i++) {
        char *copy = strndup(from[i].ptr ? from[i].ptr : "", from[i].len);
        *to[i] = sv_cstr(copy);
        ok = copy != NULL;
    }
    return ok ? 0 : err_nomem(err);
}

static void free_config(KubeletConfig *c)
{
    const char *texts[] = { c->data_dir,     c->instance,     c->node_name,    c->node_ip,
                            c->pod_cidr,     c->service_cidr, c->cluster_dns,  c->cluster_domain,
                            c->tls_cert.ptr, c->tls_key.ptr,  c->client_ca.ptr };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free((char *)texts[i]);
}

static int make_folders(Kubelet *k, Err *err)
{
    static const char *const names[] = { "node/pods", "node/netns", "node/cni/bin" };
    char path[PATH_SIZE];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof path, "%s/%s", k->cfg.data_dir, names[i]);
        int r = mkdir_p(AT_FDCWD, path, 0755);
        if (r < 0)
            return err_neg(err, r, "make folder '%s'", path);
    }
    int r = mkdir_p(AT_FDCWD, log_root(k, path), 0755);
    if (r < 0)
        return err_neg(err, r, "make folder '%s'", path);
    return 0;
}

/* The plugins are one program; these links give it its names. */
static int link_plugins(Kubelet *k, Err *err)
{
    static const char *const names[] = { "bridge", "host-local", "portmap" };
    char own[PATH_SIZE], program[PATH_SIZE + 16], link[PATH_SIZE + 32];
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    if (n < 0)
        return err_errno(err, "find the own program");
    own[n] = 0;
    *strrchr(own, '/') = 0;
    snprintf(program, sizeof program, "%s/knarr-cni", own);
    if (access(program, X_OK) < 0)
        return err_errno(err, "find the network plugins '%s'", program);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(link, sizeof link, "%s/%s", k->plugin_dir, names[i]);
        unlink(link);
        if (symlink(program, link) < 0)
            return err_errno(err, "link '%s'", link);
    }
    return 0;
}

static int load_pod_network(Kubelet *k, const char *more, CniNetwork **ret, Err *err)
{
    char text[2048];
    int n = snprintf(
        text, sizeof text,
        "{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":\"%s\","
        "\"isDefaultGateway\":true,\"hairpinMode\":true,\"macspoofchk\":true,\"ipspoofchk\":true,\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s\","
        "\"ranges\":[[{\"subnet\":\"%s\"}]]}}%s]}",
        k->bridge, k->cni_dir, k->cfg.pod_cidr, more);
    if (n >= (int)sizeof text)
        return err_set(err, ERR_LIMIT, 0, "data directory '%s' is too long", k->cfg.data_dir);
    return cni_network_parse(sv_n(text, (size_t)n), "pod network", ret, err);
}

/* The first address of the pods' range. */
static int pod_gateway(const Kubelet *k, IpPrefix *ret, Err *err)
{
    if (ip_prefix_parse(sv_cstr(k->cfg.pod_cidr), ret) < 0)
        return err_set(err, ERR_INVALID, 0, "--pod-cidr: '%s' is no address range",
                       k->cfg.pod_cidr);
    ret->addr[3] |= 1;
    return 0;
}

/* With portmap behind the bridge. The ports of the API server, of the kubelet and of the cluster's
 * DNS are never a pod's, even while nothing listens on them. */
static int load_port_network(Kubelet *k, Err *err)
{
    IpPrefix gw;
    char text[512], dns[IP_TEXT_SIZE] = "";
    if (pod_gateway(k, &gw, NULL) == 0)
        ip_text(&gw, false, dns);
    snprintf(
        text, sizeof text,
        ",{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true},\"table\":\"%s-hostport\","
        "\"reserved\":[{\"hostPort\":%u},{\"hostPort\":%u},{\"hostPort\":53,\"hostIP\":\"%s\"},"
        "{\"hostPort\":53,\"hostIP\":\"%s\",\"protocol\":\"udp\"}]}",
        k->cfg.instance, k->api ? api_client_port(k->api) : 0, k->cfg.port, dns, dns);
    return load_pod_network(k, text, &k->network_ports, err);
}

static int load_networks(Kubelet *k, Err *err)
{
    snprintf(k->cni_dir, sizeof k->cni_dir, "%s/node/cni", k->cfg.data_dir);
    snprintf(k->plugin_dir, sizeof k->plugin_dir, "%.1000s/bin", k->cni_dir);
    snprintf(k->bridge, sizeof k->bridge, "%s0", k->cfg.instance);
    int r;
    return (r = load_pod_network(k, "", &k->network, err)) < 0 ? r : load_port_network(k, err);
}

/* The bridge with the gateway's address is there from the start: the API server may listen on it. A
 * route for the Services' range leads to it, so that a machine without a default route reaches
 * them, and an address that no Service has ends here instead of leaving the machine. */
static int make_bridge(Kubelet *k, Err *err)
{
    Rtnl *nl = NULL;
    RtnlLink link;
    IpPrefix gw, services;
    int r = pod_gateway(k, &gw, err);
    if (r < 0)
        return r;
    if (ip_prefix_parse(sv_cstr(k->cfg.service_cidr), &services) < 0)
        return err_set(err, ERR_INVALID, 0, "--service-cidr: '%s' is no address range",
                       k->cfg.service_cidr);
    r = rtnl_open(&nl, err);
    if (r == 0 && (r = rtnl_bridge_add(nl, k->bridge, 0, err)) == -ERR_EXISTS)
        r = 0;
    if (r == 0 && (r = rtnl_link_get(nl, k->bridge, &link, err)) == 0 &&
        (r = rtnl_addr_add(nl, link.index, &gw, err)) == -ERR_EXISTS)
        r = 0;
    if (r == 0)
        r = rtnl_link_set_up(nl, link.index, err);
    if (r == 0 && (r = rtnl_route_add(nl, link.index, &services, NULL, err)) == -ERR_EXISTS)
        r = 0;
    rtnl_close(nl);
    return r;
}

static int open_images(Kubelet *k, Err *err)
{
    char images[PATH_SIZE];
    snprintf(images, sizeof images, "%s/images", k->cfg.data_dir);
    ImageStoreOptions opt = { .dir = images };
    return image_store_open(&opt, &k->images, err);
}

static int open_parts(Kubelet *k, Err *err)
{
    int r;
    if ((r = cgroup_system_find(&k->cgroups, NULL, err)) < 0 || (r = make_folders(k, err)) < 0 ||
        (r = load_networks(k, err)) < 0)
        return r;
    return filter_cache_new(NULL, &k->filters, err);
}

int64_t node_allocatable_memory(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) - MEMORY_RESERVED;
}

/* All pods together get what the node reports as allocatable: the rest is the node's own. A machine
 * that cannot do it runs pods none the less, and says so once. */
static void limit_pods(Kubelet *k)
{
    char path[128];
    CgroupLimits limits = { .memory_max = MAX(node_allocatable_memory(), INT64_C(1) << 20) };
    Err err = { 0 };
    snprintf(path, sizeof path, "/%.64s/pods", k->cfg.instance);
    if (cgroup_create(&k->cgroups, path, &err) < 0 ||
        cgroup_set_limits(&k->cgroups, path, &limits, &err) < 0)
        log_warn("the memory of all pods together has no limit: %s", err.msg);
    if (k->cfg.pod_max_pids > 0 && !cgroup_has(&k->cgroups, "pids")) {
        log_warn("the number of processes of a pod has no limit: "
                 "this machine has no 'pids' control group controller");
        k->cfg.pod_max_pids = 0;
    }
}

int kubelet_new(Loop *loop, ApiClient *api, const KubeletConfig *cfg, Kubelet **ret, Err *err)
{
    Kubelet *k = calloc(1, sizeof *k);
    if (!k)
        return err_nomem(err);
    k->loop = loop;
    k->api = api;
    int r;
    if ((r = copy_config(k, cfg, err)) < 0 || (r = open_parts(k, err)) < 0 ||
        (r = open_images(k, err)) < 0) {
        kubelet_free(k);
        return r;
    }
    limit_pods(k);
    kubelet_metrics_start(k);
    sandbox_sweep(k);
    if ((r = puller_new(k, cfg, &k->puller, err)) < 0 || (r = volumes_open_memory(k, err)) < 0 ||
        (r = link_plugins(k, err)) < 0 || (r = make_bridge(k, err)) < 0 ||
        (r = event_recorder_new(api, SV("kubelet"), sv_cstr(k->cfg.node_name), &k->events, err)) <
            0 ||
        (r = each_pod_folder(k, restore_one, err)) < 0 || (r = watch_pods(k, err)) < 0 ||
        (cfg->port && (r = kubelet_server_new(k, &k->server, err)) < 0) ||
        (r = log_rotator_new(k, &k->rotator, err)) < 0 ||
        (r = image_keeper_new(k, &k->image_keeper, err)) < 0 ||
        (r = node_agent_new(k, &k->node, err)) < 0) {
        kubelet_free(k);
        return r;
    }
    *ret = k;
    return 0;
}

static void free_rest(Kubelet *k)
{
    cni_network_free(k->network);
    cni_network_free(k->network_ports);
    filter_cache_free(k->filters);
    puller_free(k->puller);
    image_store_free(k->images);
    free_config(&k->cfg);
    free(k);
}

enum { TRIM_AFTER_MS = 2000 };

int kubelet_job(Kubelet *k, LoopFn *work, LoopFn *done, void *job, Err *err)
{
    int r = loop_work(k->loop, work, done, job, err);
    if (r == 0)
        k->jobs++;
    return r;
}

void kubelet_job_done(Kubelet *k)
{
    if (--k->jobs == 0 && k->ended)
        free_rest(k);
}

static void trim_work(void *ctx)
{
    malloc_trim(0);
}

static void trim_done(void *ctx)
{
    kubelet_job_done(ctx);
}

/* On a pool thread: it walks all that was ever allocated. */
static void trim(void *ctx)
{
    if (kubelet_job(ctx, trim_work, trim_done, ctx, NULL) < 0)
        log_debug("give memory back: no thread for it, ignoring");
}

void kubelet_trim_soon(Kubelet *k)
{
    if (k->trim)
        source_set_timer(k->trim, TRIM_AFTER_MS, 0, NULL);
    else if (loop_add_timer(k->loop, TRIM_AFTER_MS, 0, trim, k, &k->trim, NULL) < 0)
        k->trim = NULL;
}

int kubelet_reload(Kubelet *k, StrView tls_cert, StrView tls_key, StrView client_ca, Err *err)
{
    return k->server ? kubelet_server_reload(k->server, tls_cert, tls_key, client_ca, err) : 0;
}

Kubelet *kubelet_free(Kubelet *k)
{
    if (!k)
        return NULL;
    StrView uid;
    void *w;
    kubelet_server_free(k->server);
    kubelet_metrics_stop(k);
    node_agent_free(k->node);
    log_rotator_free(k->rotator);
    source_free(k->trim);
    informer_free(k->pods);
    informer_free(k->services);
    for (size_t i = 0; map_next(&k->workers, &i, &uid, &w);)
        worker_free(w);
    map_free(&k->workers);
    puller_stop(k->puller);
    image_keeper_free(k->image_keeper);
    event_recorder_free(k->events);
    k->ended = true;
    if (k->jobs == 0)
        free_rest(k);
    return NULL;
}

/* ---- taking everything down ---- */

enum { CLEANUP_GRACE_MS = 2000 };

/* All pods are asked first and waited for afterwards: their grace runs at the same time. */
static int ask_to_stop(Kubelet *k, const char *uid, Err *err)
{
    char dir[PATH_SIZE];
    Pod *conn = NULL;
    snprintf(dir, sizeof dir, "%s/node/pods/%s", k->cfg.data_dir, uid);
    uint32_t request;
    Err own = { 0 };
    if (pod_connect(dir, &conn, &own) == 0 &&
        pod_send_stop(conn, CLEANUP_GRACE_MS, &request, &own) < 0)
        log_warn("pod %s: %s, it is killed", uid, own.msg);
    pod_close(conn);
    return 0;
}

static int destroy_one(Kubelet *k, const char *uid, Err *err)
{
    char dir[PATH_SIZE];
    Pod *conn = NULL;
    snprintf(dir, sizeof dir, "%s/node/pods/%s", k->cfg.data_dir, uid);
    if (pod_connect(dir, &conn, NULL) == 0 && pod_stop(conn, CLEANUP_GRACE_MS, NULL) < 0)
        log_warn("pod %s does not stop in order; it is killed", uid);
    pod_close(conn);
    return sandbox_destroy(k, uid, err);
}

int kubelet_cleanup(const KubeletConfig *cfg, Err *err)
{
    Kubelet k = { 0 };
    char cgroup[64];
    Err own = { 0 };
    int r;
    if ((r = copy_config(&k, cfg, err)) < 0 || (r = open_parts(&k, err)) < 0)
        goto out;
    if (open_images(&k, &own) < 0) /* what runs ends none the less */
        log_warn("%s; pods keep their images", own.msg);
    err_clear(&own);
    each_pod_folder(&k, ask_to_stop, NULL);
    r = each_pod_folder(&k, destroy_one, err);
    volumes_close_memory(&k);
    snprintf(cgroup, sizeof cgroup, "/%s", cfg->instance);
    if (cgroup_remove(&k.cgroups, cgroup, &own) < 0 && r == 0) {
        *err = own;
        r = -(int)own.code;
    }
    if (port_guard_cleanup(k.bridge, &own) < 0 && r == 0) {
        *err = own;
        r = -(int)own.code;
    }
    Rtnl *nl = NULL;
    if (rtnl_open(&nl, &own) == 0 && rtnl_link_del(nl, k.bridge, &own) < 0 &&
        own.code != ERR_NOT_FOUND && r == 0) {
        *err = own;
        r = -(int)own.code;
    }
    rtnl_close(nl);
out:
    cni_network_free(k.network);
    cni_network_free(k.network_ports);
    filter_cache_free(k.filters);
    image_store_free(k.images);
    free_config(&k.cfg);
    return r;
}
