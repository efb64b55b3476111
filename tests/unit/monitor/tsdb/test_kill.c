/* test_kill.c - a database that is killed a hundred times while it takes samples, cuts its head,
 * writes checkpoints, compacts, deletes and forgets, all at once.
 *
 * After each kill: every batch that was acknowledged is there, whole and with its values; of what
 * was not acknowledged at most the last batch; what was deleted stays deleted. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "monitor/tsdb/tsdb.h"
#include "unit.h"

enum {
    SERIES = 8,
    STEP = 15000,
    HOUR = 3600 * 1000,
    DELETE_EVERY = 400, /* batches */
    AHEAD_MAX = 1000,   /* of what was looked after: a head of some hours */
    DELETE_SPAN = 100,
    BATCHES_MAX = 4000000,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    ROUNDS = 15,
#else
    ROUNDS = 100,
#endif
};
static const int64_t retention_ms = INT64_C(20) * 24 * HOUR;

typedef enum State { NEVER, TRIED, THERE } State;

/* What the parent knows. */
static uint8_t batches[BATCHES_MAX]; /* State; batch i is at i * STEP */
static uint8_t deleted[BATCHES_MAX]; /* State, of the last series */
static int64_t next_batch;
static char dir[64];

/* What the child says: a batch or a deletion is about to be done, or is. */
typedef struct Word {
    enum { TRY, DONE, DELETE, DELETED } kind;
    int64_t from, to;
} Word;

static double value_of(int64_t batch, unsigned series)
{
    return (double)(batch * 10 + series);
}

/* ---- the child ---- */

typedef struct Child {
    Tsdb *db;
    int out;
    _Atomic int64_t written, maintained; /* batches */
} Child;

static void tell(const Child *c, int kind, int64_t from, int64_t to)
{
    const Word w = { kind, from, to };
    if (write(c->out, &w, sizeof w) != sizeof w)
        _exit(3);
}

static void *maintain_on(void *arg)
{
    Child *c = arg;
    for (Err err = { 0 };; usleep(200)) { /* others get their turn in between */
        int64_t upto = atomic_load(&c->written);
        if (tsdb_maintain(c->db, upto * STEP, &err) < 0)
            _exit(4);
        atomic_store(&c->maintained, upto);
    }
}

/* The last series loses a part of each stretch, a while after it was written. */
static void *delete_on(void *arg)
{
    Child *c = arg;
    Matcher m;
    Arena a;
    Err err = { 0 };
    int64_t at = atomic_load(&c->written) / DELETE_EVERY * DELETE_EVERY;
    char name[16];
    arena_init(&a, 0);
    snprintf(name, sizeof name, "%u", SERIES - 1);
    if (matcher_init(&m, MATCH_EQ, SV("n"), sv_cstr(name), &a, &err) < 0)
        _exit(5);
    const MatcherSet set = { &m, 1 };
    for (unsigned n = 1;; n++) {
        while (atomic_load(&c->written) < at + DELETE_EVERY)
            usleep(200);
        tell(c, DELETE, at, at + DELETE_SPAN);
        if (tsdb_delete(c->db, at * STEP, (at + DELETE_SPAN - 1) * STEP, &set, 1, &err) < 0)
            _exit(6);
        tell(c, DELETED, at, at + DELETE_SPAN);
        at += DELETE_EVERY;
        if (n % 4 == 0 && tsdb_clean_tombstones(c->db, &err) < 0)
            _exit(7);
    }
}

static void append_batch(Child *c, SeriesRef refs[SERIES], int64_t batch)
{
    TsdbAppender *a;
    Err err = { 0 };
    while (batch > atomic_load(&c->maintained) + AHEAD_MAX) /* hours pass here in milliseconds */
        usleep(100);
    if (tsdb_appender_new(c->db, &a, &err) < 0)
        _exit(8);
    for (unsigned i = 0; i < SERIES; i++) {
        char n[16];
        snprintf(n, sizeof n, "%u", i);
        const Label l[] = { { LABEL_METRIC_NAME, SV_INIT("killed") }, { SV("n"), sv_cstr(n) } };
        if (tsdb_append(a, &refs[i], (Labels){ l, 2 }, batch * STEP, value_of(batch, i), &err) !=
            APPEND_OK)
            _exit(9);
    }
    tell(c, TRY, batch, batch + 1);
    if (tsdb_appender_commit(a, &err) < 0)
        _exit(10);
    tell(c, DONE, batch, batch + 1);
    atomic_store(&c->written, batch);
}

static TsdbOptions options(void)
{
    return (TsdbOptions){ .dir = dir,
                          .block_ms = 2 * HOUR,
                          .block_max_ms = 18 * HOUR,
                          .retention_ms = retention_ms,
                          .wal_compress = true };
}

static void child(int out)
{
    Child c = { .out = out, .written = next_batch - 1, .maintained = next_batch - 1 };
    const TsdbOptions opt = options();
    SeriesRef refs[SERIES] = { 0 };
    pthread_t t;
    Err err = { 0 };
    if (tsdb_open(&opt, &c.db, &err) < 0) {
        fprintf(stderr, "open: %s\n", err.msg);
        _exit(2);
    }
    pthread_create(&t, NULL, maintain_on, &c);
    pthread_create(&t, NULL, delete_on, &c);
    for (int64_t batch = next_batch; batch < BATCHES_MAX; batch++)
        append_batch(&c, refs, batch);
    _exit(11);
}

/* ---- the parent ---- */

static void hear(const Word *w)
{
    assert_true(w->from >= 0 && w->to <= BATCHES_MAX);
    for (int64_t i = w->from; i < w->to; i++) {
        if (w->kind >= DELETE)
            deleted[i] = w->kind == DELETED ? THERE : MAX(deleted[i], TRIED);
        else
            batches[i] = w->kind == DONE ? THERE : TRIED;
        next_batch = MAX(next_batch, i + 1);
    }
}

/* Listens for some words, kills, and hears what was still on its way. */
static void run_and_kill(unsigned round)
{
    int pipe_fd[2];
    Word w;
    assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        child(pipe_fd[1]);
    close(pipe_fd[1]);
    unsigned words = 2000 + round * 7919 % 40000;
    for (unsigned i = 0; i < words && read(pipe_fd[0], &w, sizeof w) == sizeof w; i++)
        hear(&w);
    kill(pid, SIGKILL);
    while (read(pipe_fd[0], &w, sizeof w) == sizeof w)
        hear(&w);
    close(pipe_fd[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        fail_msg("the database ended by itself in round %u, with %d", round, WEXITSTATUS(status));
}

/* The samples of one series against what is known. `there` has the batches of the first series. */
static void check_series(unsigned n, const SampleCols *c, uint8_t *there)
{
    int64_t kept = next_batch - retention_ms / STEP + 18 * HOUR / STEP, at = 0;
    bool last = n == SERIES - 1;
    for (size_t k = 0; k <= c->len; k++) {
        int64_t batch = k < c->len ? c->t[k] / STEP : next_batch;
        for (; at < batch; at++) { /* these are missing */
            if (batches[at] == THERE && at >= kept && !(last && deleted[at]))
                fail_msg("series %u: acknowledged batch %lld is lost", n, (long long)at);
            if (!last && n && there[at] && at >= kept)
                fail_msg("series %u: batch %lld is only half there", n, (long long)at);
        }
        if (k == c->len)
            break;
        if (c->t[k] % STEP || batches[batch] == NEVER || c->v[k] != value_of(batch, n))
            fail_msg("series %u: %g at %lld was never written", n, c->v[k], (long long)c->t[k]);
        if (last && deleted[batch] == THERE)
            fail_msg("batch %lld was deleted", (long long)batch);
        if (n == 0)
            there[batch] = 1;
        else if (!there[batch] && at >= kept)
            fail_msg("series %u: batch %lld is there, but not in series 0", n, (long long)batch);
        at = batch + 1;
    }
    for (int64_t i = 0; n == 0 && i < next_batch;
         i++) /* from now on one that was tried is what it is */
        batches[i] = there[i] ? THERE : batches[i] == TRIED ? NEVER : batches[i];
}

static void check_all(void)
{
    static uint8_t there[BATCHES_MAX];
    const TsdbOptions opt = options();
    const SelectHints hints = { .start = 0, .end = INT64_MAX / 2 };
    Tsdb *db;
    Querier *q;
    SeriesSet *set;
    SampleCols cols;
    Labels l;
    Matcher m;
    Arena a;
    Err err = { 0 };
    unsigned n = 0;
    arena_init(&a, 0);
    sample_cols_init(&cols);
    memset(there, 0, (size_t)next_batch);
    if (tsdb_open(&opt, &db, &err) < 0)
        fail_msg("open after a kill: %s", err.msg);
    assert_int_equal(tsdb_querier_new(db, 0, hints.end, &q, &err), 0);
    assert_int_equal(matcher_init(&m, MATCH_EQ, LABEL_METRIC_NAME, SV("killed"), &a, &err), 0);
    assert_int_equal(q->ops->select(q, &hints, &m, 1, &set, &err), 0);
    for (; q->ops->next(set, &l, &cols, &err) > 0; n++)
        check_series(n, &cols, there);
    assert_int_equal(err.code, ERR_NONE);
    assert_int_equal(n, SERIES);
    q->ops->set_free(set);
    tsdb_querier_free(q);
    matcher_free(&m);
    arena_free(&a);
    sample_cols_free(&cols);
    tsdb_close(db);
}

static void test_killed_a_hundred_times(void **state)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        run_and_kill(round);
        check_all();
    }
    /* It was worth it: blocks were made of it, and samples deleted. */
    int64_t gone = 0;
    for (int64_t i = 0; i < next_batch; i++)
        gone += deleted[i] == THERE;
    printf("%lld batches, %lld deleted\n", (long long)next_batch, (long long)gone);
    assert_true(next_batch * STEP > 12 * HOUR && gone > 0);
}

static int set_up(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/knarr-kill-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_a_hundred_times, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
