/* test_tsdb.c - the database as its users see it: what was committed is there, also after a
 * restart, a kill, a cut, a compaction; what was refused or deleted is not. */
#include <fcntl.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/log.h"
#include "monitor/tsdb/db.h"
#include "monitor/tsdb/maintain.h"
#include "unit.h"

enum { HOUR = 3600 * 1000 };

static char dir[64];
static Tsdb *db;
static TsdbOptions options;

static int setup(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/knarr-tsdb-XXXXXX");
    options = (TsdbOptions){ .dir = dir, .wal_compress = true, .exemplars_max = 3 };
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    db = tsdb_close(db);
    return rm_rf(AT_FDCWD, dir);
}

static void open_db(void)
{
    Err err = { 0 };
    db = tsdb_close(db);
    if (tsdb_open(&options, &db, &err) < 0)
        fail_msg("%s", err.msg);
}

static Labels labels_of(const char *name, const char *job, Label buf[static 2])
{
    buf[0] = (Label){ LABEL_METRIC_NAME, sv_cstr(name) };
    buf[1] = (Label){ SV("job"), sv_cstr(job) };
    return (Labels){ buf, 2 };
}

static AppendResult put(const char *name, const char *job, int64_t t, double v)
{
    Label buf[2];
    SeriesRef ref = 0;
    TsdbAppender *a;
    Err err = { 0 };
    assert_int_equal(tsdb_appender_new(db, &a, &err), 0);
    AppendResult r = tsdb_append(a, &ref, labels_of(name, job, buf), t, v, &err);
    if (tsdb_appender_commit(a, &err) < 0)
        fail_msg("%s", err.msg);
    return r;
}

/* n samples every 15 s from `from`, value = seconds since `from`. */
static void fill(const char *name, const char *job, int64_t from, int n)
{
    Label buf[2];
    SeriesRef ref = 0;
    TsdbAppender *a;
    Err err = { 0 };
    assert_int_equal(tsdb_appender_new(db, &a, &err), 0);
    for (int i = 0; i < n; i++)
        assert_int_equal(tsdb_append(a, &ref, labels_of(name, job, buf), from + i * 15000LL, i * 15,
                                     &err),
                         APPEND_OK);
    if (tsdb_appender_commit(a, &err) < 0)
        fail_msg("%s", err.msg);
}

/* "m" of the jobs a and b, five hours from 0 and from `from_b` on, in one go: a sample long before
 * the newest is not taken. */
static void fill_two(int64_t from_b)
{
    Label buf[2];
    SeriesRef a_ref = 0, b_ref = 0;
    TsdbAppender *a;
    Err err = { 0 };
    assert_int_equal(tsdb_appender_new(db, &a, &err), 0);
    for (int64_t t = 0; t < 5 * HOUR; t += 15000) {
        assert_int_equal(
            tsdb_append(a, &a_ref, labels_of("m", "a", buf), t, (double)t / 1000, &err), APPEND_OK);
        if (t >= from_b)
            assert_int_equal(tsdb_append(a, &b_ref, labels_of("m", "b", buf), t,
                                         (double)(t - from_b) / 1000, &err),
                             APPEND_OK);
    }
    if (tsdb_appender_commit(a, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Everything that matches job=~`jobs`, as text: "name{job}: t=v t=v …\n". Long series are shown by
 * their number, first and last sample. */
static void expect(int64_t start, int64_t end, const char *jobs, const char *want)
{
    Querier *q;
    SeriesSet *set;
    Matcher m;
    Arena a;
    SampleCols cols;
    Labels l;
    Err err = { 0 };
    _cleanup_buf_ Buf got = BUF_INIT;
    arena_init(&a, 0);
    sample_cols_init(&cols);
    assert_int_equal(matcher_init(&m, MATCH_RE, SV("job"), sv_cstr(jobs), &a, &err), 0);
    assert_int_equal(tsdb_querier_new(db, start, end, &q, &err), 0);
    const SelectHints hints = { .start = start, .end = end, .sorted = true };
    if (q->ops->select(q, &hints, &m, 1, &set, &err) < 0)
        fail_msg("%s", err.msg);
    int r;
    while ((r = q->ops->next(set, &l, &cols, &err)) > 0) {
        if (!cols.len)
            continue;
        buf_printf(&got, "%.*s{%.*s}:", SV_FMT(labels_get(l, LABEL_METRIC_NAME)),
                   SV_FMT(labels_get(l, SV("job"))));
        for (size_t i = 1; i < cols.len; i++)
            assert_true(cols.t[i - 1] < cols.t[i]);
        if (cols.len > 6)
            buf_printf(&got, " %zu", cols.len);
        for (size_t i = 0; i < cols.len; i++)
            if (cols.len <= 6 || i == 0 || i == cols.len - 1)
                buf_printf(&got, " %lld=%g", (long long)cols.t[i], cols.v[i]);
        buf_putc(&got, '\n');
    }
    if (r < 0)
        fail_msg("%s", err.msg);
    q->ops->set_free(set);
    tsdb_querier_free(q);
    matcher_free(&m);
    arena_free(&a);
    sample_cols_free(&cols);
    assert_string_equal(buf_cstr(&got), want);
}

static unsigned count_blocks(void)
{
    Blocks all;
    assert_int_equal(db_blocks(db, INT64_MIN, INT64_MAX, &all, NULL), 0);
    unsigned n = (unsigned)all.len;
    blocks_release(&all);
    return n;
}

static void maintain(void)
{
    Err err = { 0 };
    if (tsdb_maintain(db, 100 * HOUR, &err) < 0)
        fail_msg("%s", err.msg);
}

/* ---- the head and its log ---- */

static void test_samples_are_there_also_after_a_restart(void **state)
{
    open_db();
    put("up", "a", 1000, 1);
    put("up", "b", 1000, 2);
    put("up", "a", 2000, 3);
    const char *want = "up{a}: 1000=1 2000=3\nup{b}: 1000=2\n";
    expect(0, 5000, "a|b", want);
    expect(1500, 5000, ".*", "up{a}: 2000=3\n");
    expect(0, 5000, "b.*", "up{b}: 1000=2\n");
    for (int i = 0; i < 3; i++) {
        open_db();
        expect(0, 5000, ".+", want);
    }
    put("up", "b", 3000, 4);
    expect(0, 5000, "b", "up{b}: 1000=2 3000=4\n");
}

static void test_refusals_have_their_reasons(void **state)
{
    open_db();
    assert_int_equal(put("up", "a", 2000, 1), APPEND_OK);
    assert_int_equal(put("up", "a", 1000, 1), APPEND_OUT_OF_ORDER);
    assert_int_equal(put("up", "a", 2000, 1), APPEND_OK);
    assert_int_equal(put("up", "a", 2000, 2), APPEND_DUPLICATE);
    assert_int_equal(put("up", "", 3000, 2), APPEND_INVALID);
    expect(0, 5000, ".*", "up{a}: 2000=1\n");
    assert_string_equal(append_result_text(APPEND_OUT_OF_ORDER), "out of order sample");
}

static void test_a_rolled_back_batch_leaves_nothing(void **state)
{
    Label buf[2];
    SeriesRef ref = 0;
    TsdbAppender *a;
    Err err = { 0 };
    open_db();
    assert_int_equal(tsdb_appender_new(db, &a, &err), 0);
    assert_int_equal(tsdb_append(a, &ref, labels_of("up", "a", buf), 1000, 1, &err), APPEND_OK);
    tsdb_appender_rollback(a);
    expect(0, 5000, ".*", "");
    /* The series is used again, and the log knows it then. */
    put("up", "a", 2000, 2);
    open_db();
    expect(0, 5000, ".*", "up{a}: 2000=2\n");
}

static void test_a_query_sees_whole_commits(void **state)
{
    Querier *q;
    SeriesSet *set;
    SampleCols cols;
    Labels l;
    Matcher m;
    Arena a;
    Err err = { 0 };
    arena_init(&a, 0);
    sample_cols_init(&cols);
    open_db();
    put("up", "a", 1000, 1);
    assert_int_equal(tsdb_querier_new(db, 0, 9000, &q, &err), 0);
    put("up", "a", 2000, 2);
    assert_int_equal(matcher_init(&m, MATCH_EQ, SV("job"), SV("a"), &a, &err), 0);
    const SelectHints hints = { .start = 0, .end = 9000 };
    assert_int_equal(q->ops->select(q, &hints, &m, 1, &set, &err), 0);
    assert_int_equal(q->ops->next(set, &l, &cols, &err), 1);
    assert_int_equal(cols.len, 1);
    assert_int_equal(cols.t[0], 1000);
    q->ops->set_free(set);
    tsdb_querier_free(q);
    matcher_free(&m);
    arena_free(&a);
    sample_cols_free(&cols);
}

static void test_sigkill_loses_nothing_acknowledged(void **state)
{
    for (int round = 0; round < 5; round++) {
        int pipe_fd[2];
        assert_int_equal(pipe(pipe_fd), 0);
        db = tsdb_close(db);
        pid_t pid = fork();
        if (pid == 0) {
            open_db();
            for (int i = 0;; i++) {
                int64_t t = (round * 100000LL + i) * 10;
                put("up", "a", t, (double)t);
                if (write(pipe_fd[1], &t, sizeof t) != sizeof t)
                    _exit(1);
            }
        }
        close(pipe_fd[1]);
        int64_t t, last = -1;
        for (int i = 0; i < 200 && read(pipe_fd[0], &t, sizeof t) == sizeof t; i++)
            last = t;
        kill(pid, SIGKILL);
        while (read(pipe_fd[0], &t, sizeof t) == sizeof t)
            last = t;
        close(pipe_fd[0]);
        waitpid(pid, NULL, 0);
        open_db();
        assert_true(last > 0 && db->head.max_time >= last);
    }
}

static void test_a_torn_log_is_cut_and_goes_on(void **state)
{
    char path[128];
    struct stat st;
    uint32_t first, last;
    open_db();
    put("up", "a", 1000, 1);
    put("up", "a", 2000, 2);
    db = tsdb_close(db);
    snprintf(path, sizeof path, "%s/wal", dir);
    assert_int_equal(wal_segments(path, &first, &last, NULL), 0);
    snprintf(path, sizeof path, "%s/wal/%08u", dir, last);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 3), 0);
    open_db();
    assert_int_equal(atomic_load(&db->wal_corruptions), 1);
    expect(0, 5000, ".*", "up{a}: 1000=1\n");
    put("up", "a", 3000, 3);
    open_db();
    assert_int_equal(atomic_load(&db->wal_corruptions), 0);
    expect(0, 5000, ".*", "up{a}: 1000=1 3000=3\n");
}

static void next_segment(void)
{
    Err err = { 0 };
    head_begin(&db->head);
    assert_int_equal(wal_next_segment(db->wal, &err), 0);
    head_end(&db->head);
}

/* The series' only record is damaged after it was read: what follows it is known all the same. */
static void test_damage_while_it_runs_costs_one_segment(void **state)
{
    char path[128];
    Err err = { 0 };
    open_db();
    uint32_t first = wal_segment(db->wal);
    for (int i = 1; i <= 3; i++) {
        put("m", "a", i * 1000, i);
        next_segment();
    }
    snprintf(path, sizeof path, "%s/wal/%08u", dir, first);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "\xff\xff", 2, 12), 2);
    close(fd);
    assert_int_equal(db_checkpoint(db, first + 2, 0, &err), 0);
    assert_int_equal(wal_truncate(db->wal_dir, first + 3, &err), 0);
    assert_int_equal(atomic_load(&db->wal_corruptions), 1);
    put("m", "a", 4000, 4);
    open_db();
    assert_int_equal(atomic_load(&db->wal_corruptions), 0);
    expect(0, 5000, ".*", "m{a}: 2000=2 3000=3 4000=4\n");
}

static void test_two_processes_do_not_share_a_folder(void **state)
{
    Tsdb *other;
    Err err = { 0 };
    open_db();
    assert_int_equal(tsdb_open(&options, &other, &err), -ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "in use by another process"));
}

/* ---- blocks ---- */

static void test_the_head_is_cut_and_nothing_is_missed(void **state)
{
    open_db();
    fill_two(HOUR);
    const char *want = "m{a}: 1200 0=0 17985000=17985\nm{b}: 960 3600000=0 17985000=14385\n";
    expect(0, 6 * HOUR, ".*", want);
    maintain();
    assert_int_equal(count_blocks(), 1);
    assert_int_equal(db->head.min_time, 2 * HOUR);
    expect(0, 6 * HOUR, ".*", want);
    open_db();
    assert_int_equal(count_blocks(), 1);
    expect(0, 6 * HOUR, ".*", want);
    expect(2 * HOUR - 15000, 2 * HOUR, "a", "m{a}: 7185000=7185 7200000=7200\n");
    /* Before the block's end nothing is taken any more. */
    assert_int_equal(put("new", "a", HOUR, 1), APPEND_OUT_OF_BOUNDS);
}

/* Half a block behind the newest sample a new series may begin, not before. */
static void test_far_behind_the_newest(void **state)
{
    open_db();
    assert_int_equal(put("m", "a", 240 * HOUR, 1), APPEND_OK);
    assert_int_equal(put("m", "b", 0, 1), APPEND_OUT_OF_BOUNDS);
    assert_int_equal(put("m", "b", 239 * HOUR - 1, 1), APPEND_OUT_OF_BOUNDS);
    assert_int_equal(put("m", "b", 239 * HOUR, 1), APPEND_OK);
    assert_int_equal(put("m", "a", 239 * HOUR + 1, 1), APPEND_OUT_OF_ORDER);
    assert_int_equal(put("m", "a", 0, 1), APPEND_OUT_OF_BOUNDS);
    expect(0, 241 * HOUR, ".*", "m{a}: 864000000=1\nm{b}: 860400000=1\n");
    TsdbStats stats;
    Arena arena;
    Err err = { 0 };
    arena_init(&arena, 0);
    assert_int_equal(tsdb_stats(db, 0, &arena, &stats, &err), 0);
    assert_int_equal(stats.chunks, 2);
    arena_free(&arena);
}

/* One chunk of slow samples covers several blocks' ranges. */
static void test_a_chunk_longer_than_a_block(void **state)
{
    open_db();
    for (int i = 0; i < 30; i++)
        put("slow", "a", i * HOUR / 2LL, i);
    const char *want = "slow{a}: 30 0=0 52200000=29\n";
    maintain();
    assert_true(count_blocks() >= 4);
    expect(0, 20 * HOUR, ".*", want);
    maintain();
    open_db();
    expect(0, 20 * HOUR, ".*", want);
}

static void test_blocks_are_compacted_and_expire(void **state)
{
    options.retention_ms = 100LL * HOUR;
    options.block_max_ms = 18LL * HOUR;
    open_db();
    for (int h = 0; h < 24; h++) {
        fill("m", "a", (int64_t)h * HOUR, 240);
        maintain();
    }
    /* 0-6, 6-12, 12-18 became 0-18; the rest waits. */
    expect(0, 30 * HOUR, ".*", "m{a}: 5760 0=0 86385000=3585\n");
    Blocks all;
    assert_int_equal(db_blocks(db, INT64_MIN, INT64_MAX, &all, NULL), 0);
    assert_int_equal(all.items[0]->meta.min, 0);
    assert_int_equal(all.items[0]->meta.max, 18 * HOUR);
    assert_int_equal(all.items[0]->meta.sources.len, 9);
    blocks_release(&all);
    tsdb_reconfigure(db, 1, 0, 0);
    maintain();
    assert_int_equal(count_blocks(), 1);
    tsdb_reconfigure(db, 0, 1, 0);
    maintain();
    assert_int_equal(count_blocks(), 0);
    /* All of it was counted. */
    TsdbStats n;
    assert_int_equal(tsdb_stats(db, 0, NULL, &n, NULL), 0);
    assert_true(n.time_retentions == 1 && n.size_retentions == 1 && n.retention_bytes == 1);
    assert_true(n.truncations >= 9 && n.checkpoints > 0 && n.checkpoints_failed == 0);
    assert_true(n.series_created == 1 && n.series_removed == 0);
    assert_int_equal(n.chunks_created - n.chunks_removed, n.chunks);
    assert_true(n.chunks_removed > 0);
    assert_true(n.truncations_failed == 0 && n.log_truncations == n.checkpoints);
    assert_int_equal(n.checkpoint_deletions, n.checkpoints);
    assert_int_equal(n.compactions_triggered, 26);
    assert_true(n.compactions > n.truncations && n.compactions_vertical == 0 && !n.populating);
    assert_int_equal(n.times.compactions.n, n.compactions);
    assert_int_equal(n.times.head_collections.n, n.truncations);
    assert_int_equal(n.times.log_truncations.n, n.log_truncations);
    assert_true(n.times.chunk_samples.n >= 9);
    assert_true(n.times.chunk_samples.sum >= 9 * 480 && n.times.chunk_bytes.sum > 0);
    assert_true(n.times.fsync.n > 0 && n.log_pages > 0 && n.log_flushes >= 24);
}

static void test_late_samples_are_taken_inside_the_window(void **state)
{
    options.out_of_order_ms = 10 * HOUR;
    open_db();
    fill("m", "a", 4LL * HOUR, 240);
    assert_int_equal(put("m", "a", 3 * HOUR, 33), APPEND_OK);
    assert_int_equal(put("m", "a", 2 * HOUR, 22), APPEND_OK);
    assert_int_equal(put("m", "a", -6 * HOUR, 1), APPEND_TOO_OLD);
    const char *want = "m{a}: 242 7200000=22 17985000=3585\n";
    expect(0, 6 * HOUR, ".*", want);
    open_db();
    expect(0, 6 * HOUR, ".*", want);
    fill("m", "a", 5LL * HOUR, 4 * 240);
    want = "m{a}: 1202 7200000=22 32385000=14385\n";
    maintain();
    expect(0, 10 * HOUR, ".*", want);
    assert_int_equal(put("m", "a", 2 * HOUR + 1, 23), APPEND_OK);
    db->late_cut = 0;
    maintain();
    want = "m{a}: 1203 7200000=22 32385000=14385\n";
    expect(0, 10 * HOUR, ".*", want);
    open_db();
    expect(0, 10 * HOUR, ".*", want);
}

static int note_sample(void *ctx, uint64_t ref, int64_t t, double v, Err *err)
{
    buf_printf(ctx, " %lld=%g", (long long)t, v);
    return 0;
}

static int note_record(void *ctx, uint32_t segment, StrView record, Err *err)
{
    _cleanup_arena_ Arena scratch;
    const WalHandler h = { .sample = note_sample, .ctx = ctx };
    arena_init(&scratch, 0);
    return wal_record_decode(record, &h, &scratch, err);
}

/* Remote write follows the log of all, in which late samples stand as they came; a restart takes
 * none of them twice, and of two at one time the first stays. */
static void test_late_samples_are_in_the_log_of_all_and_kept_once(void **state)
{
    _cleanup_buf_ Buf got = BUF_INIT;
    WalDamage damage;
    uint32_t first, last;
    Err err = { 0 };
    options.out_of_order_ms = HOUR;
    open_db();
    put("m", "a", 3000, 3);
    put("m", "a", 1000, 1);
    put("m", "a", 4000, 4);
    put("m", "a", 2000, 2);
    put("m", "a", 1000, 7);
    for (int i = 0; i < 3; i++) {
        expect(0, HOUR, ".*", "m{a}: 1000=1 2000=2 3000=3 4000=4\n");
        open_db();
    }
    assert_int_equal(wal_segments(db->wal_dir, &first, &last, &err), 0);
    assert_int_equal(wal_read(db->wal_dir, first, last, note_record, &got, &damage, &err), 0);
    assert_string_equal(buf_cstr(&got), " 3000=3 1000=1 4000=4 2000=2 1000=7");
}

/* The window ends at the newest sample of the head; before there is one, at the first of a batch.
 */
static void test_late_samples_are_taken_into_an_empty_head(void **state)
{
    Label buf[2];
    SeriesRef ref = 0;
    TsdbAppender *a;
    Err err = { 0 };
    options.out_of_order_ms = HOUR;
    open_db();
    assert_int_equal(tsdb_appender_new(db, &a, &err), 0);
    Labels l = labels_of("m", "a", buf);
    assert_int_equal(tsdb_append(a, &ref, l, 3 * HOUR, 3, &err), APPEND_OK);
    assert_int_equal(tsdb_append(a, &ref, l, 2 * HOUR, 2, &err), APPEND_OK);
    assert_int_equal(tsdb_append(a, &ref, l, 2 * HOUR - 1, 1, &err), APPEND_TOO_OLD);
    assert_int_equal(tsdb_appender_commit(a, &err), 0);
    expect(0, 4 * HOUR, ".*", "m{a}: 7200000=2 10800000=3\n");
}

/* Only in order: a series that goes on has its zero once, and none between its samples. */
static void test_what_is_counted_begins_with_zero(void **state)
{
    static const HistogramSpan span = { 1, 1 };
    double counts[] = { 3 };
    const Histogram h = { .count = 3,
                          .sum = 5,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .pos = counts,
                          .n_pos = 1,
                          .integer = true };
    Label buf[2];
    Err err = { 0 };
    options.out_of_order_ms = HOUR;
    open_db();
    for (int i = 0; i < 3; i++) {
        TsdbAppender *a;
        SeriesRef f = 0, g = 0;
        assert_int_equal(tsdb_appender_new(db, &a, &err), 0);
        Labels l = labels_of("f", "a", buf);
        assert_int_equal(tsdb_append_zero(a, &f, l, 1000, NULL, &err), APPEND_OK);
        assert_int_equal(tsdb_append(a, &f, l, 2000 + i, 7, &err), APPEND_OK);
        l = labels_of("h", "a", buf);
        assert_int_equal(tsdb_append_zero(a, &g, l, 1000, &h, &err), APPEND_OK);
        assert_int_equal(tsdb_append_histogram(a, &g, l, 2000 + i, &h, &err), APPEND_OK);
        assert_int_equal(tsdb_appender_commit(a, &err), 0);
    }
    for (int i = 0; i < 2; i++) {
        expect(0, 5000, ".*",
               "f{a}: 1000=0 2000=7 2001=7 2002=7\nh{a}: 1000=0 2000=5 2001=5 2002=5\n");
        open_db();
    }
}

/* ---- deleting ---- */

static void delete (int64_t start, int64_t end, const char *job)
{
    Matcher m;
    Arena a;
    Err err = { 0 };
    arena_init(&a, 0);
    assert_int_equal(matcher_init(&m, MATCH_EQ, SV("job"), sv_cstr(job), &a, &err), 0);
    const MatcherSet set = { &m, 1 };
    if (tsdb_delete(db, start, end, &set, 1, &err) < 0)
        fail_msg("%s", err.msg);
    matcher_free(&m);
    arena_free(&a);
}

static void test_deleted_samples_are_gone_for_good(void **state)
{
    Err err = { 0 };
    open_db();
    fill_two(0);
    maintain();
    delete (0, HOUR - 1, "a");
    delete (4LL * HOUR, INT64_MAX, "a");
    const char *want = "m{a}: 720 3600000=3600 14385000=14385\nm{b}: 1200 0=0 17985000=17985\n";
    expect(0, 6 * HOUR, ".*", want);
    open_db();
    expect(0, 6 * HOUR, ".*", want);
    assert_int_equal(tsdb_clean_tombstones(db, &err), 0);
    assert_int_equal(count_blocks(), 1);
    expect(0, 6 * HOUR, ".*", want);
    put("m", "a", 6 * HOUR, 1);
    expect(5 * HOUR, 7 * HOUR, "a", "m{a}: 21600000=1\n");
}

static void test_a_damaged_block_is_set_aside(void **state)
{
    char path[4200];
    Blocks all;
    open_db();
    fill("m", "a", 0, 5 * 240);
    maintain();
    assert_int_equal(db_blocks(db, INT64_MIN, INT64_MAX, &all, NULL), 0);
    snprintf(path, sizeof path, "%s/index", all.items[0]->dir);
    blocks_release(&all);
    db = tsdb_close(db);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && pwrite(fd, "x", 1, 20) == 1);
    close(fd);
    open_db();
    assert_int_equal(count_blocks(), 0);
    assert_int_equal(atomic_load(&db->reloads_failed), 1);
    /* The log has not been shortened yet: it still has what the block had. */
    expect(0, 6 * HOUR, ".*", "m{a}: 1200 0=0 17985000=17985\n");
}

static void test_a_snapshot_opens(void **state)
{
    char name[64], path[160];
    Err err = { 0 };
    open_db();
    fill("m", "a", 0, 5 * 240);
    maintain();
    assert_int_equal(tsdb_snapshot(db, true, name, &err), 0);
    snprintf(path, sizeof path, "%s/snapshots/%s", dir, name);
    db = tsdb_close(db);
    options.dir = path;
    open_db();
    options.dir = dir;
    assert_int_equal(count_blocks(), 2);
    expect(0, 6 * HOUR, ".*", "m{a}: 1200 0=0 17985000=17985\n");
}

/* ---- the rest ---- */

static void test_histograms_and_exemplars(void **state)
{
    static const HistogramSpan span = { 1, 2 };
    double counts[] = { 1, 2 };
    Histogram h = { .schema = 0,
                    .count = 3,
                    .sum = 5,
                    .pos_spans = &span,
                    .n_pos_spans = 1,
                    .pos = counts,
                    .n_pos = 2,
                    .integer = true };
    Label buf[2], trace = { SV("trace_id"), SV("x") };
    SeriesRef ref = 0;
    TsdbAppender *a;
    Err err = { 0 };
    open_db();
    assert_int_equal(tsdb_appender_new(db, &a, &err), 0);
    Labels l = labels_of("h", "a", buf);
    assert_int_equal(tsdb_append_histogram(a, &ref, l, 1000, &h, &err), APPEND_OK);
    assert_int_equal(tsdb_append(a, &ref, l, 2000, 7, &err), APPEND_OK);
    assert_int_equal(tsdb_append_histogram(a, &ref, l, 3000, &h, &err), APPEND_OK);
    assert_int_equal(tsdb_append(a, &ref, l, 4000, 8, &err), APPEND_OK);
    for (int i = 0; i < 5; i++) {
        Exemplar e = { { &trace, 1 }, i, 1000 + i };
        assert_int_equal(tsdb_append_exemplar(a, ref, &e, &err), APPEND_OK);
    }
    char text[130];
    memset(text, 'x', sizeof text);
    Label sizes[] = { { SV("id"), sv_n(text, 126) }, { SV("id"), sv_n(text, 127) } };
    Exemplar fits = { { &sizes[0], 1 }, 1, 1004 }, large = { { &sizes[1], 1 }, 1, 1004 };
    assert_int_equal(tsdb_append_exemplar(a, ref, &fits, &err), APPEND_OK);
    assert_int_equal(tsdb_append_exemplar(a, ref, &large, &err), APPEND_INVALID);
    assert_int_equal(tsdb_appender_commit(a, &err), 0);
    for (int i = 0; i < 2; i++) {
        expect(0, 5000, ".*", "h{a}: 1000=5 2000=7 3000=5 4000=8\n");
        open_db();
    }
    Matcher m;
    Arena arena;
    ExemplarSeries *list;
    size_t n;
    arena_init(&arena, 0);
    assert_int_equal(matcher_init(&m, MATCH_EQ, SV("job"), SV("a"), &arena, &err), 0);
    const MatcherSet set = { &m, 1 };
    assert_int_equal(tsdb_exemplars(db, 0, 5000, &set, 1, &arena, &list, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].len, 3); /* as many as are kept */
    assert_int_equal(list[0].items[2].t, 1004);
    matcher_free(&m);
    arena_free(&arena);
}

static void test_names_and_values(void **state)
{
    Querier *q;
    Arena a;
    StrView *texts;
    size_t n;
    Err err = { 0 };
    open_db();
    fill("m", "a", 0, 5 * 240);
    maintain();
    put("n", "b", 6 * HOUR, 1);
    arena_init(&a, 0);
    assert_int_equal(tsdb_querier_new(db, 0, 9 * HOUR, &q, &err), 0);
    assert_int_equal(q->ops->label_names(q, 0, 9 * HOUR, NULL, 0, &a, &texts, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_int_equal(q->ops->label_values(q, SV("job"), 0, 9 * HOUR, NULL, 0, &a, &texts, &n, &err),
                     0);
    assert_int_equal(n, 2);
    assert_sv(texts[0], "a");
    assert_sv(texts[1], "b");
    Matcher m;
    assert_int_equal(matcher_init(&m, MATCH_EQ, SV("__name__"), SV("n"), &a, &err), 0);
    assert_int_equal(q->ops->label_values(q, SV("job"), 0, 9 * HOUR, &m, 1, &a, &texts, &n, &err),
                     0);
    assert_int_equal(n, 1);
    assert_sv(texts[0], "b");
    matcher_free(&m);
    tsdb_querier_free(q);
    TsdbStats s;
    assert_int_equal(tsdb_stats(db, 10, &a, &s, &err), 0);
    assert_int_equal(s.series, 2);
    assert_int_equal(s.blocks, 1);
    assert_int_equal(s.n_series_by_pair, 4);
    assert_int_equal(s.series_by_pair[3].value, 1);
    arena_free(&a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_samples_are_there_also_after_a_restart),
        T(test_refusals_have_their_reasons),
        T(test_a_rolled_back_batch_leaves_nothing),
        T(test_a_query_sees_whole_commits),
        T(test_sigkill_loses_nothing_acknowledged),
        T(test_a_torn_log_is_cut_and_goes_on),
        T(test_damage_while_it_runs_costs_one_segment),
        T(test_two_processes_do_not_share_a_folder),
        T(test_the_head_is_cut_and_nothing_is_missed),
        T(test_far_behind_the_newest),
        T(test_a_chunk_longer_than_a_block),
        T(test_blocks_are_compacted_and_expire),
        T(test_late_samples_are_taken_inside_the_window),
        T(test_late_samples_are_in_the_log_of_all_and_kept_once),
        T(test_late_samples_are_taken_into_an_empty_head),
        T(test_what_is_counted_begins_with_zero),
        T(test_deleted_samples_are_gone_for_good),
        T(test_a_damaged_block_is_set_aside),
        T(test_a_snapshot_opens),
        T(test_histograms_and_exemplars),
        T(test_names_and_values),
    };
    log_init("test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
