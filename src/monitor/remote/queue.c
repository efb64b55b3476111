/* queue.c - the life of a queue on the loop: steps are begun when there may be something to do, and
 * the number of shards follows what is to be sent. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "monitor/remote/internal.h"

enum {
    TICK_MS = 200, /* the log is looked at so often */
    RESHARD_MS = 10 * 1000,
    PLACE_MAX = 64,
    SCRATCH_MAX = 256 * 1024 * 1024,
};

/* ---- steps ---- */

static void destroy(RemoteQueue *q);

static void on_stepped(void *ctx)
{
    RemoteQueue *q = ctx;
    q->stepping = false;
    if (q->closing) {
        destroy(q);
        return;
    }
    if (q->step_err.code)
        queue_complain(q, "reading the log", &(FetchResult){ .err = &q->step_err });
    q->shown = q->feed;
    queue_send_ready(q);
    if (q->draining && queue_is_empty(q)) {
        q->drained = true;
        remote_write_check_flushed(q->owner);
    } else if (q->again || q->more) {
        queue_kick(q);
    }
}

void queue_kick(RemoteQueue *q)
{
    Err err = { 0 };
    q->again = q->stepping;
    if (q->stepping || q->closing)
        return;
    q->stepping = true;
    if (loop_work(q->loop, queue_step, on_stepped, q, &err) < 0) {
        q->stepping = false; /* the next tick tries again */
        log_error("remote write \"%s\": %s", q->name, err.msg);
    }
}

static void on_tick(void *ctx)
{
    queue_kick(ctx);
}

/* ---- how many shards ---- */

static double rate_tick(Rate *r, uint64_t total)
{
    const double weight = 0.2, seconds = RESHARD_MS / 1000.0;
    double now = (double)(total - r->last) / seconds;
    r->rate = r->begun ? weight * now + (1 - weight) * r->rate : now;
    r->begun = true;
    r->last = total;
    return r->rate;
}

static uint64_t sum(const uint64_t *n, unsigned len)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < len; i++)
        total += n[i];
    return total;
}

/* How far behind what was sent is, in seconds. */
static double delay(const RemoteQueue *q)
{
    double newest =
        q->shown.is_behind ? (double)clock_real_ns() / 1e9 : (double)q->shown.highest / 1000.0;
    return MAX(newest - (double)q->sent.highest_sent / 1000.0, 0);
}

/* Prometheus' rule: shards enough to send what comes in, and 5 % of the backlog, each second; small
 * changes are not worth it. */
static unsigned wanted_shards(RemoteQueue *q)
{
    double in = rate_tick(&q->in, sum(q->shown.in, ENTRY_MAX)),
           out = rate_tick(&q->out, sum(q->sent.sent, ENTRY_MAX)),
           dropped =
               rate_tick(&q->dropped, sum(&q->shown.dropped[0][0], ENTRY_MAX * DROP_REASON_MAX)),
           seconds = rate_tick(&q->duration, (uint64_t)(q->sent.seconds * 1e9)) / 1e9;
    if (out <= 0)
        return q->n_shards;
    double kept = in * out / (dropped + out), behind = delay(q);
    q->desired_shards = seconds / out * (kept + 0.05 * behind * kept);
    double desired = ceil(q->desired_shards), have = q->n_shards;
    if ((have * 0.7 <= desired && desired <= have * 1.3) || (desired < have && behind > 10))
        return q->n_shards;
    desired = MIN(desired, (double)q->cfg->queue.max_shards);
    return (unsigned)MAX(desired, (double)q->cfg->queue.min_shards);
}

static void on_reshard(void *ctx)
{
    RemoteQueue *q = ctx;
    unsigned n = wanted_shards(q);
    int64_t quiet = MAX(2 * q->cfg->queue.batch_send_deadline, INT64_C(1000)) * NSEC_PER_MSEC;
    /* While nothing is accepted more shards would not help. */
    if (q->stepping || n == q->n_shards || loop_now_ns(q->loop) - q->last_sent_ns > quiet)
        return;
    log_info("remote write \"%s\": from %u to %u shards", q->name, q->n_shards, n);
    q->want_shards = n;
    queue_kick(q);
}

/* ---- beginning ---- */

bool queue_identity(const Config *c, const ConfigRemoteWrite *cfg, Buf *out)
{
    if (!config_remote_write_text(cfg, out))
        return false;
    labels_format(c->global.external_labels, out);
    return !out->failed;
}

static void take_name(RemoteQueue *q)
{
    if (q->cfg->name.len && sv_copy_cstr(q->cfg->name, q->name, sizeof q->name))
        return;
    snprintf(q->name, sizeof q->name, "%06x",
             (unsigned)(sv_hash_stable(buf_view(&q->identity)) & 0xffffff));
}

/* Where a queue of this name and URL ended, if the log still goes that far. */
static bool read_place(const char *path, WalPlace *ret)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView segment, offset;
    uint64_t s, o;
    if (file_read(AT_FDCWD, path, PLACE_MAX, &text) < 0 ||
        !sv_cut(sv_trim(buf_view(&text)), ' ', &segment, &offset) || sv_to_u64(segment, &s) < 0 ||
        s > UINT32_MAX || sv_to_u64(offset, &o) < 0)
        return false;
    *ret = (WalPlace){ (uint32_t)s, o };
    return true;
}

static int find_place(RemoteQueue *q, const char *dir, Err *err)
{
    char folder[4096];
    _cleanup_buf_ Buf id = BUF_INIT;
    WalPlace now, before;
    buf_printf(&id, "%.*s %.*s", SV_FMT(q->cfg->name), SV_FMT(q->cfg->url));
    if (id.failed)
        return err_nomem(err);
    snprintf(folder, sizeof folder, "%.4000s/remote", dir);
    snprintf(q->place_path, sizeof q->place_path, "%.4020s/%016llx", folder,
             (unsigned long long)sv_hash_stable(buf_view(&id)));
    int r = wal_end(q->wal_dir, &now, err);
    if (r < 0)
        return r;
    if (read_place(q->place_path, &before) && wal_place_before(before, now)) {
        log_info("remote write \"%s\": goes on at byte %llu of log segment %u", q->name,
                 (unsigned long long)before.offset, before.segment);
        now = before;
    }
    if ((r = mkdir_p(AT_FDCWD, folder, 0750)) < 0)
        return err_neg(err, r, "make folder '%s'", folder);
    q->place_fd = open(q->place_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (q->place_fd < 0)
        return err_errno(err, "open '%s'", q->place_path);
    return wal_tail_new(q->wal_dir, now, &q->tail, err);
}

static int make_shards(RemoteQueue *q, Err *err)
{
    q->n_shards = q->want_shards = (unsigned)MAX(q->cfg->queue.min_shards, INT64_C(1));
    q->shards = calloc(q->n_shards, sizeof *q->shards);
    if (!q->shards)
        return err_nomem(err);
    for (unsigned i = 0; i < q->n_shards; i++)
        q->shards[i] = (Shard){ .queue = q, .base = 1 };
    return 0;
}

int queue_new(RemoteWrite *owner, Loop *l, const char *dir, Config *c, const ConfigRemoteWrite *cfg,
              RemoteQueue **ret, Err *err)
{
    RemoteQueue *q = calloc(1, sizeof *q);
    if (!q)
        return err_nomem(err);
    q->loop = l;
    q->owner = owner;
    q->config = config_ref(c);
    q->cfg = cfg;
    q->external = c->global.external_labels;
    q->v2 = sv_eq(cfg->protobuf_message, SV("io.prometheus.write.v2.Request"));
    q->place_fd = -1;
    series_table_init(&q->series);
    arena_init(&q->scratch, SCRATCH_MAX);
    snprintf(q->wal_dir, sizeof q->wal_dir, "%.4000s/wal", dir);
    int r = queue_identity(c, cfg, &q->identity) ? 0 : err_nomem(err);
    if (r == 0) {
        take_name(q);
        r = find_place(q, dir, err);
    }
    if (r < 0 || (r = make_shards(q, err)) < 0 ||
        (r = fetcher_new(l, &cfg->http, &q->fetcher, err)) < 0 ||
        (r = loop_add_timer(l, 0, TICK_MS, on_tick, q, &q->tick, err)) < 0 ||
        (r = loop_add_timer(l, RESHARD_MS, RESHARD_MS, on_reshard, q, &q->reshard_timer, err)) <
            0 ||
        (r = queue_metadata_start(q, err)) < 0) {
        queue_free(q);
        return r;
    }
    fetcher_count(q->fetcher, &q->owner->dials);
    *ret = q;
    return 0;
}

/* ---- the end ---- */

void queue_free_parts(RemoteQueue *q)
{
    for (unsigned i = 0; i < q->n_shards; i++)
        shard_free(&q->shards[i]);
    free(q->shards);
    wal_tail_free(q->tail);
    series_table_free(&q->series);
    marks_free(&q->marks);
    encoder_free(&q->encoder);
    arena_free(&q->scratch);
    closep(&q->place_fd);
}

static void destroy(RemoteQueue *q)
{
    queue_free_parts(q);
    buf_free(&q->identity);
    config_unref(q->config);
    free(q);
}

RemoteQueue *queue_free(RemoteQueue *q)
{
    if (!q)
        return NULL;
    q->closing = true;
    q->tick = source_free(q->tick);
    q->reshard_timer = source_free(q->reshard_timer);
    queue_metadata_stop(q);
    /* While one is sending, a step does not replace the shards. */
    for (unsigned i = 0; q->in_flight && i < q->n_shards; i++) {
        q->shards[i].fetch = fetch_cancel(q->shards[i].fetch);
        q->shards[i].timer = source_free(q->shards[i].timer);
    }
    q->fetcher = fetcher_free(q->fetcher);
    if (!q->stepping)
        destroy(q);
    return NULL;
}
