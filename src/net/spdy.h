/* spdy.h - the server's side of SPDY/3.1 as Kubernetes' clients speak it: bytes in, events out, and
 * frames appended to a buffer. No I/O. Private to src/net, and for its fuzz target.
 *
 * Kubernetes' dialect leaves flow control out (its library ignores WINDOW_UPDATE and sends none),
 * so none is done here; back pressure is the transport's. */
#pragma once

#include "base/buf.h"
#include "net/http.h"

typedef struct Spdy Spdy;

enum {
    SPDY_CONTROL_MAX = 64 * 1024,  /* bytes of one control frame */
    SPDY_HEADERS_MAX = 256 * 1024, /* bytes of one header block, inflated */
    SPDY_HEADER_COUNT_MAX = 256,
    SPDY_STREAMS_MAX = 512, /* open at the same time */
};

typedef struct SpdyEvents { /* each may free the Spdy's owner, which then sets *dead (spdy_feed) */
    /* The client opens a stream; answer with spdy_reply() or spdy_reset(). Header names are in
     * lower case; views are valid during the call. */
    void (*on_stream)(void *ctx, uint32_t id, const HttpHeader *headers, uint32_t n);
    void (*on_data)(void *ctx, uint32_t id, const void *data, size_t len);
    void (*on_fin)(void *ctx, uint32_t id);   /* the client sends no more on it */
    void (*on_reset)(void *ctx, uint32_t id); /* the client gave it up: gone both ways */
    void (*on_goaway)(void *ctx);
} SpdyEvents;

/* Frames go to the end of *out, whose failure the owner checks. */
int spdy_new(Buf *out, const SpdyEvents *ev, void *ctx, Spdy **ret, Err *err) NODISCARD;
Spdy *spdy_free(Spdy *s); /* always NULL */
void spdy_set_out(Spdy *s, Buf *out);

/* Takes all bytes. Stops early, without error, once *dead is true (may be NULL). ERR_PROTO,
 * ERR_LIMIT or ERR_NOMEM end the connection. */
int spdy_feed(Spdy *s, const void *data, size_t len, const bool *dead, Err *err) NODISCARD;

int spdy_reply(Spdy *s, uint32_t id, Err *err) NODISCARD;                     /* accepts a stream */
void spdy_data(Spdy *s, uint32_t id, const void *data, size_t len, bool fin); /* any length */
void spdy_reset(Spdy *s, uint32_t id,
                uint32_t status);       /* RST_STREAM: 2 invalid, 3 refused, 5 cancel */
void spdy_forget(Spdy *s, uint32_t id); /* both sides have ended it: makes room for another */
/* Says that no stream is taken any more; those that are open go on. */
void spdy_goaway(Spdy *s);
uint32_t spdy_dictionary_id(void); /* Adler-32 of the header dictionary */
