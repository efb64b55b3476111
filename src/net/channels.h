/* channels.h - the server's side of exec, attach and port-forward, whatever the client speaks on
 * the wire: WebSocket (channel.k8s.io up to version 5, also in base64, and SPDY tunnelled for
 * port-forward) or SPDY/3.1.
 *
 * For exec and attach the channels are fixed by number (CHANNEL_STDIN …). For port-forward they are
 * pairs: 2*i carries the data of connection i and 2*i+1 its error text. */
#pragma once

#include "net/http.h"

typedef struct Channels Channels;

enum { /* remote commands, by their number on the wire of channel.k8s.io */
       CHANNEL_STDIN = 0,
       CHANNEL_STDOUT = 1,
       CHANNEL_STDERR = 2,
       CHANNEL_ERROR = 3,  /* server to client: one Status as JSON at the end */
       CHANNEL_RESIZE = 4, /* client to server: {"Width":80,"Height":24} */
       CHANNELS_MAX = 512,
};

typedef enum ChannelsKind { CHANNELS_COMMAND, CHANNELS_PORT_FORWARD } ChannelsKind;

typedef struct ChannelsEvents {
    /* All the channels that the request asked for are there: writing may begin. May be NULL. */
    void (*on_ready)(void *ctx);
    /* port-forward: connection `channel`/2 to `port` has been opened by the client. */
    void (*on_open)(void *ctx, unsigned channel, uint16_t port);
    void (*on_data)(void *ctx, unsigned channel, const void *data, size_t len);
    void (*on_close_channel)(void *ctx, unsigned channel); /* the client will send no more on it */
    void (*on_drain)(void *ctx); /* all written bytes are with the kernel; may be NULL */
    void (*on_end)(void *ctx, const Err *why); /* once; the connection is gone */
    void *ctx;
} ChannelsEvents;

typedef struct ChannelsSpec {
    ChannelsKind kind;
    bool in, out, err, tty; /* command: which streams the request asked for */
    const uint16_t *ports;  /* port-forward over WebSocket v4: the ports of the query, in order */
    unsigned n_ports;
} ChannelsSpec;

/* Does the request want an upgrade at all (Connection: Upgrade to websocket or SPDY/3.1)? */
bool channels_wanted(const HttpReq *req);
/* Answers the upgrade and takes the connection over: the exchange has ended on success. On failure
 * (ERR_INVALID, ERR_DENIED: no protocol in common; ERR_UNSUPPORTED: not HTTP/1.1) the caller still
 * answers. */
int channels_accept(HttpReq *req, const ChannelsSpec *spec, const ChannelsEvents *ev,
                    Channels **ret, Err *err) NODISCARD;
int channels_write(Channels *c, unsigned channel, const void *data, size_t len,
                   Err *err) IGNORABLE;             /* copies */
void channels_close(Channels *c, unsigned channel); /* we send no more on it */
/* Whether the client takes failures on CHANNEL_ERROR as plain sentences, and nothing for success:
 * before version 4. */
bool channels_plain_status(const Channels *c);
size_t channels_pending(const Channels *c);
void channels_pause(Channels *c, bool paused); /* back pressure: stop reading */
void channels_end(Channels *c);                /* sends what waits, says goodbye; on_end follows */
Channels *channels_free(Channels *c);          /* drops it now; no event; always NULL */
