/* test_large.c - bodies, objects and lists of a size that needs another way: another thread, a
 * stream, compression, or a refusal. */
#include "server_fixture.h"

#include <stdio.h>
#include <string.h>

#include "codec/gzip.h"
#include "codec/yaml.h"

#define NS   "/api/v1/namespaces/default"
#define MAPS NS "/configmaps"

enum {
    LARGE = 300 * 1024, /* written on another thread */
    BODY_MAX = 3 * 1024 * 1024,
    OBJECTS = 60, /* of which a list is more than what is made at once */
    DEPTH_MAX = 100,
};

/* So many bytes of text. */
static const char *fill(Server *s, size_t n)
{
    char *text = arena_alloc(&s->arena, n + 1);
    assert_non_null(text);
    memset(text, 'x', n);
    return text;
}

static const char *map_of(Server *s, const char *name, size_t bytes)
{
    return server_text(s, "{'metadata':{'name':'%s'},'data':{'k':'%s'}}", name, fill(s, bytes));
}

static void test_large_writes(void **state)
{
    Server *s = *state;
    Answer a = server_create(s, MAPS, map_of(s, "large", LARGE));
    assert_code(&a, 201);
    assert_int_equal(strlen(answer_at(&a, "data.k")), LARGE);
    a = server_create(s, MAPS, map_of(s, "large", LARGE));
    assert_status(&a, 409, "AlreadyExists", "configmaps \"large\" already exists");
    a = server_create(s, MAPS, map_of(s, "Not-A-Name", LARGE));
    assert_status(&a, 422, "Invalid", NULL);
    a = server_create(s, MAPS, server_text(s, "{'data':{'k':'%s'", fill(s, LARGE)));
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_create(s, "/api/v1/namespaces/nosuch/configmaps", map_of(s, "x", LARGE));
    assert_status(&a, 404, "NotFound", "namespaces \"nosuch\" not found");
    a = server_update(
        s, MAPS "/large",
        server_text(s, "{'metadata':{'name':'large','resourceVersion':'1'},'data':{'k':'%s'}}",
                    fill(s, LARGE)));
    assert_status(&a, 409, "Conflict", NULL);
    a = server_patch(s, MAPS "/large", "merge", "{'data':{'l':'small'}}");
    assert_code(&a, 200);
    a = server_patch(s, MAPS "/large?fieldManager=m", "apply",
                     server_text(s, "{'apiVersion':'v1','kind':'ConfigMap','data':{'m':'%s'}}",
                                 fill(s, LARGE)));
    assert_code(&a, 200);
    assert_at(&a, "data.l", "small");
    a = server_delete(s, MAPS "/large", NULL);
    assert_code(&a, 200);
}

static Answer ask_yaml(Server *s, const char *path)
{
    Answer a = server_ask(s, &(Ask){ "GET", path, .accept = "application/yaml" });
    Err err = { 0 };
    assert_code(&a, 200);
    assert_sv(answer_header(&a, "content-type"), "application/yaml");
    if (yaml_decode(a.text, a.arena, NULL, &a.body, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    return a;
}

static void test_large_objects_as_yaml(void **state)
{
    Server *s = *state;
    server_make(s, MAPS,
                server_text(s,
                            "{'metadata':{'name':'wide','labels':{'a':'wide'}},"
                            "'data':{'k':'%s','b':'true'}}",
                            fill(s, LARGE)));
    Answer yaml = ask_yaml(s, MAPS "/wide"), json = server_get(s, MAPS "/wide");
    assert_true(value_equal(&yaml.body, &json.body));
    yaml = ask_yaml(s, MAPS "?labelSelector=a%3Dwide");
    json = server_get(s, MAPS "?labelSelector=a%3Dwide");
    assert_true(value_equal(&yaml.body, &json.body));
    Answer a = server_delete(s, MAPS "/wide", NULL);
    assert_code(&a, 200);
}

/* A map of {'NAME-0':'', 'NAME-1':'' …}, larger than what the loop reads itself. */
static const char *many_keys(Server *s, const char *name, unsigned n)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    for (unsigned i = 0; i < n; i++)
        buf_printf(&b, "%s'%s-%u':''", i ? "," : "", name, i);
    return arena_cstr(&s->arena, buf_view(&b));
}

/* As large as it may be: all annotations together have 256 KiB. */
static void test_large_bodies_of_actions(void **state)
{
    enum { MANY = 15000 };
    Server *s = *state;
    const char *keys = many_keys(s, "k", MANY), *far_more = many_keys(s, "far-more", 5 * MANY);
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(s, NS "/pods",
                "{'metadata':{'name':'p','annotations':{'k-7':'old','own':'1'}},'spec':{"
                "'containers':[{'name':'c','image':'i'}]}}");
    const char *binding = "{'metadata':{'name':'%s','annotations':{%s}},'target':{'name':'n'}}";
    Answer a = server_create(s, NS "/pods/p/binding", server_text(s, binding, "q", keys));
    assert_status(&a, 400, "BadRequest", "name in URL does not match name in Binding object");
    a = server_create(s, NS "/bindings", server_text(s, binding, "p", keys));
    assert_code(&a, 201);
    a = server_get(s, NS "/pods/p");
    assert_at(&a, "spec.nodeName", "n");
    assert_at(&a, "metadata.annotations.own", "1");
    assert_at(&a, "metadata.annotations.k-7", "");
    assert_int_equal(value_len(value_path(&a.body, "metadata.annotations")), MANY + 1);
    a = server_create(s, NS "/pods/p/eviction",
                      server_text(s, "{'metadata':{'name':'q','annotations':{%s}}}", far_more));
    assert_status(&a, 400, "BadRequest", "name in URL does not match name in Eviction object");
    a = server_create(
        s, NS "/pods/p/eviction",
        server_text(s,
                    "{'metadata':{'name':'p','annotations':{%s}},'deleteOptions':{'gracePeriod"
                    "Seconds':0}}",
                    far_more));
    assert_code(&a, 201);
    a = server_delete(s, NS "/pods/p", server_text(s, "{'unknown':{%s}}", far_more));
    assert_status(&a, 404, "NotFound", NULL);
}

static void test_more_than_a_body_may_have(void **state)
{
    Server *s = *state;
    Answer a = server_create(s, MAPS, map_of(s, "huge", BODY_MAX));
    assert_status(&a, 413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728");
    a = server_create(s, MAPS, map_of(s, "full", 1024 * 1024)); /* of one ConfigMap's own bound */
    assert_code(&a, 201);
    a = server_create(s, MAPS, map_of(s, "over", 1024 * 1024 + 1));
    assert_status(&a, 422, "Invalid", NULL);
    assert_non_null(
        strstr(answer_at(&a, "message"), "Too long: may not be more than 1048576 bytes"));
}

static void test_more_than_a_tree_may_be_deep(void **state)
{
    enum { OVER = 3 * DEPTH_MAX };
    Server *s = *state;
    char deep[2 * OVER + 1] = "";
    for (int i = 0; i < OVER; i++) {
        deep[i] = '[';
        deep[2 * OVER - 1 - i] = ']';
    }
    Answer a =
        server_create(s, MAPS, server_text(s, "{'metadata':{'name':'deep'},'nosuch':%s}", deep));
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_patch(s, MAPS "/kube-root-ca.crt", "merge", server_text(s, "{'data':%s}", deep));
    assert_code(&a, 400);
}

static void make_many(Server *s)
{
    for (int i = 0; i < OBJECTS; i++)
        server_make(
            s, MAPS,
            server_text(s,
                        "{'metadata':{'name':'many-%02d','labels':{'of':'many'}},'data':{'k':"
                        "'%s'}}",
                        i, fill(s, LARGE)));
}

static void test_a_list_that_is_streamed(void **state)
{
    Server *s = *state;
    const char *path = MAPS "?labelSelector=of%3Dmany";
    make_many(s);
    Answer a = server_get(s, path);
    assert_code(&a, 200);
    assert_true(a.text.len > (size_t)OBJECTS * LARGE);
    const Value *items = value_get(&a.body, SV("items"));
    assert_int_equal(value_len(items), OBJECTS);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        assert_sv(value_path_str(value_at(items, i), "metadata.name"),
                  server_text(s, "many-%02u", i));
        assert_int_equal(value_path_str(value_at(items, i), "data.k").len, LARGE);
    }
    HttpHeader h[] = { { SV("accept-encoding"), SV("gzip") } };
    Answer zipped = server_ask(s, &(Ask){ "GET", path, .headers = h, .n_headers = 1 });
    assert_sv(answer_header(&zipped, "content-encoding"), "gzip");
    assert_true(zipped.text.len < a.text.len / 10);
    _cleanup_buf_ Buf plain = BUF_INIT;
    assert_int_equal(gunzip(zipped.text, a.text.len, &plain, NULL), 0);
    assert_true(sv_eq(buf_view(&plain), a.text));
    a = server_ask(s, &(Ask){ "GET", path, .accept = "application/yaml" });
    assert_code(&a, 413); /* told in YAML, too */
    a = server_ask(s,
                   &(Ask){ "GET", path, .accept = "application/json;as=Table;v=v1;g=meta.k8s.io" });
    assert_code(&a, 200);
    assert_int_equal(value_len(value_get(&a.body, SV("rows"))), OBJECTS);
}

static void test_a_reader_that_goes_away(void **state)
{
    Server *s = *state;
    ServerWatch *w = server_watch(s, MAPS "?labelSelector=of%3Dmany"); /* a list: begun, not read */
    assert_int_equal(server_watch_status(w), 200);
    server_watch_free(w);
    w = server_watch(s, MAPS "?watch=true&labelSelector=of%3Dmany");
    assert_int_equal(server_watch_status(w), 200);
    server_watch_free(w);
    Answer a = server_get(s, MAPS "/many-00");
    assert_code(&a, 200);
}

static void test_a_sweep_of_large_objects(void **state)
{
    Server *s = *state;
    Answer a = server_delete(s, MAPS "?labelSelector=of%3Dmany", NULL);
    assert_code(&a, 200);
    a = server_get(s, MAPS "?labelSelector=of%3Dmany");
    assert_at(&a, "items", "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_writes),
        cmocka_unit_test(test_large_objects_as_yaml),
        cmocka_unit_test(test_large_bodies_of_actions),
        cmocka_unit_test(test_more_than_a_body_may_have),
        cmocka_unit_test(test_more_than_a_tree_may_be_deep),
        cmocka_unit_test(test_a_list_that_is_streamed),
        cmocka_unit_test(test_a_reader_that_goes_away),
        cmocka_unit_test(test_a_sweep_of_large_objects),
    };
    return cmocka_run_group_tests(tests, server_group_setup, server_group_teardown);
}
