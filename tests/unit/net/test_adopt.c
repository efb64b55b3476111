/* test_adopt.c - one server accepts for others on loops of their own threads: who gets a
 * connection, that it stays there, and what they have in common. */
#include "net_test.h"

#include <unistd.h>

#include "net/http.h"

enum { SERVERS = 3, BODY = 40 * 1000, EACH_MAX = 2 };

typedef struct Fix Fix;
typedef struct Part {
    Fix *f;
    Loop *loop;
    HttpServer *server;
    Source *alive;
    pthread_t thread;
} Part;

struct Fix {
    Part parts[SERVERS];
    HttpBodyLimit bodies;
    uint16_t port;
};

static void handler(void *ctx, HttpReq *req)
{
    Part *p = ctx;
    char text[32];
    snprintf(text, sizeof text, "served by %d.", (int)(p - p->f->parts));
    http_respond(req, req->busy ? 429 : 200, SV("text/plain"), sv_cstr(text));
}

static HttpServer *fewest(void *ctx)
{
    Fix *f = ((Part *)ctx)->f;
    HttpServer *best = f->parts[0].server;
    for (int i = 1; i < SERVERS; i++)
        if (http_server_open(f->parts[i].server) < http_server_open(best))
            best = f->parts[i].server;
    return best;
}

static void nothing(void *ctx)
{
}

static void *part_main(void *arg)
{
    Part *p = arg;
    Err err = { 0 };
    ASSERT(loop_run(p->loop, &err) == 0);
    p->server = http_server_free(p->server);
    p->alive = source_free(p->alive);
    ASSERT(loop_source_count(p->loop) == 0);
    p->loop = loop_free(p->loop);
    return NULL;
}

static int setup(void **state)
{
    Fix *f = calloc(1, sizeof *f);
    Err err = { 0 };
    f->bodies.max = 2 * BODY + BODY / 2;
    for (int i = SERVERS - 1; i >= 0; i--) {
        Part *p = &f->parts[i];
        HttpServerConfig cfg = { .handler = handler,
                                 .ctx = p,
                                 .body_max = 4 * BODY,
                                 .bodies = &f->bodies,
                                 .conns_max = EACH_MAX,
                                 .spread = fewest };
        p->f = f;
        assert_ok(loop_new(&p->loop, &err));
        assert_ok(i ? http_server_new_adopting(p->loop, &cfg, &p->server, &err)
                    : http_server_new(p->loop, "127.0.0.1:0", &cfg, &p->server, &err));
        assert_ok(loop_add_timer(p->loop, 1000, 1000, nothing, NULL, &p->alive, &err));
    }
    f->port = http_server_port(f->parts[0].server);
    assert_int_equal(http_server_port(f->parts[1].server), 0);
    for (int i = 1; i < SERVERS; i++)
        assert_int_equal(pthread_create(&f->parts[i].thread, NULL, part_main, &f->parts[i]), 0);
    *state = f;
    return 0;
}

/* The one that accepts goes first: nobody adopts any more. */
static int teardown(void **state)
{
    Fix *f = *state;
    Part *first = &f->parts[0];
    first->server = http_server_free(first->server);
    for (int i = 1; i < SERVERS; i++) {
        assert_int_equal(loop_post(f->parts[i].loop, script_stop, f->parts[i].loop, NULL), 0);
        pthread_join(f->parts[i].thread, NULL);
    }
    source_free(first->alive);
    assert_int_equal(loop_source_count(first->loop), 0);
    loop_free(first->loop);
    assert_int_equal(atomic_load(&f->bodies.held), 0);
    free(f);
    return 0;
}

/* Which server answers on this connection; -1: it was closed. */
static int ask(int fd)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    send_text(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    read_until(fd, &b, ".");
    const char *at = b.len ? strstr(b.ptr, "served by ") : NULL;
    return at ? atoi(at + strlen("served by ")) : -1;
}

static void wait_for_open(const Fix *f, int server, unsigned n)
{
    for (int i = 0; i < 5000 && http_server_open(f->parts[server].server) != n; i++)
        usleep(1000);
    assert_int_equal(http_server_open(f->parts[server].server), n);
}

static void script_spread(void *ctx)
{
    Fix *f = ctx;
    int fds[SERVERS * EACH_MAX], by[SERVERS * EACH_MAX], n[SERVERS] = { 0 };
    for (int i = 0; i < SERVERS * EACH_MAX; i++) {
        fds[i] = dial(f->port);
        by[i] = ask(fds[i]);
        assert_in_range(by[i], 0, SERVERS - 1);
        n[by[i]]++;
    }
    for (int i = 0; i < SERVERS; i++)
        assert_int_equal(n[i], EACH_MAX);
    for (int i = 0; i < SERVERS * EACH_MAX; i++)
        assert_int_equal(ask(fds[i]), by[i]); /* it stays */
    int beyond = dial(f->port);
    assert_int_equal(ask(beyond), -1);
    close(beyond);
    int gone = by[1];
    close(fds[1]);
    wait_for_open(f, gone, EACH_MAX - 1);
    fds[1] = dial(f->port);
    assert_int_equal(ask(fds[1]), gone); /* where there is room */
    for (int i = 0; i < SERVERS * EACH_MAX; i++)
        close(fds[i]);
    for (int i = 0; i < SERVERS; i++)
        wait_for_open(f, i, 0);
}

static void test_connections_go_where_the_fewest_are(void **state)
{
    Fix *f = *state;
    run_script(f->parts[0].loop, script_spread, f);
}

/* All of a request's head, and all but one byte of its body. */
static int begin_body(const Fix *f)
{
    static char body[BODY];
    memset(body, 'x', BODY - 1);
    char head[100];
    snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BODY);
    int fd = dial(f->port);
    send_text(fd, head);
    send_text(fd, body);
    return fd;
}

static void wait_for_held(Fix *f, size_t bytes)
{
    for (int i = 0; i < 5000 && atomic_load(&f->bodies.held) != bytes; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&f->bodies.held), bytes);
}

static void end_body(int fd, const char *status)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    send_text(fd, "x");
    read_until(fd, &b, ".");
    must_contain(&b, status);
    close(fd);
}

static void script_bodies(void *ctx)
{
    Fix *f = ctx;
    int a = begin_body(f), b = begin_body(f);
    wait_for_held(f, 2 * (BODY - 1));
    int c = begin_body(f); /* of a third server, and one too many for all of them */
    end_body(c, " 429 ");
    end_body(a, " 200 ");
    wait_for_held(f, BODY - 1);
    c = begin_body(f);
    wait_for_held(f, 2 * (BODY - 1));
    end_body(c, " 200 ");
    close(b); /* half sent: given back all the same */
    wait_for_held(f, 0);
}

static void test_bodies_are_bounded_for_all_servers(void **state)
{
    Fix *f = *state;
    run_script(f->parts[0].loop, script_bodies, f);
}

static void test_what_has_not_been_adopted_is_closed(void **state)
{
    Loop *l = NULL;
    HttpServer *s = NULL;
    HttpServerConfig cfg = { .handler = handler };
    Err err = { 0 };
    int ends[2][2];
    char byte;
    assert_ok(loop_new(&l, &err));
    assert_ok(http_server_new_adopting(l, &cfg, &s, &err));
    for (int i = 0; i < 2; i++) {
        struct sockaddr_storage remote = { .ss_family = AF_UNIX };
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]), 0);
        http_server_adopt(s, ends[i][0], &remote); /* its loop does not run */
    }
    assert_int_equal(http_server_open(s), 2);
    http_server_free(s);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(read(ends[i][1], &byte, 1), 0);
        close(ends[i][1]);
    }
    assert_int_equal(loop_source_count(l), 0);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_connections_go_where_the_fewest_are, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bodies_are_bounded_for_all_servers, setup, teardown),
        cmocka_unit_test(test_what_has_not_been_adopted_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
