/* test_query_log.c - the file of queries that run: its form, and what a next run reads from it. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "codec/json.h"
#include "monitor/promql/query_log.h"

static char dir[] = "/tmp/query-log-XXXXXX", path[64];

static int make_dir(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/queries.active", dir);
    return 0;
}

static int remove_dir(void **state)
{
    unlink(path);
    return rmdir(dir);
}

static QueryLog *open_log(unsigned slots)
{
    _cleanup_buf_ Buf before = BUF_INIT;
    QueryLog *l = NULL;
    Err err = { 0 };
    if (query_log_open(sv_cstr(dir), slots, &before, &l, &err) < 0)
        fail_msg("%s", err.msg);
    return l;
}

static void read_all(Buf *file, Buf *told)
{
    buf_clear(told);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, file), 0);
    query_log_unfinished(buf_view(file), told);
}

static void test_a_slot_for_each_query(void **state)
{
    _cleanup_buf_ Buf file = BUF_INIT, told = BUF_INIT;
    QueryLog *l = open_log(2);
    assert_int_equal(query_log_add(l, SV("up"), 7), 0);
    assert_int_equal(query_log_add(l, SV("a{b=\"c\"}"), 8), 1);
    assert_int_equal(query_log_add(l, SV("no room"), 9), -1);
    query_log_remove(l, -1);
    read_all(&file, &told);
    assert_int_equal(file.len, 1 + 2 * QUERY_LOG_SLOT);
    assert_true(file.ptr[0] == '[' && file.ptr[QUERY_LOG_SLOT] == ',');
    assert_sv(buf_view(&told), "[{\"query\":\"up\",\"timestamp_sec\":7},"
                               "{\"query\":\"a{b=\\\"c\\\"}\",\"timestamp_sec\":8}]");
    query_log_remove(l, 0);
    buf_clear(&file);
    read_all(&file, &told);
    assert_sv(buf_view(&told), "[{\"query\":\"a{b=\\\"c\\\"}\",\"timestamp_sec\":8}]");
    query_log_close(l);
    l = open_log(2); /* begins anew */
    buf_clear(&file);
    read_all(&file, &told);
    assert_int_equal(told.len, 0);
    query_log_close(l);
}

/* Long texts, of one, three and (escaped) six bytes for each character, are cut between them. */
static void test_long_queries_are_cut(void **state)
{
    static const char *const units[] = { "x", "\xe2\x82\xac", "\x01" };
    for (unsigned i = 0; i < ARRAY_SIZE(units); i++) {
        _cleanup_buf_ Buf query = BUF_INIT, file = BUF_INIT, told = BUF_INIT;
        _cleanup_arena_ Arena a;
        Value v;
        Err err = { 0 };
        while (query.len < 5000)
            buf_sv(&query, sv_cstr(units[i]));
        QueryLog *l = open_log(2);
        assert_int_equal(query_log_add(l, buf_view(&query), 1), 0);
        assert_int_equal(query_log_add(l, SV("next"), 1), 1);
        read_all(&file, &told);
        arena_init(&a, 0);
        assert_int_equal(json_decode(buf_view(&told), &a, NULL, &v, &err), 0);
        assert_int_equal(v.len, 2);
        StrView text = value_path_str(&v.items[0], "query");
        assert_true(text.len > 100 && text.len < QUERY_LOG_SLOT);
        assert_int_equal(text.len % strlen(units[i]), 0);
        assert_true(sv_starts(buf_view(&query), text));
        query_log_close(l);
    }
}

static void test_damaged_and_empty_files(void **state)
{
    _cleanup_buf_ Buf told = BUF_INIT;
    query_log_unfinished(SV(""), &told);
    assert_int_equal(told.len, 0);
    query_log_unfinished(SV("["), &told);
    assert_int_equal(told.len, 0);
    query_log_unfinished(sv_n("[\0\0{},", 6), &told);
    assert_sv(buf_view(&told), "[{}]");
    assert_null(query_log_close(NULL));
    assert_int_equal(query_log_add(NULL, SV("up"), 1), -1);
    Err err = { 0 };
    QueryLog *l;
    assert_true(query_log_open(SV("/nonexistent"), 1, &told, &l, &err) < 0);
    assert_non_null(strstr(err.msg, "/nonexistent/queries.active"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_slot_for_each_query),
        cmocka_unit_test(test_long_queries_are_cut),
        cmocka_unit_test(test_damaged_and_empty_files),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
