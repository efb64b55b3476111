/* test_listen.c - real clients on loopback: pipelined questions, late answers, idle connections. */
#include "unit.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "dns/answer.h"
#include "dns/listen.h"

enum { IDLE_MS = 300 };

static Loop *loop;
static DnsListener *listener;
static int client = -1;
static Source *src, *tick;
static Buf in;
static bool closed;
static unsigned want, gone;
static DnsPeer *held[4];
static unsigned n_held;
static bool hold;

static const char query[] = "\0\2\1\0\0\1\0\0\0\0\0\0\001a\0\0\1\0\1";

static void on_query(void *ctx, DnsPeer *p, StrView packet)
{
    if (hold) {
        p->state = p;
        held[n_held++] = p;
        return;
    }
    dns_peer_reply(p, packet);
}

static void on_gone(void *ctx, DnsPeer *p)
{
    gone++;
}

static void on_client(void *ctx, uint32_t events)
{
    char data[65536];
    ssize_t n = recv(client, data, sizeof data, MSG_DONTWAIT);
    if (n > 0)
        buf_append(&in, data, (size_t)n);
    else {
        closed = true;
        src = source_free(src);
    }
    if (closed || in.len >= want)
        loop_stop(loop);
}

static void open_client(int type)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons(dns_listener_port(listener)) };
    client = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(loop_add_fd(loop, client, LOOP_READ, on_client, NULL, &src, NULL), 0);
}

static int setup(void **state)
{
    DnsHandler h = { .on_query = on_query, .on_gone = on_gone, .idle_ms = IDLE_MS };
    assert_int_equal(loop_new(&loop, NULL), 0);
    /* The port that UDP is given may be taken for TCP: then another is tried. */
    int r = -1;
    for (int tries = 0; tries < 100 && r < 0; tries++)
        r = dns_listener_new(loop, "127.0.0.1:0", &h, &listener, NULL);
    assert_int_equal(r, 0);
    closed = hold = false;
    gone = n_held = 0;
    return 0;
}

static int teardown(void **state)
{
    src = source_free(src);
    tick = source_free(tick);
    closep(&client);
    listener = dns_listener_free(listener);
    buf_free(&in);
    assert_int_equal(loop_source_count(loop), 0);
    loop = loop_free(loop);
    return 0;
}

static void stop(void *ctx)
{
    loop_stop(loop);
}

static void run_until(size_t bytes)
{
    want = (unsigned)bytes;
    while (!closed && in.len < want)
        assert_int_equal(loop_run(loop, NULL), 0);
}

static void send_tcp(unsigned n)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    for (unsigned i = 0; i < n; i++) {
        dns_put16(&b, sizeof query - 1);
        buf_append(&b, query, sizeof query - 1);
    }
    assert_int_equal(send(client, b.ptr, b.len, 0), b.len);
}

static void test_udp(void **state)
{
    open_client(SOCK_DGRAM);
    assert_int_equal(send(client, "\x80", 1, 0), 1);                         /* too short */
    assert_int_equal(send(client, "\0\0\x80\0\0\0\0\0\0\0\0\0", 12, 0), 12); /* an answer */
    assert_int_equal(send(client, query, sizeof query - 1, 0), sizeof query - 1);
    run_until(1);
    assert_int_equal(in.len, sizeof query - 1);
}

static void test_many_questions_on_one_connection(void **state)
{
    open_client(SOCK_STREAM);
    send_tcp(500);
    run_until(500 * (sizeof query + 1));
    assert_int_equal(in.len, 500 * (sizeof query + 1));
    assert_false(closed);
}

static unsigned rounds;

static void on_tick(void *ctx)
{
    rounds++;
    send_tcp(1);
}

/* Busy for three times the idle time, then left alone. */
static void test_only_an_idle_connection_is_cut(void **state)
{
    open_client(SOCK_STREAM);
    rounds = 0;
    assert_int_equal(loop_add_timer(loop, IDLE_MS / 4, IDLE_MS / 4, on_tick, NULL, &tick, NULL), 0);
    int64_t begin = loop_now_ns(loop);
    run_until(12 * (sizeof query + 1));
    assert_false(closed);
    assert_true(loop_now_ns(loop) - begin > 2 * INT64_C(1000000) * IDLE_MS);
    tick = source_free(tick);
    run_until(SIZE_MAX >> 33);
    assert_true(closed);
}

static void test_answers_come_in_any_order_and_the_gone_are_told(void **state)
{
    open_client(SOCK_STREAM);
    hold = true;
    send_tcp(3);
    while (n_held < 3) {
        tick = source_free(tick);
        assert_int_equal(loop_add_timer(loop, 5, 0, stop, NULL, &tick, NULL), 0);
        assert_int_equal(loop_run(loop, NULL), 0);
    }
    held[1]->state = NULL;
    dns_peer_reply(held[1], SV("an answer"));
    run_until(11);
    assert_memory_equal(in.ptr + 2, "an answer", 9);
    listener = dns_listener_free(listener);
    assert_int_equal(gone, 2);
}

static void test_a_reader_that_ended_gets_its_answers(void **state)
{
    open_client(SOCK_STREAM);
    send_tcp(2);
    shutdown(client, SHUT_WR);
    run_until(SIZE_MAX >> 33);
    assert_int_equal(in.len, 2 * (sizeof query + 1));
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_udp),
        T(test_many_questions_on_one_connection),
        T(test_only_an_idle_connection_is_cut),
        T(test_answers_come_in_any_order_and_the_gone_are_told),
        T(test_a_reader_that_ended_gets_its_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
