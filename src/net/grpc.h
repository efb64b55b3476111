/* grpc.h - gRPC over HTTP/2 without its I/O: messages in their frames, and how a call ended
 * ("gRPC over HTTP2" of grpc/grpc, PROTOCOL-HTTP2.md).
 *
 * A request is an HTTP/2 POST of http_client.h with h2c or TLS: grpc_headers() are its headers, its
 * body is one or more frames, and what arrives is fed to a GrpcReader and to grpc_take_header(). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "net/http.h"

enum {
    GRPC_FRAME_HEAD = 5, /* a flag, and the length */
    GRPC_MESSAGE_MAX = 4 * 1024 * 1024,
    GRPC_HEADERS = 3,
};

typedef enum GrpcCode {
    GRPC_OK = 0,
    GRPC_UNKNOWN = 2,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_UNAVAILABLE = 14,
} GrpcCode;

/* content-type, te, user-agent. */
void grpc_headers(StrView agent, HttpHeader ret[static GRPC_HEADERS]);

/* Appends one message, not compressed. */
void grpc_put_frame(StrView message, Buf *out);

/* Takes messages out of a stream of bytes. Zero but for `max`: bytes of a message, 0:
 * GRPC_MESSAGE_MAX. */
typedef struct GrpcReader {
    size_t max;
    Buf buf;
    size_t at; /* in it: behind what grpc_next() has given out */
} GrpcReader;

/* What has arrived. ERR_LIMIT: the message that begins is too long; ERR_PROTO: it is compressed,
 * which nobody offered. */
int grpc_feed(GrpcReader *r, const void *data, size_t len, Err *err) NODISCARD;
/* The next whole message, a view until more is fed; false: there is none yet. */
bool grpc_next(GrpcReader *r, StrView *ret);
/* Bytes of a message that has not arrived whole. */
size_t grpc_left(const GrpcReader *r);
void grpc_reader_free(GrpcReader *r);

/* How a call ended, from its headers and trailers. */
typedef struct GrpcStatus {
    bool known;        /* there was a grpc-status */
    unsigned code;     /* GrpcCode, and those beyond it */
    char message[200]; /* grpc-message, decoded; cut at its end where it is longer */
} GrpcStatus;
void grpc_take_header(GrpcStatus *s, StrView name, StrView value);
