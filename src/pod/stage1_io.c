/* stage1_io.c - outputs of apps, and those who follow them. Output goes to the log first, then to
 * every follower; a follower that does not read is cut off rather than slowing the app down. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#include "base/file.h"
#include "pod/stage1.h"

enum { CHUNK = 16 * 1024, TYPE_CHUNK = 4096 };

static void attach_free(Stage1 *s, Attach *at)
{
    for (Attach **p = &at->app->attached; *p; p = &(*p)->next)
        if (*p == at) {
            *p = at->next;
            break;
        }
    source_close(s, &at->in);
    closep(&at->out_fd);
    closep(&at->err_fd);
    free(at);
}

void attach_free_all(Stage1 *s, App *app)
{
    while (app->attached)
        attach_free(s, app->attached);
}

static void feed_followers(Stream *st, const char *data, size_t n)
{
    bool is_err = st == &st->app->err;

    for (Attach *at = st->app->attached; at; at = at->next) {
        int *fd = is_err ? &at->err_fd : &at->out_fd;

        if (*fd >= 0 && write(*fd, data, n) != (ssize_t)n)
            closep(fd);
    }
}

/* False at the end of the output. */
static bool stream_read(Stage1 *s, Stream *st, bool *ret_more)
{
    char chunk[CHUNK];
    ssize_t n = read(st->src.fd, chunk, sizeof chunk);

    *ret_more = n > 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) /* a terminal without a user gives EIO */
        return false;
    log_output(s, st, sv_n(chunk, (size_t)n), false);
    feed_followers(st, chunk, (size_t)n);
    return true;
}

static void stream_end(Stage1 *s, Stream *st)
{
    log_output(s, st, SV(""), true);
    source_close(s, &st->src);
    buf_free(&st->partial);
}

static void stream_ready(Stage1 *s, Source *src, uint32_t events)
{
    Stream *st = (Stream *)src;
    bool more;

    if (!stream_read(s, st, &more))
        stream_end(s, st);
}

void stream_open(Stage1 *s, Stream *st, App *app, int fd, const char *name)
{
    st->app = app;
    st->name = name;
    st->src = (Source){ .fd = fd, .fn = stream_ready };
    (void)!fd_set_nonblock(fd, true);
    if (source_watch(s, &st->src, EPOLLIN, NULL) < 0)
        source_close(s, &st->src);
}

void stream_drain(Stage1 *s, Stream *st)
{
    bool more = true;

    if (st->src.fd < 0)
        return;
    while (more && stream_read(s, st, &more))
        ;
    stream_end(s, st);
}

/* --- what followers type --- */

static void input_ready(Stage1 *s, Source *src, uint32_t events);

static void input_watch(Stage1 *s, App *app, bool reading)
{
    for (Attach *at = app->attached; at; at = at->next) {
        if (at->in.fd < 0)
            continue;
        if (reading)
            (void)!source_watch(s, &at->in, EPOLLIN, NULL);
        else
            (void)!source_watch(s, &at->in, 0, NULL);
    }
}

static void input_flush(Stage1 *s, App *app)
{
    while (app->pending.len && app->in.fd >= 0) {
        ssize_t n = write(app->in.fd, app->pending.ptr, app->pending.len);

        if (n > 0) {
            buf_consume(&app->pending, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            input_watch(s, app, false); /* until there is room */
            app->in.fn = input_ready;
            (void)!source_watch(s, &app->in, EPOLLOUT, NULL);
            return;
        } else if (n < 0 && errno != EINTR) {
            source_close(s, &app->in);
        }
    }
    buf_free(&app->pending);
}

static void input_ready(Stage1 *s, Source *src, uint32_t events)
{
    App *app = CONTAINER_OF(src, App, in);

    input_flush(s, app);
    if (app->pending.len == 0) {
        if (app->in.fd >= 0)
            (void)!source_watch(s, &app->in, 0, NULL);
        input_watch(s, app, true);
    }
}

static void typed(Stage1 *s, Source *src, uint32_t events)
{
    Attach *at = (Attach *)src;
    App *app = at->app;
    char chunk[TYPE_CHUNK];
    ssize_t n = read(src->fd, chunk, sizeof chunk);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        source_close(s, src);
        if (app->spec.stdin_once && !app->pending.len)
            source_close(s, &app->in);
        return;
    }
    if (app->in.fd < 0)
        return; /* the app closed it or ended: nobody reads */
    buf_append(&app->pending, chunk, (size_t)n);
    input_flush(s, app);
}

/* Both ends of a pipe; ours does not block. `ours` 0: we read. */
static int make_pipe(int ours, int *ret_ours, int *ret_theirs, Err *err)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    *ret_ours = p[ours];
    *ret_theirs = p[!ours];
    (void)!fd_set_nonblock(p[ours], true);
    if (ours == 1)
        fcntl(p[1], F_SETPIPE_SZ, ATTACH_BACKLOG);
    return 0;
}

int attach_new(Stage1 *s, App *app, int ret_fds[POD_FDS_MAX], Err *err)
{
    Attach *at = calloc(1, sizeof *at);
    int r = 0;

    if (!at)
        return err_nomem(err);
    at->app = app;
    at->out_fd = at->err_fd = at->in.fd = -1;
    at->in.fn = typed;
    at->next = app->attached;
    app->attached = at;
    if (app->in.fd >= 0 && (r = make_pipe(0, &at->in.fd, &ret_fds[0], err)) >= 0)
        r = source_watch(s, &at->in, EPOLLIN, err);
    if (r >= 0 && app->out.src.fd >= 0)
        r = make_pipe(1, &at->out_fd, &ret_fds[1], err);
    if (r >= 0 && app->err.src.fd >= 0)
        r = make_pipe(1, &at->err_fd, &ret_fds[2], err);
    if (r < 0) {
        attach_free(s, at);
        for (int i = 0; i < POD_FDS_MAX; i++)
            closep(&ret_fds[i]);
    }
    return r;
}
