/* Channels over real sockets: a thread plays the client, frame by frame. */
#include "net_test.h"

#include <zlib.h>

#include "net/channels.h"
#include "net/spdy.h"
#include "net/ws.h"

typedef struct Fix {
    Loop *loop;
    HttpServer *server;
    uint16_t port;
    ChannelsSpec spec;
    Channels *c;
    char log[1024];
    bool free_on_data, keep_error, refused;
    Err why;
} Fix;

static void note(Fix *f, const char *fmt, ...) PRINTF(2, 3);
static void note(Fix *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t n = strlen(f->log);
    vsnprintf(f->log + n, sizeof f->log - n, fmt, ap);
    va_end(ap);
}

static void on_ready(void *ctx)
{
    Fix *f = ctx;
    note(f, "ready ");
    if (f->spec.kind == CHANNELS_COMMAND)
        assert_int_equal(channels_write(f->c, CHANNEL_STDOUT, "out", 3, NULL), 0);
}

static void on_open(void *ctx, unsigned channel, uint16_t port)
{
    note(ctx, "open%u:%u ", channel, port);
}

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
    Fix *f = ctx;
    note(f, "data%u=%.*s ", channel, (int)len, (const char *)data);
    if (f->free_on_data) {
        f->c = channels_free(f->c);
        return;
    }
    if (f->spec.kind == CHANNELS_PORT_FORWARD) {
        assert_int_equal(channels_write(f->c, channel, "answer", 6, NULL), 0);
        channels_close(f->c, channel);
        if (!f->keep_error)
            channels_close(f->c, channel + 1);
        assert_true(channels_write(f->c, channel, "late", 4, NULL) < 0);
    }
}

static void on_close_channel(void *ctx, unsigned channel)
{
    Fix *f = ctx;
    note(f, "close%u ", channel);
    if (f->spec.kind == CHANNELS_COMMAND) {
        assert_int_equal(channels_write(f->c, CHANNEL_ERROR, "{}", 2, NULL), 0);
        channels_end(f->c);
    }
}

static void on_end(void *ctx, const Err *why)
{
    Fix *f = ctx;
    note(f, "end");
    if (why)
        f->why = *why;
    f->c = channels_free(f->c);
}

static void handler(void *ctx, HttpReq *req)
{
    Fix *f = ctx;
    ChannelsEvents ev = { on_ready, on_open, on_data, on_close_channel, NULL, on_end, f };
    Err err = { 0 };
    assert_true(channels_wanted(req) == !sv_eq(req->path, SV("/plain")));
    if (channels_accept(req, &f->spec, &ev, &f->c, &err) < 0) {
        f->refused = true;
        http_respond(req, 400, SV("text/plain"), sv_cstr(err.msg));
    }
}

static int setup(void **state)
{
    static Fix f;
    f = (Fix){ .spec = { .kind = CHANNELS_COMMAND, .in = true, .out = true } };
    HttpServerConfig cfg = { .handler = handler, .ctx = &f, .body_max = 1000 };
    *state = &f;
    if (loop_new(&f.loop, NULL) < 0 ||
        http_server_new(f.loop, "127.0.0.1:0", &cfg, &f.server, NULL) < 0)
        return -1;
    f.port = http_server_port(f.server);
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    f->c = channels_free(f->c);
    f->server = http_server_free(f->server);
    unsigned left = loop_source_count(f->loop);
    loop_free(f->loop);
    return (int)left;
}

/* ---- the client's side of WebSocket ---- */

static int ws_dial(Fix *f, const char *protocols, Buf *b)
{
    char head[512];
    int fd = dial(f->port);
    snprintf(head, sizeof head,
             "GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Sec-WebSocket-Protocol: %s\r\n\r\n",
             protocols);
    send_text(fd, head);
    read_until(fd, b, "\r\n\r\n");
    return fd;
}

static void ws_frame(int fd, uint8_t opcode, const void *data, uint8_t len)
{
    static const uint8_t mask[4] = { 1, 2, 3, 4 };
    uint8_t frame[6 + 125] = { (uint8_t)(0x80 | opcode), (uint8_t)(0x80 | len), 1, 2, 3, 4 };
    assert_true(len <= 125);
    for (unsigned i = 0; i < len; i++)
        frame[6 + i] = ((const uint8_t *)data)[i] ^ mask[i % 4];
    assert_int_equal(send(fd, frame, 6u + len, MSG_NOSIGNAL), 6 + len);
}

static void must_hold(const Buf *b, const void *what, size_t len)
{
    if (sv_find(buf_view(b), sv_n(what, len)) < 0)
        fail_msg("'%.*s' has not arrived", (int)len, (const char *)what);
}

static void script_ws(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = ws_dial(f, "unknown, v5.channel.k8s.io, v4.channel.k8s.io", &b);
    must_contain(&b, "101 Switching");
    must_contain(&b,
                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"); /* RFC 6455's example */
    must_contain(&b, "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n");
    ws_frame(fd, 2, "\0typed", 6);
    ws_frame(fd, 2, "\4{}", 3);
    ws_frame(fd, 2, "\1not mine", 9);
    ws_frame(fd, 9, "ping", 4);
    ws_frame(fd, 2, "\377\0", 2);
    read_until(fd, &b, NULL);
    must_hold(&b, "\x82\x01\x01", 3); /* the greeting on standard output */
    must_hold(&b, "\x82\x04\x01out", 6);
    must_hold(&b, "\x8a\x04ping", 6);
    must_hold(&b, "\x82\x03\x03{}\x88", 6); /* the status, then goodbye */
    close(fd);
}

static void test_command_over_websocket(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_ws, f);
    assert_string_equal(f->log, "ready data0=typed data4={} close0 end");
    assert_int_equal(f->why.code, ERR_NONE);
}

static void script_ws_bad(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT, c = BUF_INIT;
    int fd = ws_dial(f, "v4.channel.k8s.io", &b);
    send_text(fd, "\x82\x05plain"); /* clients must mask */
    read_until(fd, &b, NULL);
    close(fd);
    fd = ws_dial(f, "chat", &c);
    must_contain(&c, "HTTP/1.1 400 ");
    close(fd);
}

static void test_bad_frames_and_unknown_protocols_are_refused(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_ws_bad, f);
    assert_int_equal(f->why.code, ERR_PROTO);
    assert_true(f->refused);
}

static void script_ws_free(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = ws_dial(f, "v4.channel.k8s.io", &b);
    ws_frame(fd, 2, "\0a", 2);
    ws_frame(fd, 2, "\0b", 2);
    read_until(fd, &b, NULL);
    close(fd);
}

static void test_channels_may_be_freed_inside_an_event(void **state)
{
    Fix *f = *state;
    f->free_on_data = true;
    run_script(f->loop, script_ws_free, f);
    assert_string_equal(f->log, "ready data0=a ");
}

static void script_ws_forward(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = ws_dial(f, "v4.channel.k8s.io", &b);
    read_until(fd, &b, "\x90\x1f");
    ws_frame(fd, 2, "\0hi", 3);
    read_until(fd, &b, "answer");
    must_hold(&b, "\x82\x03\x00\x90\x1f\x82\x03\x01\x90\x1f", 10); /* port 8080 on both channels */
    must_hold(&b, "\x82\x07\0answer", 9);
    ws_frame(fd, 8, "", 0);
    read_until(fd, &b, NULL);
    close(fd);
}

static void test_port_forward_over_websocket(void **state)
{
    Fix *f = *state;
    static const uint16_t ports[] = { 8080 };
    f->spec = (ChannelsSpec){ .kind = CHANNELS_PORT_FORWARD, .ports = ports, .n_ports = 1 };
    f->keep_error = true; /* else the end of the only connection ends it all */
    run_script(f->loop, script_ws_forward, f);
    assert_string_equal(f->log, "ready open0:8080 data0=hi end");
}

static void script_ws_forward_ends(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = ws_dial(f, "v4.base64.channel.k8s.io", &b);
    read_until(fd, &b, "1kB8=");
    ws_frame(fd, 1, "0?", 2); /* no base64: dropped */
    ws_frame(fd, 1, "0aGk=", 5);
    read_until(fd, &b, NULL);
    must_hold(&b,
              "\x81\x05"
              "0kB8=\x81\x05"
              "1kB8=",
              14);
    must_hold(&b,
              "\x81\x09"
              "0YW5zd2Vy\x88\x02\x03\xe8",
              15);
    close(fd);
}

/* When the pod has closed every connection, the WebSocket ends; the frames are text in base64. */
static void test_port_forward_in_base64_ends_with_its_connections(void **state)
{
    Fix *f = *state;
    static const uint16_t ports[] = { 8080 };
    f->spec = (ChannelsSpec){ .kind = CHANNELS_PORT_FORWARD, .ports = ports, .n_ports = 1 };
    run_script(f->loop, script_ws_forward_ends, f);
    assert_non_null(strstr(f->log, "ready open0:8080 data0=hi "));
}

/* ---- the client's side of SPDY ---- */

static void put32(Buf *b, uint32_t v)
{
    const uint8_t bytes[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
                               (uint8_t)v };
    buf_append(b, bytes, 4);
}

static void put_text(Buf *b, const char *s)
{
    put32(b, (uint32_t)strlen(s));
    buf_append(b, s, strlen(s));
}

/* SYN_STREAM with streamType and, for port-forward, port and requestID. `z` lives as long as the
 * connection. Without the dictionary: an inflater does not need one. */
static void syn_stream(Buf *out, z_stream *z, uint32_t id, const char *type, const char *port,
                       bool fin)
{
    _cleanup_buf_ Buf block = BUF_INIT;
    char zipped[512];
    put32(&block, port ? 3 : 1);
    put_text(&block, "Streamtype");
    put_text(&block, type);
    if (port) {
        put_text(&block, "port");
        put_text(&block, port);
        put_text(&block, "requestID");
        put_text(&block, "0");
    }
    z->next_in = (Bytef *)block.ptr;
    z->avail_in = (uInt)block.len;
    z->next_out = (Bytef *)zipped;
    z->avail_out = sizeof zipped;
    assert_int_equal(deflate(z, Z_SYNC_FLUSH), Z_OK);
    uint32_t n = (uint32_t)(sizeof zipped - z->avail_out);
    put32(out, 0x80030001);
    put32(out, (uint32_t)fin << 24 | (10 + n));
    put32(out, id);
    put32(out, 0);
    buf_append(out, "\0\0", 2);
    buf_append(out, zipped, n);
}

static void data_frame(Buf *out, uint32_t id, const char *text, bool fin)
{
    put32(out, id);
    put32(out, (uint32_t)fin << 24 | (uint32_t)strlen(text));
    buf_append(out, text, strlen(text));
}

static int spdy_dial(Fix *f, const char *protocol, Buf *b)
{
    char head[512];
    int fd = dial(f->port);
    snprintf(head, sizeof head,
             "POST /exec HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: Upgrade\r\n"
             "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: %s\r\n\r\n",
             protocol);
    send_text(fd, head);
    read_until(fd, b, "\r\n\r\n");
    return fd;
}

static void script_spdy(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT, out = BUF_INIT;
    z_stream z = { 0 };
    assert_int_equal(deflateInit(&z, 6), Z_OK);
    int fd = spdy_dial(f, "v4.channel.k8s.io", &b);
    must_contain(&b, "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n");
    syn_stream(&out, &z, 1, "error", NULL, true);
    syn_stream(&out, &z, 3, "nonsense", NULL, false);
    syn_stream(&out, &z, 5, "stdin", NULL, false);
    syn_stream(&out, &z, 7, "stdout", NULL, false);
    put32(&out, 0x80030006); /* PING */
    put32(&out, 4);
    put32(&out, 77);
    data_frame(&out, 5, "typed", false);
    data_frame(&out, 99, "nowhere", false);
    data_frame(&out, 5, "", true);
    for (size_t i = 0; i < out.len; i += 3) /* in small pieces */
        send(fd, out.ptr + i, MIN((size_t)3, out.len - i), MSG_NOSIGNAL);
    read_until(fd, &b, NULL);
    must_hold(&b, "\x80\3\0\3\0\0\0\10\0\0\0\3\0\0\0\2", 16); /* the unknown stream is reset */
    must_hold(&b, "\0\0\0\7\0\0\0\3out", 11);
    must_hold(&b, "\x80\3\0\6\0\0\0\4\0\0\0\115", 12);
    must_hold(&b, "\0\0\0\1\0\0\0\2{}", 10);
    must_hold(&b, "\0\0\0\7\1\0\0\0", 8);    /* end of standard output */
    must_hold(&b, "\x80\3\0\7\0\0\0\10", 8); /* GOAWAY */
    close(fd);
    deflateEnd(&z);
}

static void test_command_over_spdy(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_spdy, f);
    assert_string_equal(f->log, "ready data0=typed close0 end");
    assert_int_equal(f->why.code, ERR_NONE);
}

static void script_spdy_forward(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT, out = BUF_INIT;
    z_stream z = { 0 };
    assert_int_equal(deflateInit(&z, 6), Z_OK);
    int fd = spdy_dial(f, "portforward.k8s.io", &b);
    for (uint32_t id = 1; id < 9;
         id += 4) { /* the same request number again, after the first ended */
        buf_clear(&out);
        syn_stream(&out, &z, id, "error", "80", true);
        syn_stream(&out, &z, id + 2, "data", "80", false);
        data_frame(&out, id + 2, "ask", true);
        send(fd, out.ptr, out.len, MSG_NOSIGNAL);
        buf_clear(&b);
        read_until(fd, &b, "answer");
    }
    close(fd);
    deflateEnd(&z);
}

static void test_port_forward_over_spdy_reuses_channels(void **state)
{
    Fix *f = *state;
    f->spec = (ChannelsSpec){ .kind = CHANNELS_PORT_FORWARD };
    run_script(f->loop, script_spdy_forward, f);
    assert_non_null(strstr(f->log, "open0:80 data0=ask close0 open0:80 data0=ask close0 "));
}

static void script_spdy_bad(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT, c = BUF_INIT;
    int fd = spdy_dial(f, "v4.channel.k8s.io", &b);
    send(fd, "\x80\2\0\1\0\0\0\0", 8, MSG_NOSIGNAL); /* version 2 */
    read_until(fd, &b, NULL);
    close(fd);
    fd = spdy_dial(f, "v1.channel.k8s.io", &c);
    must_contain(&c, "HTTP/1.1 400 ");
    close(fd);
}

static void test_bad_spdy_ends_the_connection(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_spdy_bad, f);
    assert_int_equal(f->why.code, ERR_PROTO);
    assert_true(f->refused);
}

static void script_plain(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = dial(f->port);
    send_text(fd, "GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    read_until(fd, &b, NULL);
    must_contain(&b, "HTTP/1.1 400 ");
    close(fd);
}

static void test_request_without_upgrade_is_refused(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_plain, f);
}

static void test_header_dictionary_is_the_specification_s(void **state)
{
    (void)state;
    assert_int_equal(spdy_dictionary_id(), 0xe3c6a7c2);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_command_over_websocket),
        CASE(test_bad_frames_and_unknown_protocols_are_refused),
        CASE(test_channels_may_be_freed_inside_an_event),
        CASE(test_port_forward_over_websocket),
        CASE(test_port_forward_in_base64_ends_with_its_connections),
        CASE(test_command_over_spdy),
        CASE(test_port_forward_over_spdy_reuses_channels),
        CASE(test_bad_spdy_ends_the_connection),
        CASE(test_request_without_upgrade_is_refused),
        cmocka_unit_test(test_header_dictionary_is_the_specification_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
