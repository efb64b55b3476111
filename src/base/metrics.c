/* metrics.c - see metrics.h. One lock for a registry: it is held for a look-up and an addition, and
 * while the text is written. */
#include "base/metrics.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/metric_text.h"
#include "base/number.h"
#include "base/vec.h"

typedef struct Series {
    StrView *values; /* behind the struct, as what follows */
    uint64_t *buckets;
    uint64_t count;
    double value; /* of a histogram: the sum */
} Series;

struct Metric {
    Metrics *registry;
    const MetricDef *def;
    unsigned n_labels;
    Map by_key;
    VEC(Series *) series; /* in the order of their first use */
};

typedef struct Collector {
    MetricsCollectFn *fn;
    void *ctx;
} Collector;

struct Metrics {
    pthread_mutex_t lock;
    VEC(Metric *) families;
    VEC(Collector) collectors;
    VEC(void *) state;
};

static Series *series_of(Metric *f, const StrView *values);

Metrics *metrics_new(void)
{
    Metrics *m = calloc(1, sizeof *m);
    if (m)
        pthread_mutex_init(&m->lock, NULL);
    return m;
}

static Metric *family_free(Metric *f)
{
    if (!f)
        return NULL;
    for (size_t i = 0; i < f->series.len; i++)
        free(f->series.items[i]);
    vec_free(&f->series);
    map_free(&f->by_key);
    free(f);
    return NULL;
}

Metrics *metrics_free(Metrics *m)
{
    if (!m)
        return NULL;
    for (size_t i = 0; i < m->families.len; i++)
        family_free(m->families.items[i]);
    for (size_t i = 0; i < m->state.len; i++)
        free(m->state.items[i]);
    vec_free(&m->families);
    vec_free(&m->collectors);
    vec_free(&m->state);
    pthread_mutex_destroy(&m->lock);
    free(m);
    return NULL;
}

void *metrics_state(Metrics *m, size_t size)
{
    void *p = m ? calloc(1, size) : NULL;
    if (!p)
        return NULL;
    pthread_mutex_lock(&m->lock);
    bool kept = vec_push(&m->state, p);
    pthread_mutex_unlock(&m->lock);
    if (kept)
        return p;
    free(p);
    return NULL;
}

static Metric *find(Metrics *m, const char *name)
{
    vec_foreach (f, &m->families)
        if (strcmp((*f)->def->name, name) == 0)
            return *f;
    return NULL;
}

static Metric *family_new(Metrics *m, const MetricDef *def)
{
    Metric *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->registry = m;
    f->def = def;
    while (f->n_labels < METRIC_LABELS_MAX && def->labels[f->n_labels])
        f->n_labels++;
    if (!vec_push(&m->families, f))
        return family_free(f);
    if (!f->n_labels) /* shows from the start */
        (void)series_of(f, NULL);
    return f;
}

Metric *metrics_add(Metrics *m, const MetricDef *def)
{
    if (!m)
        return NULL;
    ASSERT(def->type != METRIC_COUNTER || sv_ends(sv_cstr(def->name), SV("_total")));
    pthread_mutex_lock(&m->lock);
    Metric *f = find(m, def->name);
    if (!f)
        f = family_new(m, def);
    pthread_mutex_unlock(&m->lock);
    return f;
}

/* ---- counting ---- */

/* The values one after the other, each behind its length; false: they are too long. */
static bool key_of(const Metric *f, const StrView *values, char *buf, StrView *ret)
{
    size_t n = 0;
    for (unsigned i = 0; i < f->n_labels; i++) {
        StrView v = values[i];
        if (v.len > UINT8_MAX || n + 1 + v.len > METRIC_KEY_MAX)
            return false;
        buf[n++] = (char)v.len;
        if (v.len)
            memcpy(buf + n, v.ptr, v.len);
        n += v.len;
    }
    *ret = sv_n(buf, n);
    return true;
}

static Series *series_new(Metric *f, const StrView *values, StrView key)
{
    size_t n_buckets = f->def->type == METRIC_HISTOGRAM ? f->def->n_buckets : 0;
    size_t size = sizeof(Series) + f->n_labels * sizeof(StrView) + n_buckets * sizeof(uint64_t);
    Series *s = calloc(1, size + key.len);
    if (!s)
        return NULL;
    s->values = (StrView *)(s + 1);
    s->buckets = (uint64_t *)(s->values + f->n_labels);
    char *text = (char *)(s->buckets + n_buckets);
    for (unsigned i = 0; i < f->n_labels; i++) {
        if (values[i].len)
            memcpy(text, values[i].ptr, values[i].len);
        s->values[i] = sv_n(text, values[i].len);
        text += values[i].len;
    }
    if (!vec_reserve(&f->series, f->series.len + 1) || !map_set(&f->by_key, key, s, NULL)) {
        free(s);
        return NULL;
    }
    (void)vec_push(&f->series, s);
    return s;
}

static Series *series_of(Metric *f, const StrView *values)
{
    char buf[METRIC_KEY_MAX];
    StrView other[METRIC_LABELS_MAX], key;
    unsigned max = f->def->series_max ? f->def->series_max : METRIC_SERIES_MAX;
    bool fits = key_of(f, values, buf, &key);
    Series *s = fits ? map_get(&f->by_key, key) : NULL;
    if (s)
        return s;
    if (!fits || f->series.len >= max) {
        for (unsigned i = 0; i < f->n_labels; i++)
            other[i] = SV("other");
        values = other;
        if (!key_of(f, values, buf, &key))
            return NULL;
        if ((s = map_get(&f->by_key, key)) != NULL)
            return s;
    }
    return series_new(f, values, key);
}

static Series *lock_series(Metric *f, const StrView *values)
{
    pthread_mutex_lock(&f->registry->lock);
    return series_of(f, values);
}

static void unlock(Metric *f)
{
    pthread_mutex_unlock(&f->registry->lock);
}

void metric_add(Metric *f, const StrView *values, double by)
{
    if (!f)
        return;
    Series *s = lock_series(f, values);
    if (s)
        s->value += by;
    unlock(f);
}

void metric_set(Metric *f, const StrView *values, double v)
{
    if (!f)
        return;
    Series *s = lock_series(f, values);
    if (s)
        s->value = v;
    unlock(f);
}

void metric_observe(Metric *f, const StrView *values, double v)
{
    if (!f)
        return;
    Series *s = lock_series(f, values);
    if (s) {
        unsigned i = 0;
        while (i < f->def->n_buckets && v > f->def->buckets[i])
            i++;
        if (i < f->def->n_buckets) /* beyond the last one only the count tells */
            s->buckets[i]++;
        s->count++;
        s->value += v;
    }
    unlock(f);
}

double metric_value_of(Metric *f, const StrView *values)
{
    char buf[METRIC_KEY_MAX];
    StrView key;
    if (!f)
        return 0;
    pthread_mutex_lock(&f->registry->lock);
    const Series *s = key_of(f, values, buf, &key) ? map_get(&f->by_key, key) : NULL;
    double v = !s ? 0 : f->def->type == METRIC_HISTOGRAM ? (double)s->count : s->value;
    unlock(f);
    return v;
}

/* ---- those who are asked before ---- */

void metrics_on_collect(Metrics *m, MetricsCollectFn *fn, void *ctx)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    (void)vec_push(&m->collectors, ((Collector){ fn, ctx }));
    pthread_mutex_unlock(&m->lock);
}

void metrics_off_collect(Metrics *m, MetricsCollectFn *fn, void *ctx)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->collectors.len; i++)
        if (m->collectors.items[i].fn == fn && m->collectors.items[i].ctx == ctx) {
            vec_remove(&m->collectors, i);
            break;
        }
    pthread_mutex_unlock(&m->lock);
}

/* ---- writing ---- */

/* {a="1",le="0.5"}; nothing when there are no labels. */
static void put_labels(const Metric *f, const Series *s, const double *le, bool inf, Buf *out)
{
    const char *before = "{";
    for (unsigned i = 0; i < f->n_labels; i++) {
        buf_printf(out, "%s%s=", before, f->def->labels[i]);
        text_quote_value(s->values[i], out);
        before = ",";
    }
    if (le || inf) {
        buf_printf(out, "%sle=\"", before);
        if (inf)
            buf_sv(out, SV("+Inf"));
        else
            double_put_g(*le, out);
        buf_sv(out, SV("\"}"));
    } else if (f->n_labels)
        buf_putc(out, '}');
}

static void put_histogram(const Metric *f, const Series *s, Buf *out)
{
    const char *name = f->def->name;
    uint64_t sum = 0;
    for (unsigned i = 0; i < f->def->n_buckets; i++) {
        sum += s->buckets[i];
        buf_printf(out, "%s_bucket", name);
        put_labels(f, s, &f->def->buckets[i], false, out);
        metric_value(out, (double)sum);
    }
    buf_printf(out, "%s_bucket", name);
    put_labels(f, s, NULL, true, out);
    metric_value(out, (double)s->count);
    buf_printf(out, "%s_sum", name);
    put_labels(f, s, NULL, false, out);
    metric_value(out, s->value);
    buf_printf(out, "%s_count", name);
    put_labels(f, s, NULL, false, out);
    metric_value(out, (double)s->count);
}

static void put_family(const Metric *f, MetricsFormat format, Buf *out)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    const MetricDef *d = f->def;
    size_t len = strlen(d->name);
    if (!f->series.len)
        return;
    if (format == METRICS_OPENMETRICS &&
        d->type == METRIC_COUNTER) /* names the family without it */
        len -= strlen("_total");
    buf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, d->name, d->help, (int)len,
               d->name, types[d->type]);
    for (size_t i = 0; i < f->series.len; i++) {
        const Series *s = f->series.items[i];
        if (d->type == METRIC_HISTOGRAM) {
            put_histogram(f, s, out);
            continue;
        }
        buf_sv(out, sv_cstr(d->name));
        put_labels(f, s, NULL, false, out);
        metric_value(out, s->value);
    }
}

static bool collector_at(Metrics *m, size_t i, Collector *ret)
{
    pthread_mutex_lock(&m->lock);
    bool there = i < m->collectors.len;
    if (there)
        *ret = m->collectors.items[i];
    pthread_mutex_unlock(&m->lock);
    return there;
}

void metrics_write(Metrics *m, MetricsFormat format, Buf *out)
{
    Collector c;
    if (!m)
        return;
    for (size_t i = 0; collector_at(m, i, &c); i++)
        c.fn(c.ctx);
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->families.len; i++)
        put_family(m->families.items[i], format, out);
    pthread_mutex_unlock(&m->lock);
    if (format == METRICS_OPENMETRICS)
        buf_sv(out, SV("# EOF\n"));
}
