/* remote_write.c - see remote_write.h: the queues of a configuration. */
#include "monitor/remote/internal.h"

int remote_write_new(Loop *l, const RemoteWriteOptions *opt, RemoteWrite **ret, Err *err)
{
    RemoteWrite *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    w->loop = l;
    w->opt = *opt;
    *ret = w;
    return 0;
}

static void end_queues(RemoteWrite *w)
{
    vec_foreach (q, &w->queues)
        queue_free(*q);
    vec_free(&w->queues);
}

RemoteWrite *remote_write_free(RemoteWrite *w)
{
    if (w) {
        end_queues(w);
        source_free(w->deadline);
        free(w);
    }
    return NULL;
}

/* ---- another configuration ---- */

/* The queue that is for the same, taken out of the old ones. */
static RemoteQueue *take_same(RemoteWrite *w, StrView identity)
{
    vec_foreach (q, &w->queues)
        if (*q && sv_eq(buf_view(&(*q)->identity), identity))
            return TAKE_PTR(*q);
    return NULL;
}

int remote_write_apply(RemoteWrite *w, Config *c, Err *err)
{
    VEC(RemoteQueue *) fresh = { 0 };
    unsigned n = c->remote_write.len;
    bool *is_new = calloc(n + 1u, sizeof *is_new);
    int r = is_new && vec_reserve(&fresh, n + 1u) && vec_reserve(&w->queues, w->queues.len + n + 1u)
                ? 0
                : err_nomem(err);
    for (unsigned i = 0; r == 0 && i < n; i++) {
        _cleanup_buf_ Buf identity = BUF_INIT;
        const ConfigRemoteWrite *cfg = &c->remote_write.items[i];
        RemoteQueue *q = NULL;
        if (!queue_identity(c, cfg, &identity))
            r = err_nomem(err);
        else if (!(q = take_same(w, buf_view(&identity)))) {
            is_new[i] = true;
            r = queue_new(w, w->loop, w->opt.dir, c, cfg, &q, err);
            if (r < 0)
                err_wrap(err, "remote_write[%u]", i);
        }
        if (r == 0)
            fresh.items[fresh.len++] = q;
    }
    if (r < 0) { /* back as it was: those that were taken over return to their list */
        for (size_t i = 0; i < fresh.len; i++) {
            if (is_new[i])
                queue_free(fresh.items[i]);
            else
                w->queues.items[w->queues.len++] = fresh.items[i];
        }
        size_t kept = 0;
        vec_foreach (q, &w->queues)
            if (*q)
                w->queues.items[kept++] = *q;
        w->queues.len = kept;
        vec_free(&fresh);
    } else {
        end_queues(w);
        memcpy(&w->queues, &fresh, sizeof fresh);
    }
    free(is_new);
    return r;
}

/* ---- the end ---- */

void remote_write_check_flushed(RemoteWrite *w)
{
    vec_foreach (q, &w->queues)
        if (!(*q)->drained)
            return;
    if (w->flushing)
        loop_stop(w->loop);
}

static void on_deadline(void *ctx)
{
    RemoteWrite *w = ctx;
    loop_stop(w->loop);
}

void remote_write_flush(RemoteWrite *w, int64_t deadline_ms)
{
    if (!w || !w->queues.len || deadline_ms <= 0 ||
        loop_add_timer(w->loop, (uint64_t)deadline_ms, 0, on_deadline, w, &w->deadline, NULL) < 0)
        return;
    w->flushing = true;
    vec_foreach (q, &w->queues) {
        atomic_store(&(*q)->draining, true);
        queue_kick(*q);
    }
    (void)!loop_run(w->loop, NULL);
    w->flushing = false;
    w->deadline = source_free(w->deadline);
}
