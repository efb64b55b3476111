/* preflight.c - ports, kernel features, host settings. One row per feature. */
#include "cmd/preflight.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "netlink/nft_need.h"
#include "oci/cgroup.h"

#define NO_INGRESS_RULES "CONFIG_NF_TABLES_NETDEV"

enum { MODPROBE_TIMEOUT_MS = 10000 };

static int port_free(uint16_t port, const char *what, Err *err)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return err_errno(err, "open a socket");
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        if (errno == EADDRINUSE)
            return err_set(
                err, ERR_CONFLICT, 0,
                "port %u for the %s is in use; choose another API port with --api-port, or stop what "
                "listens there (`ss -ltnp sport = :%u` names it)",
                port, what, port);
        return err_errno(err, "bind port %u", port);
    }
    return 0;
}

static bool in_file(const char *path, const char *word)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    return file_read(AT_FDCWD, path, 1024 * 1024, &text) == 0 &&
           sv_find(buf_view(&text), sv_cstr(word)) >= 0;
}

static bool has_overlayfs(void)
{
    return in_file("/proc/filesystems", "\toverlay\n");
}

static bool has_bridge_filter(void)
{
    return path_exists(AT_FDCWD, "/proc/sys/net/bridge/bridge-nf-call-iptables");
}

/* Asks nf_tables for its generation: answered only where it is there (and the kernel loads it for
 * us where it can). */
static bool has_nf_tables(void)
{
    struct {
        struct nlmsghdr h;
        struct nfgenmsg g;
    } ask = { { sizeof ask, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, NLM_F_REQUEST, 1, 0 },
              { 0 } };
    _Alignas(NLMSG_ALIGNTO) char answer[512];
    struct timeval wait = { .tv_sec = 2 };
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
        send(fd, &ask, sizeof ask, 0) < 0)
        return false;
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    const struct nlmsghdr *h = (const struct nlmsghdr *)answer;
    return n >= (ssize_t)sizeof *h && h->nlmsg_type != NLMSG_ERROR;
}

/* In a network namespace of its own, where a link of that kind can be made and is gone with the
 * process. Exit code 1: the kernel knows no such links, though it was free to load a module. */
static int try_link(const char *kind)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
        struct rtattr info, name;
        char kind[16];
    } ask = { { sizeof ask, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 1,
                0 },
              { 0 },
              { 2 * sizeof(struct rtattr) + sizeof ask.kind, IFLA_LINKINFO },
              { sizeof(struct rtattr) + sizeof ask.kind, IFLA_INFO_KIND },
              "" };
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
        char more[512];
    } answer = { 0 };
    snprintf(ask.kind, sizeof ask.kind, "%s", kind);
    if (unshare(CLONE_NEWNET) < 0)
        return 0; /* not known: making the first network namespace will tell */
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || send(fd, &ask, sizeof ask, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0)
        return 0;
    return answer.h.nlmsg_type == NLMSG_ERROR && answer.e.error == -EOPNOTSUPP;
}

static bool has_link(const char *kind)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(try_link(kind));
    return pid < 0 || proc_wait(pid, MODPROBE_TIMEOUT_MS, &status) < 0 || status == 0;
}

static bool has_bridges(void)
{
    return has_link("bridge");
}

static bool has_veth(void)
{
    return has_link("veth");
}

static bool has_namespaces(void)
{
    return path_exists(AT_FDCWD, "/proc/self/ns/pid") &&
           path_exists(AT_FDCWD, "/proc/self/ns/net") &&
           path_exists(AT_FDCWD, "/proc/self/ns/mnt") && path_exists(AT_FDCWD, "/proc/self/ns/uts");
}

static void load_module(const char *name)
{
    const char *const argv[] = { "modprobe", "-q", name, NULL };
    int status;
    proc_run(argv, NULL, SV_NULL, MODPROBE_TIMEOUT_MS, NULL, NULL, &status);
}

static int check_features(Err *err)
{
    static const struct {
        const char *name, *module, *config;
        bool (*present)(void);
        bool needed;
    } rows[] = {
        { "overlayfs", "overlay", "CONFIG_OVERLAY_FS", has_overlayfs, true },
        { "nf_tables", "nf_tables", "CONFIG_NF_TABLES", has_nf_tables, true },
        { "bridges", "bridge", "CONFIG_BRIDGE", has_bridges, true },
        { "veth links", "veth", "CONFIG_VETH", has_veth, true },
        { "bridge packet filtering", "br_netfilter", "CONFIG_BRIDGE_NETFILTER", has_bridge_filter,
          false },
        { "namespaces", NULL, "CONFIG_NAMESPACES", has_namespaces, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].present())
            continue;
        if (rows[i].module)
            load_module(rows[i].module);
        if (rows[i].present())
            continue;
        if (rows[i].needed)
            return err_set(
                err, ERR_UNSUPPORTED, 0,
                "this kernel lacks %s; load it with `modprobe %s`, or use a kernel with %s",
                rows[i].name, rows[i].module ? rows[i].module : "?", rows[i].config);
        log_debug("this kernel lacks %s", rows[i].name);
    }
    return 0;
}

/* The controllers without which no pod gets its limits; as the kubelet of Kubernetes demands them.
 */
static int check_cgroups(Err *err)
{
    static const struct {
        const char *name, *remedy;
    } rows[] = {
        { "cpu", "CONFIG_CGROUP_SCHED" },
        { "cpuset", "CONFIG_CPUSETS" },
        { "memory", "CONFIG_MEMCG (some want `cgroup_enable=memory` on their command line)" },
    };
    CgroupSystem sys;
    Err why = { 0 };
    if (cgroup_system_find(&sys, NULL, &why) < 0)
        return err_set(
            err, ERR_UNSUPPORTED, 0,
            "%s; mount them with `mount -t cgroup2 none /sys/fs/cgroup`, or use a kernel "
            "with CONFIG_CGROUPS",
            why.msg);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!cgroup_has(&sys, rows[i].name))
            return err_set(err, ERR_UNSUPPORTED, 0,
                           "this machine has no control group controller '%s' at /sys/fs/cgroup; "
                           "mount it, or use a kernel with %s",
                           rows[i].name, rows[i].remedy);
    return 0;
}

enum { MODULE_SIZE = 64 };

/* The module of nf_tables that the rules lack, tried in a network namespace of its own; false:
 * none. */
static bool lacks_rules(char name[static MODULE_SIZE])
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        const char *module = unshare(CLONE_NEWNET) == 0 ? nft_missing_module() : NULL;
        if (!module && !nft_has_netdev())
            module = NO_INGRESS_RULES;
        _exit(module && write(ends[1], module, strlen(module)) > 0);
    }
    close(ends[1]);
    ssize_t n = pid < 0 ? 0 : read(ends[0], name, MODULE_SIZE - 1);
    name[MAX(n, 0)] = 0;
    close(ends[0]);
    int status;
    if (pid > 0)
        (void)!proc_wait(pid, MODPROBE_TIMEOUT_MS, &status);
    return n > 0;
}

static int check_rules(Err *err)
{
    char module[MODULE_SIZE];
    bool lacks = lacks_rules(module);
    if (lacks && strcmp(module, NO_INGRESS_RULES) == 0)
        return err_set(
            err, ERR_UNSUPPORTED, 0,
            "this kernel lacks rules for single devices; use a kernel with " NO_INGRESS_RULES);
    if (lacks) {
        load_module(module);
        lacks = lacks_rules(module);
    }
    return lacks
               ? err_set(err, ERR_UNSUPPORTED, 0,
                         "kernel module %s is missing: `modprobe %s`, or install linux-image-amd64",
                         module, module)
               : 0;
}

/* Settings without which pods cannot talk beyond their bridge. */
static int check_settings(Err *err)
{
    int r = file_write(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", SV("1"), 0644);
    if (r < 0 && !in_file("/proc/sys/net/ipv4/ip_forward", "1"))
        return err_neg(err, r, "turn on forwarding; do it with `sysctl -w net.ipv4.ip_forward=1`");
    if (has_bridge_filter())
        file_write(AT_FDCWD, "/proc/sys/net/bridge/bridge-nf-call-iptables", SV("1"), 0644);
    return 0;
}

/* Roles without root reach their state as users of their own: asked as one of them. */
static int check_reachable(const Cluster *c, Err *err)
{
    uid_t uid = role_uid(c, ROLE_SERVER);
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(err, "fork");
    if (pid == 0) {
        bool other = setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
                     setresuid(uid, uid, uid) == 0;
        _exit(other && access(c->dir, X_OK) < 0);
    }
    int r = proc_wait(pid, -1, &status);
    if (r < 0)
        return err_neg(err, r, "wait for a check of '%s'", c->dir);
    if (status == 0)
        return 0;
    return err_set(err, ERR_DENIED, 0,
                   "--data-dir: the API server's user cannot reach '%s'; open the folders above it "
                   "with `chmod o+x`",
                   c->dir);
}

int preflight_check(const Cluster *c, Err *err)
{
    int r;
    if ((r = check_reachable(c, err)) < 0 || (r = check_features(err)) < 0 ||
        (r = check_cgroups(err)) < 0 || (r = check_rules(err)) < 0 ||
        (r = check_settings(err)) < 0 || (r = port_free(c->opt.api_port, "API server", err)) < 0)
        return r;
    return port_free(c->kubelet_port, "kubelet", err);
}
