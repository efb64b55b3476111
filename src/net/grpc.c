/* grpc.c - see grpc.h. */
#include "net/grpc.h"

void grpc_headers(StrView agent, HttpHeader ret[static GRPC_HEADERS])
{
    ret[0] = (HttpHeader){ SV("content-type"), SV("application/grpc") };
    ret[1] = (HttpHeader){ SV("te"), SV("trailers") };
    ret[2] = (HttpHeader){ SV("user-agent"), agent };
}

void grpc_put_frame(StrView message, Buf *out)
{
    const uint32_t n = (uint32_t)message.len;
    const char head[GRPC_FRAME_HEAD] = { 0, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8),
                                         (char)n };
    ASSERT(message.len <= UINT32_MAX);
    buf_append(out, head, sizeof head);
    buf_sv(out, message);
}

/* ---- reading ---- */

static size_t length_at(const unsigned char *p)
{
    return (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
}

/* Of the messages that have begun; all are whole but perhaps the last one. */
static int check(const GrpcReader *r, Err *err)
{
    size_t max = r->max ? r->max : GRPC_MESSAGE_MAX;
    for (size_t at = 0; r->buf.len - at >= GRPC_FRAME_HEAD;) {
        const unsigned char *p = (const unsigned char *)r->buf.ptr + at;
        size_t n = length_at(p);
        if (p[0] != 0)
            return err_set(err, ERR_PROTO, 0, "a gRPC message is compressed");
        if (n > max)
            return err_set(err, ERR_LIMIT, 0, "a gRPC message has %zu bytes; %zu are allowed", n,
                           max);
        if (r->buf.len - at - GRPC_FRAME_HEAD < n)
            break;
        at += GRPC_FRAME_HEAD + n;
    }
    return 0;
}

int grpc_feed(GrpcReader *r, const void *data, size_t len, Err *err)
{
    buf_consume(&r->buf, r->at);
    r->at = 0;
    buf_append(&r->buf, data, len);
    return r->buf.failed ? err_nomem(err) : check(r, err);
}

bool grpc_next(GrpcReader *r, StrView *ret)
{
    if (grpc_left(r) < GRPC_FRAME_HEAD)
        return false;
    size_t n = length_at((const unsigned char *)r->buf.ptr + r->at);
    if (grpc_left(r) - GRPC_FRAME_HEAD < n)
        return false;
    *ret = sv_n(r->buf.ptr + r->at + GRPC_FRAME_HEAD, n);
    r->at += GRPC_FRAME_HEAD + n;
    return true;
}

size_t grpc_left(const GrpcReader *r)
{
    return r->buf.len - r->at;
}

void grpc_reader_free(GrpcReader *r)
{
    buf_free(&r->buf);
    *r = (GrpcReader){ .max = r->max };
}

/* ---- the end ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* What is no escape stays as it is: a message is for people. */
static void decode_message(StrView s, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len && n + 1 < size; i++) {
        int high = s.ptr[i] == '%' && i + 2 < s.len ? hex(s.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex(s.ptr[i + 2]) : -1;
        char c = low >= 0 ? (char)(high << 4 | low) : s.ptr[i];
        i += low >= 0 ? 2 : 0;
        out[n++] = c ? c : '?';
    }
    out[n] = 0;
}

void grpc_take_header(GrpcStatus *s, StrView name, StrView value)
{
    uint64_t code;
    if (sv_eq_nocase(name, SV("grpc-status"))) {
        s->known = true;
        s->code =
            sv_to_u64(value, &code) == 0 && code <= UINT16_MAX ? (unsigned)code : GRPC_UNKNOWN;
    } else if (sv_eq_nocase(name, SV("grpc-message")))
        decode_message(value, s->message, sizeof s->message);
}
