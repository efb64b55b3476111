/* test_past.c - what recent events replaced: all that leads to the newest revision comes back, and
 * of what was damaged, cut or left behind never a part that has a gap. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "store/past.h"

enum { SUM = 1000 }; /* the checksum after revision n is SUM + n */

static char dir[64];

static int setup(void **state)
{
    strcpy(dir, "/tmp/knarr-test-past-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return rm_rf(AT_FDCWD, dir);
}

static void open_log(PastLog *p)
{
    Err err = { 0 };
    *p = (PastLog){ 0 };
    assert_int_equal(past_open(p, dir, &err), 0);
}

/* Revision `rev` changes n objects; the value before is "REV.PLACE" and `pad` bytes. */
static void append(PastLog *p, uint64_t rev, unsigned n, size_t pad)
{
    StoreEvent events[STORE_OPS_MAX];
    ObjectRev old[STORE_OPS_MAX] = { 0 }, new = { .key = SV("k") };
    static char val[STORE_OPS_MAX][4096];
    for (unsigned i = 0; i < n; i++) {
        int len = snprintf(val[i], sizeof val[i], "%llu.%u", (unsigned long long)rev, i);
        memset(val[i] + len, 'x', pad);
        old[i].key = SV("k");
        old[i].val = sv_n(val[i], (size_t)len + pad);
        old[i].mod_rev = rev - 1;
        events[i] = (StoreEvent){ rev, &new, i % 2 ? NULL : &old[i] };
    }
    past_append(p, events, n, SUM + rev, 1700000000);
}

static int on_past(void *ctx, uint64_t rev, StrView key, const ObjectRev *prev, int64_t age,
                   Err *err)
{
    assert_sv(key, "k");
    assert_true(age > 0);
    StrView val = prev ? prev->val : SV("made");
    StrView head = sv_head(val, 12), name = SV_NULL, rest;
    if (!sv_cut(head, 'x', &name, &rest))
        name = head;
    buf_printf(ctx, "%llu=%.*s ", (unsigned long long)rev, SV_FMT(name));
    return 0;
}

/* What comes back for a store at revision `rev`; the log stays open. */
static void load_at(PastLog *p, uint64_t rev, uint64_t sum, Buf *out)
{
    EngineLoad load = { .ctx = out, .past = on_past };
    Err err = { 0 };
    open_log(p);
    buf_clear(out);
    assert_int_equal(past_load(p, rev, sum, &load, &err), 0);
}

static void assert_back(uint64_t rev, const char *want)
{
    _cleanup_buf_ Buf got = BUF_INIT;
    PastLog p;
    load_at(&p, rev, SUM + rev, &got);
    assert_string_equal(got.len ? buf_cstr(&got) : "", want);
    past_close(&p);
}

static unsigned files(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_all_of_it_comes_back_newest_first(void **state)
{
    PastLog p;
    open_log(&p);
    append(&p, 2, 1, 0);
    append(&p, 3, 3, 0);
    append(&p, 4, 1, 0);
    past_close(&p);
    for (int i = 0; i < 2; i++)
        assert_back(4, "4=4.0 3=3.2 3=made 3=3.0 2=2.0 ");
    _cleanup_buf_ Buf got = BUF_INIT; /* and it goes on, in a segment of its own */
    load_at(&p, 4, SUM + 4, &got);
    append(&p, 5, 1, 0);
    past_close(&p);
    assert_int_equal(files(), 2);
    assert_back(5, "5=5.0 4=4.0 3=3.2 3=made 3=3.0 2=2.0 ");
}

static void test_what_was_not_committed_is_cut_off(void **state)
{
    PastLog p;
    open_log(&p);
    append(&p, 2, 1, 0);
    past_undo(&p); /* the first one: its segment goes, too */
    assert_int_equal(files(), 0);
    append(&p, 2, 1, 0);
    append(&p, 3, 2, 0);
    past_undo(&p);
    append(&p, 3, 1, 0);
    append(&p, 4, 2, 0); /* killed before its commit */
    past_close(&p);
    assert_back(3, "3=3.0 2=2.0 ");
    _cleanup_buf_ Buf got = BUF_INIT;
    load_at(&p, 3, SUM + 3, &got);
    append(&p, 4, 1, 0); /* the revision is given again, to another write */
    past_close(&p);
    assert_back(4, "4=4.0 3=3.0 2=2.0 ");
}

static void test_of_another_store_nothing_is_taken(void **state)
{
    _cleanup_buf_ Buf got = BUF_INIT;
    PastLog p;
    open_log(&p);
    append(&p, 2, 1, 0);
    append(&p, 3, 1, 0);
    past_close(&p);
    load_at(&p, 3, SUM, &got);
    assert_int_equal(got.len, 0);
    assert_int_equal(files(), 0);
    past_close(&p);
    open_log(&p);
    append(&p, 2, 1, 0);
    past_close(&p);
    assert_back(9, ""); /* nor across a gap */
    assert_int_equal(files(), 0);
}

static void test_old_segments_are_forgotten_whole(void **state)
{
    PastLog p;
    open_log(&p);
    for (uint64_t rev = 2; rev < 4000; rev++)
        append(&p, rev, 1, 4000);
    assert_int_equal(files(), 4);
    size_t first_end = p.segments.items[0].last;
    past_forget(&p, first_end - 1);
    assert_int_equal(files(), 4);
    past_forget(&p, first_end);
    assert_int_equal(files(), 3);
    past_forget(&p, UINT64_MAX);
    assert_int_equal(files(), 0);
    append(&p, 4000, 1, 0);
    past_close(&p);
    assert_back(4000, "4000=4000.0 ");
}

/* Any byte flipped, any end cut: what comes back is a run of whole revisions from the newest on. */
static void test_damage_costs_events_and_nothing_else(void **state)
{
    _cleanup_buf_ Buf whole = BUF_INIT, file = BUF_INIT, got = BUF_INIT;
    char path[128];
    PastLog p;
    open_log(&p);
    for (uint64_t rev = 2; rev < 12; rev++)
        append(&p, rev, rev % 3 + 1, 0);
    past_close(&p);
    load_at(&p, 11, SUM + 11, &whole);
    past_close(&p);
    snprintf(path, sizeof path, "%s/past-%016x", dir, 2);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &file), 0);
    for (size_t at = 0; at < file.len; at++)
        for (int cut = 0; cut < 2; cut++) {
            _cleanup_buf_ Buf bad = BUF_INIT;
            buf_append(&bad, file.ptr, cut ? at : file.len);
            if (!cut)
                bad.ptr[at] ^= (char)(1 << at % 8);
            assert_int_equal(file_write(AT_FDCWD, path, buf_view(&bad), 0600), 0);
            load_at(&p, 11, SUM + 11, &got);
            past_close(&p);
            assert_true(sv_starts(buf_view(&whole), buf_view(&got)));
            assert_true(got.len == 0 || cut || got.len < whole.len);
        }
}

/* Nothing waits for a writer, and no other file is read, or written, through a link. */
static void test_what_is_no_regular_file_is_no_segment(void **state)
{
    _cleanup_buf_ Buf other = BUF_INIT;
    char fifo[128], link[128], target[128];
    snprintf(fifo, sizeof fifo, "%s/past-%016x", dir, 2);
    snprintf(link, sizeof link, "%s/past-%016x", dir, 3);
    snprintf(target, sizeof target, "%s/other", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("other", link), 0);
    assert_int_equal(file_write(AT_FDCWD, target, SV("mine"), 0600), 0);
    assert_back(4, "");
    assert_int_equal(files(), 1);
    PastLog p;
    open_log(&p);
    assert_int_equal(mkfifo(fifo, 0600), 0); /* just now */
    append(&p, 2, 1, 0);                     /* is forgotten */
    append(&p, 3, 1, 0);
    past_close(&p);
    assert_back(3, "3=3.0 ");
    assert_int_equal(file_read(AT_FDCWD, target, 100, &other), 0);
    assert_sv(buf_view(&other), "mine");
}

/* A file that cannot be written: all is forgotten, and the next transaction begins anew. */
static void test_a_failed_append_leaves_no_gap(void **state)
{
    struct rlimit was, small;
    PastLog p;
    open_log(&p);
    append(&p, 2, 1, 100);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){ 400, was.rlim_max };
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    append(&p, 3, 4, 100);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(files(), 0);
    append(&p, 4, 1, 0);
    append(&p, 5, 1, 0);
    past_close(&p);
    assert_back(5, "5=5.0 4=4.0 ");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_all_of_it_comes_back_newest_first),     T(test_what_was_not_committed_is_cut_off),
        T(test_of_another_store_nothing_is_taken),     T(test_old_segments_are_forgotten_whole),
        T(test_damage_costs_events_and_nothing_else),  T(test_a_failed_append_leaves_no_gap),
        T(test_what_is_no_regular_file_is_no_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
