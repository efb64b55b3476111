/* test_damage.c - a store whose machine stopped, and whose files are then damaged: what was
 * acknowledged is served or refused, never replaced by something older without a word.
 *
 * Runs KNARR_ROUNDS rounds of random damage (20 by default, a tenth of what `make soak` asks for),
 * from seed KNARR_SEED, which is printed. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/store.h"
#include "store/wal_check.h"

enum { WRITES = 40, WRITES_WIPED = 900, FILES_MAX = 16 * 1024 * 1024 };

static char dir[64];
static int64_t log_end; /* of the last write in the log; behind it there may be zeros */
static uint64_t seed;

static uint64_t rnd(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

static int setup(void **state)
{
    strcpy(dir, "/tmp/knarr-test-damage-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return rm_rf(AT_FDCWD, dir);
}

static const char *file(const char *name)
{
    static char path[4][160];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, 160, "%s/%s", dir, name);
    return p;
}

static int64_t size_of(const char *name)
{
    struct stat st;
    return stat(file(name), &st) < 0 ? -1 : (int64_t)st.st_size;
}

static uint64_t put(Store *s, const char *key, const char *val)
{
    uint64_t rev = 0;
    Err err = { 0 };
    StoreOp op = { STORE_PUT, sv_cstr(key), STORE_ANY_REV, sv_cstr(val), SV_NULL, 0 };
    if (store_commit_sync(s, &op, 1, &rev, &err) < 0)
        fail_msg("%s", err.msg);
    return rev;
}

/* A child opens the store, writes and is killed. Value of "n" is the number of the write; some
 * values are long enough for several pages. Returns where in the log the last write begins. */
static int64_t write_and_die(int writes)
{
    int p[2];
    char ok = 1;
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        Store *s = NULL;
        Err err = { 0 };
        static char val[9000];
        if (store_open(dir, NULL, &s, &err) < 0)
            _exit(1);
        for (int i = 1; i <= writes; i++) {
            int n = snprintf(val, sizeof val, "%d ", i);
            size_t len = i % 3 ? 900 : sizeof val - 1;
            memset(val + n, 'a' + i % 26, len - (size_t)n);
            val[len] = 0;
            put(s, "n", val);
        }
        if (write(p[1], &ok, 1) < 0)
            _exit(1);
        pause();
    }
    assert_int_equal(fd_read_full(p[0], &ok, 1), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(p[0]);
    close(p[1]);
    Mark mark;
    bool bad;
    Err err = { 0 };
    assert_int_equal(mark_read(file("mark"), &mark, &bad, &err), 0);
    log_end = WAL_HEADER + (int64_t)mark.last.frames * (WAL_FRAME_HEADER + 4096);
    return WAL_HEADER + (int64_t)mark.before.frames * (WAL_FRAME_HEADER + 4096);
}

typedef struct Saved {
    const char *name;
    Buf data;
} Saved;

static Saved saved[] = { { "state.db", BUF_INIT },
                         { "state.db-wal", BUF_INIT },
                         { "mark", BUF_INIT } };

static void save_file(size_t i)
{
    buf_clear(&saved[i].data);
    assert_int_equal(file_read(AT_FDCWD, file(saved[i].name), FILES_MAX, &saved[i].data), 0);
}

static void save_files(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(saved); i++)
        save_file(i);
}

static void bring_back(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(saved); i++) {
        unlink(file(saved[i].name));
        assert_int_equal(file_write(AT_FDCWD, file(saved[i].name), buf_view(&saved[i].data), 0600),
                         0);
    }
}

static void free_files(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(saved); i++)
        buf_free(&saved[i].data);
}

/* Opens: the number that "n" has, or -1 when refused as damaged (the sentence is checked). */
static int open_and_look(bool *ret_said)
{
    Store *s = NULL;
    Err err = { 0 };
    uint64_t n = 0;
    StrView first, rest;
    if (store_open(dir, NULL, &s, &err) < 0) {
        if (err.code == ERR_UNSUPPORTED) /* the format's number itself was hit */
            return -1;
        if (err.code != ERR_CORRUPT || !strstr(err.msg, "state.db") || !strstr(err.msg, "restore"))
            fail_msg("refused with: %s", err.msg);
        return -1;
    }
    *ret_said = store_note(s) != NULL;
    Snapshot *sn = store_snapshot(s);
    ObjectRev *o = snapshot_get(sn, SV("n"));
    if (o) {
        sv_cut(o->val, ' ', &first, &rest);
        assert_int_equal(sv_to_u64(first, &n), 0);
    }
    snapshot_unref(sn);
    store_close(s);
    return (int)n;
}

static void overwrite(const char *name, int64_t at, const void *data, size_t n)
{
    int fd = open(file(name), O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, n, at), n);
    close(fd);
}

typedef enum Kind { FLIP, ZERO, CUT, NOISE, KIND_MAX } Kind;

/* Damages the log at a random place; *ret_at is where. False: it changed nothing. */
static bool damage(Kind kind, int64_t *ret_at)
{
    static const char zeros[2048];
    const Buf *log = &saved[1].data;
    int64_t size = log_end, at = (int64_t)rnd((uint64_t)size);
    char bytes[64];
    size_t n = sizeof bytes;
    if (kind == FLIP) {
        bytes[0] = (char)(log->ptr[at] ^ (1 << rnd(8)));
        overwrite("state.db-wal", at, bytes, 1);
    } else if (kind == ZERO) {
        at = at / SECTOR * SECTOR;
        n = MIN((size_t)(size - at), (size_t)(1 + rnd(4)) * SECTOR);
        if (memcmp(log->ptr + at, zeros, n) == 0)
            return false;
        overwrite("state.db-wal", at, zeros, n);
    } else if (kind == CUT)
        assert_int_equal(truncate(file("state.db-wal"), at), 0);
    else {
        n = MIN(n, (size_t)(size - at));
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(log->ptr[at + (int64_t)i] ^ (char)(1 + rnd(255)));
        overwrite("state.db-wal", at, bytes, n);
    }
    *ret_at = at;
    return true;
}

static void damage_log(bool again)
{
    const char *rounds_text = getenv("KNARR_ROUNDS"), *seed_text = getenv("KNARR_SEED");
    int rounds = rounds_text ? atoi(rounds_text) : 20, refused = 0, cut = 0;
    seed = seed_text ? strtoull(seed_text, NULL, 10) : (uint64_t)clock_real_ns() | 1;
    print_message("KNARR_SEED=%llu\n", (unsigned long long)seed);
    /* The second time the log has been wiped and is written over. */
    int writes = again ? WRITES_WIPED : WRITES;
    int64_t begins = write_and_die(writes);
    assert_int_equal(size_of("state.db-wal") > log_end, again);
    save_files();
    for (int i = 0; i < rounds; i++) {
        Kind kind = (Kind)(i % KIND_MAX);
        int64_t at;
        bool said = false;
        bring_back();
        if (!damage(kind, &at))
            continue;
        int n = open_and_look(&said);
        bool torn = at >= begins / SECTOR * SECTOR && (kind == ZERO || kind == CUT);
        if (n == -1)
            refused++;
        else if (torn && n == writes - 1 && said)
            cut++;
        else
            fail_msg("damage %d at byte %lld (the last write begins at %lld): %d is served%s", kind,
                     (long long)at, (long long)begins, n, said ? ", with a word" : "");
        if (torn && n == -1 && at >= begins)
            fail_msg("a torn write at byte %lld (it begins at %lld, kind %d) is refused",
                     (long long)at, (long long)begins, kind);
    }
    print_message("%d refused, %d cut\n", refused, cut);
    free_files();
}

static void test_a_damaged_log_is_never_served_as_an_older_state(void **state)
{
    damage_log(false);
}

static void test_a_damaged_wiped_log_neither(void **state)
{
    damage_log(true);
}

/* Every sector of the last write in turn, and every length to which it can be cut. */
static void test_a_torn_last_write_is_cut_wherever_it_is_torn(void **state)
{
    static const char zeros[SECTOR];
    int64_t begins = write_and_die(5), size = log_end;
    save_files();
    for (int64_t at = (begins + SECTOR - 1) / SECTOR * SECTOR; at + SECTOR <= size; at += SECTOR) {
        bool said = false, same = memcmp(saved[1].data.ptr + at, zeros, SECTOR) == 0;
        bring_back();
        overwrite("state.db-wal", at, zeros, SECTOR);
        assert_int_equal(open_and_look(&said), same ? 5 : 4);
        assert_int_equal(said, !same);
    }
    for (int64_t at = begins; at < size; at += 300) {
        bool said = false;
        bring_back();
        assert_int_equal(truncate(file("state.db-wal"), at), 0);
        assert_int_equal(open_and_look(&said), 4);
        assert_true(said);
    }
    free_files();
}

/* The log is in the database and the mark says so, but only a part of it has been wiped. */
static void test_a_log_that_was_being_wiped_is_left_alone(void **state)
{
    static const char zeros[64 * 1024];
    bool said = false;
    write_and_die(WRITES);
    save_files();
    assert_int_equal(open_and_look(&said), WRITES); /* all is in the database from here on */
    save_file(0);
    save_file(2);
    for (int64_t at = 0; at < log_end; at += 4096) { /* in order, as a killed process leaves it */
        bring_back();
        for (int64_t k = 0; k < at; k += (int64_t)sizeof zeros)
            overwrite("state.db-wal", k, zeros, (size_t)MIN(at - k, (int64_t)sizeof zeros));
        assert_int_equal(open_and_look(&said), WRITES);
        assert_false(said);
    }
    for (int round = 0; round < 40; round++) { /* and in any order, as a power cut does */
        bring_back();
        for (int64_t k = 0; k < log_end; k += SECTOR)
            if (rnd(2))
                overwrite("state.db-wal", k, zeros, (size_t)MIN(log_end - k, (int64_t)SECTOR));
        assert_int_equal(open_and_look(&said), WRITES);
        assert_false(said);
    }
    free_files();
}

static void test_a_lost_log_is_refused(void **state)
{
    bool said = false;
    write_and_die(5);
    save_files();
    unlink(file("state.db-wal"));
    assert_int_equal(open_and_look(&said), -1);
    bring_back();
    assert_int_equal(truncate(file("state.db-wal"), 0), 0);
    assert_int_equal(open_and_look(&said), -1);
    bring_back(); /* a refusal changes nothing: the very same files are good again */
    assert_int_equal(open_and_look(&said), 5);
    assert_false(said);
    free_files();
}

static void test_a_lost_or_emptied_database_is_refused(void **state)
{
    bool said = false;
    write_and_die(5);
    save_files();
    for (int log = 0; log < 2; log++)
        for (int emptied = 0; emptied < 2; emptied++) {
            bring_back();
            if (!log)
                unlink(file("state.db-wal"));
            if (emptied)
                assert_int_equal(truncate(file("state.db"), 0), 0);
            else
                unlink(file("state.db"));
            assert_int_equal(open_and_look(&said), -1);
        }
    free_files();
}

/* An older copy of the database is whole in itself: only the mark tells. */
static void test_an_older_copy_is_refused(void **state)
{
    bool said = false;
    write_and_die(3);
    assert_int_equal(open_and_look(&said), 3); /* all is in the database now */
    save_files();
    write_and_die(5);
    Buf mark = BUF_INIT;
    assert_int_equal(file_read(AT_FDCWD, file("mark"), FILES_MAX, &mark), 0);
    bring_back();
    assert_int_equal(file_write(AT_FDCWD, file("mark"), buf_view(&mark), 0600), 0);
    assert_int_equal(open_and_look(&said), -1);
    buf_free(&mark);
    free_files();
}

/* Without a mark the state is still whole; a damaged one is said. */
static void test_the_mark_alone_refuses_nothing(void **state)
{
    bool said = false;
    write_and_die(5);
    save_files();
    unlink(file("mark"));
    assert_int_equal(open_and_look(&said), 5);
    assert_false(said);
    bring_back();
    assert_int_equal(file_write(AT_FDCWD, file("mark"), SV("noise"), 0600), 0);
    assert_int_equal(open_and_look(&said), 5);
    assert_true(said);
    free_files();
}

/* Nothing waits for a writer to a FIFO. */
static void test_a_mark_that_is_no_regular_file_is_a_damaged_one(void **state)
{
    bool said = false;
    struct stat st;
    Err err = { 0 };
    Store *s;
    write_and_die(5);
    save_files();
    for (int kind = 0; kind < 3; kind++) {
        bring_back();
        unlink(file("mark"));
        if (kind == 0)
            assert_int_equal(mkfifo(file("mark"), 0600), 0);
        else if (kind == 1)
            assert_int_equal(mkdir(file("mark"), 0700), 0);
        else
            assert_int_equal(symlink("elsewhere", file("mark")), 0);
        assert_int_equal(open_and_look(&said), 5);
        assert_true(said);
        assert_int_equal(lstat(file("mark"), &st), 0);
        assert_true(S_ISREG(st.st_mode));
        assert_false(path_exists(AT_FDCWD, file("elsewhere")));
    }
    bring_back();
    unlink(file("mark"));
    assert_int_equal(mkdir_p(AT_FDCWD, file("mark/full"), 0700), 0);
    assert_int_equal(store_open(dir, NULL, &s, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "mark' is no regular file"));
    free_files();
}

static void test_a_log_that_is_no_regular_file_is_refused(void **state)
{
    bool said = false;
    write_and_die(5);
    unlink(file("state.db-wal"));
    assert_int_equal(mkfifo(file("state.db-wal"), 0600), 0);
    assert_int_equal(open_and_look(&said), -1);
}

static void test_a_flip_anywhere_in_the_database_is_refused_or_harmless(void **state)
{
    bool said = false;
    const char *rounds_text = getenv("KNARR_ROUNDS");
    int rounds = rounds_text ? atoi(rounds_text) : 20;
    write_and_die(9);
    assert_int_equal(open_and_look(&said), 9);
    save_files();
    for (int i = 0; i < rounds; i++) {
        bring_back();
        int64_t at = (int64_t)rnd(saved[0].data.len);
        char byte = (char)(saved[0].data.ptr[at] ^ (1 << rnd(8)));
        overwrite("state.db", at, &byte, 1);
        int n = open_and_look(&said);
        if (n != -1 && n != 9)
            fail_msg("a flip at byte %lld: %d is served", (long long)at, n);
    }
    free_files();
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    seed = 1;
    const struct CMUnitTest tests[] = {
        T(test_a_damaged_log_is_never_served_as_an_older_state),
        T(test_a_damaged_wiped_log_neither),
        T(test_a_torn_last_write_is_cut_wherever_it_is_torn),
        T(test_a_log_that_was_being_wiped_is_left_alone),
        T(test_a_lost_log_is_refused),
        T(test_a_lost_or_emptied_database_is_refused),
        T(test_an_older_copy_is_refused),
        T(test_the_mark_alone_refuses_nothing),
        T(test_a_mark_that_is_no_regular_file_is_a_damaged_one),
        T(test_a_log_that_is_no_regular_file_is_refused),
        T(test_a_flip_anywhere_in_the_database_is_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
