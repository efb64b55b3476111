/* pump.h - one descriptor (pipe, terminal, socket) between an app and a channel: reads as fast as
 * the channel takes it, writes what came without blocking. */
#pragma once

#include "net/loop.h"

typedef struct Pump Pump;

typedef struct PumpSpec {
    Loop *loop;
    int fd;          /* taken over, also on failure */
    bool reads;      /* deliver what can be read */
    bool connecting; /* a socket whose connect() is under way */
    void (*on_data)(void *ctx, Pump *p, const void *data, size_t len);
    /* Once: nothing more can be read; errno when that was an error, else 0. Not called for one that
     * only writes. */
    void (*on_end)(void *ctx, Pump *p, int error);
    void (*on_drain)(void *ctx, Pump *p); /* everything is written; may be NULL */
    void *ctx;
} PumpSpec;

/* Begins at once. ERR_NOMEM, ERR_SYS: spec->fd is closed then, too. */
int pump_new(const PumpSpec *spec, Pump **ret, Err *err) NODISCARD;
Pump *pump_free(Pump *p); /* closes the descriptor; always NULL; NULL is fine */
/* The descriptor, which stays the pump's; -1 once it is closed. */
int pump_fd(const Pump *p);
/* Copies. What nobody can take any more is dropped. */
void pump_write(Pump *p, const void *data, size_t len);
size_t pump_pending(const Pump *p);
/* No more will be written: the other side sees the end once everything is there. */
void pump_shut(Pump *p);
void pump_pause(Pump *p, bool paused);
