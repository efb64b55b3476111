/* test_packets.c - real packets through the table: a bridge with two pods and a machine outside,
 * each in a network namespace of its own. Needs root; skipped elsewhere. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>

#include "codec/json.h"
#include "netlink/rtnl.h"
#include "proxy/internal.h"
#include "unit.h"

enum { NODE, POD1, POD2, OUTSIDE, PLACES, WAIT_MS = 1500 };

#define POD1_IP    "10.42.0.2"
#define POD2_IP    "10.42.0.3"
#define NODE_IP    "192.0.2.1"
#define OUTSIDE_IP "192.0.2.2"
#define BRIDGE_IP  "10.42.0.1"

static const char *const place_ip[PLACES] = { NODE_IP, POD1_IP, POD2_IP, OUTSIDE_IP };

typedef struct Net {
    int ns[PLACES], own;
    int tcp[PLACES], udp[PLACES]; /* servers at port 8080 */
    Nft *nft;                     /* in the node's namespace */
    ProgramConfig cfg;
    Plan *plan;                   /* what the kernel has */
    char client[INET_ADDRSTRLEN]; /* whom the server saw in the last exchange */
} Net;

static void enter(const Net *n, int place)
{
    assert_int_equal(setns(n->ns[place], CLONE_NEWNET), 0);
}

static void sh(const char *cmd)
{
    if (system(cmd) != 0)
        fail_msg("failed: %s", cmd);
}

/* Connects a place with the node: the end in the node keeps `link`, the other is eth0. */
static void connect_place(Net *n, int place, const char *link, const char *ip, const char *gateway)
{
    Err err = { 0 };
    Rtnl *r;
    char cmd[256];
    enter(n, NODE);
    assert_int_equal(rtnl_open(&r, &err), 0);
    assert_int_equal(rtnl_veth_add(r, link, "eth0", n->ns[place], 0, &err), 0);
    rtnl_close(r);
    snprintf(cmd, sizeof cmd, "ip link set %s up", link);
    sh(cmd);
    enter(n, place);
    snprintf(cmd, sizeof cmd,
             "ip addr add %s/24 dev eth0 && ip link set eth0 up && ip route add default via %s", ip,
             gateway);
    sh(cmd);
    enter(n, NODE);
}

static int serve(const char *ip, int type)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, ip, &a.sin_addr);
    assert_int_equal(bind(fd, (void *)&a, sizeof a), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int setup(void **state)
{
    static Net n;
    n.own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < PLACES; i++) {
        if (unshare(CLONE_NEWNET) < 0) {
            *state = NULL;
            return 0;
        }
        n.ns[i] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        sh("ip link set lo up");
    }
    enter(&n, NODE);
    sh("echo 1 > /proc/sys/net/ipv4/ip_forward && ip link add br0 type bridge && ip link set br0 up && "
       "ip addr add " BRIDGE_IP "/24 dev br0");
    connect_place(&n, POD1, "pod1", POD1_IP, BRIDGE_IP);
    connect_place(&n, POD2, "pod2", POD2_IP, BRIDGE_IP);
    connect_place(&n, OUTSIDE, "uplink", OUTSIDE_IP, NODE_IP);
    sh("ip link set pod1 master br0 && ip link set pod2 master br0 && bridge link set dev pod1 hairpin on && "
       "bridge link set dev pod2 hairpin on && ip addr add " NODE_IP
       "/24 dev uplink && ip route add default via " OUTSIDE_IP);
    for (int i = POD1; i <= POD2; i++) {
        enter(&n, i);
        n.tcp[i] = serve(place_ip[i], SOCK_STREAM);
        n.udp[i] = serve(place_ip[i], SOCK_DGRAM);
    }
    enter(&n, NODE);
    Err err = { 0 };
    assert_int_equal(nft_open(&n.nft, &err), 0);
    n.cfg = (ProgramConfig){ .table = "knarr-test",
                             .bridge = "br0",
                             .pod_addr = inet_addr("10.42.0.0"),
                             .pod_mask = htonl(0xffffff00),
                             .bridge_calls = program_bridge_calls() };
    assert_int_equal(program_ensure(n.nft, &n.cfg, &err), 0);
    *state = &n;
    return 0;
}

static int teardown(void **state)
{
    Net *n = *state;
    if (!n)
        return 0;
    plan_free(n->plan);
    nft_close(n->nft);
    assert_int_equal(setns(n->own, CLONE_NEWNET), 0);
    for (int i = 0; i < PLACES; i++)
        close(n->ns[i]);
    for (int i = POD1; i <= POD2; i++) {
        close(n->tcp[i]);
        close(n->udp[i]);
    }
    close(n->own);
    return 0;
}

static Net *net_or_skip(void **state)
{
    if (!*state)
        skip();
    return *state;
}

#define PORTS_SPEC                                                                                 \
    "\"ports\":[{\"name\":\"t\",\"port\":80,\"nodePort\":30080},"                                  \
    "{\"name\":\"u\",\"port\":80,\"protocol\":\"UDP\",\"nodePort\":30080},"                        \
    "{\"name\":\"s\",\"port\":80,\"protocol\":\"SCTP\",\"nodePort\":30080}]"
#define SLICE_PORTS                                                                                \
    "[{\"name\":\"t\",\"port\":8080,\"protocol\":\"TCP\"},{\"name\":\"u\",\"port\":8080,\"protocol\":\"UDP\"},{\"name\":\"s\",\"port\":8080,\"protocol\":\"SCTP\"}]"

static Value parse(Arena *a, const char *json)
{
    Err err = { 0 };
    Value v = { 0 };
    if (json_decode(sv_cstr(json), a, NULL, &v, &err) < 0)
        fail_msg("%s: %s", err.msg, json);
    return v;
}

static bool ending; /* POD1 */

/* The plan of one service at 10.43.0.10:80 and node port 30080 with these pods behind it. */
static Plan *make_plan(const char *more_spec, bool pod1, bool pod2)
{
    Arena a;
    char text[1024];
    arena_init(&a, 0);
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.43.0.10\",%s" PORTS_SPEC
        "}}",
        more_spec);
    Value v = parse(&a, text);
    ServiceModel *s = service_model_new(&v);
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"namespace\":\"ns\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},"
        "\"addressType\":\"IPv4\",\"endpoints\":[%s%s%s],\"ports\":" SLICE_PORTS "}",
        !pod1    ? ""
        : ending ? "{\"addresses\":[\"" POD1_IP
                   "\"],\"nodeName\":\"here\",\"conditions\":{\"ready\":false,"
                   "\"serving\":true,\"terminating\":true}}"
                 : "{\"addresses\":[\"" POD1_IP "\"],\"nodeName\":\"here\"}",
        pod1 && pod2 ? "," : "",
        pod2 ? "{\"addresses\":[\"" POD2_IP "\"],\"nodeName\":\"there\"}" : "");
    v = parse(&a, text);
    SliceModel *l = slice_model_new(&v, SV("here"));
    assert_non_null(s);
    assert_non_null(l);
    PlanInput in = { (const ServiceModel *const *)&s, (const SliceModel *const *)&l, 1, 1 };
    Plan *p = NULL;
    Err err = { 0 };
    if (plan_new(&in, &p, &err) < 0)
        fail_msg("%s", err.msg);
    service_model_free(s);
    slice_model_free(l);
    arena_free(&a);
    return p;
}

/* Goes on from what the kernel has, as the proxy does. */
static void program(Net *n, const char *more_spec, bool pod1, bool pod2)
{
    Err err = { 0 };
    enter(n, NODE);
    Plan *now = make_plan(more_spec, pod1, pod2);
    if (program_change(n->nft, &n->cfg, n->plan, now, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    plan_free(n->plan);
    n->plan = now;
}

static int wait_readable(const Net *n, int type)
{
    const int *fds = type == SOCK_STREAM ? n->tcp : n->udp;
    struct pollfd p[2] = { { .fd = fds[POD1], .events = POLLIN },
                           { .fd = fds[POD2], .events = POLLIN } };
    if (poll(p, 2, WAIT_MS) <= 0)
        return -1;
    return p[0].revents ? POD1 : POD2;
}

/* The server's half; returns the pod that served. */
static int answer(Net *n, int type)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    char buf[8];
    int pod = wait_readable(n, type);
    if (pod < 0)
        return -ETIMEDOUT;
    if (type == SOCK_STREAM) {
        int c = accept(n->tcp[pod], (void *)&peer, &len);
        assert_true(c >= 0);
        assert_int_equal(write(c, "x", 1), 1);
        close(c);
    } else {
        assert_int_equal(recvfrom(n->udp[pod], buf, sizeof buf, 0, (void *)&peer, &len), 1);
        assert_int_equal(sendto(n->udp[pod], "x", 1, 0, (void *)&peer, len), 1);
    }
    inet_ntop(AF_INET, &peer.sin_addr, n->client, sizeof n->client);
    return pod;
}

/* Asks from `place`; the pod that answered, or a negative errno. The answer must come from the
 * address that was asked: the sockets are connected. */
static int ask(Net *n, int place, int type, const char *ip, uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    char c;
    inet_pton(AF_INET, ip, &a.sin_addr);
    enter(n, place);
    _cleanup_close_ int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    struct timeval t = { .tv_sec = WAIT_MS / 1000, .tv_usec = WAIT_MS % 1000 * 1000 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    int r = connect(fd, (void *)&a, sizeof a) < 0 || (type == SOCK_DGRAM && send(fd, "q", 1, 0) < 0)
                ? -errno
                : 0;
    if (r == 0 && type == SOCK_DGRAM && n->plan->chains.len == 0)
        r = recv(fd, &c, 1, 0) < 0 ? -errno : 0;
    else if (r == 0 && (r = answer(n, type)) >= 0 && recv(fd, &c, 1, 0) != 1)
        r = -errno;
    enter(n, NODE);
    return r;
}

static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

static void test_pod_reaches_another_pod_through_the_cluster_address(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "", false, true);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(n, POD1, types[i], "10.43.0.10", 80), POD2);
        assert_string_equal(n->client, n->cfg.bridge_calls ? POD1_IP : BRIDGE_IP);
    }
}

static void test_pod_reaches_itself_through_the_cluster_address(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "", true, false);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(ask(n, POD1, types[i], "10.43.0.10", 80), POD1);
}

static void test_node_reaches_the_cluster_address_and_its_own_port(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "", false, true);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(n, NODE, types[i], "10.43.0.10", 80), POD2);
        assert_int_equal(ask(n, NODE, types[i], NODE_IP, 30080), POD2);
        assert_int_equal(ask(n, POD1, types[i], NODE_IP, 30080), POD2);
    }
}

static void test_outside_reaches_the_node_port(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "\"externalIPs\":[\"203.0.113.9\"],", true, true);
    for (size_t i = 0; i < 2; i++) {
        assert_true(ask(n, OUTSIDE, types[i], NODE_IP, 30080) > 0);
        assert_string_equal(n->client, BRIDGE_IP);
        assert_true(ask(n, OUTSIDE, types[i], "203.0.113.9", 80) > 0);
    }
}

static void test_local_policy_keeps_the_client_address(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "\"externalTrafficPolicy\":\"Local\",", true, true);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ask(n, OUTSIDE, types[i % 2], NODE_IP, 30080), POD1);
        assert_string_equal(n->client, OUTSIDE_IP);
    }
    program(n, "\"externalTrafficPolicy\":\"Local\",", false, true);
    assert_int_equal(ask(n, OUTSIDE, SOCK_STREAM, NODE_IP, 30080), -EINPROGRESS);
    assert_int_equal(ask(n, POD1, SOCK_STREAM, NODE_IP, 30080), POD2);
}

static void test_connections_spread_over_the_backends(void **state)
{
    Net *n = net_or_skip(state);
    int seen[PLACES] = { 0 };
    program(n, "", true, true);
    for (int i = 0; i < 40; i++)
        seen[ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80)]++;
    assert_true(seen[POD1] > 0 && seen[POD2] > 0);
}

static void test_affinity_keeps_a_client_with_its_backend(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "\"sessionAffinity\":\"ClientIP\",", true, true);
    int first = ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80);
    assert_true(first > 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80), first);
    program(n, "\"sessionAffinity\":\"ClientIP\",", first == POD2, first == POD1);
    assert_int_equal(ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80), first == POD1 ? POD2 : POD1);
    program(n, "", true, true);
}

/* Other endpoints come and go; clients of those that stay keep theirs. */
static void test_affinity_outlives_a_change_of_endpoints(void **state)
{
    Net *n = net_or_skip(state);
    const char *spec = "\"sessionAffinity\":\"ClientIP\",";
    program(n, spec, true, true);
    int node = ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80),
        outside = ask(n, OUTSIDE, SOCK_STREAM, NODE_IP, 30080);
    for (int i = 0; i < 10; i++) {
        program(n, spec, node == POD1, node == POD2);
        assert_int_equal(ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80), node);
        program(n, spec, true, true);
        assert_int_equal(ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80), node);
    }
    if (outside == node)
        assert_int_equal(ask(n, OUTSIDE, SOCK_STREAM, NODE_IP, 30080), outside);
    program(n, "", true, true);
}

static void test_affinity_spreads_clients(void **state)
{
    Net *n = net_or_skip(state);
    int seen[PLACES] = { 0 };
    for (int i = 0; i < 40; i++) { /* forgotten in between: each time by lot */
        program(n, "\"sessionAffinity\":\"ClientIP\",", true, true);
        seen[ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80)]++;
        program(n, "", true, true);
    }
    assert_true(seen[POD1] > 0 && seen[POD2] > 0);
}

static void test_internal_policy_stays_on_the_node(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "\"internalTrafficPolicy\":\"Local\",", true, true);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ask(n, NODE, types[i % 2], "10.43.0.10", 80), POD1);
        assert_int_equal(ask(n, POD2, types[i % 2], "10.43.0.10", 80), POD1);
    }
    program(n, "\"internalTrafficPolicy\":\"Local\",", false, true);
    assert_int_equal(ask(n, POD1, SOCK_STREAM, "10.43.0.10", 80), -EINPROGRESS); /* dropped */
    assert_int_equal(ask(n, OUTSIDE, SOCK_STREAM, NODE_IP, 30080), POD2); /* not meant by it */
}

static void test_external_addresses_from_everywhere(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "\"externalIPs\":[\"203.0.113.9\"],", true, false);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(n, OUTSIDE, types[i], "203.0.113.9", 80), POD1);
        assert_int_equal(ask(n, NODE, types[i], "203.0.113.9", 80), POD1);
        assert_int_equal(ask(n, POD2, types[i], "203.0.113.9", 80), POD1);
        assert_int_equal(ask(n, POD1, types[i], "203.0.113.9", 80), POD1); /* itself */
        assert_int_equal(ask(n, POD1, types[i], NODE_IP, 30080), POD1);
    }
}

/* POD1 ends but still serves: it is used while there is no other. */
static void test_an_ending_endpoint_serves_while_there_is_no_other(void **state)
{
    Net *n = net_or_skip(state);
    ending = true;
    program(n, "", true, false);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(n, NODE, types[i], "10.43.0.10", 80), POD1);
        assert_int_equal(ask(n, OUTSIDE, types[i], NODE_IP, 30080), POD1);
    }
    program(n, "", true, true);
    for (int i = 0; i < 8; i++)
        assert_int_equal(ask(n, NODE, SOCK_STREAM, "10.43.0.10", 80), POD2);
    /* POD2 is of another node: here the ending one is the only one. */
    program(n, "\"externalTrafficPolicy\":\"Local\",", true, true);
    assert_int_equal(ask(n, OUTSIDE, SOCK_STREAM, NODE_IP, 30080), POD1);
    assert_string_equal(n->client, OUTSIDE_IP);
    ending = false;
    program(n, "", true, true);
}

static void test_without_endpoints_it_is_refused(void **state)
{
    Net *n = net_or_skip(state);
    program(n, "", false, false);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(n, POD1, types[i], "10.43.0.10", 80), -ECONNREFUSED);
        /* The node's own datagram is stopped inside its send(): the kernel tells that as EPERM. */
        assert_int_equal(ask(n, NODE, types[i], "10.43.0.10", 80),
                         types[i] == SOCK_DGRAM ? -EPERM : -ECONNREFUSED);
        assert_int_equal(ask(n, OUTSIDE, types[i], NODE_IP, 30080), -ECONNREFUSED);
    }
}

static bool leads_to_pod2(void *ctx, uint32_t dst, uint16_t dport, uint32_t reply_src,
                          uint16_t reply_sport)
{
    return dst == inet_addr("10.43.0.10") && dport == htons(80) && reply_src == inet_addr(POD2_IP);
}

/* A client that never changes its port sticks to what conntrack knows until that is forgotten. */
static void test_a_udp_client_moves_on_when_its_entry_is_forgotten(void **state)
{
    Net *n = net_or_skip(state);
    Err err = { 0 };
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(80),
                             .sin_addr.s_addr = inet_addr("10.43.0.10") };
    program(n, "", false, true);
    enter(n, POD1);
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (void *)&a, sizeof a), 0);
    enter(n, NODE);
    assert_int_equal(send(fd, "q", 1, 0), 1);
    assert_int_equal(answer(n, SOCK_DGRAM), POD2);
    program(n, "", true, false);
    assert_int_equal(send(fd, "q", 1, 0), 1);
    assert_int_equal(answer(n, SOCK_DGRAM), POD2);
    if (nft_conntrack_forget_udp(leads_to_pod2, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(send(fd, "q", 1, 0), 1);
    assert_int_equal(answer(n, SOCK_DGRAM), POD1);
}

/* A second run finds the table and leaves it alone until it knows what should be; then it takes it
 * over. */
static void test_a_restart_does_not_interrupt(void **state)
{
    Net *n = net_or_skip(state);
    Err err = { 0 };
    program(n, "", false, true);
    assert_int_equal(program_ensure(n->nft, &n->cfg, &err), 0);
    assert_int_equal(ask(n, POD1, SOCK_STREAM, "10.43.0.10", 80), POD2);
    assert_int_equal(program_replace(n->nft, &n->cfg, n->plan, &err), 0);
    assert_int_equal(ask(n, POD1, SOCK_STREAM, "10.43.0.10", 80), POD2);
}

/* Where the bridge hands nothing to conntrack, a pod's reply must go through the node by itself. */
static void test_pods_reach_each_other_without_bridge_calls(void **state)
{
    Net *n = net_or_skip(state);
    Err err = { 0 };
    enter(n, NODE);
    if (n->cfg.bridge_calls)
        sh("echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables");
    n->cfg.bridge_calls = program_bridge_calls();
    assert_false(n->cfg.bridge_calls);
    assert_int_equal(program_replace(n->nft, &n->cfg, n->plan, &err), 0);
    for (size_t i = 0; i < 2; i++) {
        program(n, "", false, true);
        assert_int_equal(ask(n, POD1, types[i], "10.43.0.10", 80), POD2);
        assert_string_equal(n->client, BRIDGE_IP);
        program(n, "", true, false);
        assert_int_equal(ask(n, POD1, types[i], "10.43.0.10", 80), POD1);
    }
}

static void test_node_port_on_the_loopback(void **state)
{
    Net *n = net_or_skip(state);
    sh("echo 1 >/proc/sys/net/ipv4/conf/br0/route_localnet");
    program(n, "", false, true);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(n, NODE, types[i], "127.0.0.1", 30080), POD2);
        assert_string_equal(n->client, BRIDGE_IP);
    }
    program(n, "\"externalTrafficPolicy\":\"Local\",", false, true);
    assert_int_equal(ask(n, NODE, SOCK_STREAM, "127.0.0.1", 30080), POD2);
}

/* A pod that sends to the node's 127.0.0.1 over the wire, which route_localnet would let in. */
static void test_the_loopback_is_the_machines_own(void **state)
{
    Net *n = net_or_skip(state);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9090) };
    enter(n, NODE);
    sh("echo 1 >/proc/sys/net/ipv4/conf/br0/route_localnet");
    _cleanup_close_ int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    assert_int_equal(bind(server, (void *)&a, sizeof a), 0);
    assert_int_equal(listen(server, 4), 0);
    enter(n, POD1);
    sh("ip addr del 127.0.0.1/8 dev lo; ip route flush table local 127.0.0.0/8; "
       "echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet; ip route add 127.0.0.0/8 via " BRIDGE_IP
       " src " POD1_IP);
    _cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval t = { .tv_sec = 1 };
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    assert_int_equal(connect(client, (void *)&a, sizeof a), -1);
    assert_true(errno == EINPROGRESS || errno == EAGAIN || errno == ETIMEDOUT);
    sh("ip route del 127.0.0.0/8 via " BRIDGE_IP "; ip addr add 127.0.0.1/8 dev lo");
    enter(n, NODE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pod_reaches_another_pod_through_the_cluster_address),
        cmocka_unit_test(test_pod_reaches_itself_through_the_cluster_address),
        cmocka_unit_test(test_node_reaches_the_cluster_address_and_its_own_port),
        cmocka_unit_test(test_outside_reaches_the_node_port),
        cmocka_unit_test(test_local_policy_keeps_the_client_address),
        cmocka_unit_test(test_connections_spread_over_the_backends),
        cmocka_unit_test(test_affinity_keeps_a_client_with_its_backend),
        cmocka_unit_test(test_affinity_outlives_a_change_of_endpoints),
        cmocka_unit_test(test_affinity_spreads_clients),
        cmocka_unit_test(test_internal_policy_stays_on_the_node),
        cmocka_unit_test(test_external_addresses_from_everywhere),
        cmocka_unit_test(test_an_ending_endpoint_serves_while_there_is_no_other),
        cmocka_unit_test(test_without_endpoints_it_is_refused),
        cmocka_unit_test(test_a_udp_client_moves_on_when_its_entry_is_forgotten),
        cmocka_unit_test(test_a_restart_does_not_interrupt),
        cmocka_unit_test(test_node_port_on_the_loopback),
        cmocka_unit_test(test_the_loopback_is_the_machines_own),
        cmocka_unit_test(test_pods_reach_each_other_without_bridge_calls),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
