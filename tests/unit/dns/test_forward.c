/* test_forward.c - the forwarder against resolvers on loopback that do as each test says. */
#include "unit.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "dns/forward.h"

static const char question[] = "\007Example\003com\0\0\1\0\1";
#define QUESTION sv_n(question, sizeof question - 1)

typedef enum Mood {
    MOOD_ANSWER,
    MOOD_SILENT,
    MOOD_SERVFAIL,
    MOOD_TRUNCATE, /* over UDP; over TCP it answers */
    MOOD_FORGE,    /* wrong id, wrong question, then the answer */
    MOOD_NXDOMAIN,
} Mood;

typedef struct Resolver {
    int udp, tcp, conn;
    Source *src[3];
    Mood mood;
    unsigned asked, asked_tcp;
    uint16_t ids[8], ports[8];
    uint32_t ttl;
} Resolver;

static Loop *loop;
static Resolver resolvers[2];
static DnsForwarder *forwarder;
static unsigned n_replies;
static Buf last;

static void put_reply(const char *query, size_t len, unsigned flags, bool answer, bool soa,
                      uint32_t ttl, Buf *b)
{
    buf_append(b, query, len - 11); /* without the OPT record */
    b->ptr[2] = (char)(flags >> 8);
    b->ptr[3] = (char)flags;
    b->ptr[7] = answer;
    b->ptr[9] = soa;
    b->ptr[11] = 0;
    char t[4] = { (char)(ttl >> 24), (char)(ttl >> 16), (char)(ttl >> 8), (char)ttl };
    if (answer) {
        buf_append(b, "\xc0\x0c\0\1\0\1", 6);
        buf_append(b, t, 4);
        buf_append(b, "\0\4\1\2\3\4", 6);
    }
    if (soa) {
        buf_append(b, "\0\0\6\0\1", 5);
        buf_append(b, t, 4);
        buf_append(b, "\0\26\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1", 20);
        buf_append(b, t, 4);
    }
}

static void send_udp(Resolver *r, const Buf *b, const struct sockaddr_in *to)
{
    sendto(r->udp, b->ptr, b->len, 0, (const struct sockaddr *)to, sizeof *to);
}

static void answer_udp(Resolver *r, const char *query, size_t n, const struct sockaddr_in *from)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    unsigned flags = r->mood == MOOD_TRUNCATE   ? 0x8380
                     : r->mood == MOOD_SERVFAIL ? 0x8182
                     : r->mood == MOOD_NXDOMAIN ? 0x8183
                                                : 0x8180;
    bool answer = r->mood == MOOD_ANSWER || r->mood == MOOD_FORGE;
    put_reply(query, n, flags, answer, r->mood == MOOD_NXDOMAIN, r->ttl, &b);
    if (r->mood == MOOD_FORGE) {
        b.ptr[b.len - 1] = 66;
        b.ptr[0] ^= 1; /* another id */
        send_udp(r, &b, from);
        b.ptr[0] ^= 1;
        b.ptr[14] ^= 1; /* another name */
        send_udp(r, &b, from);
        b.ptr[14] ^= 1;
        b.ptr[b.len - 1] = 4;
    }
    send_udp(r, &b, from);
}

static void on_udp(void *ctx, uint32_t events)
{
    Resolver *r = ctx;
    char packet[512];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ssize_t n =
        recvfrom(r->udp, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
    if (n < 0)
        return;
    r->ids[r->asked % 8] = (uint16_t)((unsigned char)packet[0] << 8 | (unsigned char)packet[1]);
    r->ports[r->asked++ % 8] = ntohs(from.sin_port);
    if (r->mood != MOOD_SILENT)
        answer_udp(r, packet, (size_t)n, &from);
}

static void on_conn(void *ctx, uint32_t events)
{
    Resolver *r = ctx;
    char packet[512];
    ssize_t n = recv(r->conn, packet, sizeof packet, MSG_DONTWAIT);
    if (n <= 2) {
        r->src[2] = source_free(r->src[2]);
        closep(&r->conn);
        return;
    }
    _cleanup_buf_ Buf b = BUF_INIT;
    put_reply(packet + 2, (size_t)n - 2, 0x8180, true, false, r->ttl, &b);
    char head[2] = { 0, (char)b.len };
    assert_int_equal(send(r->conn, head, 1, 0), 1); /* in pieces */
    assert_int_equal(send(r->conn, head + 1, 1, 0), 1);
    assert_int_equal(send(r->conn, b.ptr, b.len, 0), b.len);
    r->asked_tcp++;
}

static void on_tcp(void *ctx, uint32_t events)
{
    Resolver *r = ctx;
    closep(&r->conn);
    r->src[2] = source_free(r->src[2]);
    r->conn = accept4(r->tcp, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(loop_add_fd(loop, r->conn, LOOP_READ, on_conn, r, &r->src[2], NULL), 0);
}

/* One port for UDP and TCP: that of the first may be taken for the second, then another is tried.
 */
static void bind_both(Resolver *r, struct sockaddr_in *addr)
{
    socklen_t len = sizeof *addr;
    for (int tries = 0; tries < 100; tries++) {
        addr->sin_port = 0;
        r->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        r->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(r->udp, (struct sockaddr *)addr, sizeof *addr), 0);
        assert_int_equal(getsockname(r->udp, (struct sockaddr *)addr, &len), 0);
        if (bind(r->tcp, (struct sockaddr *)addr, sizeof *addr) == 0)
            return;
        close(r->udp);
        close(r->tcp);
    }
    fail_msg("no port is free for both UDP and TCP");
}

static void open_resolver(Resolver *r, struct sockaddr_in *addr)
{
    *r = (Resolver){ .conn = -1, .ttl = 60 };
    *addr =
        (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    bind_both(r, addr);
    assert_int_equal(listen(r->tcp, 4), 0);
    assert_int_equal(loop_add_fd(loop, r->udp, LOOP_READ, on_udp, r, &r->src[0], NULL), 0);
    assert_int_equal(loop_add_fd(loop, r->tcp, LOOP_READ, on_tcp, r, &r->src[1], NULL), 0);
}

static int setup(void **state)
{
    DnsForwardConfig cfg = { .servers = { .n = 2, .attempt_ms = 300 },
                             .stale_ms = 50,
                             .total_ms = 5000 };
    assert_int_equal(loop_new(&loop, NULL), 0);
    for (unsigned i = 0; i < 2; i++)
        open_resolver(&resolvers[i], &cfg.servers.addr[i]);
    assert_int_equal(dns_forwarder_new(loop, &cfg, &forwarder, NULL), 0);
    n_replies = 0;
    return 0;
}

static int teardown(void **state)
{
    forwarder = dns_forwarder_free(forwarder);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned s = 0; s < 3; s++)
            source_free(resolvers[i].src[s]);
        closep(&resolvers[i].udp);
        closep(&resolvers[i].tcp);
        closep(&resolvers[i].conn);
    }
    buf_free(&last);
    assert_int_equal(loop_source_count(loop), 0);
    loop = loop_free(loop);
    return 0;
}

static void on_reply(void *ctx, StrView reply)
{
    buf_clear(&last);
    buf_sv(&last, reply);
    n_replies++;
    loop_stop(loop);
}

static const DnsQuestion asked = { .id = 7,
                                   .flags = DNS_FLAG_RD,
                                   .type = 1,
                                   .class = 1,
                                   .name = "example.com",
                                   .end = 12 + sizeof question - 1,
                                   .udp_size = 512 };

static DnsWaiter *ask(void)
{
    DnsWaiter *w = NULL;
    assert_int_equal(dns_forward_ask(forwarder, &asked, QUESTION, on_reply, NULL, &w, NULL), 0);
    return w;
}

static void ask_and_wait(void)
{
    unsigned before = n_replies;
    ask();
    while (n_replies == before)
        assert_int_equal(loop_run(loop, NULL), 0);
}

static void assert_answered(void)
{
    assert_true(last.len > 12);
    assert_int_equal(dns_reply_rcode(buf_view(&last)), 0);
    assert_memory_equal(last.ptr + last.len - 4, "\1\2\3\4", 4);
}

static void test_the_first_server_answers_and_the_cache_remembers(void **state)
{
    _cleanup_buf_ Buf cached = BUF_INIT;
    assert_false(dns_forward_cached(forwarder, &asked, &cached));
    ask_and_wait();
    assert_answered();
    assert_int_equal(resolvers[0].asked, 1);
    assert_int_equal(resolvers[1].asked, 0);
    assert_true(dns_forward_cached(forwarder, &asked, &cached));
    DnsQuestion other = asked;
    other.type = DNS_TYPE_AAAA;
    Buf none = BUF_INIT;
    assert_false(dns_forward_cached(forwarder, &other, &none));
}

static void test_a_silent_server_makes_room_for_the_next(void **state)
{
    resolvers[0].mood = MOOD_SILENT;
    ask_and_wait();
    assert_answered();
    assert_int_equal(resolvers[1].asked, 1);
}

static void test_a_failing_server_makes_room_for_the_next(void **state)
{
    resolvers[0].mood = MOOD_SERVFAIL;
    ask_and_wait();
    assert_answered();
}

static void test_a_server_that_is_not_there_makes_room_for_the_next(void **state)
{
    resolvers[0].src[0] = source_free(resolvers[0].src[0]);
    closep(&resolvers[0].udp);
    ask_and_wait();
    assert_answered();
}

static void test_all_failing_is_reported(void **state)
{
    resolvers[0].mood = resolvers[1].mood = MOOD_SERVFAIL;
    ask_and_wait();
    assert_int_equal(dns_reply_rcode(buf_view(&last)), DNS_RCODE_SERVFAIL);
    assert_int_equal(resolvers[0].asked, DNS_ROUNDS);
    assert_int_equal(resolvers[1].asked, DNS_ROUNDS);
    resolvers[0].mood = resolvers[1].mood = MOOD_SILENT;
    ask_and_wait();
    assert_int_equal(last.len, 0);
}

static void test_a_truncated_answer_is_fetched_over_tcp(void **state)
{
    resolvers[0].mood = MOOD_TRUNCATE;
    ask_and_wait();
    assert_answered();
    assert_int_equal(resolvers[0].asked_tcp, 1);
}

static void test_forged_answers_are_ignored(void **state)
{
    resolvers[0].mood = MOOD_FORGE;
    ask_and_wait();
    assert_answered();
    assert_int_equal(resolvers[1].asked, 0);
}

static void test_ids_and_ports_are_fresh(void **state)
{
    resolvers[0].ttl = 0; /* not cached */
    for (unsigned i = 0; i < 4; i++)
        ask_and_wait();
    assert_int_equal(resolvers[0].asked, 4);
    bool same_ids = true, same_ports = true;
    for (unsigned i = 1; i < 4; i++) {
        same_ids &= resolvers[0].ids[i] == resolvers[0].ids[0];
        same_ports &= resolvers[0].ports[i] == resolvers[0].ports[0];
    }
    assert_false(same_ids);
    assert_false(same_ports);
}

static void test_equal_questions_share_one_exchange(void **state)
{
    ask();
    DnsWaiter *gone = ask();
    ask();
    dns_waiter_cancel(gone);
    while (n_replies < 2)
        assert_int_equal(loop_run(loop, NULL), 0);
    assert_int_equal(resolvers[0].asked, 1);
}

static void test_absent_names_are_remembered_too(void **state)
{
    _cleanup_buf_ Buf cached = BUF_INIT;
    resolvers[0].mood = MOOD_NXDOMAIN;
    ask_and_wait();
    assert_int_equal(dns_reply_rcode(buf_view(&last)), DNS_RCODE_NXDOMAIN);
    assert_true(dns_forward_cached(forwarder, &asked, &cached));
}

static void stop(void *ctx)
{
    loop_stop(loop);
}

static void test_a_stale_answer_is_better_than_none(void **state)
{
    _cleanup_buf_ Buf cached = BUF_INIT;
    resolvers[0].ttl = 1;
    ask_and_wait();
    Source *timer;
    assert_int_equal(loop_add_timer(loop, 1100, 0, stop, NULL, &timer, NULL), 0);
    assert_int_equal(loop_run(loop, NULL), 0);
    source_free(timer);
    assert_false(dns_forward_cached(forwarder, &asked, &cached));
    resolvers[0].mood = resolvers[1].mood = MOOD_SILENT;
    ask_and_wait();
    assert_answered();
    assert_int_equal(last.ptr[last.len - 7], DNS_STALE_TTL_S);
    assert_int_equal(dns_forwarder_cache(forwarder)->stale, 1);
    /* The servers are still asked: once they have proved silent, the stale answer comes at once. */
    while (!dns_forward_cached(forwarder, &asked, &cached)) {
        assert_int_equal(loop_add_timer(loop, 20, 0, stop, NULL, &timer, NULL), 0);
        assert_int_equal(loop_run(loop, NULL), 0);
        source_free(timer);
    }
    assert_int_equal(resolvers[0].asked, 1 + DNS_ROUNDS);
}

static void test_the_cache_is_bounded(void **state)
{
    DnsCache c = { 0 };
    static const char reply[] =
        "\0\0\x81\x80\0\1\0\1\0\0\0\0\001a\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4";
    for (uint32_t i = 0; i < DNS_CACHE_ENTRIES_MAX + 10; i++)
        dns_cache_put(&c, sv_n(&i, sizeof i), sv_n(reply, sizeof reply - 1), 0);
    assert_true(c.entries.len <= DNS_CACHE_ENTRIES_MAX);
    assert_true(c.bytes <= DNS_CACHE_BYTES_MAX);
    assert_true(c.evictions >= 10);
    uint32_t first = 0, newest = DNS_CACHE_ENTRIES_MAX + 9;
    bool recheck;
    _cleanup_buf_ Buf b = BUF_INIT;
    assert_int_equal(dns_cache_get(&c, sv_n(&first, 4), 0, &b, &recheck), DNS_CACHE_MISS);
    assert_int_equal(dns_cache_get(&c, sv_n(&newest, 4), INT64_C(20000000000), &b, &recheck),
                     DNS_CACHE_HIT);
    assert_int_equal(b.ptr[sizeof reply - 8], 40); /* 60 s less 20 */
    dns_cache_free(&c);
}

static void test_replies_are_fitted_to_the_asker(void **state)
{
    static const char query[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\001A\0\0\1\0\1";
    static const char reply[] =
        "\0\0\x81\x80\0\1\0\1\0\0\0\1\001a\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4"
        "\0\0\x29\4\xd0\0\0\0\0\0\0";
    DnsQuestion q;
    _cleanup_buf_ Buf b = BUF_INIT;
    assert_int_equal(dns_question_parse(sv_n(query, sizeof query - 1), &q, NULL), 0);
    assert_true(
        dns_reply_fit(sv_n(reply, sizeof reply - 1), sv_n(query, sizeof query - 1), &q, 512, &b));
    assert_int_equal(b.len, sizeof reply - 1 - 11); /* no OPT: none was sent */
    assert_int_equal(b.ptr[11], 0);
    assert_memory_equal(b.ptr, "\x12\x34", 2);
    assert_int_equal(b.ptr[13], 'A');
    buf_clear(&b);
    assert_true(
        dns_reply_fit(sv_n(reply, sizeof reply - 1), sv_n(query, sizeof query - 1), &q, 30, &b));
    assert_int_equal(b.len, q.end);
    assert_int_equal(b.ptr[2] & 2, 2); /* TC */
    buf_clear(&b);
    assert_false(
        dns_reply_fit(sv_n(reply, sizeof reply - 2), sv_n(query, sizeof query - 1), &q, 512, &b));
}

static void test_resolv_conf(void **state)
{
    DnsServers s = { 0 };
    dns_servers_read(
        SV("# nameserver 9.9.9.9\nsearch x\nnameserver\t1.1.1.1\n nameserver 1.0.0.1 # x\n"
           "nameserver fe80::1\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        &s);
    assert_int_equal(s.n, 3);
    assert_int_equal(ntohl(s.addr[0].sin_addr.s_addr), 0x01010101);
    assert_int_equal(ntohl(s.addr[2].sin_addr.s_addr), 0x08080808);
}

#define WITH_RESOLVERS(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RESOLVERS(test_the_first_server_answers_and_the_cache_remembers),
        WITH_RESOLVERS(test_a_silent_server_makes_room_for_the_next),
        WITH_RESOLVERS(test_a_failing_server_makes_room_for_the_next),
        WITH_RESOLVERS(test_a_server_that_is_not_there_makes_room_for_the_next),
        WITH_RESOLVERS(test_all_failing_is_reported),
        WITH_RESOLVERS(test_a_truncated_answer_is_fetched_over_tcp),
        WITH_RESOLVERS(test_forged_answers_are_ignored),
        WITH_RESOLVERS(test_ids_and_ports_are_fresh),
        WITH_RESOLVERS(test_equal_questions_share_one_exchange),
        WITH_RESOLVERS(test_absent_names_are_remembered_too),
        WITH_RESOLVERS(test_a_stale_answer_is_better_than_none),
        cmocka_unit_test(test_the_cache_is_bounded),
        cmocka_unit_test(test_replies_are_fitted_to_the_asker),
        cmocka_unit_test(test_resolv_conf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
