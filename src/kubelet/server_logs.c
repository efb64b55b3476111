/* server_logs.c - a container's log as text, whole or from its end, once or followed.
 *
 * The file is read in blocks and only as fast as the reader takes them: while much waits to be
 * sent, reading stops until that has gone. Following looks for new lines every FOLLOW_MS, goes on
 * with the next file when the log is rotated, and ends when the container has. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "kubelet/cri_log.h"
#include "kubelet/server.h"
#include "pod/log_file.h"

enum { BLOCK = 65536, PENDING_MAX = 512 * 1024, FOLLOW_MS = 100, LINE_MAX_BYTES = 1024 * 1024 };

typedef struct LogSession {
    Session session;
    Kubelet *k;
    HttpReq *req;
    int fd;
    CriFilter filter;
    bool follow, left; /* left: another file is in the place of this one */
    char uid[64], container[64], path[PATH_SIZE];
    unsigned attempt;
    Buf in; /* the beginning of a line */
    Source *timer;
} LogSession;

static void log_end(Session *x)
{
    LogSession *s = (LogSession *)x; /* its first member */
    session_del(x);
    source_free(s->timer);
    buf_free(&s->in);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

static void on_peer_gone(void *ctx)
{
    log_end(&((LogSession *)ctx)->session);
}

/* Will this run write nothing more? */
static bool run_is_over(const LogSession *s)
{
    Worker *w = map_get(&s->k->workers, sv_cstr(s->uid));
    const Container *c = w ? worker_container(w, sv_cstr(s->container)) : NULL;
    return !c || c->attempt != s->attempt || c->phase == PHASE_EXITED || w->phase == WORKER_GONE;
}

static void finish(LogSession *s, bool whole)
{
    http_on_close(s->req, NULL, NULL);
    http_stream_on_drain(s->req, NULL, NULL);
    if (whole)
        http_stream_end(s->req);
    else
        http_abort(s->req);
    log_end(&s->session);
}

/* The server goes away first. */
static void log_cut(Session *x)
{
    finish((LogSession *)x, false);
}

/* Reads one block: bytes read, 0 at the end of the file, or a negative errno. */
static ssize_t read_block(LogSession *s)
{
    if (s->in.len > LINE_MAX_BYTES || !buf_reserve(&s->in, BLOCK))
        return -EFBIG; /* no supervisor writes such a line */
    ssize_t n = read(s->fd, s->in.ptr + s->in.len, BLOCK);
    if (n < 0)
        return -errno;
    s->in.len += (size_t)n;
    _cleanup_buf_ Buf out = BUF_INIT;
    buf_consume(&s->in, cri_filter(&s->filter, buf_view(&s->in), &out));
    if (out.failed || (out.len && http_stream_write(s->req, out.ptr, out.len, NULL) < 0))
        return -ENOMEM;
    return n;
}

/* At the end of the file. True: there is more to read, as the log was rotated. The supervisor makes
 * the new file when it leaves the old one, so that once both are seen the rest of the old one is
 * read, and then the new one. */
static bool goes_on(LogSession *s)
{
    struct stat own, now;
    int fd;
    if (s->left) {
        s->left = false;
        if ((fd = log_file_open(s->path, O_RDONLY)) < 0)
            return false;
        close(s->fd);
        s->fd = fd;
        return true;
    }
    s->left = s->follow && fstat(s->fd, &own) == 0 && stat(s->path, &now) == 0 &&
              (own.st_dev != now.st_dev || own.st_ino != now.st_ino);
    return s->left;
}

static void pump_log(void *ctx)
{
    LogSession *s = ctx;
    bool over =
        !s->follow || run_is_over(s); /* asked before reading: what comes later is read once more */
    ssize_t n = 1;
    while ((n > 0 || (n == 0 && goes_on(s))) && !s->filter.done) {
        if (http_stream_pending(s->req) > PENDING_MAX) {
            http_stream_on_drain(s->req, pump_log, s);
            return;
        }
        n = read_block(s);
    }
    if (n < 0)
        finish(s, false);
    else if (over || s->filter.done)
        finish(s, true);
    else if (source_set_timer(s->timer, FOLLOW_MS, 0, NULL) < 0)
        finish(s, false);
}

/* ---- the request ---- */

static bool number(KubeletRequest *r, StrView name, int64_t *ret)
{
    StrView text;
    if (!http_query(r->req, name, &text) || !text.len)
        return true;
    if (sv_to_i64(text, ret) == 0 && *ret >= 0)
        return true;
    kubelet_refuse(r->req, 400,
                   "%.*s: Invalid value: \"%.*s\": must be a number that is not negative",
                   SV_FMT(name), SV_FMT(text));
    return false;
}

static bool read_options(KubeletRequest *r, CriFilter *f, int64_t *ret_tail)
{
    int64_t since = -1;
    StrView text;
    *ret_tail = -1;
    *f = (CriFilter){ .limit = -1, .timestamps = kubelet_flag(r->req, SV("timestamps")) };
    if (!number(r, SV("tailLines"), ret_tail) || !number(r, SV("limitBytes"), &f->limit) ||
        !number(r, SV("sinceSeconds"), &since))
        return false;
    if (since >= 0)
        f->since_ns = clock_real_ns() - MIN(since, INT64_C(1) << 31) * NSEC_PER_SEC;
    if (http_query(r->req, SV("sinceTime"), &text) && text.len &&
        rfc3339_parse(text, &f->since_ns) < 0) {
        kubelet_refuse(r->req, 400,
                       "sinceTime: Invalid value: \"%.*s\": must be a time of RFC 3339",
                       SV_FMT(text));
        return false;
    }
    if (http_query(r->req, SV("stream"), &text)) {
        f->no_stderr = sv_eq(text, SV("Stdout"));
        f->no_stdout = sv_eq(text, SV("Stderr"));
    }
    return true;
}

/* Which run's log is meant; false after answering that there is none. */
static bool choose_attempt(KubeletRequest *r, const Container *c, bool previous, unsigned *ret)
{
    bool has_run = c->phase == PHASE_RUNNING || c->phase == PHASE_EXITED;
    if (previous && c->attempt == 0) {
        kubelet_refuse(r->req, 400, "previous terminated container \"%s\" in pod \"%s\" not found",
                       c->name, c->worker->name);
        return false;
    }
    if (!previous && !has_run && c->attempt == 0) {
        bool pull =
            strcmp(c->reason, "ErrImagePull") == 0 || strcmp(c->reason, "ImagePullBackOff") == 0;
        kubelet_refuse(r->req, 400, "container \"%s\" in pod \"%s\" is waiting to start: %s",
                       c->name, c->worker->name,
                       pull ? "trying and failing to pull image" : c->reason);
        return false;
    }
    *ret = has_run && !previous ? c->attempt : c->attempt - 1;
    return true;
}

void serve_logs(KubeletRequest *r)
{
    Container *c = kubelet_request_container(r);
    CriFilter filter;
    int64_t tail;
    unsigned attempt;
    char path[PATH_SIZE];
    if (!c || !read_options(r, &filter, &tail) ||
        !choose_attempt(r, c, kubelet_flag(r->req, SV("previous")), &attempt))
        return;
    int fd = log_file_open(container_log_path(c, attempt, path), O_RDONLY);
    int64_t from = fd < 0 || tail < 0 ? 0 : cri_tail_offset(fd, (uint64_t)tail);
    LogSession *s = fd < 0 ? NULL : calloc(1, sizeof *s);
    if (!s || from < 0 || lseek(fd, from, SEEK_SET) < 0) {
        kubelet_refuse(r->req, fd == -ENOENT ? 404 : 500,
                       "failed to open the log of container \"%s\": %s", c->name,
                       strerror(fd < 0 ? -fd : errno));
        if (fd >= 0)
            close(fd);
        free(s);
        return;
    }
    s->k = r->server->k;
    s->req = r->req;
    s->fd = fd;
    s->filter = filter;
    s->filter.done = filter.limit == 0;
    s->follow = kubelet_flag(r->req, SV("follow"));
    s->attempt = attempt;
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(s->uid, sizeof s->uid, "%s", c->worker->uid);
    snprintf(s->container, sizeof s->container, "%s", c->name);
    session_add(r->server, &s->session, log_cut);
    if (loop_add_timer(s->k->loop, 0, 0, pump_log, s, &s->timer, NULL) < 0 ||
        http_stream_start(r->req, 200, SV("text/plain"), NULL) < 0) {
        log_end(&s->session);
        kubelet_refuse(r->req, 500, "out of memory");
        return;
    }
    http_on_close(r->req, on_peer_gone, s);
}
