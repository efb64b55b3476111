/* cluster.c - names, folders, addresses and command lines of a one-node cluster. */
#include "cmd/cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "codec/json.h"

#define LIBEXEC_DIR    "/usr/libexec/knarr"
#define CLUSTER_DOMAIN "cluster.local"

enum {
    /* Between systemd's ranges for containers and for foreign images: nobody's by convention, and
     * wide enough that two folders do not meet. */
    UID_FIRST = 1879048192,
    UID_LAST = 2147352575,
    /* Where a machine (a container) has no such numbers, and of clusters that began here: among
     * systemd's dynamic users. */
    UID_FIRST_NARROW = 61184,
    UID_LAST_NARROW = 65519,
    UIDS_EACH = 8,
    KUBELET_PORT = 10250,
    CONTROLLER_PORT = 10257,
    SCHEDULER_PORT = 10259,
    PROXY_PORT = 10249,
    DNS_METRICS_PORT = 9153,
    API_PORT = 6443,
    LIFETIME_MIN_S = 10,
};

const char *const role_names[ROLE_MAX] = {
    [ROLE_SERVER] = "server",
    [ROLE_CONTROLLER] = "controller",
    [ROLE_SCHEDULER] = "scheduler",
    [ROLE_NODE] = "node",
    [ROLE_DNS] = "dns",
};

bool role_is_root(RoleId id)
{
    return id == ROLE_NODE;
}

uid_t role_uid(const Cluster *c, RoleId id)
{
    return role_is_root(id) ? 0 : c->uid_base + (uid_t)id;
}

char *cluster_path(const Cluster *c, char buf[static PATH_MAX], const char *fmt, ...)
{
    int n = snprintf(buf, PATH_MAX, "%s/", c->dir);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf + n, PATH_MAX - (size_t)n, fmt, ap);
    va_end(ap);
    return buf;
}

int own_folder(char buf[static PATH_MAX], Err *err)
{
    ssize_t n = readlink("/proc/self/exe", buf, PATH_MAX - 1);
    if (n < 0)
        return err_errno(err, "read /proc/self/exe");
    buf[n] = 0;
    *strrchr(buf, '/') = 0;
    return 0;
}

int cluster_program(const Cluster *c, const char *name, char buf[static PATH_MAX], Err *err)
{
    /* Beside it in a build, beside its bin/ when installed under any prefix, or Debian's place. */
    const char *const dirs[][2] = { { c->bin_dir, "" },
                                    { c->bin_dir, "/../libexec/knarr" },
                                    { LIBEXEC_DIR, "" } };
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        if (snprintf(buf, PATH_MAX, "%s%s/%s", dirs[i][0], dirs[i][1], name) < PATH_MAX &&
            access(buf, X_OK) == 0)
            return 0;
    return err_set(err, ERR_NOT_FOUND, 0,
                   "program '%s' is neither in %s, nor in ../libexec/knarr from there, nor in %s; "
                   "build it with `make build`",
                   name, c->bin_dir, LIBEXEC_DIR);
}

static int parse_cidr(const char *flag, const char *text, uint32_t *ret_net, uint64_t *ret_bits,
                      Err *err)
{
    StrView addr, bits;
    char ip[INET_ADDRSTRLEN];
    struct in_addr in;
    if (!sv_cut(sv_cstr(text), '/', &addr, &bits) || !sv_copy_cstr(addr, ip, sizeof ip) ||
        inet_pton(AF_INET, ip, &in) != 1 || sv_to_u64(bits, ret_bits) < 0 || *ret_bits < 8 ||
        *ret_bits > 28)
        return err_set(err, ERR_INVALID, 0,
                       "%s: '%s' is no IPv4 range of 8 to 28 bits, like 10.244.0.0/16", flag, text);
    *ret_net = ntohl(in.s_addr);
    if (*ret_net & (0xffffffffu >> *ret_bits))
        return err_set(err, ERR_INVALID, 0, "%s: '%s' has bits behind its prefix", flag, text);
    return 0;
}

static void nth_address(uint32_t net, uint32_t n, char buf[static 48])
{
    struct in_addr in = { htonl(net + n) };
    inet_ntop(AF_INET, &in, buf, 48);
}

/* The address that this machine uses towards others: no packet is sent. */
static bool outgoing_address(char buf[static 48])
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) }, own;
    socklen_t len = sizeof own;
    inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ||
        getsockname(fd, (struct sockaddr *)&own, &len) < 0 ||
        own.sin_addr.s_addr == htonl(INADDR_LOOPBACK))
        return false;
    return inet_ntop(AF_INET, &own.sin_addr, buf, 48) != NULL;
}

static int derive_addresses(Cluster *c, Err *err)
{
    uint32_t pods, services;
    uint64_t pod_bits, service_bits;
    int r;
    if ((r = parse_cidr("--pod-cidr", c->opt.pod_cidr, &pods, &pod_bits, err)) < 0 ||
        (r = parse_cidr("--service-cidr", c->opt.service_cidr, &services, &service_bits, err)) < 0)
        return r;
    uint64_t shorter = MIN(pod_bits, service_bits);
    if (pods >> (32 - shorter) == services >> (32 - shorter))
        return err_set(err, ERR_INVALID, 0, "--pod-cidr %s and --service-cidr %s overlap",
                       c->opt.pod_cidr, c->opt.service_cidr);
    nth_address(pods, 1, c->gateway);
    nth_address(services, 1, c->api_ip);
    nth_address(services, 10, c->dns_ip);
    if (!outgoing_address(c->node_ip))
        memcpy(c->node_ip, c->gateway,
               sizeof c->node_ip); /* a machine without a network of its own */
    return 0;
}

static int derive_node_name(Cluster *c, Err *err)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) < 0)
        return err_errno(err, "read the host name");
    if (!sv_copy_cstr(sv_cstr(host), c->node_name, NODE_NAME_MAX + 1))
        return err_set(err, ERR_INVALID, 0,
                       "host name '%s' cannot name a node: it has more than %d characters", host,
                       NODE_NAME_MAX);
    for (char *p = c->node_name; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
        bool fine = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.';
        if (!fine)
            return err_set(err, ERR_INVALID, 0,
                           "host name '%s' cannot name a node: '%c' is not allowed", c->node_name,
                           *p);
    }
    return 0;
}

/* Is the number one that files can belong to, in this user namespace? */
static bool is_mapped(uid_t uid)
{
    unsigned long inside, outside, n;
    bool mapped = false;
    _cleanup_buf_ Buf text = BUF_INIT;
    if (file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &text) < 0)
        return true;
    StrView rest = buf_view(&text);
    for (StrView line; sv_cut(rest, '\n', &line, &rest);) {
        char one[128];
        if (sv_copy_cstr(line, one, sizeof one) &&
            sscanf(one, "%lu %lu %lu", &inside, &outside, &n) == 3)
            mapped |= uid >= inside && uid - inside < n;
    }
    return mapped;
}

static uid_t pick_uids(const Cluster *c, uint64_t hash)
{
    struct stat st;
    char path[PATH_MAX];
    uid_t narrow = UID_FIRST_NARROW + (uint32_t)(hash >> 32) %
                                          ((UID_LAST_NARROW - UID_FIRST_NARROW) / UIDS_EACH) *
                                          UIDS_EACH;
    uid_t wide = UID_FIRST + (uid_t)(hash % ((UID_LAST - UID_FIRST) / UIDS_EACH)) * UIDS_EACH;
    bool began_narrow =
        stat(cluster_path(c, path, "store"), &st) == 0 && st.st_uid == narrow + ROLE_SERVER;
    return began_narrow || !is_mapped(UID_LAST) ? narrow : wide;
}

/* Kubernetes' own port; of a cluster with another API port as far from it as that is, and `apart`
 * further, so that clusters with neighbouring API ports do not meet. */
static uint16_t derived_port(const ClusterOptions *opt, int own, int apart)
{
    int off = (int)opt->api_port - API_PORT, port = off ? own + off + apart : own;
    return (uint16_t)(port > 1023 && port < 65536 ? port : own);
}

int cluster_init(const ClusterOptions *opt, Cluster *ret, Err *err)
{
    Cluster *c = ret;
    *c = (Cluster){ .opt = *opt };
    size_t n = strlen(opt->data_dir);
    while (n > 1 && opt->data_dir[n - 1] == '/')
        n--;
    if (opt->data_dir[0] != '/' || n >= 200)
        return err_set(err, ERR_INVALID, 0,
                       "--data-dir: '%s' must be an absolute path of less than 200 bytes",
                       opt->data_dir);
    memcpy(c->dir, opt->data_dir, n);
    uint64_t hash = sv_hash_stable(sv_n(c->dir, n));
    if (strcmp(c->dir, "/var/lib/knarr") == 0)
        strcpy(c->instance, "knarr");
    else
        snprintf(c->instance, sizeof c->instance, "kn%08x", (uint32_t)(hash >> 32));
    c->uid_base = pick_uids(c, hash);
    c->kubelet_port = derived_port(opt, KUBELET_PORT, 0);
    c->proxy_port = derived_port(opt, PROXY_PORT, 1000);
    c->controller_port = derived_port(opt, CONTROLLER_PORT, 2000);
    c->scheduler_port = derived_port(opt, SCHEDULER_PORT, 3000);
    c->dns_metrics_port = derived_port(opt, DNS_METRICS_PORT, 0);
    int r;
    if ((r = derive_node_name(c, err)) < 0 || (r = derive_addresses(c, err)) < 0)
        return r;
    return own_folder(c->bin_dir, err);
}

int certificate_lifetime_parse(StrView text, int64_t *ret_ns)
{
    int r = duration_parse(text, ret_ns);
    if (r == 0 &&
        (*ret_ns < LIFETIME_MIN_S * NSEC_PER_SEC || *ret_ns > INT64_C(87600) * 3600 * NSEC_PER_SEC))
        r = -ERANGE;
    return r;
}

/* ---- command lines ---- */

static void arg(RoleArgs *a, const char *fmt, ...)
{
    ASSERT(a->n + 1 < ROLE_ARGS_MAX);
    char *at = a->texts + a->used;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(at, sizeof a->texts - a->used, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0 && a->used + (size_t)n + 1 < sizeof a->texts);
    a->used += (size_t)n + 1;
    a->argv[a->n++] = at;
    a->argv[a->n] = NULL;
}

static void server_args(const Cluster *c, RoleArgs *a)
{
    arg(a, "--store=%s/store", c->dir);
    arg(a, "--secure-port=%u", c->opt.api_port);
    arg(a, "--advertise-address=%s", c->node_ip);
    arg(a, "--service-cluster-ip-range=%s", c->opt.service_cidr);
    arg(a, "--cluster-dns-endpoint=%s:%d", c->gateway, DNS_PORT);
    arg(a, "--control-plane-node=%s", c->node_name);
    arg(a, "--tls-cert-file=%s/pki/server/serving.crt", c->dir);
    arg(a, "--tls-private-key-file=%s/pki/server/serving.key", c->dir);
    arg(a, "--client-ca-file=%s/pki/ca.crt", c->dir);
    arg(a, "--service-account-signing-key-file=%s/pki/server/sa.key", c->dir);
    arg(a, "--kubelet-client-certificate=%s/pki/server/kubelet-client.crt", c->dir);
    arg(a, "--kubelet-client-key=%s/pki/server/kubelet-client.key", c->dir);
}

static void node_args(const Cluster *c, RoleArgs *a)
{
    arg(a, "--data-dir=%s", c->dir);
    arg(a, "--instance=%s", c->instance);
    arg(a, "--kubeconfig=%s/pki/node/kubeconfig", c->dir);
    arg(a, "--proxy-kubeconfig=%s/pki/node/proxy.kubeconfig", c->dir);
    arg(a, "--hostname-override=%s", c->node_name);
    arg(a, "--node-ip=%s", c->node_ip);
    arg(a, "--port=%u", c->kubelet_port);
    arg(a, "--pod-cidr=%s", c->opt.pod_cidr);
    arg(a, "--service-cidr=%s", c->opt.service_cidr);
    arg(a, "--cluster-dns=%s", c->dns_ip);
    arg(a, "--cluster-domain=" CLUSTER_DOMAIN);
    arg(a, "--tls-cert-file=%s/pki/node/serving.crt", c->dir);
    arg(a, "--tls-private-key-file=%s/pki/node/serving.key", c->dir);
    arg(a, "--client-ca-file=%s/pki/ca.crt", c->dir);
    arg(a, "--proxy-metrics-bind-address=127.0.0.1:%u", c->proxy_port);
}

static void metrics_args(const Cluster *c, uint16_t port, RoleArgs *a)
{
    arg(a, "--bind-address=127.0.0.1");
    arg(a, "--secure-port=%u", port);
    arg(a, "--client-ca-file=%s/pki/ca.crt", c->dir);
}

int role_args(const Cluster *c, RoleId id, RoleArgs *a, Err *err)
{
    char name[32], path[PATH_MAX];
    *a = (RoleArgs){ 0 };
    snprintf(name, sizeof name, "knarr-%s", role_names[id]);
    int r = cluster_program(c, name, path, err);
    if (r < 0)
        return r;
    arg(a, "%s", path);
    switch (id) {
    case ROLE_SERVER:
        server_args(c, a);
        break;
    case ROLE_NODE:
        node_args(c, a);
        break;
    case ROLE_CONTROLLER:
        arg(a, "--root-ca-file=%s/pki/ca.crt", c->dir);
        arg(a, "--kubeconfig=%s/pki/controller/kubeconfig", c->dir);
        metrics_args(c, c->controller_port, a);
        break;
    case ROLE_SCHEDULER:
        arg(a, "--kubeconfig=%s/pki/scheduler/kubeconfig", c->dir);
        metrics_args(c, c->scheduler_port, a);
        break;
    case ROLE_DNS:
        arg(a, "--kubeconfig=%s/pki/dns/kubeconfig", c->dir);
        arg(a, "--listen=%s:%d", c->gateway, DNS_PORT);
        arg(a, "--metrics-bind-address=%s:%u", c->gateway, c->dns_metrics_port);
        arg(a, "--cluster-domain=" CLUSTER_DOMAIN);
        break;
    case ROLE_MAX:
        break;
    }
    return 0;
}

/* ---- what a later `down` or `status` needs to know ---- */

/* On a full disk there is no room for a new file: the supervisor's number always takes the same
 * room, so that the one that is there can be written over where nothing else has changed. */
static bool write_over(const char *path, StrView text)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)text.len &&
           pwrite(fd, text.ptr, text.len, 0) == (ssize_t)text.len && fdatasync(fd) == 0;
}

/* What `down` needs is also in the lock, which is open anyway: a cluster whose cluster.json is lost
 * or damaged can still be stopped. */
static void save_copy(const Cluster *c, StrView text)
{
    char path[PATH_MAX];
    _cleanup_close_ int fd = open(cluster_path(c, path, "lock"), O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && fd_write_full(fd, text.ptr, text.len) == 0)
        (void)!ftruncate(fd, (off_t)text.len);
}

int cluster_save(const Cluster *c, pid_t supervisor, Err *err)
{
    char path[PATH_MAX], text[512];
    int n =
        snprintf(text, sizeof text,
                 "{\"apiPort\":%u,\"podCIDR\":\"%s\",\"serviceCIDR\":\"%s\",\"supervisor\":%8d}\n",
                 c->opt.api_port, c->opt.pod_cidr, c->opt.service_cidr, (int)supervisor);
    StrView whole = sv_n(text, (size_t)n);
    save_copy(c, whole);
    int r = file_write_atomic(AT_FDCWD, cluster_path(c, path, "cluster.json"), whole, 0644, true);
    if ((r == -ENOSPC || r == -EDQUOT) && write_over(path, whole))
        r = 0;
    return r < 0 ? err_neg(err, r, "write '%s'", path) : 0;
}

static bool lock_is_held(const char *data_dir, bool *ret_hidden)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", data_dir);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    *ret_hidden = fd < 0 && errno == EACCES;
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
}

/* Has the process a lock of this folder open that was removed since? */
static bool holds_removed_lock(const char *data_dir, pid_t pid)
{
    char folder[64], real[PATH_MAX], want[PATH_MAX + 32], have[PATH_MAX + 32];
    snprintf(folder, sizeof folder, "/proc/%d/fd", (int)pid);
    struct dirent *e;
    DIR *dir;
    if (!realpath(data_dir, real) || dir_list(AT_FDCWD, folder, &dir) < 0)
        return false;
    size_t len = (size_t)snprintf(want, sizeof want, "%s/lock (deleted)", real);
    bool found = false;
    while (!found && dir_next(dir, &e) > 0)
        found = readlinkat(dirfd(dir), e->d_name, have, sizeof have) == (ssize_t)len &&
                memcmp(have, want, len) == 0;
    closedir(dir);
    return found;
}

/* A supervisor holds the lock of its data directory for as long as it lives; its number alone may
 * be another process by now, after a power failure for one. Who may not open the lock has only the
 * number. */
static bool runs(const char *data_dir, pid_t supervisor)
{
    bool hidden;
    if (supervisor <= 0 || (kill(supervisor, 0) < 0 && errno == ESRCH))
        return false;
    return lock_is_held(data_dir, &hidden) || hidden || holds_removed_lock(data_dir, supervisor);
}

static int load_from(const char *path, SavedOptions *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    int r = file_read(AT_FDCWD, path, 65536, &text);
    if (r < 0)
        return err_neg(err, r, "read '%s'", path);
    Value v;
    if (json_decode(buf_view(&text), &a, NULL, &v, err) < 0) {
        err_wrap(err, "read '%s'", path);
        return -ERR_CORRUPT;
    }
    int64_t port = value_int_or(value_get(&v, SV("apiPort")), 0);
    if (!sv_copy_cstr(value_str(value_get(&v, SV("podCIDR"))), ret->pod_cidr,
                      sizeof ret->pod_cidr) ||
        !sv_copy_cstr(value_str(value_get(&v, SV("serviceCIDR"))), ret->service_cidr,
                      sizeof ret->service_cidr) ||
        port < 1 || port > 65535)
        return err_set(err, ERR_CORRUPT, 0, "'%s': apiPort, podCIDR or serviceCIDR is missing",
                       path);
    ret->api_port = (uint16_t)port;
    ret->supervisor = (pid_t)value_int_or(value_get(&v, SV("supervisor")), 0);
    return 0;
}

int cluster_load(const char *data_dir, SavedOptions *ret, Err *err)
{
    char path[PATH_MAX], copy[PATH_MAX];
    bool hidden;
    snprintf(path, sizeof path, "%s/cluster.json", data_dir);
    snprintf(copy, sizeof copy, "%s/lock", data_dir);
    int r = load_from(path, ret, err);
    if (r < 0 && load_from(copy, ret, NULL) == 0) {
        err_clear(err);
        r = 0;
    }
    if (r == 0) {
        if (!runs(data_dir, ret->supervisor))
            ret->supervisor = 0;
        return 0;
    }
    if (lock_is_held(data_dir, &hidden))
        return err_wrap(err, "a cluster runs in '%s', but cannot be found", data_dir);
    if (!path_exists(AT_FDCWD, path))
        return err_set(err, ERR_NOT_FOUND, 0,
                       "no cluster in '%s' (there is no cluster.json); start one with `knarr up`",
                       data_dir);
    return err_wrap(err, "no cluster runs in '%s'; `knarr up` writes its cluster.json anew",
                    data_dir);
}
