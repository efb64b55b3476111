/* spdy.c - the server's side of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00), as Kubernetes' exec,
 * attach and port-forward use it.
 *
 * Input is cut into frames: data frames are handed on as their bytes arrive, control frames are
 * collected whole (they are small) and go through a table by type. Header blocks of one direction
 * share one zlib stream, so every block has to be inflated, also those of refused streams. */
#include "net/spdy.h"

#include <zlib.h>

#include "base/vec.h"

/* Section 2.6.10.1: length-prefixed words, then a tail of fragments. */
/* clang-format off */
static const char dictionary[] =
    "\0\0\0\007" "options" "\0\0\0\004" "head" "\0\0\0\004" "post" "\0\0\0\003" "put"
    "\0\0\0\006" "delete" "\0\0\0\005" "trace" "\0\0\0\006" "accept" "\0\0\0\016" "accept-charset"
    "\0\0\0\017" "accept-encoding" "\0\0\0\017" "accept-language" "\0\0\0\015" "accept-ranges"
    "\0\0\0\003" "age" "\0\0\0\005" "allow" "\0\0\0\015" "authorization"
    "\0\0\0\015" "cache-control" "\0\0\0\012" "connection" "\0\0\0\014" "content-base"
    "\0\0\0\020" "content-encoding" "\0\0\0\020" "content-language" "\0\0\0\016" "content-length"
    "\0\0\0\020" "content-location" "\0\0\0\013" "content-md5" "\0\0\0\015" "content-range"
    "\0\0\0\014" "content-type" "\0\0\0\004" "date" "\0\0\0\004" "etag" "\0\0\0\006" "expect"
    "\0\0\0\007" "expires" "\0\0\0\004" "from" "\0\0\0\004" "host" "\0\0\0\010" "if-match"
    "\0\0\0\021" "if-modified-since" "\0\0\0\015" "if-none-match" "\0\0\0\010" "if-range"
    "\0\0\0\023" "if-unmodified-since" "\0\0\0\015" "last-modified" "\0\0\0\010" "location"
    "\0\0\0\014" "max-forwards" "\0\0\0\006" "pragma" "\0\0\0\022" "proxy-authenticate"
    "\0\0\0\023" "proxy-authorization" "\0\0\0\005" "range" "\0\0\0\007" "referer"
    "\0\0\0\013" "retry-after" "\0\0\0\006" "server" "\0\0\0\002" "te" "\0\0\0\007" "trailer"
    "\0\0\0\021" "transfer-encoding" "\0\0\0\007" "upgrade" "\0\0\0\012" "user-agent"
    "\0\0\0\004" "vary" "\0\0\0\003" "via" "\0\0\0\007" "warning" "\0\0\0\020" "www-authenticate"
    "\0\0\0\006" "method" "\0\0\0\003" "get" "\0\0\0\006" "status" "\0\0\0\006" "200 OK"
    "\0\0\0\007" "version" "\0\0\0\010" "HTTP/1.1" "\0\0\0\003" "url" "\0\0\0\006" "public"
    "\0\0\0\012" "set-cookie" "\0\0\0\012" "keep-alive" "\0\0\0\006" "origin"
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Una"
    "uthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service"
    " UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, "
    "Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,applicat"
    "ion/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf"
    "-8charset=iso-8859-1,utf-,*,enq=0.";
/* clang-format on */

enum {
    SYN_STREAM = 1,
    SYN_REPLY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    HEADERS = 8,
    WINDOW_UPDATE = 9,
    SPDY_TYPE_MAX,
    FLAG_FIN = 1,
    FRAME_HEAD = 8,
    DATA_FRAME_MAX = 16 * 1024, /* what is sent in one frame */
    RST_REFUSED = 3,
};

struct Spdy {
    Buf *out;
    SpdyEvents ev;
    void *ctx;
    z_stream in, deflate;
    bool in_ready, deflate_ready;
    const bool *dead; /* during spdy_feed() */
    uint8_t head[FRAME_HEAD];
    unsigned head_len;
    uint32_t left; /* bytes of the present frame still to come */
    uint32_t id;   /* data frame: its stream */
    bool in_frame, control, fin;
    uint16_t type;
    Buf body;         /* of a control frame */
    uint32_t last_id; /* highest stream of the client */
    VEC(uint32_t) open;
};

static uint32_t get32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put32(Buf *b, uint32_t v)
{
    const uint8_t bytes[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
                               (uint8_t)v };
    buf_append(b, bytes, sizeof bytes);
}

static void put_control(Buf *b, unsigned type, uint8_t flags, uint32_t len)
{
    put32(b, 0x80030000u | type);
    put32(b, (uint32_t)flags << 24 | len);
}

uint32_t spdy_dictionary_id(void)
{
    return (uint32_t)adler32(adler32(0, NULL, 0), (const Bytef *)dictionary, sizeof dictionary - 1);
}

int spdy_new(Buf *out, const SpdyEvents *ev, void *ctx, Spdy **ret, Err *err)
{
    Spdy *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    s->out = out;
    s->ev = *ev;
    s->ctx = ctx;
    s->body.limit = SPDY_CONTROL_MAX + 1;
    s->in_ready = inflateInit(&s->in) == Z_OK;
    /* A small window: there is one such pair of streams for each exec session. */
    s->deflate_ready =
        deflateInit2(&s->deflate, Z_BEST_SPEED, Z_DEFLATED, 11, 3, Z_DEFAULT_STRATEGY) == Z_OK;
    if (!s->in_ready || !s->deflate_ready ||
        deflateSetDictionary(&s->deflate, (const Bytef *)dictionary, sizeof dictionary - 1) !=
            Z_OK) {
        spdy_free(s);
        return err_nomem(err);
    }
    *ret = s;
    return 0;
}

Spdy *spdy_free(Spdy *s)
{
    if (!s)
        return NULL;
    if (s->in_ready)
        inflateEnd(&s->in);
    if (s->deflate_ready)
        deflateEnd(&s->deflate);
    buf_free(&s->body);
    vec_free(&s->open);
    free(s);
    return NULL;
}

void spdy_set_out(Spdy *s, Buf *out)
{
    s->out = out;
}

static bool dead(const Spdy *s)
{
    return s->dead && *s->dead;
}

static bool is_open(const Spdy *s, uint32_t id)
{
    for (size_t i = 0; i < s->open.len; i++)
        if (s->open.items[i] == id)
            return true;
    return false;
}

void spdy_forget(Spdy *s, uint32_t id)
{
    for (size_t i = 0; i < s->open.len; i++)
        if (s->open.items[i] == id) {
            vec_swap_remove(&s->open, i);
            return;
        }
}

/* ---- header blocks ---- */

static int inflate_block(Spdy *s, StrView block, Buf *text, Err *err)
{
    char tmp[4096];
    s->in.next_in = (Bytef *)block.ptr;
    s->in.avail_in = (uInt)block.len;
    for (;;) {
        s->in.next_out = (Bytef *)tmp;
        s->in.avail_out = sizeof tmp;
        int r = inflate(&s->in, Z_SYNC_FLUSH);
        if (r == Z_NEED_DICT &&
            inflateSetDictionary(&s->in, (const Bytef *)dictionary, sizeof dictionary - 1) == Z_OK)
            continue;
        if (r != Z_OK && r != Z_BUF_ERROR && r != Z_STREAM_END)
            return err_set(err, ERR_PROTO, 0, "a SPDY header block does not inflate");
        buf_append(text, tmp, sizeof tmp - s->in.avail_out);
        if (text->failed)
            return err_set(err, ERR_LIMIT, 0, "a SPDY header block is too large");
        if (s->in.avail_out > 0) /* nothing more to come of this input */
            return 0;
    }
}

static int next_text(StrView *rest, StrView *ret, Err *err)
{
    if (rest->len < 4 || get32(rest->ptr) > rest->len - 4)
        return err_set(err, ERR_PROTO, 0, "a SPDY header block is cut short");
    *ret = sv_n(rest->ptr + 4, get32(rest->ptr));
    *rest = sv_skip(*rest, 4 + ret->len);
    return 0;
}

static int split_headers(Buf *text, HttpHeader *list, uint32_t *ret_n, Err *err)
{
    StrView rest = buf_view(text);
    if (rest.len < 4)
        return err_set(err, ERR_PROTO, 0, "a SPDY header block is cut short");
    uint32_t n = get32(rest.ptr);
    rest = sv_skip(rest, 4);
    if (n > SPDY_HEADER_COUNT_MAX)
        return err_set(err, ERR_LIMIT, 0, "a SPDY header block has too many headers");
    for (uint32_t i = 0; i < n; i++) {
        int r = next_text(&rest, &list[i].name, err);
        if (r == 0)
            r = next_text(&rest, &list[i].value, err);
        if (r < 0)
            return r;
        char *p = (char *)list[i].name.ptr; /* our own buffer */
        for (size_t k = 0; k < list[i].name.len; k++)
            if (p[k] >= 'A' && p[k] <= 'Z')
                p[k] |= 0x20;
    }
    *ret_n = n;
    return 0;
}

/* ---- control frames ---- */

static int on_syn_stream(Spdy *s, StrView b, Err *err)
{
    HttpHeader headers[SPDY_HEADER_COUNT_MAX];
    uint32_t n = 0;
    if (b.len < 10)
        return err_set(err, ERR_PROTO, 0, "a SPDY frame is cut short");
    uint32_t id = get32(b.ptr) & 0x7fffffff;
    _cleanup_buf_ Buf text = { .limit = SPDY_HEADERS_MAX };
    int r = inflate_block(s, sv_skip(b, 10), &text, err);
    if (r == 0)
        r = split_headers(&text, headers, &n, err);
    if (r < 0)
        return r;
    if (id % 2 == 0 || id <= s->last_id)
        return err_set(err, ERR_PROTO, 0, "a SPDY stream has a number out of order");
    s->last_id = id;
    if (s->open.len >= SPDY_STREAMS_MAX) {
        spdy_reset(s, id, RST_REFUSED);
        return 0;
    }
    if (!vec_push(&s->open, id))
        return err_nomem(err);
    bool fin = s->fin;
    s->ev.on_stream(s->ctx, id, headers, n);
    if (!dead(s) && fin && is_open(s, id))
        s->ev.on_fin(s->ctx, id);
    return 0;
}

/* Blocks that mean nothing to us still move the shared zlib stream on. */
static int on_headers(Spdy *s, StrView b, Err *err)
{
    if (b.len < 4)
        return err_set(err, ERR_PROTO, 0, "a SPDY frame is cut short");
    uint32_t id = get32(b.ptr) & 0x7fffffff;
    _cleanup_buf_ Buf text = { .limit = SPDY_HEADERS_MAX };
    int r = inflate_block(s, sv_skip(b, 4), &text, err);
    if (r == 0 && s->fin && is_open(s, id))
        s->ev.on_fin(s->ctx, id);
    return r;
}

static int on_rst_stream(Spdy *s, StrView b, Err *err)
{
    if (b.len < 8)
        return err_set(err, ERR_PROTO, 0, "a SPDY frame is cut short");
    uint32_t id = get32(b.ptr) & 0x7fffffff;
    if (is_open(s, id)) {
        spdy_forget(s, id);
        s->ev.on_reset(s->ctx, id);
    }
    return 0;
}

static int on_ping(Spdy *s, StrView b, Err *err)
{
    if (b.len < 4)
        return err_set(err, ERR_PROTO, 0, "a SPDY frame is cut short");
    uint32_t id = get32(b.ptr);
    if (id % 2 == 1) { /* the client's; even ones would answer ours */
        put_control(s->out, PING, 0, 4);
        put32(s->out, id);
    }
    return 0;
}

static int on_goaway(Spdy *s, StrView b, Err *err)
{
    (void)b;
    (void)err;
    s->ev.on_goaway(s->ctx);
    return 0;
}

static int on_ignored(Spdy *s, StrView b, Err *err)
{
    (void)s;
    (void)b;
    (void)err;
    return 0;
}

static int control_frame(Spdy *s, Err *err)
{
    static int (*const table[SPDY_TYPE_MAX])(Spdy *, StrView, Err *) = {
        [SYN_STREAM] = on_syn_stream,
        [SYN_REPLY] = on_headers,
        [RST_STREAM] = on_rst_stream,
        [SETTINGS] = on_ignored,
        [PING] = on_ping,
        [GOAWAY] = on_goaway,
        [HEADERS] = on_headers,
        [WINDOW_UPDATE] = on_ignored,
    };
    if (s->body.failed)
        return err_nomem(err);
    if (s->type >= SPDY_TYPE_MAX || !table[s->type])
        return 0; /* section 2.2.2: unknown control frames are ignored */
    /* The callee may free us: its view must not be our buffer. */
    Buf b = s->body;
    s->body = (Buf){ .limit = SPDY_CONTROL_MAX + 1 };
    int r = table[s->type](s, buf_view(&b), err);
    buf_free(&b);
    return r;
}

/* ---- frames ---- */

static int frame_head(Spdy *s, Err *err)
{
    s->control = s->head[0] & 0x80;
    s->fin = s->head[4] & FLAG_FIN;
    s->left = get32(s->head + 4) & 0xffffff;
    s->in_frame = true;
    if (!s->control) {
        s->id = get32(s->head);
        return 0;
    }
    unsigned version = (get32(s->head) >> 16) & 0x7fff;
    s->type = (uint16_t)(get32(s->head) & 0xffff);
    if (version != 3)
        return err_set(err, ERR_PROTO, 0, "SPDY version %u instead of 3", version);
    if (s->left > SPDY_CONTROL_MAX)
        return err_set(err, ERR_LIMIT, 0, "a SPDY control frame is too large");
    buf_clear(&s->body);
    return 0;
}

static int frame_end(Spdy *s, Err *err)
{
    s->in_frame = false;
    s->head_len = 0;
    if (s->control)
        return control_frame(s, err);
    if (s->fin && is_open(s, s->id))
        s->ev.on_fin(s->ctx, s->id);
    return 0;
}

int spdy_feed(Spdy *s, const void *data, size_t len, const bool *owner_dead, Err *err)
{
    const char *at = data, *end = at + len;
    int r = 0;
    bool never = false;
    const bool *gone = owner_dead ? owner_dead : &never;
    s->dead = gone;
    while (r == 0 && !*gone && (at < end || (s->in_frame && s->left == 0))) {
        if (!s->in_frame) {
            size_t n = MIN((size_t)(end - at), (size_t)FRAME_HEAD - s->head_len);
            memcpy(s->head + s->head_len, at, n);
            s->head_len += (unsigned)n;
            at += n;
            if (s->head_len == FRAME_HEAD)
                r = frame_head(s, err);
            continue;
        }
        size_t n = MIN((size_t)(end - at), (size_t)s->left);
        s->left -= (uint32_t)n;
        if (s->control)
            buf_append(&s->body, at, n);
        else if (n > 0 && is_open(s, s->id))
            s->ev.on_data(s->ctx, s->id, at, n);
        at += n;
        if (!*gone && s->left == 0)
            r = frame_end(s, err);
    }
    if (!*gone)
        s->dead = NULL;
    return r;
}

/* ---- output ---- */

int spdy_reply(Spdy *s, uint32_t id, Err *err)
{
    static const uint8_t no_headers[4] = { 0 };
    char block[64];
    s->deflate.next_in = (Bytef *)no_headers;
    s->deflate.avail_in = sizeof no_headers;
    s->deflate.next_out = (Bytef *)block;
    s->deflate.avail_out = sizeof block;
    if (deflate(&s->deflate, Z_SYNC_FLUSH) != Z_OK || s->deflate.avail_out == 0)
        return err_nomem(err);
    uint32_t n = (uint32_t)(sizeof block - s->deflate.avail_out);
    put_control(s->out, SYN_REPLY, 0, 4 + n);
    put32(s->out, id);
    buf_append(s->out, block, n);
    return 0;
}

void spdy_data(Spdy *s, uint32_t id, const void *data, size_t len, bool fin)
{
    const char *at = data;
    do {
        size_t n = MIN(len, (size_t)DATA_FRAME_MAX);
        len -= n;
        put32(s->out, id);
        put32(s->out, (uint32_t)(fin && len == 0 ? FLAG_FIN : 0) << 24 | (uint32_t)n);
        if (n > 0)
            buf_append(s->out, at, n);
        at += n;
    } while (len > 0);
}

void spdy_reset(Spdy *s, uint32_t id, uint32_t status)
{
    spdy_forget(s, id);
    put_control(s->out, RST_STREAM, 0, 8);
    put32(s->out, id);
    put32(s->out, status);
}

void spdy_goaway(Spdy *s)
{
    put_control(s->out, GOAWAY, 0, 8);
    put32(s->out, s->last_id);
    put32(s->out, 0);
}
