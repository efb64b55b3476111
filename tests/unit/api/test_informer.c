#include "fake_api.h"

#include "api/informer.h"

typedef struct Fix {
    FakeApi api;
    Informer *inf;
    char log[512];
    unsigned synced, projections;
    bool free_on_add;
    ApiObject *kept;
} Fix;

static void note(Fix *f, char what, const ApiObject *o)
{
    size_t n = strlen(f->log);
    snprintf(f->log + n, sizeof f->log - n, "%c%.*s ", what, SV_FMT(o->key));
}

static void on_add(void *ctx, ApiObject *o)
{
    Fix *f = ctx;
    note(f, '+', o);
    if (f->free_on_add)
        f->inf = informer_free(f->inf);
}

static void on_update(void *ctx, ApiObject *old, ApiObject *now)
{
    assert_true(old != now);
    assert_sv(old->key, now->key.ptr);
    note(ctx, '~', now);
}

static void on_delete(void *ctx, ApiObject *last)
{
    note(ctx, '-', last);
}

static void on_synced(void *ctx)
{
    ((Fix *)ctx)->synced++;
}

static void *project(void *ctx, const Value *obj)
{
    ((Fix *)ctx)->projections++;
    StrView node = value_path_str(obj, "spec.nodeName");
    return strndup(node.ptr, node.len);
}

static void by_node(const ApiObject *o, InformerEmit *e)
{
    informer_emit(e, sv_cstr(o->projection));
}

static void start(Fix *f)
{
    Err err = { 0 };
    InformerConfig cfg = {
        .target = { .version = SV("v1"), .plural = SV("widgets") },
        .label_selector = SV("app in (a,b)"),
        .project = project,
        .unproject = free,
        .indexes = { by_node },
        .n_indexes = 1,
        .events.on_add = on_add,
        .events.on_update = on_update,
        .events.on_delete = on_delete,
        .events.on_synced = on_synced,
        .ctx = f,
        .events.ctx = f,
        .backoff_min_ms = 5,
        .backoff_max_ms = 20,
    };
    assert_int_equal(informer_new(f->api.client, &cfg, &f->inf, &err), 0);
}

static int setup(void **state)
{
    static Fix f;
    f = (Fix){ 0 };
    fake_start(&f.api);
    fake_put(&f.api, "d", "a", "n1");
    fake_put(&f.api, "d", "b", "n2");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    f->inf = informer_free(f->inf);
    api_object_unref(f->kept);
    fake_stop(&f->api);
    return 0;
}

static bool logged(const Fix *f, const char *what)
{
    return strstr(f->log, what) != NULL;
}

static size_t on_node(const Fix *f, StrView node)
{
    size_t n;
    (void)informer_by_index(f->inf, 0, node, &n);
    return n;
}

static void test_stream_fills_the_store_and_follows_changes(void **state)
{
    Fix *f = *state;
    start(f);
    assert_false(informer_synced(f->inf));
    fake_run(&f->api, 30);
    assert_true(informer_synced(f->inf));
    assert_int_equal(f->synced, 1);
    assert_int_equal(informer_len(f->inf), 2);
    assert_non_null(strstr(f->api.last_query, "labelSelector=app%20in%20%28a%2Cb%29"));
    assert_int_equal(on_node(f, SV("n1")), 1);
    f->log[0] = 0;
    fake_put(&f->api, "d", "c", "n1");
    fake_put(&f->api, "d", "a", "n2");
    fake_del(&f->api, "b");
    fake_run(&f->api, 30);
    assert_string_equal(f->log, "+d/c ~d/a -d/b ");
    assert_int_equal(on_node(f, SV("n1")), 1);
    assert_int_equal(on_node(f, SV("n2")), 1);
    assert_int_equal(on_node(f, SV("n3")), 0);
    const ApiObject *a = informer_get_named(f->inf, SV("d"), SV("a"));
    assert_non_null(a);
    assert_sv(a->uid, "u-a");
    assert_string_equal(a->projection, "n2");
    assert_non_null(strstr(a->json.ptr, "\"kind\":\"Widget\""));
    assert_null(strstr(a->json.ptr, "managedFields"));
    assert_int_equal(f->api.streams, 1);
    assert_int_equal(f->api.lists, 0);
}

static void test_list_and_watch_where_streams_are_refused(void **state)
{
    Fix *f = *state;
    f->api.streaming_refused = true;
    f->api.page = 1;
    start(f);
    fake_run(&f->api, 30);
    assert_int_equal(f->synced, 1);
    assert_int_equal(informer_len(f->inf), 2);
    assert_true(f->api.lists >= 2); /* in pages */
    assert_non_null(strstr(informer_get(f->inf, SV("d/a"))->json.ptr, "\"kind\":\"Widget\""));
    fake_put(&f->api, "d", "c", "n1");
    fake_run(&f->api, 30);
    assert_true(logged(f, "+d/c "));
    assert_int_equal(f->api.watches, 1);
}

static void test_dropped_connections_are_resumed_without_a_relist(void **state)
{
    Fix *f = *state;
    start(f);
    fake_run(&f->api, 30);
    fake_cut(&f->api, false);
    fake_run(&f->api, 60);
    assert_int_equal(f->api.streams, 1);
    assert_int_equal(f->api.watches, 1);
    fake_put(&f->api, "d", "c", "n1");
    fake_run(&f->api, 30);
    fake_cut(&f->api, true);
    fake_run(&f->api, 60);
    assert_int_equal(f->api.watches, 2);
    assert_string_equal(f->log + strlen(f->log) - 5, "+d/c ");
    assert_int_equal(f->synced, 1);
}

static void test_expired_revision_leads_to_a_relist_of_differences(void **state)
{
    Fix *f = *state;
    start(f);
    fake_run(&f->api, 30);
    f->kept = api_object_ref(informer_get(f->inf, SV("d/b")));
    fake_cut(&f->api, false);
    f->api.gone_next = true;
    fake_del(&f->api, "b"); /* nobody watches: missed */
    fake_put(&f->api, "d", "c", "n1");
    f->log[0] = 0;
    fake_run(&f->api, 100);
    assert_true(logged(f, "-d/b "));
    assert_true(logged(f, "+d/c "));
    assert_false(logged(f, "d/a"));
    assert_int_equal(f->api.streams, 2);
    assert_string_equal(f->kept->projection, "n2"); /* a kept version stays as it was */
    assert_int_equal(informer_last_error(f->inf)->code, ERR_NONE);
}

static void test_nothing_is_caught_up_while_a_state_streams_in(void **state)
{
    Fix *f = *state;
    f->api.streams_hang = true;
    start(f);
    fake_run(&f->api, 30);
    assert_false(informer_synced(f->inf));
    assert_sv(informer_resource_version(f->inf), "");
    fake_bookmark(&f->api, f->api.watchers[0], true);
    fake_run(&f->api, 30);
    assert_true(informer_synced(f->inf));
    assert_sv(informer_resource_version(f->inf), "102");

    /* The same when it has to begin anew: what it has is old until the whole state is there. */
    fake_cut(&f->api, false);
    f->api.gone_next = true;
    fake_put(&f->api, "d", "c", "n1");
    fake_run(&f->api, 100);
    assert_int_equal(f->api.streams, 2);
    assert_int_equal(informer_len(f->inf), 2);
    assert_sv(informer_resource_version(f->inf), "");
    fake_put(&f->api, "d", "e", "n1"); /* a change that comes in between is part of the state */
    for (unsigned i = 0; i < FAKE_MAX; i++)
        if (f->api.watchers[i])
            fake_bookmark(&f->api, f->api.watchers[i], true);
    fake_run(&f->api, 30);
    assert_int_equal(informer_len(f->inf), 4);
    assert_sv(informer_resource_version(f->inf), "104");
}

static void test_server_that_is_away_is_asked_again(void **state)
{
    Fix *f = *state;
    f->api.fail_next = 3;
    start(f);
    fake_run(&f->api, 8);
    assert_false(informer_synced(f->inf));
    assert_int_equal(informer_last_error(f->inf)->code, ERR_BUSY);
    fake_run(&f->api, 200);
    assert_true(informer_synced(f->inf));
    assert_int_equal(informer_last_error(f->inf)->code, ERR_NONE);
}

static void test_informer_may_be_freed_inside_a_handler(void **state)
{
    Fix *f = *state;
    f->free_on_add = true;
    start(f);
    fake_run(&f->api, 30);
    assert_int_equal(strlen(f->log), 5); /* one object only */
    assert_int_equal(f->synced, 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_stream_fills_the_store_and_follows_changes),
        CASE(test_list_and_watch_where_streams_are_refused),
        CASE(test_dropped_connections_are_resumed_without_a_relist),
        CASE(test_expired_revision_leads_to_a_relist_of_differences),
        CASE(test_nothing_is_caught_up_while_a_state_streams_in),
        CASE(test_server_that_is_away_is_asked_again),
        CASE(test_informer_may_be_freed_inside_a_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
