/* loop.c - when a target is scraped: every interval, at an offset that its labels decide, so that
 * targets spread over the interval and keep their place over restarts. */
#include <stdio.h>

#include "base/clock.h"
#include "monitor/scrape/internal.h"

int64_t scrape_now_ms(const ScrapeManager *m)
{
    return m->opt.now_ms ? m->opt.now_ms(m->opt.now_ctx) : clock_real_ns() / NSEC_PER_MSEC;
}

/* Until the next scrape, as Prometheus places it. */
static int64_t first_delay(const ScrapeTarget *t, int64_t now)
{
    int64_t base = t->interval_ms - now % t->interval_ms;
    int64_t offset =
        (int64_t)((t->hash ^ t->pool->manager->opt.offset_seed) % (uint64_t)t->interval_ms);
    int64_t next = base + offset;
    return next > t->interval_ms ? next - t->interval_ms : next;
}

static void on_answer(void *ctx, const FetchResult *r)
{
    ScrapeTarget *t = ctx;
    t->fetch = NULL;
    scrape_finish(t, r);
}

static int start_fetch(ScrapeTarget *t, Err *err)
{
    const ConfigScrape *job = t->pool->job;
    const char *agent = t->pool->manager->opt.user_agent;
    char timeout[32];
    snprintf(timeout, sizeof timeout, "%g", (double)t->timeout_ms / 1000);
    HttpHeader headers[] = {
        { SV_INIT("accept"), buf_view(&t->pool->accept) },
        { SV_INIT("accept-encoding"), job->enable_compression ? SV("gzip") : SV("identity") },
        { SV_INIT("user-agent"), agent ? sv_cstr(agent) : SV("Prometheus/3") },
        { SV_INIT("x-prometheus-scrape-timeout-seconds"), sv_cstr(timeout) },
    };
    FetchSpec spec = { .url = t->url,
                       .headers = headers,
                       .n_headers = ARRAY_SIZE(headers),
                       .timeout_ms = (uint32_t)MIN(t->timeout_ms, INT64_C(0x7fffffff)),
                       .body_max =
                           job->limits.body_size ? job->limits.body_size : (size_t)SCRAPE_BODY_MAX,
                       .budget = &t->pool->manager->budget,
                       .done = on_answer,
                       .ctx = t };
    return fetch_start(t->pool->fetcher, &spec, &t->fetch, err);
}

static void on_timer(void *ctx)
{
    ScrapeTarget *t = ctx;
    int64_t now = scrape_now_ms(t->pool->manager);
    Err err = { 0 };

    int64_t late = now - t->due_ms;
    /* At most a hundredth of the interval, as with Prometheus. */
    int64_t align = MIN(t->pool->manager->opt.align_ms, t->interval_ms / 100);
    t->start_ms = late >= -align && late <= align ? t->due_ms : now;
    /* The next one on the grid; a clock that jumped makes a new grid. */
    if (late > t->interval_ms || late < -t->interval_ms)
        t->due_ms = now;
    do
        t->due_ms += t->interval_ms;
    while (t->due_ms <= now);
    (void)!source_set_timer(t->timer, (uint64_t)(t->due_ms - now), 0, NULL);
    if (t->fetch)
        return; /* its deadline is at the end of the interval at the latest */
    int64_t before = t->start_mono_ns;
    t->start_mono_ns = clock_mono_ns();
    if (before)
        scrape_count_interval(t->pool->manager, t->interval_ms,
                              (double)(t->start_mono_ns - before) / (double)NSEC_PER_SEC);
    if (start_fetch(t, &err) < 0) {
        FetchResult r = { .err = &err };
        scrape_finish(t, &r);
    }
}

int target_start(ScrapeTarget *t, Err *err)
{
    int64_t now = scrape_now_ms(t->pool->manager);
    int64_t delay = first_delay(t, now);
    t->due_ms = now + delay;
    return loop_add_timer(t->pool->manager->loop, (uint64_t)delay, 0, on_timer, t, &t->timer, err);
}
