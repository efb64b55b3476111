/* test_engine.c - what the store makes of an engine that fails, stalls and tears; and what both
 * engines must do alike: history after a start, expiry beside writes. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "memory_engine.h"
#include "store/store.h"

static char dir[64];

static int setup(void **state)
{
    memory_engine_reset();
    strcpy(dir, "/tmp/knarr-test-engine-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    memory_engine_reset();
    return rm_rf(AT_FDCWD, dir);
}

static Store *open_with(const StoreEngine *engine)
{
    Store *s = NULL;
    Err err = { 0 };
    StoreConfig cfg = { .engine = engine };
    if (store_open(dir, &cfg, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static int try(Store *s, StoreOpKind kind, const char *key, const char *val, int64_t ttl, Err *err)
{
    StoreOp op = { kind, sv_cstr(key), STORE_ANY_REV, sv_cstr(val), SV_NULL, ttl };
    *err = (Err){ 0 };
    return store_commit_sync(s, &op, 1, NULL, err);
}

static void put(Store *s, const char *key, const char *val)
{
    Err err;
    if (try(s, STORE_PUT, key, val, 0, &err) < 0)
        fail_msg("%s", err.msg);
}

static void del(Store *s, const char *key)
{
    Err err;
    if (try(s, STORE_DELETE, key, "", 0, &err) < 0)
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

static void test_a_failed_write_leaves_no_trace(void **state)
{
    Store *s = open_with(&engine_memory);
    Err err;
    put(s, "a", "1");
    uint64_t rev = store_revision(s);
    memory_disk.fault = MEMORY_FAIL;
    memory_disk.sys = EIO;
    assert_int_equal(try(s, STORE_PUT, "a", "2", 0, &err), -ERR_SYS);
    assert_int_equal(err.sys, EIO);
    assert_int_equal(store_revision(s), rev);
    assert_value(s, "a", "1");
    memory_disk.fault = MEMORY_FINE;
    put(s, "a", "3");
    assert_int_equal(store_revision(s), rev + 1);
    store_close(s);
    s = open_with(&engine_memory);
    assert_value(s, "a", "3");
    store_close(s);
}

static void test_deletions_go_on_while_there_is_no_room(void **state)
{
    Store *s = open_with(&engine_memory);
    Err err;
    put(s, "a", "1");
    memory_disk.fault = MEMORY_FAIL;
    memory_disk.sys = ENOSPC;
    memory_disk.puts_only = true;
    assert_int_equal(try(s, STORE_PUT, "b", "1", 0, &err), -ERR_SYS);
    StoreOp mark = {
        .kind = STORE_PUT, .key = SV("a"), .if_rev = STORE_ANY_REV, .val = SV("2"), .frees = true
    };
    assert_int_equal(store_commit_sync(s, &mark, 1, NULL, &err), 0);
    assert_value(s, "a", "2");
    StoreOp both[] = { mark, { .kind = STORE_PUT, .key = SV("c"), .val = SV("1") } };
    assert_int_equal(store_commit_sync(s, both, 2, NULL, &err), -ERR_SYS);
    del(s, "a");
    assert_value(s, "a", NULL);
    store_close(s);
}

static void note_done(void *ctx, uint64_t rev, ObjectRev *obj, const Err *err)
{
    atomic_fetch_add((atomic_int *)ctx, err ? 100 : 1);
}

/* While the disk stalls, readers see the old state; what waits becomes one transaction. */
static void test_a_stalled_engine_stops_no_reader(void **state)
{
    Store *s = open_with(&engine_memory);
    Err err = { 0 };
    atomic_int done = 0;
    char key[16];
    put(s, "a", "1");
    unsigned before = memory_disk.submits;
    memory_engine_stall(true);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        StoreOp op = { STORE_PUT, sv_cstr(key), STORE_ANY_REV, SV("v"), SV_NULL, 0 };
        assert_int_equal(store_commit(s, &op, 1, note_done, &done, &err), 0);
        if (i == 0)
            memory_engine_wait();
    }
    assert_value(s, "a", "1");
    assert_value(s, "k0", NULL);
    assert_int_equal(atomic_load(&done), 0);
    memory_engine_stall(false);
    put(s, "last", "1"); /* answered behind the others */
    assert_int_equal(atomic_load(&done), 50);
    assert_in_range(memory_disk.submits - before, 2, 4);
    store_close(s);
}

static void test_a_torn_batch_is_cut_and_said(void **state)
{
    Store *s = open_with(&engine_memory);
    Err err;
    put(s, "a", "1");
    uint64_t rev = store_revision(s);
    memory_disk.fault = MEMORY_TEAR;
    memory_disk.sys = EIO;
    assert_int_equal(try(s, STORE_PUT, "a", "2", 0, &err), -ERR_SYS);
    assert_int_equal(try(s, STORE_PUT, "a", "3", 0, &err), -ERR_SYS);
    assert_value(s, "a", "1");
    store_close(s);
    s = open_with(&engine_memory);
    assert_non_null(store_note(s));
    assert_value(s, "a", "1");
    assert_int_equal(store_revision(s), rev);
    put(s, "a", "4");
    store_close(s);
}

/* What a watch that began at `from` is told: "key=old>new" for each event. */
static void tell(Store *s, uint64_t from, Buf *out)
{
    StoreEvent ev[STORE_OPS_MAX];
    size_t n = 1;
    Err err = { 0 };
    while (n) {
        if (store_events(s, SV(""), &from, ev, STORE_OPS_MAX, &n, &err) < 0)
            fail_msg("%s", err.msg);
        for (size_t i = 0; i < n; i++) {
            StrView key = (ev[i].obj ? ev[i].obj : ev[i].prev)->key;
            StrView was = ev[i].prev ? ev[i].prev->val : SV("-");
            StrView is = ev[i].obj ? ev[i].obj->val : SV("-");
            buf_printf(out, "%llu %.*s=%.*s>%.*s\n", (unsigned long long)ev[i].rev, SV_FMT(key),
                       SV_FMT(was), SV_FMT(is));
        }
        store_events_release(ev, n);
    }
}

static void tell_states(Store *s, uint64_t from, Buf *out)
{
    for (uint64_t rev = from; rev <= store_revision(s); rev++) {
        Snapshot *sn;
        Err err = { 0 };
        SnapshotIter it;
        if (store_snapshot_at(s, rev, &sn, &err) < 0)
            fail_msg("%s", err.msg);
        buf_printf(out, "%llu:", (unsigned long long)rev);
        snapshot_iter(sn, SV_NULL, SV_NULL, &it);
        for (ObjectRev *o; (o = snapshot_next(&it));)
            buf_printf(out, " %.*s=%.*s", SV_FMT(o->key), SV_FMT(o->val));
        buf_printf(out, "\n");
        snapshot_unref(sn);
    }
}

static void history_goes_on(const StoreEngine *engine)
{
    _cleanup_buf_ Buf before = BUF_INIT, after = BUF_INIT;
    Err err = { 0 };
    Store *s = open_with(engine);
    uint64_t from = store_revision(s);
    put(s, "a", "1");
    put(s, "b", "1");
    put(s, "a", "2");
    StoreOp ops[] = { { STORE_PUT, SV("c"), 0, SV("1"), SV_NULL, 0 },
                      { STORE_DELETE, SV("b"), STORE_ANY_REV, SV_NULL, SV_NULL, 0 },
                      { STORE_PUT, SV("a"), STORE_ANY_REV, SV("3"), SV_NULL, 0 } };
    assert_int_equal(store_commit_sync(s, ops, 3, NULL, &err), 0);
    del(s, "a");
    put(s, "b", "2");
    del(s, "b");
    tell(s, from, &before);
    tell_states(s, from, &before);
    store_close(s);
    for (int i = 0; i < 2; i++) {
        buf_clear(&after);
        s = open_with(engine);
        tell(s, from, &after);
        tell_states(s, from, &after);
        assert_sv(buf_view(&after), buf_cstr(&before));
        store_close(s);
    }
    s = open_with(engine);
    put(s, "d", "1"); /* and it goes on from there */
    store_close(s);
    s = open_with(engine);
    buf_clear(&after);
    tell(s, from, &after);
    assert_true(sv_find(buf_view(&after), SV("d=->1")) > 0);
    assert_true(sv_find(buf_view(&after), SV("a=3>-")) > 0);
    store_close(s);
}

static void test_history_is_there_after_a_start(void **state)
{
    history_goes_on(NULL);
}

static void test_history_is_there_after_a_start_in_memory(void **state)
{
    history_goes_on(&engine_memory);
}

/* The engine keeps 16 MB; memory is asked to keep more here. */
static void test_kept_history_is_bounded(void **state)
{
    enum { SIZE = 100 * 1000, WRITES = 400 };
    StoreConfig cfg = { .history_bytes = 512 * 1024 * 1024 };
    static char val[SIZE + 1];
    Store *s = NULL;
    Err err = { 0 };
    struct stat st;
    char path[128];
    assert_int_equal(store_open(dir, &cfg, &s, &err), 0);
    memset(val, 'x', SIZE);
    for (int i = 0; i < WRITES; i++)
        put(s, "big", val);
    uint64_t rev = store_revision(s), pos = rev - 100, old = 2;
    store_close(s);
    assert_int_equal(store_open(dir, &cfg, &s, &err), 0);
    StoreEvent ev[STORE_OPS_MAX];
    size_t n;
    assert_int_equal(store_events(s, SV(""), &pos, ev, STORE_OPS_MAX, &n, &err), 0);
    assert_int_equal(n, STORE_OPS_MAX);
    store_events_release(ev, n);
    assert_int_equal(store_events(s, SV(""), &old, ev, STORE_OPS_MAX, &n, &err), -ERR_GONE);
    store_close(s);
    snprintf(path, sizeof path, "%s/state.db", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 0, 60 * 1000 * 1000);
}

/* Somebody writes all the time: what has expired goes nevertheless, some with each batch. */
static void test_expiry_is_not_put_off_by_writes(void **state)
{
    enum { DUE = 300 };
    Store *s = open_with(&engine_memory);
    char key[32];
    Err err;
    for (int i = 0; i < DUE; i++) {
        snprintf(key, sizeof key, "/events/%d", i);
        assert_int_equal(try(s, STORE_PUT, key, "x", 1, &err), 0);
    }
    int64_t deadline = clock_mono_ns() + 20 * NSEC_PER_SEC;
    for (size_t left = DUE; left;) {
        assert_true(clock_mono_ns() < deadline);
        put(s, "busy", "x");
        Snapshot *sn = store_snapshot(s);
        left = snapshot_count(sn, SV("/events/"));
        snapshot_unref(sn);
        usleep(1000);
    }
    store_close(s);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_failed_write_leaves_no_trace),   T(test_deletions_go_on_while_there_is_no_room),
        T(test_a_stalled_engine_stops_no_reader), T(test_a_torn_batch_is_cut_and_said),
        T(test_history_is_there_after_a_start),   T(test_history_is_there_after_a_start_in_memory),
        T(test_kept_history_is_bounded),          T(test_expiry_is_not_put_off_by_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
