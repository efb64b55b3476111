/* test_history.c - deltas, and the cache's history: every event and every state that is kept is
 * exactly what it was, however it is packed, or there is a clear error. */
#include "unit.h"
#include "failing_memory.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/cache.h"
#include "store/delta.h"

/* ---- deltas ---- */

static void assert_delta(StrView from, StrView to)
{
    _cleanup_buf_ Buf delta = BUF_INIT;
    assert_true(delta_encode(from, to, to.len + 32, &delta));
    char *got = test_malloc(to.len + 1);
    assert_true(delta_apply(from, buf_view(&delta), got, to.len));
    assert_memory_equal(got, to.ptr, to.len);
    assert_true(!to.len || !delta_apply(from, buf_view(&delta), got, to.len - 1));
    test_free(got);
}

static void test_a_delta_leads_to_its_text(void **state)
{
    static const char *const texts[] = {
        "",
        "a",
        "the same beginning, another end: 1",
        "the same beginning, another end: 22222",
        "another beginning, the same beginning, another end: 1",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        for (size_t j = 0; j < ARRAY_SIZE(texts); j++)
            assert_delta(sv_cstr(texts[i]), sv_cstr(texts[j]));
}

/* Text with repetitions, then cut, doubled and overwritten at random places. */
static void scribble(Buf *b, unsigned *seed, unsigned edits)
{
    for (unsigned e = 0; e < edits && b->len > 64; e++) {
        size_t at = (unsigned)rand_r(seed) % (b->len - 32), n = (unsigned)rand_r(seed) % 32;
        switch (rand_r(seed) % 3) {
        case 0:
            memmove(b->ptr + at, b->ptr + at + n, b->len - at - n);
            b->len -= n;
            break;
        case 1:
            buf_append(b, b->ptr + at, n);
            break;
        default:
            for (size_t i = 0; i < n; i++)
                b->ptr[at + i] = (char)('a' + rand_r(seed) % 26);
        }
    }
}

static void test_random_edits_are_found_again(void **state)
{
    unsigned seed = 7;
    for (unsigned round = 0; round < 400; round++) {
        _cleanup_buf_ Buf from = BUF_INIT, to = BUF_INIT;
        buf_reserve(&from, 16384);
        unsigned words = (unsigned)rand_r(&seed) % 300;
        for (unsigned i = 0; i < words; i++)
            buf_printf(&from, "\"field-%d\":{\"value\":%d},", rand_r(&seed) % 50, rand_r(&seed));
        buf_reserve(&to, from.len + 4096);
        buf_sv(&to, buf_view(&from));
        scribble(&to, &seed, (unsigned)rand_r(&seed) % 8);
        assert_delta(buf_view(&from), buf_view(&to));
        assert_delta(buf_view(&to), buf_view(&from));
    }
}

static void test_two_changes_far_apart_are_small(void **state)
{
    _cleanup_buf_ Buf from = BUF_INIT, to = BUF_INIT, delta = BUF_INIT;
    for (int i = 0; i < 100; i++) {
        buf_printf(&from, "\"key-%d\":\"%d\",", i, i * i);
        buf_printf(&to, "\"key-%d\":\"%d\",", i, i == 10 || i == 90 ? 7 : i * i);
    }
    assert_true(delta_encode(buf_view(&from), buf_view(&to), to.len, &delta));
    assert_true(delta.len < 40);
}

static void test_what_is_too_long_is_left_out(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    buf_sv(&out, SV("before"));
    assert_false(delta_encode(SV("nothing of it"), SV("a text of its own entirely"), 20, &out));
    assert_sv(buf_view(&out), "before");
}

static void test_no_bytes_are_a_delta_that_overruns(void **state)
{
    unsigned seed = 3;
    char text[64], to[64];
    memset(text, 'x', sizeof text);
    for (unsigned round = 0; round < 200000; round++) {
        char bytes[12];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)rand_r(&seed);
        (void)!delta_apply(sv_n(text, sizeof text), sv_n(bytes, 1 + round % sizeof bytes), to,
                           round % sizeof to);
    }
}

/* ---- the history ---- */

enum { KEYS = 12, REVS = 3000, FIRST = 100 };

typedef struct World {
    Cache cache;
    TreeNode *root;
    unsigned seed;
    ObjectRev *at[REVS + 1][KEYS]; /* what each key had after revision FIRST + i; references */
} World;

static const char *key_of(unsigned k, char buf[static 16])
{
    snprintf(buf, 16, "/pods/%u", k);
    return buf;
}

static ObjectRev *next_version(World *w, unsigned k, uint64_t rev)
{
    _cleanup_buf_ Buf val = BUF_INIT, attrs = BUF_INIT;
    char key[16];
    buf_printf(&val, "{\"metadata\":{\"name\":\"%u\",\"labels\":{\"round\":\"%d\"},\"fields\":\"",
               k, rand_r(&w->seed));
    for (unsigned i = 0; i < 150; i++)
        buf_printf(&val, "f:%u,", i * k);
    buf_printf(&val, "\"},\"status\":{\"since\":%d}}", rand_r(&w->seed));
    buf_printf(&attrs, "round=%d", rand_r(&w->seed) % 1000);
    ObjectRev *o = object_rev_new(sv_cstr(key_of(k, key)), buf_view(&val), buf_view(&attrs));
    o->mod_rev = rev;
    o->create_rev = rev / 2;
    o->expires = (int64_t)rev * 3;
    return o;
}

/* One transaction: changes some keys, makes missing ones, deletes a few. */
static void step(World *w, unsigned i)
{
    StoreEvent events[3];
    uint64_t rev = FIRST + i;
    unsigned n = 1 + (unsigned)rand_r(&w->seed) % 3, first = (unsigned)rand_r(&w->seed);
    bool oom = false;
    memcpy(w->at[i], w->at[i - 1], sizeof w->at[i]);
    for (unsigned j = 0; j < n; j++) {
        unsigned k = (first + j) % KEYS;
        char key[16];
        ObjectRev *prev = w->at[i][k], *obj = NULL;
        TreeNode *root;
        if (prev && rand_r(&w->seed) % 20 == 0)
            root = tree_del(w->root, sv_cstr(key_of(k, key)), &oom);
        else {
            obj = next_version(w, k, rev);
            root = tree_put(w->root, obj, &oom);
        }
        tree_unref(w->root);
        w->root = root;
        w->at[i][k] = obj;
        events[j] = (StoreEvent){ rev, obj, prev };
    }
    Snapshot *after = snapshot_new(tree_ref(w->root), rev);
    assert_true(cache_reserve(&w->cache, n));
    cache_publish(&w->cache, events, n, after);
    snapshot_unref(after);
    for (unsigned k = 0; k < KEYS; k++)
        if (w->at[i][k] && w->at[i][k] == w->at[i - 1][k])
            object_rev_ref(w->at[i][k]);
    cache_trim(&w->cache);
}

static World *world_new(size_t bytes_max)
{
    World *w = calloc(1, sizeof *w);
    w->seed = 11;
    cache_init(&w->cache, bytes_max, 3600);
    assert_int_equal(cache_start(&w->cache, NULL, FIRST, NULL), 0);
    cache_past_ends(&w->cache);
    for (unsigned i = 1; i <= REVS; i++)
        step(w, i);
    return w;
}

static void world_free(World *w)
{
    for (unsigned i = 0; i <= REVS; i++)
        for (unsigned k = 0; k < KEYS; k++)
            object_rev_unref(w->at[i][k]);
    tree_unref(w->root);
    cache_free(&w->cache);
    free(w);
}

static void assert_same(const ObjectRev *got, const ObjectRev *want)
{
    assert_true(!got == !want);
    if (!got)
        return;
    assert_true(sv_eq(got->key, want->key));
    assert_true(sv_eq(got->val, want->val));
    assert_true(sv_eq(got->attrs, want->attrs));
    assert_int_equal(got->mod_rev, want->mod_rev);
    assert_int_equal(got->create_rev, want->create_rev);
    assert_int_equal(got->expires, want->expires);
}

static void assert_state(World *w, unsigned i)
{
    Snapshot *sn = NULL;
    Err err = { 0 };
    if (cache_snapshot_at(&w->cache, FIRST + i, &sn, &err) < 0)
        fail_msg("%u: %s", i, err.msg);
    assert_int_equal(snapshot_revision(sn), FIRST + i);
    size_t n = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16];
        assert_same(snapshot_get(sn, sv_cstr(key_of(k, key))), w->at[i][k]);
        n += w->at[i][k] != NULL;
    }
    assert_int_equal(snapshot_count(sn, SV("/pods/")), n);
    snapshot_unref(sn);
}

static void test_every_event_is_what_it_was(void **state)
{
    World *w = world_new(64 * 1024 * 1024);
    StoreEvent ev[STORE_OPS_MAX];
    uint64_t pos = FIRST;
    size_t n = 1, all = 0, bytes = 0;
    while (n) {
        Err err = { 0 };
        assert_int_equal(cache_events(&w->cache, SV(""), &pos, ev, ARRAY_SIZE(ev), &n, &err), 0);
        for (size_t e = 0; e < n; e++) {
            unsigned i = (unsigned)(ev[e].rev - FIRST);
            StrView key = (ev[e].obj ? ev[e].obj : ev[e].prev)->key;
            char text[16];
            snprintf(text, sizeof text, "%.*s", SV_FMT(sv_skip(key, 6)));
            unsigned k = (unsigned)atoi(text);
            assert_same(ev[e].obj, w->at[i][k]);
            assert_same(ev[e].prev, w->at[i - 1][k]);
            bytes += ev[e].prev ? ev[e].prev->val.len : 0;
        }
        all += n;
        store_events_release(ev, n);
    }
    assert_int_equal(pos, FIRST + REVS);
    assert_true(all > REVS);
    StoreStats stats = { 0 };
    cache_stats(&w->cache, &stats);
    assert_true(stats.history_bytes < 1024 * 1024 + bytes / 3);
    world_free(w);
}

static void test_every_state_can_be_read_again(void **state)
{
    World *w = world_new(64 * 1024 * 1024);
    for (unsigned i = 0; i <= REVS; i += 61)
        assert_state(w, i);
    for (unsigned i = REVS; i > REVS - 100; i--)
        assert_state(w, i);
    assert_state(w, 0);
    world_free(w);
}

static void test_what_is_over_the_bound_is_gone(void **state)
{
    World *w = world_new(1280 * 1024);
    StoreStats stats = { 0 };
    cache_stats(&w->cache, &stats);
    assert_true(stats.history_bytes <= 1280 * 1024);
    assert_true(stats.oldest_revision > FIRST);
    unsigned oldest = (unsigned)(stats.oldest_revision - FIRST);
    for (unsigned i = oldest; i < REVS; i += 97)
        assert_state(w, i);
    Snapshot *sn;
    StoreEvent ev[STORE_OPS_MAX];
    size_t n;
    Err err = { 0 };
    uint64_t pos = FIRST + oldest - 1;
    assert_int_equal(cache_snapshot_at(&w->cache, pos, &sn, &err), -ERR_GONE);
    assert_int_equal(cache_events(&w->cache, SV(""), &pos, ev, ARRAY_SIZE(ev), &n, &err),
                     -ERR_GONE);
    assert_int_equal(cache_snapshot_at(&w->cache, FIRST + REVS + 1, &sn, &err), -ERR_INVALID);
    pos = FIRST + oldest;
    assert_int_equal(cache_events(&w->cache, SV(""), &pos, ev, ARRAY_SIZE(ev), &n, &err), 0);
    store_events_release(ev, n);
    world_free(w);
}

/* Of the many versions between then and now, one of each object is made. */
static void test_an_older_state_costs_what_differs(void **state)
{
    World *w = world_new(64 * 1024 * 1024);
    Snapshot *sn = NULL;
    allocs_left = KEYS * 40;
    int r = cache_snapshot_at(&w->cache, FIRST + 10, &sn, NULL);
    allocs_left = -1;
    assert_int_equal(r, 0);
    snapshot_unref(sn);
    assert_state(w, 10);
    world_free(w);
}

static void test_events_of_one_prefix(void **state)
{
    World *w = world_new(64 * 1024 * 1024);
    StoreEvent ev[STORE_OPS_MAX];
    uint64_t pos = FIRST, before = 0;
    size_t n = 0, all = 0, wanted = 0;
    for (unsigned i = 1; i <= REVS; i++)
        wanted += w->at[i][7] != w->at[i - 1][7];
    for (; pos != before; all += n) {
        before = pos;
        assert_int_equal(cache_events(&w->cache, SV("/pods/7"), &pos, ev, ARRAY_SIZE(ev), &n, NULL),
                         0);
        for (size_t e = 0; e < n; e++) {
            assert_same(ev[e].obj, w->at[ev[e].rev - FIRST][7]);
            assert_same(ev[e].prev, w->at[ev[e].rev - FIRST - 1][7]);
        }
        store_events_release(ev, n);
    }
    assert_int_equal(all, wanted);
    assert_int_equal(pos, FIRST + REVS);
    pos = FIRST;
    allocs_left = 0; /* what is of no concern is not made */
    for (before = 0; pos != before;) {
        before = pos;
        assert_int_equal(cache_events(&w->cache, SV("/nodes/"), &pos, ev, ARRAY_SIZE(ev), &n, NULL),
                         0);
        assert_int_equal(n, 0);
    }
    allocs_left = -1;
    assert_int_equal(pos, FIRST + REVS);
    world_free(w);
}

static void put_version(Cache *c, TreeNode **root, const char *key, uint64_t rev, StrView val)
{
    bool oom = false;
    ObjectRev *o = object_rev_new(sv_cstr(key), val, SV(""));
    o->mod_rev = rev;
    StoreEvent ev = { rev, o, object_rev_ref(tree_get(*root, o->key)) };
    TreeNode *next = tree_put(*root, o, &oom);
    tree_unref(*root);
    *root = next;
    Snapshot *after = snapshot_new(tree_ref(next), rev);
    assert_true(cache_reserve(c, 1));
    cache_publish(c, &ev, 1, after);
    snapshot_unref(after);
    store_events_release(&ev, 1);
    cache_trim(c);
}

/* However many events would fit: some hundred kilobytes are made at once. */
static void test_little_is_made_at_once(void **state)
{
    enum { LEN = 40 * 1000, N = 1000 };
    Cache c;
    TreeNode *root = NULL;
    char *text = test_malloc(LEN);
    memset(text, 'x', LEN);
    cache_init(&c, 64 * 1024 * 1024, 3600);
    assert_int_equal(cache_start(&c, NULL, FIRST, NULL), 0);
    for (unsigned i = 1; i <= N; i++) {
        text[i * 7 % LEN] = (char)('a' + i % 26);
        put_version(&c, &root, "/pods/large", FIRST + i, sv_n(text, LEN));
    }
    uint64_t pos = FIRST;
    for (size_t n = 1, all = 0; n; all += n) {
        StoreEvent ev[STORE_OPS_MAX];
        assert_int_equal(cache_events(&c, SV(""), &pos, ev, ARRAY_SIZE(ev), &n, NULL), 0);
        assert_true(all > N / 2 || n < STORE_OPS_MAX / 2);
        store_events_release(ev, n);
    }
    assert_int_equal(pos, FIRST + N);
    tree_unref(root);
    cache_free(&c);
    test_free(text);
}

/* A state that would take long to make is one that is no longer kept. */
static void test_a_state_that_differs_in_too_much(void **state)
{
    enum { N = 20000 };
    Cache c;
    TreeNode *root = NULL;
    Snapshot *sn = NULL;
    Err err = { 0 };
    cache_init(&c, 64 * 1024 * 1024, 3600);
    assert_int_equal(cache_start(&c, NULL, FIRST, NULL), 0);
    for (unsigned i = 1; i <= N; i++) {
        char key[24];
        snprintf(key, sizeof key, "/pods/%u", i);
        put_version(&c, &root, key, FIRST + i, SV("{}"));
    }
    assert_int_equal(cache_snapshot_at(&c, FIRST, &sn, &err), -ERR_GONE);
    assert_int_equal(cache_snapshot_at(&c, FIRST + N / 2, &sn, &err), 0);
    assert_int_equal(snapshot_count(sn, SV("/pods/")), N / 2);
    snapshot_unref(sn);
    assert_int_equal(cache_snapshot_at(&c, FIRST, &sn, &err), 0); /* from there it is near */
    assert_int_equal(snapshot_count(sn, SV("/pods/")), 0);
    snapshot_unref(sn);
    tree_unref(root);
    cache_free(&c);
}

/* Older states that are held cost what has been made for them: it is bounded. */
static void test_older_states_that_are_held(void **state)
{
    enum { LEN = 40 * 1000, OBJECTS = 300, ROUNDS = 4, HELD = 50 };
    Cache c;
    TreeNode *root = NULL;
    Snapshot *held[HELD], *sn = NULL;
    unsigned n = 0;
    Err err = { 0 };
    char *text = test_malloc(LEN);
    memset(text, 'x', LEN);
    cache_init(&c, 64 * 1024 * 1024, 3600);
    assert_int_equal(cache_start(&c, NULL, FIRST, NULL), 0);
    for (unsigned i = 0; i < OBJECTS * ROUNDS; i++) {
        char key[24];
        snprintf(key, sizeof key, "/pods/%u", i % OBJECTS);
        text[i * 7 % LEN] = (char)('a' + i % 26);
        put_version(&c, &root, key, FIRST + 1 + i, sv_n(text, LEN));
    }
    while (n < HELD && cache_snapshot_at(&c, FIRST + OBJECTS + n, &held[n], &err) == 0)
        n++;
    assert_int_equal(err.code, ERR_GONE);
    assert_true(n > 3 && n < 10);
    while (n)
        snapshot_unref(held[--n]);
    assert_int_equal(cache_snapshot_at(&c, FIRST + OBJECTS + HELD, &sn, &err), 0);
    tree_unref(root);
    cache_free(&c);
    assert_int_equal(snapshot_count(sn, SV("/pods/")), OBJECTS); /* outlives it */
    snapshot_unref(sn);
    test_free(text);
}

/* Each allocation fails once: an error, and the next try has it all. */
static void test_no_memory_is_an_error_and_nothing_else(void **state)
{
    World *w = world_new(64 * 1024 * 1024);
    int r = -ERR_NOMEM;
    for (long left = 0; r == -ERR_NOMEM; left++) {
        StoreEvent ev[STORE_OPS_MAX];
        size_t n = 0;
        uint64_t pos = FIRST + 500;
        allocs_left = left;
        r = cache_events(&w->cache, SV(""), &pos, ev, ARRAY_SIZE(ev), &n, NULL);
        allocs_left = -1;
        assert_true(r == 0 ? n > 0 : n == 0);
        store_events_release(ev, n);
    }
    assert_int_equal(r, 0);
    r = -ERR_NOMEM;
    for (long left = 0; r == -ERR_NOMEM; left = left * 5 / 4 + 1) {
        Snapshot *sn = NULL;
        allocs_left = left;
        r = cache_snapshot_at(&w->cache, FIRST + REVS - 300, &sn, NULL);
        allocs_left = -1;
        snapshot_unref(sn);
    }
    assert_int_equal(r, 0);
    assert_state(w, REVS - 300);
    world_free(w);
}

/* Without memory to pack with, versions stay whole. */
static void test_packing_without_memory_loses_nothing(void **state)
{
    World *w = calloc(1, sizeof *w);
    w->seed = 5;
    cache_init(&w->cache, 64 * 1024 * 1024, 3600);
    assert_int_equal(cache_start(&w->cache, NULL, FIRST, NULL), 0);
    cache_past_ends(&w->cache);
    for (unsigned i = 1; i <= REVS; i++) {
        step(w, i);
        allocs_left = i % 3;
        cache_trim(&w->cache);
        allocs_left = -1;
    }
    for (unsigned i = 0; i <= REVS; i += 211)
        assert_state(w, i);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_delta_leads_to_its_text),
        cmocka_unit_test(test_random_edits_are_found_again),
        cmocka_unit_test(test_two_changes_far_apart_are_small),
        cmocka_unit_test(test_what_is_too_long_is_left_out),
        cmocka_unit_test(test_no_bytes_are_a_delta_that_overruns),
        cmocka_unit_test(test_every_event_is_what_it_was),
        cmocka_unit_test(test_every_state_can_be_read_again),
        cmocka_unit_test(test_what_is_over_the_bound_is_gone),
        cmocka_unit_test(test_an_older_state_costs_what_differs),
        cmocka_unit_test(test_events_of_one_prefix),
        cmocka_unit_test(test_little_is_made_at_once),
        cmocka_unit_test(test_a_state_that_differs_in_too_much),
        cmocka_unit_test(test_older_states_that_are_held),
        cmocka_unit_test(test_no_memory_is_an_error_and_nothing_else),
        cmocka_unit_test(test_packing_without_memory_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
