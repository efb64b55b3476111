/* net_test.h - what the tests of net share: a blocking client thread against a server on the loop.
 */
#pragma once

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/loop.h"

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        int ok_r_ = (call);                                                                        \
        if (ok_r_ < 0)                                                                             \
            fail_msg("%s: %s", #call, err.msg);                                                    \
    } while (0)

static inline int dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval tv = { .tv_sec = 5 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (connect(fd, (struct sockaddr *)&in, sizeof in) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline void send_text(int fd, const char *s)
{
    size_t n = strlen(s);
    while (n > 0) {
        ssize_t w = send(fd, s, n, MSG_NOSIGNAL);
        if (w <= 0)
            return;
        s += w;
        n -= (size_t)w;
    }
}

/* Reads up to the end, or until `until` has been seen. */
static inline void read_until(int fd, Buf *b, const char *until)
{
    char tmp[4096];
    while (!until || sv_find(buf_view(b), sv_cstr(until)) < 0) {
        ssize_t n = recv(fd, tmp, sizeof tmp, 0);
        if (n <= 0)
            break;
        buf_append(b, tmp, (size_t)n);
    }
    buf_cstr(b);
}

static inline void must_contain(const Buf *b, const char *what)
{
    if (!b->ptr || !strstr(b->ptr, what))
        fail_msg("'%s' is not in: %s", what, b->ptr ? b->ptr : "(nothing)");
}

/* Runs fn(ctx) on a thread while the loop runs here, then stops the loop. */
typedef struct Script {
    Loop *loop;
    void (*fn)(void *ctx);
    void *ctx;
} Script;

static inline void script_stop(void *ctx)
{
    loop_stop(ctx);
}

static inline void *script_thread(void *arg)
{
    Script *s = arg;
    s->fn(s->ctx);
    (void)!loop_post(s->loop, script_stop, s->loop, NULL);
    return NULL;
}

static inline void run_script(Loop *l, void (*fn)(void *ctx), void *ctx)
{
    Script s = { l, fn, ctx };
    pthread_t t;
    Err err = { 0 };
    assert_int_equal(pthread_create(&t, NULL, script_thread, &s), 0);
    assert_ok(loop_run(l, &err));
    pthread_join(t, NULL);
}
