/* test_upgrade.c - stores that older programs left: formats 2 and 3, each written by the program
 * that knew it, and killed. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "store/store.h"

enum { FILES_MAX = 1 << 20 };

static char dir[64];

static int setup(void **state)
{
    strcpy(dir, "/tmp/knarr-test-upgrade-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return rm_rf(AT_FDCWD, dir);
}

static void bring(const char *format, const char *name)
{
    char from[512], to[128];
    _cleanup_buf_ Buf data = BUF_INIT;
    snprintf(from, sizeof from, FIXTURES "/%s/%s", format, name);
    snprintf(to, sizeof to, "%s/%s", dir, name);
    assert_int_equal(file_read(AT_FDCWD, from, FILES_MAX, &data), 0);
    assert_int_equal(file_write(AT_FDCWD, to, buf_view(&data), 0600), 0);
}

/* As the API server does it, in short. */
static bool upgrade(void *ctx, StrView key, StrView val, Buf *out)
{
    if (sv_find(key, SV("unknown")) >= 0 || !sv_starts(val, SV("{")) ||
        sv_starts(val, SV("{\"is\"")))
        return false;
    buf_sv(out, SV("{\"is\":4,"));
    buf_sv(out, sv_skip(val, 1));
    return true;
}

static Store *open_store(bool with_upgrade)
{
    StoreConfig cfg = { .upgrade = with_upgrade ? upgrade : NULL };
    Store *s = NULL;
    Err err = { 0 };
    if (store_open(dir, &cfg, &s, &err) < 0)
        fail_msg("%s", err.msg);
    assert_null(store_note(s));
    return s;
}

static void assert_value(Store *s, const char *key, const char *want)
{
    Snapshot *sn = store_snapshot(s);
    ObjectRev *o = snapshot_get(sn, sv_cstr(key));
    assert_non_null(o);
    assert_sv(o->val, want);
    snapshot_unref(sn);
}

static void test_format_2(void **state)
{
    bring("format-2", "state.db");
    bring("format-2", "state.db-wal");
    for (int i = 0; i < 4; i++) { /* without the new form, then with it, twice each */
        Store *s = open_store(i > 1);
        Snapshot *sn = store_snapshot(s);
        assert_int_equal(snapshot_revision(sn), 6);
        assert_int_equal(snapshot_count(sn, SV("")), 2);
        assert_value(s, "/registry/configmaps/default/a",
                     i > 1 ? "{\"is\":4,\"v\":3}" : "{\"v\":3}");
        assert_int_equal(snapshot_get(sn, SV("/registry/configmaps/default/a"))->create_rev, 2);
        assert_true(snapshot_get(sn, SV("/registry/events/default/e"))->expires > 0);
        snapshot_unref(sn);
        store_close(s);
    }
}

static void look_at_format_3(Store *s)
{
    assert_int_equal(store_revision(s), 8);
    assert_value(s, "/registry/configmaps/default/a",
                 "{\"is\":4,\"metadata\":{\"name\":\"a\",\"namespace\":\"default\",\"uid\":"
                 "\"5f0f9d3e-0000-4000-8000-000000000001\"},\"data\":{\"v\":\"2\"}}");
    assert_value(s, "/registry/unknown/x", "{\"metadata\":{\"name\":\"x\"}}");
    Snapshot *sn = store_snapshot(s);
    assert_int_equal(snapshot_count(sn, SV("")), 4);
    assert_null(snapshot_get(sn, SV("/registry/configmaps/default/b")));
    snapshot_unref(sn);
}

static void test_format_3(void **state)
{
    static const char *const names[] = { "state.db", "state.db-wal", "mark" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        bring("format-3", names[i]);
    for (int i = 0; i < 2; i++) {
        Store *s = open_store(true);
        look_at_format_3(s);
        store_close(s);
    }
}

/* The machine stops behind the upgrade, before the mark says so: the mark is the older program's.
 */
static void test_a_mark_of_before_the_upgrade(void **state)
{
    static const char *const names[] = { "state.db", "state.db-wal", "mark" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        bring("format-3", names[i]);
    store_close(open_store(true));
    bring("format-3", "mark");
    Store *s = open_store(true);
    look_at_format_3(s);
    StoreOp op = { STORE_PUT, SV("new"), 0, SV("1"), SV_NULL, 0 };
    Err err = { 0 };
    assert_int_equal(store_commit_sync(s, &op, 1, NULL, &err), 0);
    store_close(s);
    bring("format-3", "mark"); /* and here it says that something else was there: too old to tell */
    s = open_store(true);
    assert_value(s, "new", "1");
    store_close(s);
}

/* A value that was changed in an old store is named, and nothing is written. */
static void test_a_damaged_old_row_is_refused(void **state)
{
    bring("format-3", "state.db");
    bring("format-3", "state.db-wal");
    store_close(open_store(false)); /* all is in the database now, in its old form */
    char path[128];
    _cleanup_buf_ Buf data = BUF_INIT;
    snprintf(path, sizeof path, "%s/state.db", dir);
    assert_int_equal(file_read(AT_FDCWD, path, FILES_MAX, &data), 0);
    ssize_t at = sv_find(buf_view(&data), SV("{\"replicas\":1}"));
    assert_true(at > 0);
    data.ptr[at + 12] = '7';
    assert_int_equal(file_write(AT_FDCWD, path, buf_view(&data), 0600), 0);
    StoreConfig cfg = { .upgrade = upgrade };
    Store *s = NULL;
    Err err = { 0 };
    assert_int_equal(store_open(dir, &cfg, &s, &err), -ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "/registry/deployments/default/d"));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_format_2),
        T(test_format_3),
        T(test_a_mark_of_before_the_upgrade),
        T(test_a_damaged_old_row_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
