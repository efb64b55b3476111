/* test_threads.c - appending, querying, cutting and deleting at the same time: every query sees
 * each series whole up to some moment, without holes and without a sample twice. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "monitor/tsdb/tsdb.h"
#include "unit.h"

enum { SERIES = 20, STEPS = 1500, STEP_MS = 60 * 1000, MAINTAIN_EVERY = 60 };

typedef struct Shared {
    Tsdb *db;
    atomic_int committed; /* steps that are acknowledged */
    atomic_bool stop;
    atomic_int queries;
} Shared;

static void *append_all(void *ctx)
{
    Shared *s = ctx;
    SeriesRef refs[SERIES] = { 0 };
    Err err = { 0 };
    for (int step = 0; step < STEPS; step++) {
        TsdbAppender *a;
        ASSERT(tsdb_appender_new(s->db, &a, &err) == 0);
        for (int i = 0; i < SERIES; i++) {
            char name[16];
            snprintf(name, sizeof name, "s%d", i);
            const Label l[] = { { LABEL_METRIC_NAME, SV("m") }, { SV("series"), sv_cstr(name) } };
            ASSERT(tsdb_append(a, &refs[i], (Labels){ l, 2 }, (int64_t)step * STEP_MS, step,
                               &err) == APPEND_OK);
        }
        ASSERT_MSG(tsdb_appender_commit(a, &err) == 0, "%s", err.msg);
        atomic_store(&s->committed, step + 1);
    }
    return NULL;
}

static void check_series(const SampleCols *c, int at_least)
{
    ASSERT_MSG((int)c->len >= at_least, "%zu samples of %d", c->len, at_least);
    for (size_t i = 0; i < c->len; i++)
        ASSERT_MSG(c->t[i] == (int64_t)i * STEP_MS && c->v[i] == (double)i, "sample %zu is %lld=%g",
                   i, (long long)c->t[i], c->v[i]);
}

static void query_once(Shared *s)
{
    Querier *q;
    SeriesSet *set;
    Matcher m;
    Arena a;
    SampleCols cols;
    Labels l;
    Err err = { 0 };
    int seen = 0, r, committed = atomic_load(&s->committed);
    arena_init(&a, 0);
    sample_cols_init(&cols);
    ASSERT(matcher_init(&m, MATCH_EQ, LABEL_METRIC_NAME, SV("m"), &a, &err) == 0);
    ASSERT(tsdb_querier_new(s->db, 0, INT64_MAX, &q, &err) == 0);
    const SelectHints hints = { .start = 0, .end = INT64_MAX };
    ASSERT(q->ops->select(q, &hints, &m, 1, &set, &err) == 0);
    while ((r = q->ops->next(set, &l, &cols, &err)) > 0) {
        check_series(&cols, committed);
        seen++;
    }
    ASSERT_MSG(r == 0, "%s", err.msg);
    ASSERT(!committed || seen == SERIES);
    q->ops->set_free(set);
    tsdb_querier_free(q);
    matcher_free(&m);
    arena_free(&a);
    sample_cols_free(&cols);
    atomic_fetch_add(&s->queries, 1);
}

static void *query_all(void *ctx)
{
    Shared *s = ctx;
    while (!atomic_load(&s->stop))
        query_once(s);
    return NULL;
}

static void *maintain_all(void *ctx)
{
    Shared *s = ctx;
    Err err = { 0 };
    int done = 0;
    while (!atomic_load(&s->stop)) {
        if (atomic_load(&s->committed) < done + MAINTAIN_EVERY) {
            usleep(1000);
            continue;
        }
        done = atomic_load(&s->committed);
        ASSERT_MSG(tsdb_maintain(s->db, (int64_t)done * STEP_MS, &err) == 0, "%s", err.msg);
    }
    return NULL;
}

static void test_all_at_once(void **state)
{
    char dir[] = "/tmp/knarr-tsdb-XXXXXX";
    pthread_t writer, readers[2], keeper;
    Shared s = { 0 };
    Err err = { 0 };
    assert_non_null(mkdtemp(dir));
    const TsdbOptions opt = { .dir = dir,
                              .wal_compress = true,
                              .retention_ms = 100LL * 24 * 3600 * 1000 };
    assert_int_equal(tsdb_open(&opt, &s.db, &err), 0);
    assert_int_equal(pthread_create(&writer, NULL, append_all, &s), 0);
    assert_int_equal(pthread_create(&keeper, NULL, maintain_all, &s), 0);
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
        assert_int_equal(pthread_create(&readers[i], NULL, query_all, &s), 0);
    pthread_join(writer, NULL);
    atomic_store(&s.stop, true);
    pthread_join(keeper, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
        pthread_join(readers[i], NULL);
    query_once(&s);
    assert_true(atomic_load(&s.queries) > 1);
    tsdb_close(s.db);
    rm_rf(AT_FDCWD, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_at_once) };
    log_init("test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
