/* stream_internal.h - what the HTTP server and client need of NetStream beyond net/http.h. */
#pragma once

#include "base/buf.h"
#include "net/http.h"

/* A stream on an accepted socket (taken over, also on failure); the TLS handshake, if any, starts
 * with net_stream_start(). */
int net_stream_new_server(Loop *l, int fd, TlsContext *tls, NetStream **ret, Err *err) NODISCARD;
/* The same on a connected socket of a client. `server_name` is checked in the certificate; it may
 * be a host name or an address. `h2` offers HTTP/2 where the context allows it. */
int net_stream_new_client(Loop *l, int fd, TlsContext *tls, const char *server_name, bool h2,
                          NetStream **ret, Err *err) NODISCARD;

/* Called once when the connection is usable (after the handshake), before any data. Set before
 * net_stream_start(). */
void net_stream_on_ready(NetStream *s, LoopFn *fn, void *ctx);
bool net_stream_is_h2(const NetStream *s); /* by ALPN; valid once ready */
bool net_stream_is_ready(const NetStream *s);
const TlsPeer *net_stream_peer(const NetStream *s); /* as long as the stream lives; never NULL */

/* Replaces the receiver. Bytes given to net_stream_unread() are delivered to it first, later. */
void net_stream_set_events(NetStream *s, const NetStreamEvents *ev);
int net_stream_unread(NetStream *s, const void *data, size_t len, Err *err) NODISCARD;

/* The output buffer itself, for writers that produce in place; net_stream_written() after appending
 * schedules the flush. */
Buf *net_stream_out(NetStream *s);
void net_stream_written(NetStream *s);
/* Gives the kernel now what it takes of that, for an owner that is about to free the stream. Not
 * from inside the stream's events. */
void net_stream_flush(NetStream *s);
Loop *net_stream_loop(const NetStream *s);
int64_t net_stream_progress_ns(const NetStream *s); /* loop time of the last byte in or out */
