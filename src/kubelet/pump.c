/* pump.c - see pump.h. A descriptor that only writes is closed at its end; a socket is shut on one
 * side. */
#include "kubelet/pump.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"

enum { BLOCK = 32768 };

struct Pump {
    PumpSpec spec;
    Source *src;
    Buf out;
    bool paused, shut, read_ended, write_broken, freed, busy;
};

static void destroy(Pump *p)
{
    source_free(p->src);
    if (p->spec.fd >= 0)
        close(p->spec.fd);
    buf_free(&p->out);
    free(p);
}

Pump *pump_free(Pump *p)
{
    if (!p || p->freed)
        return NULL;
    p->freed = true;
    p->src = source_free(p->src);
    if (!p->busy)
        destroy(p);
    return NULL;
}

int pump_fd(const Pump *p)
{
    return p->spec.fd;
}

size_t pump_pending(const Pump *p)
{
    return p->out.len;
}

static void update(Pump *p)
{
    uint32_t events = 0;
    if (p->freed || !p->src)
        return;
    if (p->spec.connecting || p->out.len)
        events |= LOOP_WRITE;
    if (p->spec.reads && !p->spec.connecting && !p->read_ended && !p->paused)
        events |= LOOP_READ;
    if (!events) /* nothing to wait for: a closed peer must not wake us again and again */
        p->src = source_free(p->src);
    else
        source_set_events(p->src, events, NULL);
}

static void on_event(void *ctx, uint32_t events);

static void rearm(Pump *p)
{
    bool wants =
        p->spec.connecting || p->out.len || (p->spec.reads && !p->read_ended && !p->paused);
    if (!p->src && wants && !p->freed && p->spec.fd >= 0)
        (void)!loop_add_fd(p->spec.loop, p->spec.fd, LOOP_READ, on_event, p, &p->src, NULL);
    update(p);
}

static void close_writing(Pump *p)
{
    if (!p->shut || p->out.len || p->spec.fd < 0)
        return;
    if (p->spec.reads)
        shutdown(p->spec.fd, SHUT_WR); /* not a socket (a terminal): nothing to do */
    else {
        p->src = source_free(p->src);
        close(p->spec.fd);
        p->spec.fd = -1;
    }
}

static void flush(Pump *p)
{
    bool had = p->out.len > 0;
    while (p->out.len) {
        ssize_t n = write(p->spec.fd, p->out.ptr, p->out.len);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            p->write_broken = true;
            n = (ssize_t)p->out.len;
        }
        buf_consume(&p->out, (size_t)n);
    }
    close_writing(p);
    if (had && p->spec.on_drain)
        p->spec.on_drain(p->spec.ctx, p);
}

static void end_reading(Pump *p, int error)
{
    p->read_ended = true;
    p->spec.on_end(p->spec.ctx, p, error);
}

static void read_some(Pump *p)
{
    char block[BLOCK];
    ssize_t n = read(p->spec.fd, block, sizeof block);
    if (n > 0)
        p->spec.on_data(p->spec.ctx, p, block, (size_t)n);
    else if (n == 0 || errno == EIO) /* a terminal that nobody holds any more */
        end_reading(p, 0);
    else if (errno != EAGAIN)
        end_reading(p, errno);
}

static void on_event(void *ctx, uint32_t events)
{
    Pump *p = ctx;
    p->busy = true;
    if (p->spec.connecting) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(p->spec.fd, SOL_SOCKET, SO_ERROR, &error, &len);
        p->spec.connecting = false;
        if (error)
            end_reading(p, error);
    }
    if (!p->freed && !p->read_ended && p->spec.reads && !p->paused &&
        (events & (LOOP_READ | LOOP_HUP)))
        read_some(p);
    if (!p->freed && (p->out.len || p->shut))
        flush(p);
    p->busy = false;
    if (p->freed)
        destroy(p);
    else
        rearm(p);
}

int pump_new(const PumpSpec *spec, Pump **ret, Err *err)
{
    Pump *p = calloc(1, sizeof *p);
    if (!p) {
        close(spec->fd);
        return err_nomem(err);
    }
    p->spec = *spec;
    fd_set_nonblock(p->spec.fd, true);
    int r = loop_add_fd(spec->loop, spec->fd, spec->connecting ? LOOP_WRITE : LOOP_READ, on_event,
                        p, &p->src, err);
    if (r < 0) {
        destroy(p);
        return r;
    }
    update(p);
    *ret = p;
    return 0;
}

void pump_write(Pump *p, const void *data, size_t len)
{
    if (p->write_broken || p->shut || p->spec.fd < 0)
        return;
    buf_append(&p->out, data, len);
    if (!p->spec.connecting && p->out.len == len) {
        void (*told)(void *, Pump *) = p->spec.on_drain;
        p->spec.on_drain = NULL; /* nothing had to wait */
        flush(p);
        p->spec.on_drain = told;
    }
    rearm(p);
}

void pump_shut(Pump *p)
{
    p->shut = true;
    if (!p->spec.connecting)
        close_writing(p);
}

void pump_pause(Pump *p, bool paused)
{
    p->paused = paused;
    if (!p->busy)
        rearm(p);
}
