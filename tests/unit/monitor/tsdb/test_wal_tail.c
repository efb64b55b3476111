/* test_wal_tail.c - a log that is followed while it is written, shortened and damaged. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "monitor/tsdb/wal_tail.h"

typedef struct Log {
    char dir[64];
    Wal *wal;
    WalTail *tail;
    Err err;
} Log;

static void make(Log *l, uint32_t segment_bytes)
{
    *l = (Log){ 0 };
    snprintf(l->dir, sizeof l->dir, "/tmp/knarr-waltail-XXXXXX");
    assert_non_null(mkdtemp(l->dir));
    assert_int_equal(wal_open_sized(l->dir, true, segment_bytes, &l->wal, &l->err), 0);
}

static void follow(Log *l, WalPlace from)
{
    assert_int_equal(wal_tail_new(l->dir, from, &l->tail, &l->err), 0);
}

static void end(Log *l)
{
    wal_tail_free(l->tail);
    wal_close(l->wal);
    rm_rf(AT_FDCWD, l->dir);
}

static void put(Log *l, const char *text)
{
    StrView rec = sv_cstr(text);
    assert_int_equal(wal_log(l->wal, &rec, 1, &l->err), 0);
}

/* Bytes that do not compress. */
static void fill_random(char *to, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        to[i] = (char)seed;
    }
}

static void expect(Log *l, const char *text, bool fresh)
{
    WalTailRecord r;
    assert_int_equal(wal_tail_next(l->tail, &r, &l->err), 1);
    assert_sv(r.data, text);
    assert_int_equal(r.is_fresh, fresh);
}

static void expect_nothing(Log *l)
{
    WalTailRecord r;
    assert_int_equal(wal_tail_next(l->tail, &r, &l->err), 0);
}

static void test_records_come_as_they_are_written(void **state)
{
    Log l;
    WalPlace now;
    make(&l, WAL_SEGMENT_BYTES);
    put(&l, "old");
    assert_int_equal(wal_end(l.dir, &now, &l.err), 0);
    follow(&l, now);
    expect(&l, "old", false);
    expect_nothing(&l);
    put(&l, "one");
    put(&l, "two");
    expect(&l, "one", true);
    expect(&l, "two", true);
    expect_nothing(&l);
    assert_int_equal(wal_next_segment(l.wal, &l.err), 0);
    expect_nothing(&l);
    put(&l, "three");
    expect(&l, "three", true);
    assert_int_equal(wal_tail_place(l.tail).segment, 1);
    assert_int_equal(wal_tail_stats(l.tail).damages, 0);
    end(&l);
}

/* Records of all sizes around those of pages, over several segments, each seen once, in order. */
static void test_large_records_cross_pages(void **state)
{
    Log l;
    make(&l, 4 * WAL_PAGE);
    follow(&l, (WalPlace){ 0, 0 });
    unsigned seen = 0;
    for (unsigned i = 0; i < 200; i++) {
        size_t n = 1 + (i * 977u) % (3 * WAL_PAGE);
        char *text = malloc(n);
        fill_random(text, n, i + 1);
        text[0] = (char)i;
        StrView rec = sv_n(text, n);
        assert_int_equal(wal_log(l.wal, &rec, 1, &l.err), 0);
        WalTailRecord r;
        if (i % 3 == 0)
            while (wal_tail_next(l.tail, &r, &l.err) > 0) {
                assert_int_equal((uint8_t)r.data.ptr[0], (uint8_t)seen);
                assert_int_equal(r.data.len, 1 + (seen * 977u) % (3 * WAL_PAGE));
                assert_true(r.is_fresh);
                seen++;
            }
        free(text);
    }
    WalTailRecord r;
    while (wal_tail_next(l.tail, &r, &l.err) > 0)
        seen++;
    assert_int_equal(seen, 200);
    assert_int_equal(wal_tail_stats(l.tail).damages, 0);
    end(&l);
}

static void test_a_place_is_taken_up_again(void **state)
{
    Log l;
    make(&l, WAL_SEGMENT_BYTES);
    follow(&l, (WalPlace){ 0, 0 });
    put(&l, "one");
    expect(&l, "one", true);
    WalPlace place = wal_tail_place(l.tail);
    put(&l, "two");
    l.tail = wal_tail_free(l.tail);
    follow(&l, place);
    expect(&l, "one", false);
    expect(&l, "two", true);
    expect_nothing(&l);
    end(&l);
}

/* What was deleted unread is replaced by the checkpoint; nothing comes twice as fresh. */
static void test_a_shortened_log_goes_on_with_its_checkpoint(void **state)
{
    Log l;
    char path[128];
    make(&l, WAL_SEGMENT_BYTES);
    follow(&l, (WalPlace){ 0, 0 });
    put(&l, "zero");
    expect(&l, "zero", true);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(wal_next_segment(l.wal, &l.err), 0);
        char text[2] = { (char)('0' + i), 0 };
        put(&l, text);
    }
    Wal *checkpoint;
    StrView kept = SV("kept");
    snprintf(path, sizeof path, "%s/checkpoint.00000002", l.dir);
    assert_int_equal(wal_open(path, true, &checkpoint, &l.err), 0);
    assert_int_equal(wal_log(checkpoint, &kept, 1, &l.err), 0);
    wal_close(checkpoint);
    assert_int_equal(wal_truncate(l.dir, 3, &l.err), 0);
    expect(&l, "kept", false);
    expect(&l, "3", true);
    expect_nothing(&l);
    assert_true(wal_tail_stats(l.tail).segments_lost > 0);
    end(&l);
}

/* A checkpoint that is made of what was read already changes nothing. */
static void test_a_checkpoint_behind_the_reader_is_not_read(void **state)
{
    Log l;
    make(&l, WAL_SEGMENT_BYTES);
    follow(&l, (WalPlace){ 0, 0 });
    put(&l, "zero");
    assert_int_equal(wal_next_segment(l.wal, &l.err), 0);
    put(&l, "one");
    expect(&l, "zero", true);
    expect(&l, "one", true);
    assert_int_equal(wal_truncate(l.dir, 1, &l.err), 0);
    put(&l, "two");
    expect(&l, "two", true);
    assert_int_equal(wal_tail_stats(l.tail).segments_lost, 0);
    end(&l);
}

/* A damaged page is left out; a write that failed and was cut off is not waited for. */
static void test_damage_costs_a_page_and_no_more(void **state)
{
    Log l;
    char path[128], big[WAL_PAGE];
    make(&l, WAL_SEGMENT_BYTES);
    fill_random(big, sizeof big, 1);
    StrView rec = sv_n(big, WAL_PAGE - 200);
    put(&l, "one");
    assert_int_equal(wal_log(l.wal, &rec, 1, &l.err), 0);
    put(&l, "lost"); /* still in the first page */
    assert_int_equal(wal_log(l.wal, &rec, 1, &l.err), 0);
    put(&l, "good");
    snprintf(path, sizeof path, "%s/00000000", l.dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 1000), 1);
    close(fd);
    follow(&l, (WalPlace){ 0, 0 });
    expect(&l, "one", true);
    expect(&l, "good", true);
    expect_nothing(&l);
    assert_int_equal(wal_tail_stats(l.tail).damages, 1);
    WalPlace here;
    assert_int_equal(wal_end(l.dir, &here, &l.err), 0);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "\1\0\100half a record", 16), 16);
    expect_nothing(&l);
    assert_int_equal(ftruncate(fd, (off_t)here.offset), 0);
    close(fd);
    put(&l, "next");
    expect(&l, "next", true);
    end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_as_they_are_written),
        cmocka_unit_test(test_large_records_cross_pages),
        cmocka_unit_test(test_a_place_is_taken_up_again),
        cmocka_unit_test(test_a_shortened_log_goes_on_with_its_checkpoint),
        cmocka_unit_test(test_a_checkpoint_behind_the_reader_is_not_read),
        cmocka_unit_test(test_damage_costs_a_page_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
