/* PromQL's engine: any expression over a little of every kind of data ends in a result or an error,
 * instant or over a range, with and without delayed name removal. */
#include "monitor/promql/promql.h"
#include "monitor/promqltest/memory.h"
#include "monitor/promqltest/series.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { STEP_MS = 60 * 1000, MAX_SAMPLES = 100000, MEMORY = 32 * 1024 * 1024 };

static const char *const lines[] = {
    "x{a=\"b\"} 0+60x9 3 2 _ _ 5 stale 1 2+3x9 NaN Inf -Inf 5+1x9",
    "x{a=\"c\"} 1+1x40",
    "y{a=\"b\", e=\"f\"} 1+1x40",
    "b{le=\"1\"} 0+1x40",
    "b{le=\"+Inf\"} 0+2x40",
    "h{a=\"b\"} {{count:3 sum:1 z_bucket:1 z_bucket_w:0.1 buckets:[1 1] n_buckets:[1]}}"
    "+{{count:1 buckets:[1]}}x9 {{count:1 buckets:[1]}}x9 5 6",
    "h{a=\"c\"} {{schema:2 count:3 buckets:[1 1 1] counter_reset_hint:gauge}}x9 "
    "{{schema:-53 count:2 custom_values:[1 3] buckets:[1 1]}}x20",
    "target_info{instance=\"i\", job=\"j\", data=\"d\"} 1x40",
    "z{instance=\"i\", job=\"j\"} 1x40",
};

static void load(Memory *m)
{
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        Arena a;
        Labels l;
        SeriesValues v;
        arena_init(&a, 0);
        ASSERT(series_parse(sv_cstr(lines[i]), &a, &l, &v, NULL) >= 0);
        MemorySeries *s = memory_series(m, l);
        for (size_t k = 0; k < v.len; k++)
            if (!v.items[k].omitted)
                ASSERT(memory_append(m, s, (int64_t)k * STEP_MS, v.items[k].v, v.items[k].h, 0,
                                     NULL) >= 0);
        arena_free(&a);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Memory *m = memory_new();
    if (!m)
        return 0;
    load(m);
    for (unsigned way = 0; way < 4; way++) {
        PromqlOptions o = { .features = way & 1 ? ~0u : ~0u & ~PROMQL_DELAYED_NAME_REMOVAL,
                            .max_samples = MAX_SAMPLES,
                            .memory_limit = MEMORY,
                            .timeout_ms = 1000 };
        PromqlQuery q = { .text = sv_n(data, n),
                          .range = way & 2,
                          .start = 5 * STEP_MS,
                          .end = way & 2 ? 35 * STEP_MS : 5 * STEP_MS,
                          .step = STEP_MS };
        PromqlResult r;
        if (promql_query(&o, memory_querier(m), &q, &r, NULL) >= 0)
            for (size_t i = 0; i < r.n; i++)
                ASSERT(r.series[i].n > 0);
        promql_result_free(&r);
    }
    memory_free(m);
    return 0;
}
