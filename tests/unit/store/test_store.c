/* test_store.c - transactions, snapshots, events, expiry, crash and damage of the store. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/crc32c.h"
#include "store/cache.h"
#include "store/store.h"

static char dir[64];

static int setup(void **state)
{
    strcpy(dir, "/tmp/knarr-test-store-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return rm_rf(AT_FDCWD, dir);
}

static Store *open_store(void)
{
    Store *s = NULL;
    Err err = { 0 };
    if (store_open(dir, NULL, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static int put_err(Store *s, const char *key, const char *val, uint64_t if_rev, uint64_t *rev,
                   Err *err)
{
    StoreOp op = { STORE_PUT, sv_cstr(key), if_rev, sv_cstr(val), SV_NULL, 0 };
    return store_commit_sync(s, &op, 1, rev, err);
}

static uint64_t put(Store *s, const char *key, const char *val)
{
    uint64_t rev = 0;
    Err err = { 0 };
    if (put_err(s, key, val, STORE_ANY_REV, &rev, &err) < 0)
        fail_msg("%s", err.msg);
    return rev;
}

static void del(Store *s, const char *key)
{
    StoreOp op = { STORE_DELETE, sv_cstr(key), STORE_ANY_REV, SV_NULL, SV_NULL, 0 };
    Err err = { 0 };
    if (store_commit_sync(s, &op, 1, NULL, &err) < 0)
        fail_msg("%s", err.msg);
}

static void assert_value(Store *s, const char *key, const char *want)
{
    Snapshot *sn = store_snapshot(s);
    ObjectRev *o = snapshot_get(sn, sv_cstr(key));
    if (want) {
        assert_non_null(o);
        assert_sv(o->val, want);
    } else
        assert_null(o);
    snapshot_unref(sn);
}

static void test_crc32c_known_answer(void **state)
{
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_preconditions(void **state)
{
    Store *s = open_store();
    Err err = { 0 };
    uint64_t r1, r2;
    assert_int_equal(put_err(s, "a", "1", 0, &r1, &err), 0);
    assert_int_equal(put_err(s, "a", "2", 0, &r2, &err), -ERR_EXISTS);
    assert_int_equal(put_err(s, "a", "2", r1 + 1, &r2, &err), -ERR_CONFLICT);
    assert_int_equal(put_err(s, "b", "2", 7, &r2, &err), -ERR_NOT_FOUND);
    assert_int_equal(put_err(s, "a", "2", r1, &r2, &err), 0);
    assert_int_equal(r2, r1 + 1);
    StoreOp op = { STORE_DELETE, SV("zz"), STORE_ANY_REV, SV_NULL, SV_NULL, 0 };
    assert_int_equal(store_commit_sync(s, &op, 1, NULL, &err), -ERR_NOT_FOUND);
    assert_value(s, "a", "2");
    store_close(s);
}

static void test_transaction_is_all_or_nothing(void **state)
{
    Store *s = open_store();
    put(s, "have", "1");
    StoreOp ops[] = {
        { STORE_PUT, SV("x"), 0, SV("1"), SV_NULL, 0 },
        { STORE_PUT, SV("y"), 0, SV("1"), SV_NULL, 0 },
        { STORE_CHECK, SV("have"), 0, SV_NULL, SV_NULL, 0 },
    };
    Err err = { 0 };
    assert_int_equal(store_commit_sync(s, ops, 3, NULL, &err), -ERR_EXISTS);
    assert_value(s, "x", NULL);
    uint64_t rev;
    assert_int_equal(store_commit_sync(s, ops, 2, &rev, &err), 0);
    assert_value(s, "y", "1");
    store_close(s);
}

static void test_limits(void **state)
{
    Store *s = open_store();
    Err err = { 0 };
    static char big[STORE_VALUE_MAX + 1];
    StoreOp op = { STORE_PUT, SV("k"), STORE_ANY_REV, sv_n(big, STORE_VALUE_MAX), SV_NULL, 0 };
    assert_int_equal(store_commit_sync(s, &op, 1, NULL, &err), 0);
    op.val = sv_n(big, STORE_VALUE_MAX + 1);
    assert_int_equal(store_commit_sync(s, &op, 1, NULL, &err), -ERR_LIMIT);
    op = (StoreOp){ STORE_PUT, sv_n(big, STORE_KEY_MAX + 1), STORE_ANY_REV, SV("v"), SV_NULL, 0 };
    assert_int_equal(store_commit_sync(s, &op, 1, NULL, &err), -ERR_LIMIT);
    store_close(s);
}

static void test_iteration_and_counts(void **state)
{
    Store *s = open_store();
    char key[32];
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "/pods/%03d", (i * 7) % 300);
        put(s, key, "x");
    }
    put(s, "/pod", "x");
    put(s, "/podsx", "x");
    Snapshot *sn = store_snapshot(s);
    assert_int_equal(snapshot_count(sn, SV("/pods/")), 300);
    assert_int_equal(snapshot_count(sn, SV("")), 302);
    SnapshotIter it;
    snapshot_iter(sn, SV("/pods/"), SV("/pods/100"), &it);
    int n = 100;
    for (ObjectRev *o; (o = snapshot_next(&it)); n++) {
        snprintf(key, sizeof key, "/pods/%03d", n);
        assert_sv(o->key, key);
    }
    assert_int_equal(n, 300);
    snapshot_unref(sn);
    store_close(s);
}

typedef struct Chosen {
    char key[16];
    uint32_t prio;
    int before, run; /* the longest rising run that ends here */
} Chosen;

/* Of many names the longest run that rises in both name and stable hash: once a path of a tree
 * without branches. Returns how many; chosen[...].run > 0 marks them. */
static size_t choose_keys(Chosen *all, int n)
{
    int best = 0, *tails = calloc((size_t)n, sizeof *tails), len = 0;
    for (int i = 0; i < n; i++) {
        snprintf(all[i].key, sizeof all[i].key, "/x/%07d", i);
        all[i].prio = (uint32_t)sv_hash_stable(sv_cstr(all[i].key));
        int lo = 0, hi = len;
        while (lo < hi) {
            int mid = (lo + hi) / 2;
            if (all[tails[mid]].prio < all[i].prio)
                lo = mid + 1;
            else
                hi = mid;
        }
        all[i].before = lo ? tails[lo - 1] : -1;
        tails[lo] = i;
        len = MAX(len, lo + 1);
    }
    best = tails[len - 1];
    free(tails);
    for (int i = best; i >= 0; i = all[i].before)
        all[i].run = 1;
    return (size_t)len;
}

static void test_chosen_names_make_no_deep_tree(void **state)
{
    enum { NAMES = 60000 };
    Chosen *all = calloc(NAMES, sizeof *all);
    size_t want = choose_keys(all, NAMES), n = 0;
    assert_true(want > 300);
    Store *s = open_store();
    for (int i = 0; i < NAMES; i++)
        if (all[i].run)
            put(s, all[i].key, "x");
    Snapshot *sn = store_snapshot(s);
    SnapshotIter it;
    unsigned deepest = 0;
    snapshot_iter(sn, SV("/x/"), SV_NULL, &it);
    for (; snapshot_next(&it); n++)
        deepest = MAX(deepest, it.depth);
    assert_int_equal(n, want);
    assert_in_range(deepest, 1, 60);
    snapshot_unref(sn);
    store_close(s);
    free(all);
}

/* A tree of any depth is walked whole: here a list, built by hand. */
static void test_a_walk_asserts_nothing_about_depth(void **state)
{
    enum { DEEP = 1000 };
    TreeNode *root = NULL;
    char key[16];
    for (int i = DEEP - 1; i >= 0; i--) {
        snprintf(key, sizeof key, "%04d", i % 2 ? i : DEEP * 2 - i);
        TreeNode *n = calloc(1, sizeof *n);
        n->refs = 1;
        n->obj = object_rev_new(sv_cstr(key), SV_NULL, SV_NULL);
        *(i % 2 ? &n->right : &n->left) = root;
        root = n;
    }
    Snapshot *sn = snapshot_new(root, 1);
    SnapshotIter it;
    snapshot_iter(sn, SV_NULL, SV_NULL, &it);
    int n = 0;
    char last[16] = "";
    for (ObjectRev *o; (o = snapshot_next(&it)); n++) {
        assert_true(sv_cmp(sv_cstr(last), o->key) < 0);
        sv_copy_cstr(o->key, last, sizeof last);
    }
    assert_int_equal(n, DEEP);
    snapshot_unref(sn);
}

static void test_snapshots_do_not_change(void **state)
{
    Store *s = open_store();
    uint64_t rev = put(s, "a", "1");
    Snapshot *before = store_snapshot(s);
    put(s, "a", "2");
    del(s, "a");
    assert_sv(snapshot_get(before, SV("a"))->val, "1");
    Snapshot *at = NULL;
    Err err = { 0 };
    assert_int_equal(store_snapshot_at(s, rev + 1, &at, &err), 0);
    assert_sv(snapshot_get(at, SV("a"))->val, "2");
    snapshot_unref(at);
    assert_int_equal(store_snapshot_at(s, rev, &at, &err), 0);
    assert_sv(snapshot_get(at, SV("a"))->val, "1");
    snapshot_unref(at);
    assert_int_equal(store_snapshot_at(s, rev + 100, &at, &err), -ERR_INVALID);
    store_close(s);
    assert_sv(snapshot_get(before, SV("a"))->val, "1"); /* outlives the store */
    snapshot_unref(before);
}

static void test_events_in_order_then_gone(void **state)
{
    StoreConfig cfg = { .history_bytes = 8000 };
    Store *s = NULL;
    Err err = { 0 };
    assert_int_equal(store_open(dir, &cfg, &s, &err), 0);
    uint64_t pos = store_revision(s), start = pos;
    put(s, "a", "1");
    put(s, "a", "2");
    del(s, "a");
    StoreEvent ev[STORE_OPS_MAX];
    size_t n;
    assert_int_equal(store_events(s, SV(""), &pos, ev, STORE_OPS_MAX, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_null(ev[0].prev);
    assert_sv(ev[1].prev->val, "1");
    assert_sv(ev[1].obj->val, "2");
    assert_null(ev[2].obj);
    assert_int_equal(pos, start + 3);
    store_events_release(ev, n);
    for (int i = 0; i < 100; i++)
        put(s, "b", "value");
    assert_int_equal(store_events(s, SV(""), &start, ev, STORE_OPS_MAX, &n, &err), -ERR_GONE);
    Snapshot *sn;
    assert_int_equal(store_snapshot_at(s, start, &sn, &err), -ERR_GONE);
    store_close(s);
}

static void test_everything_is_there_after_reopening(void **state)
{
    Store *s = open_store();
    put(s, "a", "1");
    put(s, "b", "2");
    del(s, "a");
    uint64_t rev = store_revision(s);
    store_close(s);
    s = open_store();
    assert_int_equal(store_revision(s), rev);
    assert_value(s, "a", NULL);
    assert_value(s, "b", "2");
    assert_int_equal(put(s, "c", "3"), rev + 1);
    store_close(s);
}

static void test_second_opener_is_refused(void **state)
{
    Store *s = open_store(), *t = NULL;
    Err err = { 0 };
    assert_int_equal(store_open(dir, NULL, &t, &err), -ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "in use by another process"));
    store_close(s);
}

static void test_expired_objects_are_deleted(void **state)
{
    Store *s = open_store();
    StoreOp op = { STORE_PUT, SV("e"), 0, SV("x"), SV_NULL, 1 };
    Err err = { 0 };
    assert_int_equal(store_commit_sync(s, &op, 1, NULL, &err), 0);
    int64_t deadline = clock_mono_ns() + 20 * NSEC_PER_SEC;
    for (bool gone = false; !gone;) {
        assert_true(clock_mono_ns() < deadline);
        Snapshot *sn = store_snapshot(s);
        gone = !snapshot_get(sn, SV("e"));
        snapshot_unref(sn);
        usleep(20000);
    }
    store_close(s);
}

static void damage(const char *sql)
{
    char path[128];
    snprintf(path, sizeof path, "%s/state.db", dir);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_flipped_row_is_named_and_refused(void **state)
{
    Store *s = open_store();
    put(s, "good", "1");
    put(s, "bad-row", "1");
    store_close(s);
    damage("UPDATE kv SET val=x'32' WHERE key=CAST('bad-row' AS BLOB)");
    Err err = { 0 };
    assert_int_equal(store_open(dir, NULL, &s, &err), -ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "bad-row"));
}

static void test_truncated_file_is_refused(void **state)
{
    Store *s = open_store();
    char key[32];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        put(s, key, "some value that takes up a little room in the file");
    }
    store_close(s);
    char path[128];
    snprintf(path, sizeof path, "%s/state.db", dir);
    assert_int_equal(truncate(path, 8192), 0);
    Err err = { 0 };
    assert_int_equal(store_open(dir, NULL, &s, &err), -ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "state.db"));
}

static void test_newer_format_is_refused(void **state)
{
    store_close(open_store());
    damage("UPDATE meta SET value=99 WHERE name='format'");
    Store *s;
    Err err = { 0 };
    assert_int_equal(store_open(dir, NULL, &s, &err), -ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "format 99"));
}

/* The revision lives in the newest row, or by itself where the newest change was a deletion. */
static void test_the_revision_survives_a_restart(void **state)
{
    Store *s = open_store();
    StoreOp del = { STORE_DELETE, SV("b"), STORE_ANY_REV, SV_NULL, SV_NULL, 0 };
    Err err = { 0 };
    put(s, "a", "1");
    uint64_t rev = put(s, "b", "1");
    store_close(s);
    s = open_store();
    assert_int_equal(store_revision(s), rev);
    assert_int_equal(store_commit_sync(s, &del, 1, NULL, &err), 0);
    rev = store_revision(s);
    store_close(s);
    s = open_store();
    assert_int_equal(store_revision(s), rev);
    assert_true(put(s, "c", "1") > rev);
    store_close(s);
}

static void test_format_1_is_brought_up_to_date(void **state)
{
    Store *s = open_store();
    uint64_t rev = put(s, "a", "1");
    store_close(s);
    damage("CREATE TABLE old(key BLOB PRIMARY KEY, mod_rev INTEGER NOT NULL,"
           " create_rev INTEGER NOT NULL, expires INTEGER NOT NULL, crc INTEGER NOT NULL,"
           " val BLOB NOT NULL) WITHOUT ROWID;"
           "INSERT INTO old SELECT key,mod_rev,create_rev,expires,crc,val FROM kv;"
           "DROP TABLE kv; ALTER TABLE old RENAME TO kv;"
           "UPDATE meta SET value=1 WHERE name='format'");
    for (int i = 0; i < 2; i++) { /* once to bring it up, once to see that it stays */
        s = open_store();
        Snapshot *sn = store_snapshot(s);
        ObjectRev *o = snapshot_get(sn, SV("a"));
        assert_non_null(o);
        assert_int_equal(o->mod_rev, rev);
        assert_sv(o->val, "1");
        snapshot_unref(sn);
        store_close(s);
    }
}

/* A folder, a link to nowhere, a pipe in the place of the reserve: no full disk. */
static void test_what_stands_in_the_place_of_the_reserve(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "%s/reserve", dir);
    for (int i = 0; i < 3; i++) {
        store_close(open_store());
        assert_int_equal(unlink(path), 0);
        assert_int_equal(i == 0   ? mkdir(path, 0700)
                         : i == 1 ? symlink("/nowhere/at/all", path)
                                  : mkfifo(path, 0600),
                         0);
        Store *s = open_store();
        put(s, "a", "1");
        store_close(s);
        struct stat st;
        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISREG(st.st_mode) && st.st_size >= 4 * 1024 * 1024);
    }
}

static void test_backup_opens(void **state)
{
    Store *s = open_store();
    put(s, "a", "1");
    char path[128];
    snprintf(path, sizeof path, "%s/copy", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    strcat(path, "/state.db");
    Err err = { 0 };
    assert_int_equal(store_backup(s, path, &err), 0);
    assert_int_equal(store_backup(s, path, &err), -ERR_EXISTS);
    put(s, "a", "2");
    store_close(s);
    *strrchr(path, '/') = 0;
    assert_int_equal(store_open(path, NULL, &s, &err), 0);
    assert_value(s, "a", "1");
    store_close(s);
}

/* A child writes and reports every acknowledged revision; it is killed at some point; what it
 * reported must be there. */
static void test_sigkill_loses_nothing_acknowledged(void **state)
{
    unsigned last = 0;
    for (int round = 0; round < 10; round++) {
        int p[2];
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        if (pid == 0) {
            Store *s = open_store();
            for (unsigned i = last + 1;; i++) {
                char val[16];
                snprintf(val, sizeof val, "%u", i);
                put(s, "counter", val);
                if (write(p[1], &i, sizeof i) < 0)
                    _exit(1);
            }
        }
        close(p[1]);
        for (int i = 0; i < 20 + round; i++)
            assert_int_equal(fd_read_full(p[0], &last, sizeof last), 0);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (fd_read_full(p[0], &last, sizeof last) == 0)
            ;
        close(p[0]);
        Store *s = open_store();
        Snapshot *sn = store_snapshot(s);
        uint64_t found = 0;
        assert_int_equal(sv_to_u64(snapshot_get(sn, SV("counter"))->val, &found), 0);
        assert_true(found == last || found == last + 1); /* durable, but not yet reported */
        last = (unsigned)found;
        snapshot_unref(sn);
        store_close(s);
    }
}

static bool is_marked(StrView key)
{
    return sv_starts(key, SV("/m/"));
}

static void test_the_last_write_of_a_marked_key_is_known(void **state)
{
    StoreConfig cfg = { .marks = is_marked };
    Store *s = NULL;
    Err err = { 0 };
    assert_int_equal(store_open(dir, &cfg, &s, &err), 0);
    put(s, "/other", "1");
    assert_int_equal(store_marked(s), 0);
    uint64_t rev = put(s, "/m/a", "1");
    assert_int_equal(store_marked(s), rev);
    put(s, "/other", "2");
    assert_int_equal(store_marked(s), rev);
    assert_int_equal(put_err(s, "/m/a", "2", 0, NULL, &err), -ERR_EXISTS);
    assert_int_equal(store_marked(s), rev);
    del(s, "/m/a");
    assert_int_equal(store_marked(s), store_revision(s));
    store_close(s);
}

enum { AWAITED = 500 };

static void count_done(void *ctx, uint64_t rev, ObjectRev *obj, const Err *err)
{
    ++*(unsigned *)ctx; /* read once store_wait() has returned: no lock */
}

static void test_waiting_ends_when_all_that_was_handed_in_is_done(void **state)
{
    Store *s = open_store();
    Err err = { 0 };
    unsigned n = 0;
    store_wait(s); /* nothing is */
    for (int i = 0; i < AWAITED; i++) {
        char key[32];
        snprintf(key, sizeof key, "/k/%d", i % 7); /* some are refused */
        StoreOp op = { STORE_PUT, sv_cstr(key), 0, SV("v"), SV_NULL, 0 };
        assert_int_equal(store_commit(s, &op, 1, count_done, &n, &err), 0);
    }
    store_wait(s);
    assert_int_equal(n, AWAITED);
    store_close(s);
}

typedef struct Published {
    atomic_bool inside, cleared;
    atomic_uint n;
} Published;

static void slow_published(void *ctx)
{
    Published *p = ctx;
    ASSERT(!atomic_load(&p->cleared));
    atomic_store(&p->inside, true);
    usleep(20 * 1000);
    atomic_fetch_add(&p->n, 1);
    atomic_store(&p->inside, false);
}

static void test_who_hears_of_writes_is_gone_once_taken_back(void **state)
{
    Store *s = open_store();
    Published p = { 0 };
    store_on_publish(s, slow_published, &p);
    put(s, "/a", "1"); /* done comes before the news of it */
    while (!atomic_load(&p.inside) && !atomic_load(&p.n))
        usleep(100);
    store_on_publish(s, NULL, NULL);
    assert_false(atomic_load(&p.inside));
    atomic_store(&p.cleared, true);
    put(s, "/a", "2");
    store_wait(s);
    assert_int_equal(atomic_load(&p.n), 1);
    store_close(s);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_crc32c_known_answer),
        T(test_preconditions),
        T(test_transaction_is_all_or_nothing),
        T(test_limits),
        T(test_iteration_and_counts),
        T(test_chosen_names_make_no_deep_tree),
        T(test_a_walk_asserts_nothing_about_depth),
        T(test_snapshots_do_not_change),
        T(test_events_in_order_then_gone),
        T(test_everything_is_there_after_reopening),
        T(test_second_opener_is_refused),
        T(test_expired_objects_are_deleted),
        T(test_flipped_row_is_named_and_refused),
        T(test_truncated_file_is_refused),
        T(test_newer_format_is_refused),
        T(test_the_revision_survives_a_restart),
        T(test_format_1_is_brought_up_to_date),
        T(test_what_stands_in_the_place_of_the_reserve),
        T(test_what_stands_in_the_place_of_the_reserve),
        T(test_backup_opens),
        T(test_the_last_write_of_a_marked_key_is_known),
        T(test_waiting_ends_when_all_that_was_handed_in_is_done),
        T(test_who_hears_of_writes_is_gone_once_taken_back),
        T(test_sigkill_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
