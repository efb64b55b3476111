/* test_guard.c - frames that a container may not send, through the bridge plugin as a program. The
 * first argument is the knarr-cni executable. Needs root. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/file.h"
#include "cni/guard.h"
#include "cni/runtime.h"

enum { FRAME = 60, AGAIN_MS = 500, WAIT_MS = 10000, FOR_EXPERIMENTS = 253 /* RFC 3692 */ };

static const char *program;
static char dir[64], plugins[128];
static Arena arena;
static int own;

/* Frames that one processor sends arrive in their order. */
static int stay_on_this_processor(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    return sched_setaffinity(0, sizeof one, &one);
}

static int setup(void **state)
{
    char link[256];
    if (geteuid() != 0)
        return 0;
    if (stay_on_this_processor() < 0)
        return -1;
    arena_init(&arena, 0);
    strcpy(dir, "/tmp/knarr-test-guard-XXXXXX");
    if (!mkdtemp(dir) || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    snprintf(plugins, sizeof plugins, "%s/bin", dir);
    if (mkdir(plugins, 0700) < 0)
        return -1;
    static const char *const names[] = { "bridge", "host-local" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
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
    arena_free(&arena);
    close(own);
    char path[128];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/ns%d", dir, i);
        umount2(path, MNT_DETACH);
    }
    return rm_rf(AT_FDCWD, dir);
}

#define NEED_ROOT()                                                                                \
    do {                                                                                           \
        if (geteuid() != 0)                                                                        \
            skip();                                                                                \
    } while (0)

typedef struct Container {
    char netns[160];
    int fd; /* a packet socket on its eth0 */
    uint8_t mac[6], gateway_mac[6];
    uint32_t ip;
    CniAttachment at;
    char id[8];
} Container;

static void open_packets(Container *c)
{
    int ns = open(c->netns, O_RDONLY | O_CLOEXEC);
    assert_int_equal(setns(ns, CLONE_NEWNET), 0);
    c->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_ALL),
                              .sll_ifindex = (int)if_nametoindex("eth0") };
    assert_int_equal(bind(c->fd, (void *)&at, sizeof at), 0);
    assert_int_equal(setns(own, CLONE_NEWNET), 0);
    close(ns);
}

static void read_mac(const char *text, uint8_t mac[6])
{
    assert_int_equal(sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
                            &mac[3], &mac[4], &mac[5]),
                     6);
}

static void add(CniNetwork *n, Container *c, int i)
{
    CniResult res;
    Err err = { 0 };
    int status;
    snprintf(c->id, sizeof c->id, "c%d", i);
    snprintf(c->netns, sizeof c->netns, "%s/ns%d", dir, i);
    assert_int_equal(file_write(AT_FDCWD, c->netns, SV(""), 0600), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNET) < 0 ||
              mount("/proc/self/ns/net", c->netns, NULL, MS_BIND, NULL) < 0);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    c->at = (CniAttachment){ .container_id = c->id,
                             .netns = c->netns,
                             .ifname = "eth0",
                             .plugin_path = plugins,
                             .cache_dir = dir };
    if (cni_add(n, &c->at, &arena, &res, &err) < 0)
        fail_msg("%s", err.msg);
    memcpy(&c->ip, res.ips[0].address.addr, sizeof c->ip);
    read_mac(res.interfaces[0].mac, c->gateway_mac);
    read_mac(res.interfaces[2].mac, c->mac);
    open_packets(c);
}

static void drop(CniNetwork *n, Container *c)
{
    Err err = { 0 };
    close(c->fd);
    if (cni_del(n, &c->at, &err) < 0)
        fail_msg("%s", err.msg);
    umount2(c->netns, MNT_DETACH);
}

static CniNetwork *network(const char *more)
{
    char text[1024];
    CniNetwork *n = NULL;
    Err err = { 0 };
    snprintf(text, sizeof text,
             "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"plugins\":[{\"type\":\"bridge\","
             "\"bridge\":\"kg0\",\"isGateway\":true%s,\"ipam\":{\"type\":\"host-local\","
             "\"dataDir\":\"%s/leases\",\"ranges\":[[{\"subnet\":\"10.66.0.0/24\"}]]}}]}",
             more, dir);
    if (cni_network_parse(sv_cstr(text), "test", &n, &err) < 0)
        fail_msg("%s", err.msg);
    return n;
}

typedef struct Frame {
    const char *what;
    bool mac, ip;      /* has its own */
    uint16_t protocol; /* ETH_P_… */
    bool sender_mac;   /* of an ARP: its own */
    bool none;         /* of an ARP: no address, a probe */
} Frame;

static const Frame frames[] = {
    { "another's hardware address", false, true, ETH_P_IP },
    { "another's address", true, false, ETH_P_IP },
    { "ARP with another's hardware address in it", true, true, ETH_P_ARP },
    { "ARP with another's address in it", true, false, ETH_P_ARP, true },
    { "IPv6", true, true, ETH_P_IPV6 },
    { "a tag", true, true, ETH_P_8021Q },
    { "another protocol", true, true, 0x88b5 },
    { "its own ARP", true, true, ETH_P_ARP, true },
    { "a probe by ARP", true, false, ETH_P_ARP, true, true },
    { "its own packet", true, true, ETH_P_IP }, /* the last one: it shows that all have come */
};

/* Of an IPv4 header without options (RFC 791). */
static void put_checksum(uint8_t *h)
{
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)h[i] << 8 | h[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    h[10] = (uint8_t)(sum >> 8);
    h[11] = (uint8_t)sum;
}

/* An IPv4 header of `len` bytes with what follows. */
static void put_ip(uint8_t *h, uint8_t len, uint8_t protocol, uint32_t from, uint32_t to)
{
    h[0] = 0x45;
    h[3] = len;
    h[8] = 64;
    h[9] = protocol;
    memcpy(h + 12, &from, 4);
    memcpy(h + 16, &to, 4);
    put_checksum(h); /* bridges may look at it */
}

/* The number of the frame is its last byte. */
static void send_frame(const Container *from, const Container *to, uint8_t i)
{
    const Frame *f = &frames[i];
    uint8_t b[FRAME] = { 0 };
    uint32_t ip = f->none ? 0 : f->ip ? from->ip : htonl(0x0a420063); /* 10.66.0.99 */
    uint16_t protocol = htons(f->protocol);
    memcpy(b, to->mac, 6);
    memcpy(b + 6, from->mac, 6);
    b[11] ^= !f->mac;
    memcpy(b + 12, &protocol, 2);
    if (f->protocol == ETH_P_IP)
        put_ip(b + 14, FRAME - 14, FOR_EXPERIMENTS, ip, to->ip);
    else if (f->protocol == ETH_P_ARP) {
        static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 2 };
        memcpy(b + 14, head, sizeof head);
        memcpy(b + 22, from->mac, 6);
        b[27] ^= !f->sender_mac;
        memcpy(b + 28, &ip, 4);
    } else if (f->protocol == ETH_P_IPV6) {
        static const uint8_t head[] = { 0x60, 0, 0, 0, 0, FRAME - 54, 59, 64, 0xfe, 0x80 };
        memcpy(b + 14, head, sizeof head);
        b[37] = b[53] = 1;
        b[38] = 0xff;
        b[39] = 2;
    } else if (f->protocol == ETH_P_8021Q) {
        b[16] = 8; /* its own packet within */
        put_ip(b + 18, FRAME - 18, FOR_EXPERIMENTS, ip, to->ip);
    }
    b[FRAME - 1] = i;
    b[FRAME - 2] = 0xa5;
    assert_int_equal(send(from->fd, b, sizeof b, 0), sizeof b);
}

/* Which of the frames arrive, a bit for each. A bridge may need a while until it forwards to a port
 * that is new: then all are sent again. */
static unsigned arriving(const Container *from, const Container *to)
{
    unsigned got = 0;
    uint8_t b[2048];
    for (int waited = 0; !(got & 1u << (ARRAY_SIZE(frames) - 1));) {
        struct pollfd p = { .fd = to->fd, .events = POLLIN };
        int ready = waited ? poll(&p, 1, AGAIN_MS) : 0;
        assert_true(ready >= 0 && waited <= WAIT_MS);
        for (uint8_t i = 0; i < ARRAY_SIZE(frames) && !ready; i++)
            send_frame(from, to, i);
        waited += ready ? 0 : AGAIN_MS;
        if (!ready)
            continue;
        ssize_t n = recv(to->fd, b, sizeof b, 0);
        /* The kernel takes a tag off, and its four bytes with it. Longer is an answer with a frame
         * in it. */
        if (n >= FRAME - 4 && n <= FRAME && b[n - 2] == 0xa5 && b[n - 1] < ARRAY_SIZE(frames) &&
            memcmp(b, to->mac, 6) == 0)
            got |= 1u << b[n - 1];
    }
    return got;
}

static void check_frames(const Container *from, const Container *to, const unsigned expected)
{
    unsigned got = arriving(from, to);
    for (unsigned i = 0; i < ARRAY_SIZE(frames); i++)
        if ((got ^ expected) & 1u << i)
            fail_msg("%s: %s", frames[i].what, got & 1u << i ? "arrives" : "does not arrive");
}

enum { ALL = (1u << ARRAY_SIZE(frames)) - 1, OWN = 7u << 7 };

static void check_network(const char *more, unsigned expected)
{
    Container a, b;
    CniNetwork *n = network(more);
    add(n, &a, 0);
    add(n, &b, 1);
    check_frames(&a, &b, expected);
    check_frames(&b, &a, expected);
    drop(n, &a);
    drop(n, &b);
    cni_network_free(n);
}

static void test_nothing_is_guarded_by_default(void **state)
{
    NEED_ROOT();
    check_network("", ALL);
}

static void test_hardware_addresses(void **state)
{
    NEED_ROOT();
    check_network(",\"macspoofchk\":true", ALL & ~(1u << 0 | 1u << 2));
}

static void test_addresses(void **state)
{
    NEED_ROOT();
    check_network(",\"macspoofchk\":true,\"ipspoofchk\":true", OWN);
    check_network(",\"ipspoofchk\":true", OWN);
}

enum { PORT = 4000 };

/* A datagram to the gateway; `i` is its payload. */
static void send_datagram(const Container *c, const uint8_t mac[6], uint32_t from, uint8_t i)
{
    uint8_t b[FRAME] = { 0 };
    memcpy(b, mac, 6);
    memcpy(b + 6, c->mac, 6);
    b[12] = 8;
    put_ip(b + 14, 29, IPPROTO_UDP, from, htonl(0x0a420001)); /* 10.66.0.1 */
    b[34] = b[36] = PORT >> 8;
    b[35] = b[37] = PORT & 0xff;
    b[39] = 9;
    b[42] = i;
    assert_int_equal(send(c->fd, b, sizeof b, 0), sizeof b);
}

/* A bridge does not forward frames to 01:80:C2:00:00:01 to 0F: they are for the host, or nobody. */
static void test_group_addresses_do_not_go_around_it(void **state)
{
    NEED_ROOT();
    Container c;
    uint8_t group[6] = { 0x01, 0x80, 0xc2 }, b[8];
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    CniNetwork *n = network(",\"macspoofchk\":true,\"ipspoofchk\":true");
    add(n, &c, 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (void *)&at, sizeof at), 0);
    for (group[5] = 0; group[5] < 16; group[5]++)
        send_datagram(&c, group, htonl(0x0a420063), group[5]);
    send_datagram(&c, c.gateway_mac, c.ip, 0xff); /* shows that all have come */
    struct pollfd p = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_int_equal(recv(fd, b, sizeof b, 0), 1);
    assert_int_equal(b[0], 0xff);
    close(fd);
    drop(n, &c);
    cni_network_free(n);
}

static bool has_nft(void)
{
    return system("command -v nft >/dev/null") == 0;
}

/* What nft lists it reads again, and the guard holds. */
static void test_nft_restores_it(void **state)
{
    NEED_ROOT();
    char cmd[512];
    Container a, b;
    if (!has_nft())
        skip();
    CniNetwork *n = network(",\"macspoofchk\":true,\"ipspoofchk\":true");
    add(n, &a, 0);
    add(n, &b, 1);
    snprintf(cmd, sizeof cmd,
             "nft list ruleset >%s/rules && nft flush ruleset && nft -f %s/rules && "
             "nft list ruleset | cmp - %s/rules",
             dir, dir, dir);
    assert_int_equal(system(cmd), 0);
    check_frames(&a, &b, OWN);
    drop(n, &a);
    drop(n, &b);
    cni_network_free(n);
}

/* Also when the namespace has gone before, as after a crash. */
static void test_del_takes_the_guard_away(void **state)
{
    NEED_ROOT();
    Container a, b;
    Err err = { 0 };
    CniNetwork *n = network(",\"macspoofchk\":true,\"ipspoofchk\":true");
    add(n, &a, 0);
    add(n, &b, 1);
    if (has_nft())
        assert_int_equal(
            system("test $(nft list table netdev kg0-guard | grep -c 'chain veth') = 2"), 0);
    umount2(b.netns, MNT_DETACH);
    drop(n, &a);
    drop(n, &b);
    if (has_nft())
        assert_int_equal(system("! nft list table netdev kg0-guard | grep veth"), 0);
    assert_int_equal(port_guard_remove("kg0", "vethnothing", &err), 0);
    assert_int_equal(port_guard_cleanup("kg0", &err), 0);
    assert_int_equal(port_guard_cleanup("kg0", &err), 0);
    if (has_nft())
        assert_int_equal(system("! nft list ruleset | grep guard"), 0);
    cni_network_free(n);
}

int main(int argc, char **argv)
{
    static char path[4096];
    program = argc > 1 ? realpath(argv[1], path) : NULL;
    if (!program) {
        fprintf(stderr, "usage: test_guard KNARR-CNI\n");
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_guarded_by_default),
        cmocka_unit_test(test_hardware_addresses),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_group_addresses_do_not_go_around_it),
        cmocka_unit_test(test_nft_restores_it),
        cmocka_unit_test(test_del_takes_the_guard_away),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
