/* test_cni_plugins.c - the plugins as programs, through the runtime side, in network namespaces of
 * their own. The first argument is the knarr-cni executable. Needs root. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/proc.h"
#include "cni/runtime.h"
#include "codec/json.h"

static const char *program;
static char dir[64], plugins[128], leases[128];
static Arena arena;

static int make_netns(const char *name, char path[static 160])
{
    snprintf(path, 160, "%s/%s", dir, name);
    if (file_write(AT_FDCWD, path, SV(""), 0600) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNET) < 0 ||
              mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) < 0);
    int status;
    waitpid(pid, &status, 0);
    return status;
}

static int setup(void **state)
{
    static const char *const names[] = { "bridge", "loopback", "host-local", "portmap" };
    if (geteuid() != 0)
        return 0;
    strcpy(dir, "/tmp/knarr-test-cni-XXXXXX");
    arena_init(&arena, 0);
    /* A mount namespace and a network of our own: the host sees nothing of this. */
    if (!mkdtemp(dir) || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    snprintf(plugins, sizeof plugins, "%s/bin", dir);
    snprintf(leases, sizeof leases, "%s/leases", dir);
    if (mkdir(plugins, 0700) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char link[256];
        snprintf(link, sizeof link, "%s/%s", plugins, names[i]);
        if (symlink(program, link) < 0)
            return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    if (geteuid() != 0)
        return 0;
    char path[300];
    for (int i = 0; i < 11; i++) {
        snprintf(path, sizeof path, "%s/ns%d", dir, i);
        umount2(path, MNT_DETACH);
    }
    arena_free(&arena);
    return rm_rf(AT_FDCWD, dir);
}

#define NEED_ROOT()                                                                                \
    do {                                                                                           \
        if (geteuid() != 0)                                                                        \
            skip();                                                                                \
    } while (0)

static CniNetwork *network(const char *subnet)
{
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":\"kt0\","
        "\"isGateway\":true,\"hairpinMode\":true,\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s\","
        "\"ranges\":[[{\"subnet\":\"%s\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}}]}",
        leases, subnet);
    CniNetwork *n = NULL;
    Err err = { 0 };
    if (cni_network_parse(sv_cstr(text), "test", &n, &err) < 0)
        fail_msg("%s", err.msg);
    return n;
}

static CniAttachment attachment(const char *id, const char *netns)
{
    return (CniAttachment){ .container_id = id,
                            .netns = netns,
                            .ifname = "eth0",
                            .plugin_path = plugins,
                            .cache_dir = dir };
}

static unsigned count_leases(void)
{
    char path[256];
    snprintf(path, sizeof path, "ls %s/net | grep -c '^10\\.' || true", leases);
    const char *const argv[] = { "sh", "-c", path, NULL };
    _cleanup_buf_ Buf out = BUF_INIT;
    int status;
    assert_int_equal(proc_run(argv, NULL, SV_NULL, 5000, &out, NULL, &status), 0);
    uint64_t n = 99;
    sv_to_u64(sv_trim(buf_view(&out)), &n);
    return (unsigned)n;
}

static int ping(const char *netns, const char *to)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(netns, O_RDONLY);
        if (setns(fd, CLONE_NEWNET) < 0)
            _exit(9);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execlp("ping", "ping", "-c1", "-W5", to, NULL);
        execlp("busybox", "busybox", "ping", "-c1", "-W5", to, NULL);
        _exit(8);
    }
    int status;
    waitpid(pid, &status, 0);
    return status;
}

static void test_two_containers_reach_each_other(void **state)
{
    NEED_ROOT();
    char a[160], b[160], text[IP_TEXT_SIZE];
    Err err = { 0 };
    assert_int_equal(make_netns("ns0", a), 0);
    assert_int_equal(make_netns("ns1", b), 0);
    CniNetwork *n = network("10.77.0.0/24");
    CniAttachment at_a = attachment("pod-a", a), at_b = attachment("pod-b", b);
    CniResult ra, rb;
    if (cni_add(n, &at_a, &arena, &ra, &err) < 0 || cni_add(n, &at_b, &arena, &rb, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(ip_text(&ra.ips[0].address, true, text), "10.77.0.2/24");
    assert_string_equal(ip_text(&rb.ips[0].address, true, text), "10.77.0.3/24");
    assert_string_equal(ip_text(&ra.ips[0].gateway, false, text), "10.77.0.1");
    assert_int_equal(ra.n_interfaces, 3);
    assert_int_equal(ping(a, "10.77.0.3"), 0);
    assert_int_equal(ping(a, "10.77.0.1"), 0);
    assert_int_equal(cni_check(n, &at_a, &err), 0);

    assert_int_equal(count_leases(), 2);
    assert_int_equal(cni_del(n, &at_a, &err), 0);
    assert_int_equal(cni_del(n, &at_a, &err), 0); /* again: nothing left to do */
    assert_int_equal(cni_del(n, &at_b, &err), 0);
    assert_int_equal(count_leases(), 0);
    assert_int_equal(cni_check(n, &at_a, &err), -ERR_NOT_FOUND);
    cni_network_free(n);
}

/* As after a boot: the file of the namespace is there, but nothing is mounted on it. */
static void test_del_without_the_namespace_frees_the_address(void **state)
{
    NEED_ROOT();
    char path[160];
    Err err = { 0 };
    assert_int_equal(make_netns("ns6", path), 0);
    CniNetwork *n = network("10.81.0.0/24");
    CniAttachment at = attachment("pod-boot", path);
    CniResult res;
    if (cni_add(n, &at, &arena, &res, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(count_leases(), 1);
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    assert_int_equal(access(path, F_OK), 0);
    if (cni_del(n, &at, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(count_leases(), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cni_del(n, &at, &err), 0);
    cni_network_free(n);
}

static void test_failed_add_leaves_nothing(void **state)
{
    NEED_ROOT();
    char a[160], b[160];
    Err err = { 0 };
    assert_int_equal(make_netns("ns2", a), 0);
    assert_int_equal(make_netns("ns3", b), 0);
    CniNetwork *n = network("10.78.0.0/30"); /* room for one */
    CniAttachment at_a = attachment("one", a), at_b = attachment("two", b);
    CniResult res;
    if (cni_add(n, &at_a, &arena, &res, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(cni_add(n, &at_b, &arena, &res, &err) < 0);
    assert_non_null(strstr(err.msg, "no IP addresses available"));
    Rtnl *nl = NULL;
    RtnlLink link;
    int fd = open(b, O_RDONLY | O_CLOEXEC);
    assert_int_equal(rtnl_open_in(fd, &nl, &err), 0);
    assert_int_equal(rtnl_link_get(nl, "eth0", &link, &err), -ERR_NOT_FOUND);
    rtnl_close(nl);
    close(fd);
    assert_int_equal(count_leases(), 1);
    assert_int_equal(cni_del(n, &at_a, &err), 0);
    cni_network_free(n);
}

static void test_unknown_fields_of_security_are_refused(void **state)
{
    NEED_ROOT();
    char a[160];
    CniNetwork *n = NULL;
    Err err = { 0 };
    assert_int_equal(make_netns("ns4", a), 0);
    assert_int_equal(
        cni_network_parse(
            SV("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"bridge\",\"portIsolation\":true}"),
            "test", &n, &err),
        0);
    CniAttachment at = attachment("x", a);
    CniResult res;
    assert_true(cni_add(n, &at, &arena, &res, &err) < 0);
    assert_non_null(strstr(err.msg, "portIsolation"));
    cni_network_free(n);
}

/* A switch that is no switch is a mistake, not "off": the plugin names where it stands. */
static void test_values_of_the_wrong_kind_are_refused(void **state)
{
    NEED_ROOT();
    char ns[160];
    CniNetwork *n = NULL;
    CniResult r;
    Err err = { 0 };
    assert_int_equal(make_netns("ns10", ns), 0);
    assert_int_equal(cni_network_parse(SV("{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"plugins\":"
                                          "[{\"type\":\"bridge\",\"hairpinMode\":\"yes\"}]}"),
                                       "test", &n, &err),
                     0);
    CniAttachment at = attachment("kinds", ns);
    assert_true(cni_add(n, &at, &arena, &r, &err) < 0);
    assert_non_null(strstr(err.msg, "network configuration:1: hairpinMode: cannot unmarshal !!str "
                                    "`yes` into bool"));
    cni_network_free(n);
}

/* Many at once on one bridge: nobody gets an address twice. */
static void test_adds_at_once_get_different_addresses(void **state)
{
    NEED_ROOT();
    enum { N = 30 };
    pid_t pids[N];
    CniNetwork *n = network("10.79.0.0/24");
    for (int i = 0; i < N; i++) {
        char path[160], name[16];
        snprintf(name, sizeof name, "many%d", i);
        assert_int_equal(make_netns(name, path), 0);
        pids[i] = fork();
        if (pids[i] == 0) {
            CniAttachment at = attachment(name, path);
            CniResult res;
            _exit(cni_add(n, &at, &arena, &res, NULL) < 0);
        }
    }
    for (int i = 0; i < N; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_leases(), N);
    for (int i = 0; i < N; i++) {
        char path[160], name[16];
        snprintf(name, sizeof name, "many%d", i);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        CniAttachment at = attachment(name, path);
        assert_int_equal(cni_del(n, &at, NULL), 0);
        umount2(path, MNT_DETACH);
    }
    assert_int_equal(count_leases(), 0);
    cni_network_free(n);
}

static void test_bad_lists_name_file_and_field(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        { "{", "net.conf" },
        { "{\"cniVersion\":\"1.0.0\"}", "net.conf:1: name: expected the network's name" },
        { "{\n\"name\":\"n\",\n\"cniVersion\":\"9.0.0\",\"type\":\"bridge\"}",
          "net.conf:3: cniVersion: '9.0.0' is not known" },
        { "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[]}",
          "net.conf:1: plugins: expected 1 to 16 of them" },
        { "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":{}}",
          "net.conf:1: plugins: expected 1 to 16 of them" },
        { "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[\n{\"type\":\"a\"},\n{\"type\":\"../sh\"}]}",
          "net.conf:3: plugins[1].type: '../sh' names no plugin" },
        { "{\"cniVersion\":\"1.0.0\",\"name\":5}",
          "net.conf:1: name: cannot unmarshal a number into string" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CniNetwork *n = NULL;
        Err err = { 0 };
        assert_true(cni_network_parse(sv_cstr(rows[i].text), "net.conf", &n, &err) < 0);
        if (!strstr(err.msg, rows[i].why))
            fail_msg("'%s' lacks '%s'", err.msg, rows[i].why);
    }
}

static void test_result_versions(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    CniResult r = { .n_ips = 1, .routes = value_list(), .dns = value_map() }, back;
    r.ips[0].interface = -1;
    assert_int_equal(ip_prefix_parse(SV("fd00::5/64"), &r.ips[0].address), 0);
    Value old = cni_result_value(&r, SV("0.4.0"), &a), new = cni_result_value(&r, SV("1.1.0"), &a);
    assert_sv(value_str(value_get(value_at(value_get(&old, SV("ips")), 0), SV("version"))), "6");
    assert_null(value_get(value_at(value_get(&new, SV("ips")), 0), SV("version")));
    assert_int_equal(cni_result_parse(&old, &a, &back, NULL), 0);
    assert_int_equal(back.ips[0].address.bits, 64);
}

/* ---- portmap ---- */

static CniNetwork *network_with_ports(const char *more)
{
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":\"kt1\","
        "\"isDefaultGateway\":true,\"hairpinMode\":true,\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s\","
        "\"ranges\":[[{\"subnet\":\"10.88.0.0/24\"}]]}},"
        "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true}%s}]}",
        leases, more);
    CniNetwork *n = NULL;
    Err err = { 0 };
    if (cni_network_parse(sv_cstr(text), "test", &n, &err) < 0)
        fail_msg("%s", err.msg);
    return n;
}

static Value ports(const char *text)
{
    Value v;
    Err err = { 0 };
    if (json_decode(sv_cstr(text), &arena, NULL, &v, &err) < 0)
        fail_msg("%s", err.msg);
    return v;
}

static void enter(const char *netns)
{
    int fd = netns ? open(netns, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0 && setns(fd, CLONE_NEWNET) < 0)
        _exit(9);
}

/* A process in the namespace that tells each peer its address. */
static pid_t serve(const char *netns, uint16_t port)
{
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a test fails */
        enter(netns);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(fd, (void *)&a, sizeof a) < 0 || listen(fd, 8) < 0)
            _exit(1);
        (void)!write(ready[1], "r", 1);
        for (;;) {
            socklen_t len = sizeof a;
            char text[INET_ADDRSTRLEN];
            int peer = accept(fd, (void *)&a, &len);
            inet_ntop(AF_INET, &a.sin_addr, text, sizeof text);
            (void)!write(peer, text, strlen(text));
            close(peer);
        }
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

/* What the server at the other end of a connection from the namespace says; "" when there is none.
 */
static const char *fetch(const char *netns, const char *ip, uint16_t port)
{
    static char text[64];
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct timeval t = { .tv_sec = 2 };
        enter(netns);
        inet_pton(AF_INET, ip, &a.sin_addr);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
        if (connect(fd, (void *)&a, sizeof a) == 0) {
            ssize_t n = recv(fd, text, sizeof text, 0);
            (void)!write(out[1], text, (size_t)MAX(n, 0));
        }
        _exit(0);
    }
    close(out[1]);
    ssize_t n = read(out[0], text, sizeof text - 1);
    text[MAX(n, 0)] = 0;
    close(out[0]);
    waitpid(pid, NULL, 0);
    return text;
}

static void test_host_ports_lead_to_the_container(void **state)
{
    NEED_ROOT();
    char a[160], b[160], c[160];
    Err err = { 0 };
    CniResult res;
    assert_int_equal(make_netns("ns5", a), 0);
    assert_int_equal(make_netns("ns6", b), 0);
    assert_int_equal(make_netns("ns7", c), 0);
    assert_int_equal(system("ip link set lo up; ip addr add 192.0.2.7/32 dev lo"), 0);
    CniNetwork *n = network_with_ports(""), *plain = network_with_ports("");
    Value args =
        ports("{\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,\"protocol\":\"tcp\"},"
              "{\"hostPort\":8081,\"containerPort\":80,\"hostIP\":\"192.0.2.7\"},"
              "{\"hostPort\":8082,\"containerPort\":53,\"protocol\":\"UDP\"},"
              "{\"hostPort\":0,\"containerPort\":9}]}");
    CniAttachment at = attachment("pod-a", a), other = attachment("pod-b", b),
                  taker = attachment("pod-c", c);
    at.capability_args = &args;
    if (cni_add(n, &at, &arena, &res, &err) < 0 || cni_add(plain, &other, &arena, &res, &err) < 0)
        fail_msg("%s", err.msg);
    pid_t server = serve(a, 80);
    assert_string_equal(fetch(NULL, "127.0.0.1", 8080), "10.88.0.1"); /* masqueraded */
    assert_string_equal(fetch(NULL, "192.0.2.7", 8080), "192.0.2.7");
    assert_string_equal(fetch(NULL, "192.0.2.7", 8081), "192.0.2.7");
    assert_string_equal(fetch(NULL, "127.0.0.1", 8081), "");
    assert_string_equal(fetch(b, "10.88.0.1", 8080), "10.88.0.1"); /* from its own network … */
    assert_string_equal(fetch(a, "192.0.2.7", 8080), "10.88.0.1"); /* … and from itself */
    assert_int_equal(cni_check(n, &at, &err), 0);
    /* What is taken stays with its holder, also after the other's failure has been undone. */
    taker.capability_args = &args;
    assert_true(cni_add(n, &taker, &arena, &res, &err) < 0);
    assert_string_equal(fetch(NULL, "127.0.0.1", 8080), "10.88.0.1");
    /* The mappings are remembered: DEL needs not be told. */
    at.capability_args = NULL;
    assert_int_equal(cni_cached(n, &at), CNI_CACHED_ARGS);
    assert_int_equal(cni_cached(plain, &other), CNI_CACHED_PLAIN);
    if (cni_del(n, &at, &err) < 0 || cni_del(n, &at, &err) < 0 || cni_del(n, &other, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(fetch(NULL, "192.0.2.7", 8080), "");
    taker.capability_args = &args;
    if (cni_add(n, &taker, &arena, &res, &err) < 0 || cni_del(n, &taker, &err) < 0)
        fail_msg("%s", err.msg);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    cni_network_free(n);
    cni_network_free(plain);
}

/* Ports that a process of the host listens on, and those that the configuration reserves. */
static void test_taken_host_ports_are_refused(void **state)
{
    NEED_ROOT();
    static const struct {
        const char *mapping, *want;
    } cases[] = {
        { "{\"hostPort\":8443,\"containerPort\":80}",
          "port 8443/TCP of the host: a process of the host listens on it" },
        { "{\"hostPort\":8443,\"containerPort\":80,\"hostIP\":\"127.0.0.1\"}", "listens on it" },
        { "{\"hostPort\":6443,\"containerPort\":80}",
          "port 6443/TCP of the host: it is reserved for the platform" },
        { "{\"hostPort\":53,\"containerPort\":53,\"protocol\":\"UDP\"}",
          "53/UDP of the host: it is reserved" },
        { "{\"hostPort\":53,\"containerPort\":53,\"protocol\":\"UDP\",\"hostIP\":\"192.0.2.7\"}",
          NULL },
        { "{\"hostPort\":8443,\"containerPort\":80,\"protocol\":\"UDP\"}", NULL },
    };
    char a[160], text[256];
    CniResult res;
    assert_int_equal(make_netns("ns9", a), 0);
    CniNetwork *n =
        network_with_ports(",\"table\":\"mine-hostport\",\"reserved\":[{\"hostPort\":6443},"
                           "{\"hostPort\":53,\"hostIP\":\"10.88.0.1\",\"protocol\":\"udp\"}]");
    pid_t server = serve(NULL, 8443);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Err err = { 0 };
        snprintf(text, sizeof text, "{\"portMappings\":[%s]}", cases[i].mapping);
        Value args = ports(text);
        CniAttachment at = attachment("pod-e", a);
        at.capability_args = &args;
        int r = cni_add(n, &at, &arena, &res, &err);
        if (cases[i].want ? r == 0 || !strstr(err.msg, cases[i].want) : r < 0)
            fail_msg("%s: %s", cases[i].mapping, err.msg);
        if (r == 0)
            assert_int_equal(
                system("command -v nft >/dev/null || exit 0; "
                       "nft list table ip mine-hostport | grep -q 'l4proto udp dnat to 10.88.0' && "
                       "nft list ruleset | unshare -n nft -f -"),
                0);
        assert_int_equal(cni_del(n, &at, &err), 0);
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    cni_network_free(n);
}

static void test_conditions_of_host_ports(void **state)
{
    NEED_ROOT();
    char a[160];
    Err err = { 0 };
    CniResult res;
    assert_int_equal(make_netns("ns8", a), 0);
    Value args = ports("{\"portMappings\":[{\"hostPort\":8090,\"containerPort\":80}]}");
    CniAttachment at = attachment("pod-d", a);
    at.capability_args = &args;
    CniNetwork *n =
        network_with_ports(",\"conditionsV4\":[\"!\",\"-s\",\"192.0.2.0/24\"],\"masqAll\":true");
    if (cni_add(n, &at, &arena, &res, &err) < 0)
        fail_msg("%s", err.msg);
    pid_t server = serve(a, 80);
    assert_string_equal(fetch(NULL, "192.0.2.7", 8090), "");
    assert_string_equal(fetch(NULL, "10.88.0.1", 8090), "10.88.0.1");
    assert_int_equal(cni_del(n, &at, &err), 0);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    cni_network_free(n);
    n = network_with_ports(",\"conditionsV4\":[\"-m\",\"time\"]");
    assert_true(cni_add(n, &at, &arena, &res, &err) < 0);
    assert_non_null(strstr(err.msg, "conditionsV4: '-m' is not supported"));
    cni_network_free(n);
    n = network_with_ports("");
    args = ports("{\"portMappings\":[{\"hostPort\":70000,\"containerPort\":80}]}");
    assert_true(cni_add(n, &at, &arena, &res, &err) < 0);
    assert_non_null(strstr(err.msg, "expected ports of 1 to 65535"));
    cni_network_free(n);
}

int main(int argc, char **argv)
{
    program = argc > 1 ? realpath(argv[1], NULL) : NULL; /* lives as long as the tests */
    if (!program) {
        fprintf(stderr, "usage: %s KNARR-CNI\n", argv[0]);
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_lists_name_file_and_field),
        cmocka_unit_test(test_result_versions),
        cmocka_unit_test(test_two_containers_reach_each_other),
        cmocka_unit_test(test_del_without_the_namespace_frees_the_address),
        cmocka_unit_test(test_failed_add_leaves_nothing),
        cmocka_unit_test(test_unknown_fields_of_security_are_refused),
        cmocka_unit_test(test_values_of_the_wrong_kind_are_refused),
        cmocka_unit_test(test_adds_at_once_get_different_addresses),
        cmocka_unit_test(test_host_ports_lead_to_the_container),
        cmocka_unit_test(test_taken_host_ports_are_refused),
        cmocka_unit_test(test_conditions_of_host_ports),
    };
    int r = cmocka_run_group_tests(tests, setup, teardown);
    free((char *)program);
    return r;
}
