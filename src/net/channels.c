/* channels.c - the server's side of exec, attach and port-forward over three wire protocols.
 *
 *   WIRE_WS      WebSocket, a subprotocol of channel.k8s.io: a message is a channel byte and data,
 *                or a character and base64
 *   WIRE_SPDY    SPDY/3.1: a stream for each channel, named by its streamType header
 *   WIRE_TUNNEL  SPDY/3.1 inside the messages of a WebSocket (kubectl's port-forward)
 *
 * Events may free the object: `busy` counts the frames that still use it, the outermost destroys
 * it. */
#include "net/channels.h"

#include "base/encode.h"
#include "net/spdy.h"
#include "net/stream_internal.h"
#include "net/ws.h"

#define PROTOCOL_V4 SV("v4.channel.k8s.io")
#define PROTOCOL_PF SV("portforward.k8s.io")

enum {
    V5_CLOSE = 255,           /* v5: the message {255, n} closes channel n */
    BASE64_CHANNELS_MAX = 79, /* as characters from '0' on, they stay ASCII */
    REQUEST_ID_MAX = 32,
    RST_INVALID = 2,
    RST_REFUSED = 3,
};

typedef enum Wire { WIRE_WS, WIRE_SPDY, WIRE_TUNNEL } Wire;

typedef struct Channel {
    uint32_t id; /* SPDY stream; 0: none */
    bool in_closed, out_closed;
} Channel;

typedef struct Pair { /* port-forward: one connection */
    char request[REQUEST_ID_MAX];
    uint16_t port;
    bool used, open;
} Pair;

struct Channels {
    NetStream *stream;
    Wire wire;
    bool v5, base64, plain_status;
    ChannelsSpec spec;
    ChannelsEvents ev;
    Ws *ws;
    Spdy *spdy;
    Buf tunnel; /* SPDY frames on their way into a message */
    Channel ch[CHANNELS_MAX];
    Pair pairs[CHANNELS_MAX / 2];
    uint16_t *ports;
    bool ready, ready_due, freed, ended;
    unsigned busy;
};

static void ready_now(void *ctx);

static void destroy(Channels *c)
{
    if (c->ready_due)
        loop_defer_cancel(net_stream_loop(c->stream), ready_now, c);
    ws_free(c->ws);
    spdy_free(c->spdy);
    buf_free(&c->tunnel);
    net_stream_free(c->stream);
    free(c->ports);
    free(c);
}

static void enter(Channels *c)
{
    c->busy++;
}

static void leave(Channels *c)
{
    if (--c->busy == 0 && c->freed)
        destroy(c);
}

Channels *channels_free(Channels *c)
{
    if (!c || c->freed)
        return NULL;
    c->freed = true;
    if (c->busy == 0)
        destroy(c);
    return NULL;
}

static void end_now(Channels *c, const Err *why)
{
    if (c->ended || c->freed)
        return;
    c->ended = true;
    if (c->ev.on_end)
        c->ev.on_end(c->ev.ctx, why);
}

/* ---- output ---- */

/* What the protocol has appended goes out. */
static int sent(Channels *c, Err *err)
{
    int r = 0;
    if (c->wire == WIRE_TUNNEL && (c->tunnel.len > 0 || c->tunnel.failed)) {
        r = c->tunnel.failed ? err_nomem(err)
                             : ws_send(c->ws, false, c->tunnel.ptr, c->tunnel.len, err);
        buf_clear(&c->tunnel);
    }
    Buf *out = net_stream_out(c->stream);
    if (out->failed) {
        out->failed = false;
        r = err_nomem(err);
    }
    net_stream_written(c->stream);
    return r;
}

static bool is_ours(const Channels *c, unsigned channel)
{
    return channel < CHANNELS_MAX && !c->ch[channel].out_closed &&
           (c->wire == WIRE_WS || c->ch[channel].id != 0);
}

/* One message of channel.k8s.io: the channel's number as a byte or a character, and the data. */
static int send_ws(Channels *c, unsigned channel, const void *data, size_t len, Err *err)
{
    _cleanup_buf_ Buf msg = BUF_INIT;
    buf_putc(&msg, (char)(c->base64 ? '0' + channel : channel));
    if (c->base64)
        base64_encode(BASE64_STD, sv_n(data, len), &msg);
    else
        buf_append(&msg, data, len);
    return msg.failed ? err_nomem(err) : ws_send(c->ws, c->base64, msg.ptr, msg.len, err);
}

int channels_write(Channels *c, unsigned channel, const void *data, size_t len, Err *err)
{
    if (c->ended || c->freed || !is_ours(c, channel))
        return err_set(err, ERR_CLOSED, 0, "channel %u is closed", channel);
    if (len == 0)
        return 0;
    if (c->wire == WIRE_WS) {
        int r = send_ws(c, channel, data, len, err);
        if (r < 0)
            return r;
    } else {
        spdy_data(c->spdy, c->ch[channel].id, data, len, false);
    }
    return sent(c, err);
}

/* A port-forward connection that both sides have ended makes room for another. */
static void release(Channels *c, unsigned channel)
{
    Channel *x = &c->ch[channel];
    if (c->wire == WIRE_WS || !x->id || !x->in_closed || !x->out_closed)
        return;
    spdy_forget(c->spdy, x->id);
    x->id = 0;
    if (c->spec.kind != CHANNELS_PORT_FORWARD)
        return;
    unsigned first = channel & ~1u;
    if (!c->ch[first].id && !c->ch[first + 1].id) {
        c->pairs[first / 2] = (Pair){ 0 };
        c->ch[first] = c->ch[first + 1] = (Channel){ 0 };
    }
}

/* Over WebSocket: the ports are those of the query, and each is used once. */
static bool all_closed(const Channels *c)
{
    for (unsigned i = 0; i < 2 * c->spec.n_ports; i++)
        if (!c->ch[i].out_closed)
            return false;
    return true;
}

void channels_close(Channels *c, unsigned channel)
{
    if (c->ended || c->freed || !is_ours(c, channel))
        return;
    c->ch[channel].out_closed = true;
    if (c->wire == WIRE_WS) { /* there is no such message: the end of all tells */
        if (c->spec.kind == CHANNELS_PORT_FORWARD && all_closed(c))
            channels_end(c);
        return;
    }
    spdy_data(c->spdy, c->ch[channel].id, "", 0, true);
    (void)sent(c, NULL);
    release(c, channel);
}

bool channels_plain_status(const Channels *c)
{
    return c->plain_status;
}

size_t channels_pending(const Channels *c)
{
    return net_stream_pending(c->stream);
}

void channels_pause(Channels *c, bool paused)
{
    net_stream_pause(c->stream, paused);
}

void channels_end(Channels *c)
{
    if (c->ended || c->freed)
        return;
    for (unsigned i = 0; c->wire != WIRE_WS && i < CHANNELS_MAX; i++)
        if (c->ch[i].id && !c->ch[i].out_closed)
            channels_close(c, i);
    if (c->wire != WIRE_WS)
        spdy_goaway(c->spdy);
    (void)sent(c, NULL);
    if (c->wire != WIRE_SPDY && ws_close(c->ws, 1000, NULL) == 0)
        net_stream_written(c->stream);
    net_stream_end(c->stream);
}

/* ---- input, whatever the wire ---- */

static void got_data(Channels *c, unsigned channel, const void *data, size_t len)
{
    if (!c->freed && !c->ended && !c->ch[channel].in_closed && c->ev.on_data)
        c->ev.on_data(c->ev.ctx, channel, data, len);
}

static void got_close(Channels *c, unsigned channel)
{
    if (c->freed || c->ended || c->ch[channel].in_closed)
        return;
    c->ch[channel].in_closed = true;
    /* Clients close their side of streams that only we write to at once: no news. */
    bool theirs = c->spec.kind == CHANNELS_PORT_FORWARD
                      ? channel % 2 == 0
                      : channel == CHANNEL_STDIN || channel == CHANNEL_RESIZE;
    if (c->ev.on_close_channel && theirs)
        c->ev.on_close_channel(c->ev.ctx, channel);
    if (!c->freed)
        release(c, channel);
}

static void got_ready(Channels *c)
{
    if (c->ready || c->freed || c->ended)
        return;
    c->ready = true;
    if (c->ev.on_ready)
        c->ev.on_ready(c->ev.ctx);
}

/* ---- WebSocket ---- */

static void ws_message(void *ctx, bool text, const void *data, size_t len)
{
    Channels *c = ctx;
    const uint8_t *p = data;
    if (c->wire == WIRE_TUNNEL) {
        Err err = { 0 };
        if (!c->ended && spdy_feed(c->spdy, data, len, &c->freed, &err) < 0)
            end_now(c, &err);
        return;
    }
    (void)text; /* clients send their bytes as either */
    if (len == 0)
        return;
    bool command = c->spec.kind == CHANNELS_COMMAND;
    unsigned channel = c->base64 ? (uint8_t)(p[0] - '0') : p[0];
    if (c->v5 && channel == V5_CLOSE) {
        if (len == 2 && p[1] == CHANNEL_STDIN)
            got_close(c, CHANNEL_STDIN);
        return;
    }
    bool takes = command ? (channel == CHANNEL_STDIN && c->spec.in) || channel == CHANNEL_RESIZE
                         : channel % 2 == 0 && channel / 2 < c->spec.n_ports;
    if (!takes || len == 1)
        return;
    _cleanup_buf_ Buf plain = BUF_INIT;
    if (!c->base64)
        got_data(c, channel, p + 1, len - 1);
    else if (base64_decode(BASE64_STD, sv_n(p + 1, len - 1), &plain) == 0 && plain.len)
        got_data(c, channel, plain.ptr,
                 plain.len); /* what is no base64 is dropped, as the peer does */
}

static void ws_closed(void *ctx, uint16_t code)
{
    (void)code;
    Channels *c = ctx;
    net_stream_end(c->stream); /* our answer is on its way */
    end_now(c, NULL);
}

/* The first message tells the client that the streams exist. */
static int ws_greet(Channels *c, Err *err)
{
    if (c->spec.kind == CHANNELS_COMMAND) {
        unsigned channel = c->spec.out   ? CHANNEL_STDOUT
                           : c->spec.err ? CHANNEL_STDERR
                                         : CHANNEL_ERROR;
        return send_ws(c, channel, "", 0, err);
    }
    int r = 0;
    for (unsigned i = 0; r == 0 && i < c->spec.n_ports; i++) /* each channel begins with its port */
        for (unsigned k = 0; r == 0 && k < 2; k++) {
            uint16_t port = c->spec.ports[i];
            const uint8_t number[2] = { (uint8_t)(port & 0xff), (uint8_t)(port >> 8) };
            r = send_ws(c, 2 * i + k, number, sizeof number, err);
        }
    return r;
}

static void ready_now(void *ctx)
{
    Channels *c = ctx;
    Err err = { 0 };
    c->ready_due = false;
    enter(c);
    if (ws_greet(c, &err) < 0)
        end_now(c, &err);
    else
        net_stream_written(c->stream);
    got_ready(c);
    for (unsigned i = 0; c->spec.kind == CHANNELS_PORT_FORWARD && i < c->spec.n_ports; i++)
        if (!c->freed && !c->ended && c->ev.on_open)
            c->ev.on_open(c->ev.ctx, 2 * i, c->spec.ports[i]);
    leave(c);
}

/* ---- SPDY ---- */

static StrView find(const HttpHeader *headers, uint32_t n, StrView name)
{
    for (uint32_t i = 0; i < n; i++)
        if (sv_eq(headers[i].name, name))
            return headers[i].value;
    return SV("");
}

static bool command_complete(const Channels *c)
{
    return c->ch[CHANNEL_ERROR].id && (!c->spec.in || c->ch[CHANNEL_STDIN].id) &&
           (!c->spec.out || c->ch[CHANNEL_STDOUT].id) &&
           (!c->spec.err || c->spec.tty || c->ch[CHANNEL_STDERR].id) &&
           (!c->spec.tty || c->ch[CHANNEL_RESIZE].id);
}

static void command_stream(Channels *c, uint32_t id, StrView type)
{
    static const StrView names[] = {
        [CHANNEL_STDIN] = SV_INIT("stdin"),   [CHANNEL_STDOUT] = SV_INIT("stdout"),
        [CHANNEL_STDERR] = SV_INIT("stderr"), [CHANNEL_ERROR] = SV_INIT("error"),
        [CHANNEL_RESIZE] = SV_INIT("resize"),
    };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (!sv_eq(names[i], type) || c->ch[i].id)
            continue;
        c->ch[i].id = id;
        if (spdy_reply(c->spdy, id, NULL) < 0)
            spdy_reset(c->spdy, id, RST_REFUSED);
        else if (command_complete(c))
            got_ready(c);
        return;
    }
    spdy_reset(c->spdy, id, RST_INVALID);
}

static Pair *find_pair(Channels *c, StrView request)
{
    Pair *vacant = NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(c->pairs); i++) {
        Pair *p = &c->pairs[i];
        if (p->used && sv_eq(sv_cstr(p->request), request))
            return p;
        if (!p->used && !vacant)
            vacant = p;
    }
    if (!vacant || !sv_copy_cstr(request, vacant->request, sizeof vacant->request))
        return NULL;
    vacant->used = true;
    return vacant;
}

static void forward_stream(Channels *c, uint32_t id, StrView type, StrView port, StrView request)
{
    uint64_t number;
    bool data = sv_eq(type, SV("data"));
    if ((!data && !sv_eq(type, SV("error"))) || sv_to_u64(port, &number) < 0 || number == 0 ||
        number > 65535) {
        spdy_reset(c->spdy, id, RST_INVALID);
        return;
    }
    Pair *p = find_pair(c, request);
    unsigned channel = p ? (unsigned)(p - c->pairs) * 2 + !data : 0;
    if (!p || p->open || c->ch[channel].id || spdy_reply(c->spdy, id, NULL) < 0) {
        spdy_reset(c->spdy, id, RST_REFUSED);
        return;
    }
    c->ch[channel] = (Channel){ .id = id };
    p->port = (uint16_t)number;
    if (c->ch[channel ^ 1].id) {
        p->open = true;
        if (c->ev.on_open)
            c->ev.on_open(c->ev.ctx, channel & ~1u, p->port);
    }
}

static void on_stream(void *ctx, uint32_t id, const HttpHeader *headers, uint32_t n)
{
    Channels *c = ctx;
    StrView type = find(headers, n, SV("streamtype"));
    if (c->spec.kind == CHANNELS_COMMAND)
        command_stream(c, id, type);
    else
        forward_stream(c, id, type, find(headers, n, SV("port")),
                       find(headers, n, SV("requestid")));
}

static int channel_of(const Channels *c, uint32_t id)
{
    for (unsigned i = 0; i < CHANNELS_MAX; i++)
        if (c->ch[i].id == id)
            return (int)i;
    return -1;
}

static void on_spdy_data(void *ctx, uint32_t id, const void *data, size_t len)
{
    Channels *c = ctx;
    int channel = channel_of(c, id);
    if (channel >= 0)
        got_data(c, (unsigned)channel, data, len);
}

static void on_spdy_fin(void *ctx, uint32_t id)
{
    Channels *c = ctx;
    int channel = channel_of(c, id);
    if (channel >= 0)
        got_close(c, (unsigned)channel);
}

static void on_spdy_reset(void *ctx, uint32_t id)
{
    Channels *c = ctx;
    int channel = channel_of(c, id);
    if (channel < 0)
        return;
    c->ch[channel].out_closed = true;
    got_close(c, (unsigned)channel);
    if (!c->freed)
        release(c, (unsigned)channel);
}

static void on_goaway(void *ctx)
{
    (void)ctx; /* the end of the connection follows */
}

/* ---- the connection ---- */

static void on_data(void *ctx, const void *data, size_t len)
{
    Channels *c = ctx;
    Err err = { 0 };
    enter(c);
    int r = 0;
    if (!c->ended)
        r = c->wire == WIRE_SPDY ? spdy_feed(c->spdy, data, len, &c->freed, &err)
                                 : ws_feed(c->ws, data, len, &c->freed, &err);
    if (!c->freed && r == 0)
        r = sent(c, &err);
    if (r < 0) {
        net_stream_end(c->stream);
        end_now(c, &err);
    }
    leave(c);
}

static void on_end(void *ctx, const Err *why)
{
    Channels *c = ctx;
    enter(c);
    end_now(c, why);
    leave(c);
}

static void on_drain(void *ctx)
{
    Channels *c = ctx;
    enter(c);
    if (!c->ended && !c->freed && c->ev.on_drain)
        c->ev.on_drain(c->ev.ctx);
    leave(c);
}

/* ---- negotiation ---- */

static bool spdy_wanted(const HttpReq *req)
{
    return req->version == 1 && http_header_has_token(req, SV("connection"), SV("upgrade")) &&
           http_header_has_token(req, SV("upgrade"), SV("spdy/3.1"));
}

bool channels_wanted(const HttpReq *req)
{
    return ws_wanted(req) || spdy_wanted(req);
}

static const struct Protocol {
    StrView name;
    bool command, forward; /* what it is for */
    bool tunnel, v5, base64, plain_status;
} protocols[] = {
    { .name = SV_INIT("v5.channel.k8s.io"), .command = true, .v5 = true },
    { .name = SV_INIT("v4.channel.k8s.io"), .command = true, .forward = true },
    { .name = SV_INIT("v4.base64.channel.k8s.io"),
      .command = true,
      .forward = true,
      .base64 = true },
    { .name = SV_INIT("channel.k8s.io"), .command = true, .plain_status = true },
    { .name = SV_INIT("base64.channel.k8s.io"),
      .command = true,
      .base64 = true,
      .plain_status = true },
    { .name = SV_INIT("SPDY/3.1+portforward.k8s.io"), .forward = true, .tunnel = true },
    { .name = SV_INIT(""),
      .command = true,
      .forward = true,
      .plain_status = true }, /* none named */
};

/* The first protocol in the client's order that we speak too. */
static int choose_ws(const HttpReq *req, Channels *c, StrView *ret, Err *err)
{
    _cleanup_buf_ Buf names = BUF_INIT;
    bool command = c->spec.kind == CHANNELS_COMMAND;
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
        if (command ? protocols[i].command : protocols[i].forward)
            buf_printf(&names, "%s%.*s", names.len ? "," : "", SV_FMT(protocols[i].name));
    if (names.failed)
        return err_nomem(err);
    if (!ws_choose_protocol(req, buf_view(&names), ret))
        return err_set(err, ERR_DENIED, 0,
                       "requested protocol(s) are not supported: supports [%.*s]", (int)names.len,
                       names.ptr);
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        const struct Protocol *p = &protocols[i];
        if (!sv_eq(p->name, *ret))
            continue;
        c->wire = p->tunnel ? WIRE_TUNNEL : WIRE_WS;
        c->v5 = p->v5;
        c->base64 = p->base64;
        c->plain_status = p->plain_status;
    }
    if (c->base64 && 2 * c->spec.n_ports > BASE64_CHANNELS_MAX)
        return err_set(err, ERR_INVALID, 0, "more than %d ports", BASE64_CHANNELS_MAX / 2);
    return 0;
}

static int make_head(const HttpReq *req, Channels *c, Buf *head, Err *err)
{
    StrView protocol;
    if (ws_wanted(req)) {
        int r = choose_ws(req, c, &protocol, err);
        if (r < 0)
            return r;
        ws_handshake(req, protocol, head);
    } else if (spdy_wanted(req)) {
        protocol = c->spec.kind == CHANNELS_COMMAND ? PROTOCOL_V4 : PROTOCOL_PF;
        if (!http_header_has_token(req, SV("x-stream-protocol-version"), protocol))
            return err_set(err, ERR_INVALID, 0, "no stream protocol in common: %.*s is spoken here",
                           SV_FMT(protocol));
        c->wire = WIRE_SPDY;
        buf_printf(
            head,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            "X-Stream-Protocol-Version: %.*s\r\n\r\n",
            SV_FMT(protocol));
    } else {
        return err_set(err, req->version == 1 ? ERR_INVALID : ERR_UNSUPPORTED, 0,
                       "an upgrade to WebSocket or SPDY/3.1 is required");
    }
    return head->failed ? err_nomem(err) : 0;
}

static int make_protocols(Channels *c, Err *err)
{
    static const WsEvents ws_events = { ws_message, ws_closed };
    static const SpdyEvents spdy_events = { on_stream, on_spdy_data, on_spdy_fin, on_spdy_reset,
                                            on_goaway };
    int r = 0;
    if (c->wire != WIRE_SPDY)
        r = ws_new(NULL, &ws_events, c, &c->ws, err);
    if (r == 0 && c->wire != WIRE_WS)
        r = spdy_new(NULL, &spdy_events, c, &c->spdy, err);
    if (r == 0 && c->wire == WIRE_TUNNEL)
        spdy_set_out(c->spdy, &c->tunnel);
    return r;
}

static int copy_ports(Channels *c, Err *err)
{
    if (c->spec.n_ports > CHANNELS_MAX / 2)
        return err_set(err, ERR_LIMIT, 0, "more than %d ports", CHANNELS_MAX / 2);
    c->ports = calloc(c->spec.n_ports ? c->spec.n_ports : 1, sizeof *c->ports);
    if (!c->ports)
        return err_nomem(err);
    for (unsigned i = 0; i < c->spec.n_ports; i++)
        c->ports[i] = c->spec.ports[i];
    c->spec.ports = c->ports;
    return 0;
}

int channels_accept(HttpReq *req, const ChannelsSpec *spec, const ChannelsEvents *ev,
                    Channels **ret, Err *err)
{
    _cleanup_buf_ Buf head = BUF_INIT;
    Channels *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    c->spec = *spec;
    c->ev = *ev;
    int r = copy_ports(c, err);
    if (r == 0)
        r = make_head(req, c, &head, err);
    if (r == 0)
        r = make_protocols(c, err);
    if (r == 0)
        r = http_take_over(req, buf_view(&head), &c->stream, err);
    if (r < 0) {
        destroy(c);
        return r;
    }
    if (c->ws)
        ws_set_out(c->ws, net_stream_out(c->stream));
    if (c->wire == WIRE_SPDY)
        spdy_set_out(c->spdy, net_stream_out(c->stream));
    net_stream_start(c->stream, &(NetStreamEvents){ on_data, on_end, on_drain, c });
    /* Nothing is called back from here: the caller has not seen *ret yet. */
    if (c->wire == WIRE_WS)
        c->ready_due = loop_defer(net_stream_loop(c->stream), ready_now, c, NULL) == 0;
    *ret = c;
    return 0;
}
