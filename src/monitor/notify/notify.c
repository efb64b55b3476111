/* notify.c - see notify.h: the sections, the way of alerts to their queues, and what is shown. */
#include "monitor/notify/internal.h"

#include <sys/eventfd.h>
#include <unistd.h>

enum { CAPACITY = 10000, BATCH = 256 };

struct NotifierNext {
    Notifier *n;
    Config *config;
    Sets sets;
};

void notifier_report(Notifier *n, const Peer *p, size_t alerts, const Err *why)
{
    if (n->opt.failed)
        n->opt.failed(n->opt.ctx, p ? p->stats.url : SV(""), alerts, why);
}

/* ---- what is over ---- */

static bool busy(const Notifier *n)
{
    const Sets *lists[] = { &n->sets, &n->old };
    for (unsigned k = 0; k < ARRAY_SIZE(lists); k++)
        vec_foreach (s, lists[k])
            vec_foreach (p, &(*s)->peers)
                if (peer_busy(*p))
                    return true;
    return false;
}

static void sweep(void *ctx)
{
    Notifier *n = ctx;
    vec_foreach (s, &n->sets)
        set_sweep(*s);
    for (size_t i = n->old.len; i-- > 0;)
        if (set_sweep(n->old.items[i])) {
            set_free(n->old.items[i]);
            vec_swap_remove(&n->old, i);
        }
    if (n->draining && !busy(n))
        loop_stop(n->loop);
}

void notifier_want_sweep(Notifier *n)
{
    loop_defer_cancel(n->loop, sweep, n);
    (void)!loop_defer(n->loop, sweep, n, NULL);
}

/* ---- alerts ---- */

static Batch *batch_free(Batch *b)
{
    if (b)
        arena_free(&b->arena);
    free(b);
    return NULL;
}

/* The labels that an alert is sent with. False: it is not sent. */
static bool relabelled(const ConfigRules *rules, Labels external, Labels l, Arena *a, Labels *ret)
{
    LabelsBuilder b;
    labels_builder_init(&b, a, l);
    for (unsigned i = 0; i < external.len; i++)
        if (!labels_has(l, external.items[i].name))
            labels_builder_set(&b, external.items[i].name, external.items[i].value);
    return relabel(rules->items, rules->len, &b) && labels_builder_take(&b, ret);
}

/* One batch into the queues of one section. */
static void queue_in_set(Set *s, const Batch *b, const Labels *labels, const bool *keep, Arena *a)
{
    Notice **notices = arena_array(a, Notice *, b->n + 1);
    size_t n = 0, failed = 0;
    for (size_t i = 0; notices && i < b->n; i++) {
        Labels l = labels[i];
        if (!keep[i] || (s->cfg->alert_relabel.len &&
                         !relabelled(&s->cfg->alert_relabel, (Labels){ 0 }, labels[i], a, &l)))
            continue;
        notices[n] = notice_new(&b->alerts[i], l);
        if (notices[n])
            n++;
        else
            failed++;
    }
    vec_foreach (p, &s->peers) {
        if (!(*p)->wanted)
            continue;
        (*p)->stats.dropped += notices ? failed : b->n;
        if (n)
            peer_add(*p, notices, n);
    }
    for (size_t i = 0; i < n; i++)
        notice_unref(notices[i]);
}

static void queue_batch(Notifier *n, const Batch *b)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Labels *labels = arena_array(&a, Labels, b->n + 1);
    bool *keep = arena_array(&a, bool, b->n + 1);
    if (!labels || !keep || !n->config)
        return;
    for (size_t i = 0; i < b->n; i++)
        keep[i] = relabelled(&n->config->alerting.alert_relabel, n->config->global.external_labels,
                             b->alerts[i].labels, &a, &labels[i]);
    vec_foreach (s, &n->sets)
        queue_in_set(*s, b, labels, keep, &a);
}

static void take_inbox(Notifier *n)
{
    pthread_mutex_lock(&n->lock);
    Batch *b = n->inbox;
    uint64_t lost = n->lost;
    n->inbox = NULL;
    n->inbox_tail = &n->inbox;
    n->inbox_len = 0;
    n->lost = 0;
    pthread_mutex_unlock(&n->lock);
    vec_foreach (s, &n->sets)
        vec_foreach (p, &(*s)->peers)
            if (lost && (*p)->wanted)
                peer_lose(*p, lost, ERR_LIMIT, "the queue is full");
    while (b) {
        Batch *next = b->next;
        queue_batch(n, b);
        batch_free(b);
        b = next;
    }
}

static void on_wake(void *ctx, uint32_t events)
{
    Notifier *n = ctx;
    uint64_t count;
    ssize_t r = read(n->wake_fd, &count, sizeof count);
    (void)r; /* EAGAIN: it was read already */
    take_inbox(n);
}

static Batch *batch_new(const NotifyAlert *alerts, size_t n)
{
    Batch *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    arena_init(&b->arena, 0);
    b->alerts = arena_array(&b->arena, NotifyAlert, n + 1);
    bool ok = b->alerts != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        NotifyAlert *x = &b->alerts[i];
        *x = alerts[i];
        x->generator_url = arena_sv(&b->arena, alerts[i].generator_url);
        ok = x->generator_url.ptr && labels_copy(alerts[i].labels, &b->arena, &x->labels) &&
             labels_copy(alerts[i].annotations, &b->arena, &x->annotations);
    }
    b->n = n;
    return ok ? b : batch_free(b);
}

/* The loop is late: no more waits for it than a queue could take. The oldest go first. */
static void make_room(Notifier *n, size_t more)
{
    while (n->inbox && n->inbox_len + more > n->opt.queue_capacity) {
        Batch *oldest = n->inbox;
        size_t gone = MIN(oldest->n, n->inbox_len + more - n->opt.queue_capacity);
        oldest->alerts += gone;
        oldest->n -= gone;
        n->inbox_len -= gone;
        n->lost += gone;
        if (oldest->n)
            return;
        if (!(n->inbox = oldest->next))
            n->inbox_tail = &n->inbox;
        batch_free(oldest);
    }
}

void notifier_send(Notifier *n, const NotifyAlert *alerts, size_t n_alerts)
{
    Batch *b = batch_new(alerts, n_alerts);
    uint64_t one = 1;
    pthread_mutex_lock(&n->lock);
    if (!b)
        n->lost += n_alerts;
    if (b)
        make_room(n, n_alerts);
    if (b) {
        *n->inbox_tail = b;
        n->inbox_tail = &b->next;
        n->inbox_len += n_alerts;
    }
    pthread_mutex_unlock(&n->lock);
    ssize_t r = write(n->wake_fd, &one, sizeof one);
    (void)r; /* EAGAIN: it will be woken anyway */
}

void notifier_drain(Notifier *n)
{
    take_inbox(n);
    if (!n->opt.drain) {
        vec_foreach (s, &n->sets)
            vec_foreach (p, &(*s)->peers)
                peer_drop_queue(*p);
        return;
    }
    n->draining = true;
    if (busy(n))
        (void)!loop_run(n->loop, NULL);
    n->draining = false;
}

/* ---- configurations ---- */

static bool in_list(const Sets *list, const Set *s)
{
    vec_foreach (x, list)
        if (*x == s)
            return true;
    return false;
}

/* The section that is the same as `cfg`, unless another one has taken it. */
static Set *same_set(const Notifier *n, const Sets *taken, const ConfigAlertmanager *cfg)
{
    vec_foreach (s, &n->sets)
        if (!in_list(taken, *s) && config_alertmanager_equal((*s)->cfg, cfg))
            return *s;
    return NULL;
}

int notifier_prepare(Notifier *n, Config *c, NotifierNext **ret, Err *err)
{
    unsigned len = c->alerting.alertmanagers.len;
    NotifierNext *next = calloc(1, sizeof *next);
    if (!next)
        return err_nomem(err);
    next->n = n;
    next->config = config_ref(c);
    /* Room in n->old as well: taking it cannot fail. */
    int r = vec_reserve(&next->sets, len + 1) && vec_reserve(&n->old, n->old.len + n->sets.len + 1)
                ? 0
                : err_nomem(err);
    for (unsigned i = 0; r >= 0 && i < len; i++) {
        const ConfigAlertmanager *cfg = &c->alerting.alertmanagers.items[i];
        Set *s = same_set(n, &next->sets, cfg);
        if (!s && (r = set_new(n, c, cfg, &s, err)) < 0)
            err_wrap(err, "alerting.alertmanagers[%u]", i);
        if (s)
            (void)vec_push(&next->sets, s);
    }
    if (r < 0)
        notifier_next_free(next);
    else
        *ret = next;
    return r;
}

void notifier_take(Notifier *n, NotifierNext *next)
{
    Sets old = n->sets;
    Config *config = n->config;
    n->sets = next->sets;
    n->config = next->config;
    for (unsigned i = 0; i < n->sets.len; i++)
        set_name(n->sets.items[i], i);
    vec_foreach (s, &old)
        if (!in_list(&n->sets, *s)) {
            (void)vec_push(&n->old, *s);
            set_retire(*s);
        }
    vec_free(&old);
    config_unref(config);
    free(next);
}

NotifierNext *notifier_next_free(NotifierNext *next)
{
    if (!next)
        return NULL;
    vec_foreach (s, &next->sets)
        if (!in_list(&next->n->sets, *s))
            set_free(*s);
    vec_free(&next->sets);
    config_unref(next->config);
    free(next);
    return NULL;
}

/* ---- the whole ---- */

int notifier_new(Loop *l, const NotifierOptions *opt, Notifier **ret, Err *err)
{
    Notifier *n = calloc(1, sizeof *n);
    if (!n)
        return err_nomem(err);
    n->loop = l;
    n->opt = *opt;
    if (!n->opt.queue_capacity)
        n->opt.queue_capacity = CAPACITY;
    if (!n->opt.batch_size)
        n->opt.batch_size = BATCH;
    n->inbox_tail = &n->inbox;
    pthread_mutex_init(&n->lock, NULL);
    n->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = n->wake_fd < 0 ? err_errno(err, "make an eventfd") : 0;
    if (r >= 0)
        r = loop_add_fd(l, n->wake_fd, LOOP_READ, on_wake, n, &n->wake, err);
    if (r < 0)
        notifier_free(n);
    else
        *ret = n;
    return r;
}

Notifier *notifier_free(Notifier *n)
{
    if (!n)
        return NULL;
    n->wake = source_free(n->wake);
    if (n->wake_fd >= 0)
        close(n->wake_fd);
    vec_foreach (s, &n->sets)
        set_free(*s);
    vec_foreach (s, &n->old)
        set_free(*s);
    vec_free(&n->sets);
    vec_free(&n->old);
    while (n->inbox) {
        Batch *next = n->inbox->next;
        batch_free(n->inbox);
        n->inbox = next;
    }
    loop_defer_cancel(n->loop, sweep, n);
    config_unref(n->config);
    pthread_mutex_destroy(&n->lock);
    free(n);
    return NULL;
}

/* ---- looking ---- */

static void count_urls(const Notifier *n, size_t *active, size_t *dropped)
{
    StrView name;
    void *val;
    vec_foreach (s, &n->sets) {
        *active += (*s)->peers.len;
        for (size_t i = 0; map_next(&(*s)->sources, &i, &name, &val);)
            *dropped += ((SourceUrls *)val)->n_dropped;
    }
}

static bool add_url(Arena *a, StrView *list, size_t *n, StrView url)
{
    return (list[(*n)++] = arena_sv(a, url)).ptr != NULL;
}

int notifier_urls(const Notifier *n, Arena *a, NotifierUrls *ret, Err *err)
{
    size_t active = 0, dropped = 0;
    StrView name;
    void *val;
    bool ok = true;
    count_urls(n, &active, &dropped);
    *ret = (NotifierUrls){ .active = arena_array(a, StrView, active + 1),
                           .dropped = arena_array(a, StrView, dropped + 1) };
    if (!ret->active || !ret->dropped)
        return err_nomem(err);
    vec_foreach (s, &n->sets) {
        vec_foreach (p, &(*s)->peers)
            ok = ok && (!(*p)->wanted || add_url(a, ret->active, &ret->n_active, (*p)->stats.url));
        for (size_t i = 0; map_next(&(*s)->sources, &i, &name, &val);) {
            const SourceUrls *u = val;
            for (size_t k = 0; k < u->n_dropped; k++)
                ok = ok && add_url(a, ret->dropped, &ret->n_dropped, u->dropped[k]);
        }
    }
    return ok ? 0 : err_nomem(err);
}

static void add_timing(Timing *to, const Timing *from)
{
    for (size_t i = 0; i < MIN(from->n, (uint64_t)TIMING_WINDOW); i++)
        to->window[(to->n + i) % TIMING_WINDOW] = from->window[i];
    for (unsigned i = 0; i < TIMING_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
    to->n += from->n;
    to->sum += from->sum;
}

static void add_stats(NotifierStats *list, size_t *n, const Peer *p)
{
    for (size_t i = 0; i < *n; i++) {
        NotifierStats *s = &list[i];
        if (!sv_eq(s->url, p->stats.url))
            continue;
        s->sent += p->stats.sent;
        s->errors += p->stats.errors;
        s->dropped += p->stats.dropped;
        s->queued += p->queue.len;
        add_timing(&s->latency, &p->stats.latency);
        return;
    }
    list[*n] = p->stats;
    list[(*n)++].queued = p->queue.len;
}

static int by_url(const void *a, const void *b)
{
    return sv_cmp(((const NotifierStats *)a)->url, ((const NotifierStats *)b)->url);
}

int notifier_stats(const Notifier *n, Arena *a, NotifierStats **ret, size_t *ret_n, Err *err)
{
    const Sets *lists[] = { &n->sets, &n->old };
    size_t most = 0;
    *ret_n = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(lists); k++)
        vec_foreach (s, lists[k])
            most += (*s)->peers.len;
    *ret = arena_array(a, NotifierStats, most + 1);
    if (!*ret)
        return err_nomem(err);
    for (unsigned k = 0; k < ARRAY_SIZE(lists); k++)
        vec_foreach (s, lists[k])
            vec_foreach (p, &(*s)->peers)
                add_stats(*ret, ret_n, *p);
    for (size_t i = 0; i < *ret_n; i++)
        if (!((*ret)[i].url = arena_sv(a, (*ret)[i].url)).ptr)
            return err_nomem(err);
    if (*ret_n > 1)
        qsort(*ret, *ret_n, sizeof **ret, by_url);
    return 0;
}

const HttpDials *notifier_dials(const Notifier *n)
{
    return &n->dials;
}

size_t notifier_capacity(const Notifier *n)
{
    return n->opt.queue_capacity;
}
