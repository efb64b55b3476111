/* loop.c - when a target is scraped: every interval, at an offset that its labels decide, so that
 * targets spread over the interval and keep their place over restarts. Offsets lie on a grid: all
 * targets of one tick are asked for one waking of the loop. */
#include "base/clock.h"
#include "monitor/scrape/internal.h"

int64_t scrape_now_ms(const ScrapeManager *m)
{
    return m->opt.now_ms ? m->opt.now_ms(m->opt.now_ctx) : clock_real_ns() / NSEC_PER_MSEC;
}

enum { TICK_MAX_MS = 100, TICKS_MIN = 50 /* in an interval */ };

/* The first scrape, as Prometheus places it but for the grid. */
static int64_t first_due(const ScrapeTarget *t, int64_t now)
{
    int64_t tick = MAX(MIN(t->interval_ms / TICKS_MIN, (int64_t)TICK_MAX_MS), (int64_t)1);
    int64_t base = t->interval_ms - now % t->interval_ms;
    int64_t offset =
        (int64_t)((t->spread ^ t->pool->manager->opt.offset_seed) % (uint64_t)t->interval_ms);
    int64_t next = now + base + offset - offset % tick;
    return next > now + t->interval_ms ? next - t->interval_ms : next;
}

/* What a timer must wait, from the loop's own time, so that timers of one tick fire in one turn no
 * matter in which millisecond they were set. */
static uint64_t delay_until(const ScrapeTarget *t, int64_t due_ms)
{
    const ScrapeManager *m = t->pool->manager;
    if (m->opt.now_ms)
        return (uint64_t)MAX(due_ms - scrape_now_ms(m), (int64_t)0);
    int64_t due_ns = due_ms * NSEC_PER_MSEC - clock_real_ns() + clock_mono_ns();
    int64_t turn_ms = loop_now_ns(m->loop) / NSEC_PER_MSEC;
    return (uint64_t)MAX((due_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC - turn_ms, (int64_t)0);
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
    HttpHeader headers[] = {
        { SV_INIT("accept"), buf_view(&t->pool->accept) },
        { SV_INIT("accept-encoding"), job->enable_compression ? SV("gzip") : SV("identity") },
        { SV_INIT("user-agent"), agent ? sv_cstr(agent) : SV("Prometheus/3") },
        { SV_INIT("x-prometheus-scrape-timeout-seconds"), t->timeout_text },
    };
    FetchSpec spec = { .url = t->url,
                       .headers = headers,
                       .n_headers = ARRAY_SIZE(headers),
                       .timeout_ms = (uint32_t)MIN(t->timeout_ms, INT64_C(0x7fffffff)),
                       .body_max = scrape_body_max(job),
                       .keep_gzip = true,
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
    (void)!source_set_timer(t->timer, delay_until(t, t->due_ms), 0, NULL);
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
    t->due_ms = first_due(t, scrape_now_ms(t->pool->manager));
    return loop_add_timer(t->pool->manager->loop, delay_until(t, t->due_ms), 0, on_timer, t,
                          &t->timer, err);
}
