/* http1.c - HTTP/1.1 messages: bytes in, events out, on llhttp.
 *
 * llhttp hands out the pieces of a head as they arrive; they are collected in one buffer (`head`)
 * as offsets, because the buffer moves while it grows. Names are put in lower case on the way in.
 * Trailers of chunked messages are read and dropped.
 *
 * What a peer makes us read besides bodies is bounded by exchange, however it is sent: bytes are
 * counted as they come in, whether llhttp tells of them or not (white space, leading zeros of a
 * chunk's size, reasons), and those of bodies are taken off again. */
#include "net/http1.h"

#include <llhttp.h>

#include "base/vec.h"
#include "net/http_util.h"

enum {
    HTTP1_HEADERS_MAX = 1000,
    CHUNK_FRAME = 20, /* what any chunk may cost: sixteen digits and two line ends */
};

typedef struct Span {
    uint32_t off, len;
} Span;

typedef struct HeaderSpan {
    Span name, value;
} HeaderSpan;

typedef enum HeadPart { PART_NONE, PART_METHOD, PART_TARGET, PART_NAME, PART_VALUE } HeadPart;

struct Http1 {
    llhttp_t parser; /* first member: callbacks get its address */
    llhttp_settings_t settings;
    Http1Events ev;
    void *ctx;
    uint32_t header_max;
    Buf head;
    Span method, target;
    VEC(HeaderSpan) headers;
    HeadPart part;
    bool in_body;  /* the head is over: further headers are trailers */
    bool in_chunk; /* what comes next is its data */
    bool in_message, complete, too_many, refused, bad_name;
    int64_t besides;   /* bytes of the exchange that are no body, less what chunks may cost */
    unsigned interims; /* 1xx answers of the exchange */
};

static Http1 *self(llhttp_t *p)
{
    return (Http1 *)p;
}

static StrView view(const Http1 *h, Span s)
{
    return s.len ? sv_n(h->head.ptr + s.off, s.len) : SV("");
}

static int collect(Http1 *h, Span *span, const char *at, size_t len)
{
    buf_append(&h->head, at, len);
    if (h->head.failed)
        return -1;
    span->len += (uint32_t)len;
    return 0;
}

static int on_begin(llhttp_t *p)
{
    Http1 *h = self(p);
    buf_clear(&h->head);
    vec_clear(&h->headers);
    h->method = h->target = (Span){ 0 };
    h->part = PART_NONE;
    h->in_body = h->in_chunk = h->complete = false;
    h->in_message = true;
    return 0;
}

static int on_method(llhttp_t *p, const char *at, size_t len)
{
    Http1 *h = self(p);
    if (h->part != PART_METHOD)
        h->method = (Span){ (uint32_t)h->head.len, 0 };
    h->part = PART_METHOD;
    return collect(h, &h->method, at, len);
}

static int on_target(llhttp_t *p, const char *at, size_t len)
{
    Http1 *h = self(p);
    if (h->part != PART_TARGET)
        h->target = (Span){ (uint32_t)h->head.len, 0 };
    h->part = PART_TARGET;
    return collect(h, &h->target, at, len);
}

static int on_field(llhttp_t *p, const char *at, size_t len)
{
    Http1 *h = self(p);
    if (h->in_body)
        return 0;
    if (h->part != PART_NAME) {
        HeaderSpan fresh = { { (uint32_t)h->head.len, 0 }, { 0, 0 } };
        if (h->headers.len == HTTP1_HEADERS_MAX) {
            h->too_many = true;
            return -1;
        }
        if (!vec_push(&h->headers, fresh))
            return -1;
    }
    h->part = PART_NAME;
    size_t from = h->head.len;
    if (collect(h, &h->headers.items[h->headers.len - 1].name, at, len) < 0)
        return -1;
    for (size_t i = from; i < h->head.len; i++)
        if (h->head.ptr[i] >= 'A' && h->head.ptr[i] <= 'Z')
            h->head.ptr[i] |= 0x20;
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    Http1 *h = self(p);
    if (h->in_body || h->headers.len == 0)
        return 0;
    Span *value = &h->headers.items[h->headers.len - 1].value;
    if (h->part != PART_VALUE)
        *value = (Span){ (uint32_t)h->head.len, 0 };
    h->part = PART_VALUE;
    return collect(h, value, at, len);
}

static bool is_token(StrView s) /* RFC 9110 section 5.6.2 */
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (!c || !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                    strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len > 0;
}

/* llhttp lets some names that are none pass. Whoever reads them more leniently would take
 * "authorization " for what nobody here has looked at (RFC 9112 section 5.1). */
static bool names_are_tokens(const Http1 *h)
{
    for (size_t i = 0; i < h->headers.len; i++)
        if (!is_token(view(h, h->headers.items[i].name)))
            return false;
    return true;
}

/* An answer is to follow in the same exchange. */
static bool is_interim(const Http1 *h)
{
    return h->parser.type == HTTP_RESPONSE && h->parser.status_code < 200 &&
           h->parser.status_code != 101;
}

static int on_headers_complete(llhttp_t *p)
{
    Http1 *h = self(p);
    h->in_body = true;
    if (is_interim(h) && ++h->interims > HTTP_INTERIMS_MAX)
        return -1;
    h->bad_name = !names_are_tokens(h);
    if (h->bad_name)
        return -1;
    int r = h->ev.on_head(h->ctx, h);
    if (r < 0)
        h->refused = true;
    return r < 0 ? -1 : r;
}

static int on_chunk_header(llhttp_t *p)
{
    Http1 *h = self(p);
    h->besides -= CHUNK_FRAME;
    h->in_chunk = true;
    return 0;
}

static int on_chunk_complete(llhttp_t *p)
{
    self(p)->in_chunk = false;
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    Http1 *h = self(p);
    h->besides -= (int64_t)len;
    if (h->ev.on_body(h->ctx, at, len) < 0) {
        h->refused = true;
        return -1;
    }
    return 0;
}

static int on_message_complete(llhttp_t *p)
{
    Http1 *h = self(p);
    h->in_message = h->in_body = h->in_chunk = false;
    h->complete = true;
    if (h->ev.on_complete(h->ctx, h) < 0) {
        h->refused = true;
        return -1;
    }
    return HPE_PAUSED;
}

int http1_new(Http1Kind kind, uint32_t header_max, const Http1Events *ev, void *ctx, Http1 **ret,
              Err *err)
{
    Http1 *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    llhttp_settings_init(&h->settings);
    h->settings.on_message_begin = on_begin;
    h->settings.on_method = on_method;
    h->settings.on_url = on_target;
    h->settings.on_header_field = on_field;
    h->settings.on_header_value = on_value;
    h->settings.on_headers_complete = on_headers_complete;
    h->settings.on_chunk_header = on_chunk_header;
    h->settings.on_chunk_complete = on_chunk_complete;
    h->settings.on_body = on_body;
    h->settings.on_message_complete = on_message_complete;
    llhttp_init(&h->parser, kind == HTTP1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &h->settings);
    h->ev = *ev;
    h->ctx = ctx;
    h->header_max = header_max;
    *ret = h;
    return 0;
}

Http1 *http1_free(Http1 *h)
{
    if (!h)
        return NULL;
    buf_free(&h->head);
    vec_free(&h->headers);
    free(h);
    return NULL;
}

static int feed_failed(Http1 *h, llhttp_errno_t e, Err *err)
{
    if (h->too_many)
        return err_set(err, ERR_LIMIT, 0, "the message has more than %d headers",
                       HTTP1_HEADERS_MAX);
    if (h->interims > HTTP_INTERIMS_MAX)
        return http_too_many_interims(err);
    if (h->head.failed)
        return err_nomem(err);
    if (h->bad_name)
        return err_set(err, ERR_PROTO, 0, "bad HTTP/1 message: a header's name is no token");
    if (h->refused)
        return err_set(err, ERR_CLOSED, 0, "the receiver refused the message");
    const char *reason = llhttp_get_error_reason(&h->parser);
    return err_set(err, ERR_PROTO, 0, "bad HTTP/1 message: %s",
                   reason && *reason ? reason : llhttp_errno_name(e));
}

static int too_large(const Http1 *h, Err *err)
{
    const char *what = h->in_body || h->complete || h->interims
                           ? "heads, trailers and chunk extensions of an exchange are"
                           : "message head is";
    return err_set(err, ERR_LIMIT, 0, "the %s larger than %u bytes", what, h->header_max);
}

/* How many of the bytes to come are of a body for sure. */
static uint64_t body_ahead(const Http1 *h)
{
    if (h->in_chunk)
        return h->parser.content_length;
    return h->in_body && !(h->parser.flags & F_CHUNKED) ? UINT64_MAX : 0;
}

/* Gives the parser no more than can go one byte beyond the limit: where a message is cut does not
 * hang on how its bytes arrive. Returns the bytes used. */
static ssize_t feed_some(Http1 *h, const char *at, size_t len, Err *err)
{
    uint64_t left = (uint64_t)((int64_t)h->header_max - h->besides) + 1;
    size_t n = (size_t)MIN((uint64_t)len, MAX(left, body_ahead(h)));
    llhttp_errno_t e = llhttp_execute(&h->parser, at, n);
    if (e != HPE_OK && e != HPE_PAUSED && e != HPE_PAUSED_UPGRADE)
        return feed_failed(h, e, err);
    if (e != HPE_OK)
        n = (size_t)(llhttp_get_error_pos(&h->parser) - at);
    /* An Upgrade request that nobody took over is followed by more HTTP. */
    if (e == HPE_PAUSED_UPGRADE)
        llhttp_resume_after_upgrade(&h->parser);
    h->besides += (int64_t)n;
    return h->besides > (int64_t)h->header_max ? too_large(h, err) : (ssize_t)n;
}

ssize_t http1_feed(Http1 *h, const void *data, size_t len, Err *err)
{
    const char *at = data, *end = at + len;
    while (at < end && !h->complete) {
        ssize_t n = feed_some(h, at, (size_t)(end - at), err);
        if (n < 0)
            return n;
        at += n;
    }
    return at - (const char *)data;
}

void http1_next(Http1 *h)
{
    if (!h->complete)
        return;
    llhttp_resume(&h->parser);
    h->complete = false;
    if (is_interim(h))
        return;
    h->besides = 0;
    h->interims = 0;
}

int http1_finish(Http1 *h, Err *err)
{
    if (!h->in_message)
        return 0;
    llhttp_errno_t e = llhttp_finish(&h->parser);
    /* The complete-callback has asked for the usual pause where the end completes the message. */
    if (h->complete || e == HPE_PAUSED)
        return 0;
    return err_set(err, ERR_CLOSED, 0, "the connection ended inside a message");
}

/* ---- what was read ---- */

StrView http1_method(const Http1 *h)
{
    return view(h, h->method);
}

StrView http1_target(const Http1 *h)
{
    return view(h, h->target);
}

int http1_status(const Http1 *h)
{
    return h->parser.status_code;
}

unsigned http1_minor(const Http1 *h)
{
    return h->parser.http_minor;
}

uint32_t http1_n_headers(const Http1 *h)
{
    return (uint32_t)h->headers.len;
}

HttpHeader http1_header_at(const Http1 *h, uint32_t i)
{
    const HeaderSpan *s = &h->headers.items[i];
    return (HttpHeader){ view(h, s->name), sv_trim(view(h, s->value)) };
}

StrView http1_find(const Http1 *h, StrView lower_name)
{
    for (uint32_t i = 0; i < h->headers.len; i++)
        if (sv_eq(view(h, h->headers.items[i].name), lower_name))
            return http1_header_at(h, i).value;
    return SV_NULL;
}

bool http1_keep_alive(const Http1 *h)
{
    return llhttp_should_keep_alive(&h->parser);
}

bool http1_is_upgrade(const Http1 *h)
{
    return h->parser.upgrade;
}

bool http1_in_message(const Http1 *h)
{
    return h->in_message;
}

uint64_t http1_content_length(const Http1 *h)
{
    return h->parser.flags & F_CONTENT_LENGTH ? h->parser.content_length : 0;
}

bool http1_has_body(const Http1 *h)
{
    return http1_content_length(h) > 0 || (h->parser.flags & F_TRANSFER_ENCODING) != 0;
}
