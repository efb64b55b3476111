/* test_watch.c - watches: what is told, in which order, from which revision on, and in what form.
 */
#include "server_fixture.h"

#include <stdio.h>
#include <string.h>

#define NS    "/api/v1/namespaces/default"
#define MAPS  NS "/configmaps"
#define WATCH MAPS "?watch=true"

enum { PAST_BYTES = 24 * 1024 }; /* of which the store keeps little */

static int setup(void **state)
{
    Server *s = server_start(NULL, PAST_BYTES);
    *state = s;
    server_make(s, "/api/v1/namespaces", "{'metadata':{'name':'other'}}");
    return 0;
}

/* The next event has this type and name. */
static Answer expect_event(ServerWatch *w, const char *type, const char *name)
{
    Answer e = server_watch_next(w);
    assert_at(&e, "type", type);
    assert_at(&e, "object.metadata.name", name);
    return e;
}

static const char *revision(Server *s)
{
    return server_text(s, "%llu", (unsigned long long)store_revision(s->store));
}

static void label(Server *s, const char *name, const char *value)
{
    Answer a = server_patch(s, server_text(s, MAPS "/%s", name), "merge",
                            server_text(s, "{'metadata':{'labels':{'l':'%s'}}}", value));
    assert_code(&a, 200);
}

static void test_changes_come_as_they_are_made(void **state)
{
    Server *s = *state;
    ServerWatch *w = server_watch(s, server_text(s, WATCH "&resourceVersion=%s", revision(s)));
    assert_int_equal(server_watch_status(w), 200);
    server_make(s, MAPS, "{'metadata':{'name':'a'}}");
    label(s, "a", "1");
    server_make(s, "/api/v1/namespaces/other/configmaps", "{'metadata':{'name':'elsewhere'}}");
    Answer gone = server_delete(s, MAPS "/a", NULL);
    assert_code(&gone, 200);
    server_make(s, MAPS, "{'metadata':{'name':'b'}}");
    Answer e = expect_event(w, "ADDED", "a");
    assert_at(&e, "object.kind", "ConfigMap");
    e = expect_event(w, "MODIFIED", "a");
    assert_at(&e, "object.metadata.labels.l", "1");
    const char *modified = answer_at(&e, "object.metadata.resourceVersion");
    e = expect_event(w, "DELETED", "a");
    assert_at(&e, "object.metadata.labels.l", "1");
    /* The revision is that of the deletion, from which a client goes on. */
    assert_true(strtoull(answer_at(&e, "object.metadata.resourceVersion"), NULL, 10) >
                strtoull(modified, NULL, 10));
    expect_event(w, "ADDED", "b");
    server_watch_free(w);
}

static void test_without_a_revision_the_state_comes_first(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'first'}}");
    ServerWatch *w = server_watch(s, WATCH "&fieldSelector=metadata.name%3Dfirst");
    expect_event(w, "ADDED", "first");
    label(s, "first", "1");
    expect_event(w, "MODIFIED", "first");
    server_watch_free(w);
    w = server_watch(s, WATCH "&resourceVersion=0&fieldSelector=metadata.name%3Dfirst");
    expect_event(w, "ADDED", "first");
    server_watch_free(w);
}

static void test_a_streamed_list_ends_with_a_bookmark(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'s1','labels':{'of':'stream'}}}");
    server_make(s, MAPS, "{'metadata':{'name':'s2','labels':{'of':'stream'}}}");
    const char *rv = revision(s);
    ServerWatch *w =
        server_watch(s, WATCH "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
                              "allowWatchBookmarks=true&labelSelector=of%3Dstream");
    expect_event(w, "ADDED", "s1");
    expect_event(w, "ADDED", "s2");
    Answer e = server_watch_next(w);
    assert_at(&e, "type", "BOOKMARK");
    assert_at(&e, "object.kind", "ConfigMap");
    assert_at(&e, "object.metadata.resourceVersion", rv);
    assert_at(&e, "object.metadata.annotations.[k8s.io/initial-events-end]", "true");
    label(s, "s1", "x");
    expect_event(w, "MODIFIED", "s1");
    server_watch_free(w);
}

/* Who did not ask for bookmarks may not know what one is. */
static void test_a_streamed_list_without_bookmarks(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'plain','labels':{'of':'plain'}}}");
    ServerWatch *w = server_watch(s, WATCH "&sendInitialEvents=true&labelSelector=of%3Dplain&"
                                           "resourceVersionMatch=NotOlderThan");
    expect_event(w, "ADDED", "plain");
    label(s, "plain", "x");
    expect_event(w, "MODIFIED", "plain");
    server_watch_free(w);
}

static void test_into_a_selection_and_out_of_it(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'moves','labels':{'l':'out'}}}");
    ServerWatch *w =
        server_watch(s, server_text(s, WATCH "&labelSelector=l%%3Din&resourceVersion=%s",
                                    revision(s)));
    label(s, "moves", "out2");
    label(s, "moves", "in");
    Answer a = server_patch(s, MAPS "/moves", "merge", "{'data':{'k':'v'}}");
    assert_code(&a, 200);
    label(s, "moves", "out");
    Answer e = expect_event(w, "ADDED", "moves");
    assert_at(&e, "object.metadata.labels.l", "in");
    e = expect_event(w, "MODIFIED", "moves");
    assert_at(&e, "object.data.k", "v");
    const char *modified = answer_at(&e, "object.metadata.resourceVersion");
    e = expect_event(w, "DELETED", "moves");
    assert_at(&e, "object.metadata.labels.l", "in"); /* as it was, at the revision of the change */
    assert_true(strtoull(answer_at(&e, "object.metadata.resourceVersion"), NULL, 10) >
                strtoull(modified, NULL, 10));
    a = server_delete(s, MAPS "/moves", NULL); /* nothing any more to who does not see it */
    assert_code(&a, 200);
    server_make(s, MAPS, "{'metadata':{'name':'last','labels':{'l':'in'}}}");
    expect_event(w, "ADDED", "last");
    server_watch_free(w);
}

static void test_one_object_by_its_path(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'one'}}");
    server_make(s, MAPS, "{'metadata':{'name':'one-more'}}");
    ServerWatch *w = server_watch(s, "/api/v1/watch/namespaces/default/configmaps/one");
    expect_event(w, "ADDED", "one");
    label(s, "one-more", "x");
    label(s, "one", "y");
    expect_event(w, "MODIFIED", "one");
    server_watch_free(w);
}

static void test_a_past_revision_is_caught_up_with(void **state)
{
    Server *s = *state;
    const char *rv = revision(s);
    server_make(s, MAPS, "{'metadata':{'name':'past'}}");
    label(s, "past", "1");
    Answer a = server_delete(s, MAPS "/past", NULL);
    assert_code(&a, 200);
    ServerWatch *w = server_watch(s, server_text(s, WATCH "&resourceVersion=%s", rv));
    expect_event(w, "ADDED", "past");
    expect_event(w, "MODIFIED", "past");
    expect_event(w, "DELETED", "past");
    server_watch_free(w);
}

static void test_a_revision_that_is_forgotten(void **state)
{
    Server *s = *state;
    const char *rv = revision(s);
    server_make(s, MAPS, "{'metadata':{'name':'filler'}}");
    for (int i = 0; i < 200; i++) {
        Answer a =
            server_patch(s, MAPS "/filler", "merge", server_text(s, "{'data':{'k':'%0400d'}}", i));
        assert_code(&a, 200);
    }
    ServerWatch *w = server_watch(s, server_text(s, WATCH "&resourceVersion=%s", rv));
    assert_int_equal(server_watch_status(w), 200); /* as an event of the stream */
    Answer e = server_watch_next(w);
    assert_at(&e, "type", "ERROR");
    assert_at(&e, "object.kind", "Status");
    assert_at(&e, "object.code", "410");
    assert_at(&e, "object.reason", "Expired");
    e = server_watch_next(w);
    assert_int_equal(e.status, 0); /* and its end */
    server_watch_free(w);
}

static void test_forms_of_events(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'formed','labels':{'of':'form'}},'data':{'k':'v'}}");
    const char *path = WATCH "&labelSelector=of%3Dform";
    ServerWatch *w = server_watch_form(s, path, "application/json;as=Table;v=v1;g=meta.k8s.io");
    Answer a = server_watch_next(w);
    assert_at(&a, "type", "ADDED");
    assert_at(&a, "object.kind", "Table");
    assert_at(&a, "object.columnDefinitions.0.name", "Name");
    assert_at(&a, "object.rows.0.cells.0", "formed");
    label(s, "formed", "x");
    a = server_watch_next(w);
    assert_at(&a, "type", "MODIFIED");
    assert_at(&a, "object.columnDefinitions", "null"); /* once is enough */
    server_watch_free(w);
    w = server_watch_form(s, path, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
    a = server_watch_next(w);
    assert_at(&a, "object.kind", "PartialObjectMetadata");
    assert_at(&a, "object.data", "");
    server_watch_free(w);
    /* The end of the initial events would be hidden in a Table: such a stream is not given. */
    a = server_ask(s,
                   &(Ask){ "GET", WATCH "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
                           .accept = "application/json;as=Table;v=v1;g=meta.k8s.io" });
    assert_status(&a, 406, "NotAcceptable", NULL);
}

static void test_options_that_do_not_go_together(void **state)
{
    static const struct {
        const char *query, *what;
        int code;
    } rows[] = {
        { "&sendInitialEvents=true",
          "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
          "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
          422 },
        { "&resourceVersionMatch=NotOlderThan",
          "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
          "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
          422 },
        { "&resourceVersion=new", NULL, 400 },
        { "&timeoutSeconds=long", NULL, 400 },
        { "&fieldSelector=data.k%3Dv", NULL, 400 },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_get(s, server_text(s, WATCH "%s", rows[i].query));
        assert_status(&a, rows[i].code, NULL, rows[i].what);
    }
    Answer a = server_ask(s, &(Ask){ "DELETE", "/api/v1/watch/namespaces/default/configmaps" });
    assert_status(&a, 405, "MethodNotAllowed", NULL);
}

static void test_many_events_in_order(void **state)
{
    enum { MANY = 60, SIZE = 20 * 1024 }; /* more than waits for a client that takes nothing */
    static char data[SIZE + 1];
    Server *s = *state;
    memset(data, 'x', SIZE);
    server_make(s, MAPS, "{'metadata':{'name':'big','labels':{'of':'many'}}}");
    ServerWatch *w = server_watch(s, WATCH "&labelSelector=of%3Dmany"), *slow;
    expect_event(w, "ADDED", "big");
    slow = server_watch(s, WATCH "&labelSelector=of%3Dmany");
    for (int i = 0; i < MANY; i++) {
        Answer a = server_patch(s, MAPS "/big", "merge",
                                server_text(s, "{'data':{'n':'%d','x':'%s'}}", i, data));
        assert_code(&a, 200);
        Answer e = expect_event(w, "MODIFIED", "big");
        assert_at(&e, "object.data.n", server_text(s, "%d", i));
    }
    expect_event(slow, "ADDED", "big");
    for (int i = 0; i < MANY; i++) {
        Answer e = expect_event(slow, "MODIFIED", "big");
        assert_at(&e, "object.data.n", server_text(s, "%d", i));
    }
    server_watch_free(slow);
    server_watch_free(w);
}

/* Pieces of the past in which nothing concerns a watch are no end of it. */
static void test_what_others_did_is_passed_over(void **state)
{
    Server *s = server_start(NULL, 0);
    const char *rv = revision(s);
    for (int i = 0; i < 50; i++) {
        StoreOp ops[STORE_OPS_MAX];
        char keys[STORE_OPS_MAX][48];
        Err err = { 0 };
        for (int j = 0; j < STORE_OPS_MAX; j++) {
            snprintf(keys[j], sizeof keys[j], "/registry/configmaps/other/c%d-%d", i, j);
            ops[j] = (StoreOp){ .kind = STORE_PUT, .key = sv_cstr(keys[j]), .val = SV("{}") };
        }
        assert_int_equal(store_commit_sync(s->store, ops, STORE_OPS_MAX, NULL, &err), 0);
    }
    server_make(s, MAPS, "{'metadata':{'name':'late'}}");
    ServerWatch *w = server_watch(s, server_text(s, WATCH "&resourceVersion=%s", rv));
    expect_event(w, "ADDED", "late");
    label(s, "late", "1");
    expect_event(w, "MODIFIED", "late");
    server_watch_free(w);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_come_as_they_are_made),
        cmocka_unit_test(test_without_a_revision_the_state_comes_first),
        cmocka_unit_test(test_a_streamed_list_ends_with_a_bookmark),
        cmocka_unit_test(test_a_streamed_list_without_bookmarks),
        cmocka_unit_test(test_into_a_selection_and_out_of_it),
        cmocka_unit_test(test_one_object_by_its_path),
        cmocka_unit_test(test_a_past_revision_is_caught_up_with),
        cmocka_unit_test(test_a_revision_that_is_forgotten),
        cmocka_unit_test(test_forms_of_events),
        cmocka_unit_test(test_options_that_do_not_go_together),
        cmocka_unit_test(test_many_events_in_order),
        cmocka_unit_test(test_what_others_did_is_passed_over),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
