/* test_list.c - lists: selectors, pages, revisions, and the forms of the answer. */
#include "server_fixture.h"

#include <string.h>

#define NS    "/api/v1/namespaces/default"
#define MAPS  NS "/configmaps"
#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

enum { PAST_BYTES = 24 * 1024 }; /* of which the store keeps little */

static int setup(void **state)
{
    Server *s = server_start(NULL, PAST_BYTES);
    *state = s;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(s, "/api/v1/namespaces", "{'metadata':{'name':'other'}}");
    server_make(s, "/api/v1/namespaces/other/configmaps", "{'metadata':{'name':'far'}}");
    for (int i = 0; i < 5; i++)
        server_make(
            s, MAPS,
            server_text(s,
                        "{'metadata':{'name':'c%d','labels':{'n':'%d','kind':'%s'}},'data':{"
                        "'k':'v'}}",
                        i, i, i < 3 ? "low" : "high"));
    return 0;
}

/* The names of a list's items, with blanks between them. */
static const char *names_of(Server *s, const Answer *a)
{
    const char *names = "";
    assert_code(a, 200);
    value_list_foreach (it, value_get(&a->body, SV("items"))) {
        names = server_text(s, "%s%s%.*s", names, *names ? " " : "",
                            SV_FMT(value_path_str(it, "metadata.name")));
    }
    return names;
}

static void assert_names(Server *s, const char *path, const char *want)
{
    Answer a = server_get(s, path);
    if (strcmp(names_of(s, &a), want) != 0)
        fail_msg("%s: got '%s', want '%s'", path, names_of(s, &a), want);
}

static void test_a_list_says_what_it_is(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, MAPS);
    assert_at(&a, "kind", "ConfigMapList");
    assert_at(&a, "apiVersion", "v1");
    assert_at(&a, "items.0.kind", ""); /* an item is what the list says */
    assert_string_equal(answer_at(&a, "metadata.resourceVersion"),
                        server_text(s, "%llu", (unsigned long long)store_revision(s->store)));
    assert_names(s, MAPS, "c0 c1 c2 c3 c4");
    a = server_get(s, "/api/v1/namespaces/nosuch/configmaps");
    assert_at(&a, "items", "[]"); /* no error: a namespace may come later */
}

static void test_label_selectors(void **state)
{
    static const struct {
        const char *selector, *names;
    } rows[] = {
        { "n%3D1", "c1" },
        { "n%3D%3D1", "c1" },
        { "n!%3D1", "c0 c2 c3 c4" },
        { "kind%20in%20(high)", "c3 c4" },
        { "kind%20notin%20(high,other)", "c0 c1 c2" },
        { "n", "c0 c1 c2 c3 c4" },
        { "!n", "" },
        { "kind%3Dlow,n%3D2", "c2" },
        { "n%3E2", "c3 c4" },
        { "n%3C1", "c0" },
        { "", "c0 c1 c2 c3 c4" },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_names(s, server_text(s, MAPS "?labelSelector=%s", rows[i].selector), rows[i].names);
    Answer a = server_get(s, MAPS "?labelSelector=a%20in%20b");
    assert_status(&a, 400, "BadRequest", NULL);
}

static void test_field_selectors(void **state)
{
    Server *s = *state;
    assert_names(s, MAPS "?fieldSelector=metadata.name%3Dc1", "c1");
    assert_names(s, MAPS "?fieldSelector=metadata.name!%3Dc1", "c0 c2 c3 c4");
    assert_names(s, "/api/v1/configmaps?fieldSelector=metadata.namespace%3Dother", "far");
    assert_names(s, MAPS "?fieldSelector=metadata.name%3Dc1,metadata.namespace%3Dother", "");
    server_make(s, NS "/pods",
                "{'metadata':{'name':'p1'},'spec':{'nodeName':'n1','containers':[{"
                "'name':'c','image':'i'}]}}");
    server_make(s, NS "/pods",
                "{'metadata':{'name':'p2'},'spec':{'containers':[{'name':'c',"
                "'image':'i'}]}}");
    assert_names(s, NS "/pods?fieldSelector=spec.nodeName%3Dn1", "p1");
    assert_names(s, NS "/pods?fieldSelector=spec.nodeName%3D", "p2");
    assert_names(s, NS "/pods?fieldSelector=status.phase%3DPending,spec.restartPolicy%3DAlways",
                 "p1 p2");
    Answer a = server_get(s, MAPS "?fieldSelector=data.k%3Dv");
    assert_status(&a, 400, "BadRequest", NULL);
    assert_true(strstr(answer_at(&a, "message"), "field label not supported: data.k") != NULL);
}

static void test_pages_show_one_state(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, MAPS "?limit=2");
    assert_string_equal(names_of(s, &a), "c0 c1");
    assert_at(&a, "metadata.remainingItemCount", "3");
    const char *next = answer_at(&a, "metadata.continue"),
               *rv = answer_at(&a, "metadata.resourceVersion");
    server_make(s, MAPS, "{'metadata':{'name':'c1-later'}}");
    Answer gone = server_delete(s, MAPS "/c3", NULL);
    assert_code(&gone, 200);
    a = server_get(s, server_text(s, MAPS "?limit=2&continue=%s", next));
    assert_string_equal(names_of(s, &a), "c2 c3");
    assert_at(&a, "metadata.remainingItemCount", "1");
    assert_at(&a, "metadata.resourceVersion", rv);
    a = server_get(s,
                   server_text(s, MAPS "?limit=2&continue=%s", answer_at(&a, "metadata.continue")));
    assert_string_equal(names_of(s, &a), "c4");
    assert_at(&a, "metadata.continue", "");
    assert_at(&a, "metadata.remainingItemCount", "");
    /* With a selection nobody knows how many are left. */
    a = server_get(s, MAPS "?limit=1&labelSelector=kind%3Dlow");
    assert_string_equal(names_of(s, &a), "c0");
    assert_string_not_equal(answer_at(&a, "metadata.continue"), "");
    assert_at(&a, "metadata.remainingItemCount", "");
}

static void test_tokens_that_are_not_of_the_list(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, MAPS "?limit=1");
    const char *next = answer_at(&a, "metadata.continue");
    a = server_get(s, MAPS "?continue=nonsense");
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_get(s, server_text(s, NS "/secrets?continue=%s", next));
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_get(s, server_text(s, "/api/v1/namespaces/other/configmaps?continue=%s", next));
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_get(s, server_text(s, MAPS "?continue=%s&resourceVersion=5", next));
    assert_status(&a, 400, "BadRequest",
                  "specifying resource version is not allowed when using continue");
    a = server_get(s, MAPS "?limit=many");
    assert_status(&a, 400, "BadRequest", NULL);
}

/* Writes until the store has forgotten what was before. */
static void fill_history(Server *s)
{
    for (int i = 0; i < 200; i++) {
        Answer a =
            server_patch(s, MAPS "/c0", "merge", server_text(s, "{'data':{'k':'%0400d'}}", i));
        assert_code(&a, 200);
    }
}

static void test_a_token_expires_and_leads_on(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, MAPS "?limit=2");
    const char *next = answer_at(&a, "metadata.continue"),
               *rv = answer_at(&a, "metadata.resourceVersion");
    fill_history(s);
    a = server_get(s, server_text(s, MAPS "?limit=100&continue=%s", next));
    assert_status(&a, 410, "Expired", NULL);
    assert_true(strstr(answer_at(&a, "message"), "continue parameter is too old") != NULL);
    const char *on = answer_at(&a, "metadata.continue");
    server_make(s, MAPS, "{'metadata':{'name':'c2-new'}}");
    a = server_get(s, server_text(s, MAPS "?limit=100&continue=%s", on));
    assert_string_equal(names_of(s, &a), "c1-later c2 c2-new c4"); /* the rest, as it is now */
    assert_string_not_equal(answer_at(&a, "metadata.resourceVersion"), rv);
    a = server_get(s, server_text(s, MAPS "?resourceVersion=%s&resourceVersionMatch=Exact", rv));
    assert_status(&a, 410, "Expired", NULL);
}

static void test_revisions(void **state)
{
    Server *s = *state;
    Answer before = server_get(s, MAPS), a;
    const char *rv = answer_at(&before, "metadata.resourceVersion"), *old = names_of(s, &before);
    server_make(s, MAPS, "{'metadata':{'name':'newest'}}");
    a = server_get(s, server_text(s, MAPS "?resourceVersion=%s&resourceVersionMatch=Exact", rv));
    assert_string_equal(names_of(s, &a), old);
    assert_at(&a, "metadata.resourceVersion", rv);
    a = server_get(s, server_text(s, MAPS "?resourceVersion=%s&limit=100", rv)); /* as Exact */
    assert_string_equal(names_of(s, &a), old);
    a = server_get(s, server_text(s, MAPS "?resourceVersion=%s&resourceVersionMatch=NotOlderThan",
                                  rv));
    assert_true(strstr(names_of(s, &a), "newest") != NULL);
    a = server_get(s, MAPS "?resourceVersion=0");
    assert_true(strstr(names_of(s, &a), "newest") != NULL);
}

/* As for who knew a cluster that was here before. client-go's informers list again without a
 * revision for this cause alone. */
static void test_a_revision_that_is_yet_to_come(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'one'}}");
    /* {"v":"meta.k8s.io/v1","rv":999999999,"start":"/registry/configmaps/default/one"} */
    static const char token[] =
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6OTk5OTk5OTk5LCJzdGFydCI6Ii9yZWd"
        "pc3RyeS9jb25maWdtYXBzL2RlZmF1bHQvb25lIn0";
    const char *const queries[] = {
        MAPS "?resourceVersion=999999999",
        MAPS "?resourceVersion=999999999&resourceVersionMatch=NotOlderThan",
        MAPS "?resourceVersion=999999999&resourceVersionMatch=Exact",
        MAPS "?resourceVersion=999999999&limit=3",
        server_text(s, MAPS "?continue=%s&limit=3", token),
        MAPS "/one?resourceVersion=999999999",
        MAPS "?watch=true&resourceVersion=999999999&sendInitialEvents=true&"
             "resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    };
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
        Answer a = server_get(s, queries[i]);
        assert_status(&a, 504, "Timeout", NULL);
        assert_true(sv_starts(sv_cstr(answer_at(&a, "message")),
                              SV("Timeout: Too large resource version: 999999999, current: ")));
        assert_at(&a, "details.causes.0.reason", "ResourceVersionTooLarge");
        assert_at(&a, "details.causes.0.message", "Too large resource version");
    }
    static const char *const bad[] = { MAPS "?resourceVersion=new", MAPS "/one?resourceVersion=new",
                                       MAPS "?watch=true&resourceVersion=new" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Answer a = server_get(s, bad[i]);
        assert_status(&a, 400, "BadRequest", "resourceVersion: Invalid value: \"new\"");
    }
}

static void test_options_that_do_not_go_together(void **state)
{
    static const struct {
        const char *query, *what;
    } rows[] = {
        { "resourceVersionMatch=Exact",
          "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided" },
        { "resourceVersionMatch=Exact&resourceVersion=0",
          "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"" },
        { "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=x",
          "Forbidden: resourceVersionMatch is forbidden when continue is provided" },
        { "resourceVersionMatch=Newest&resourceVersion=1",
          "Unsupported value: \"Newest\": supported values: \"Exact\", \"NotOlderThan\", \"\"" },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_get(s, server_text(s, MAPS "?%s", rows[i].query));
        assert_status(
            &a, 422, "Invalid",
            server_text(s, "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: %s",
                        rows[i].what));
        assert_at(&a, "details.causes.0.field", "resourceVersionMatch");
    }
    Answer a = server_get(s, MAPS "?sendInitialEvents=true");
    assert_status(&a, 422, "Invalid",
                  "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: "
                  "sendInitialEvents is forbidden for list");
}

static void test_tables(void **state)
{
    Server *s = *state;
    Answer a = server_ask(s, &(Ask){ "GET", MAPS "?limit=1", .accept = TABLE });
    assert_code(&a, 200);
    assert_at(&a, "kind", "Table");
    assert_at(&a, "apiVersion", "meta.k8s.io/v1");
    assert_at(&a, "columnDefinitions.0.name", "Name");
    assert_at(&a, "rows.0.cells.0", "c0");
    assert_at(&a, "rows.0.object.kind", "PartialObjectMetadata");
    assert_at(&a, "rows.1", "");
    assert_string_not_equal(answer_at(&a, "metadata.continue"), "");
    a = server_ask(s, &(Ask){ "GET", MAPS "/c2?includeObject=Object", .accept = TABLE });
    assert_at(&a, "rows.0.object.kind", "ConfigMap");
    assert_at(&a, "rows.0.object.data.k", "v");
    a = server_ask(s, &(Ask){ "GET", MAPS "?includeObject=None&limit=1", .accept = TABLE });
    assert_at(&a, "rows.0.object", "null");
    a = server_ask(s, &(Ask){ "GET", MAPS "?includeObject=&limit=1", .accept = TABLE });
    assert_at(&a, "rows.0.object.kind", "PartialObjectMetadata");
    static const char *const bad[] = { MAPS "?includeObject=Everything",
                                       MAPS "/c2?includeObject=Everything",
                                       MAPS "?watch=true&includeObject=Everything" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        a = server_ask(s, &(Ask){ "GET", bad[i], .accept = TABLE });
        assert_status(&a, 400, "BadRequest",
                      "Unable to convert to Table as requested: includeObject: Invalid value: "
                      "\"Everything\": must be 'Metadata', 'Object', 'None', or empty");
    }
    a = server_get(s, MAPS "/c2?includeObject=Everything"); /* of Tables alone */
    assert_code(&a, 200);
}

static void test_metadata_alone(void **state)
{
    Server *s = *state;
    Answer a = server_ask(s, &(Ask){ "GET", MAPS "/c2",
                                     .accept = "application/json;as=PartialObjectMetadata;v=v1;g="
                                               "meta.k8s.io" });
    assert_at(&a, "kind", "PartialObjectMetadata");
    assert_at(&a, "metadata.name", "c2");
    assert_at(&a, "data", "");
    a = server_ask(s, &(Ask){ "GET", MAPS,
                              .accept = "application/json;as=PartialObjectMetadataList;v=v1;g="
                                        "meta.k8s.io" });
    assert_at(&a, "kind", "PartialObjectMetadataList");
    assert_at(&a, "items.0.data", "");
}

static void test_forms_that_there_are_not(void **state)
{
    Server *s = *state;
    Answer a = server_ask(s, &(Ask){ "GET", MAPS, .accept = "text/html" });
    assert_status(&a, 406, "NotAcceptable", NULL);
    a = server_ask(s, &(Ask){ "GET", MAPS, .accept = "text/html, */*;q=0.1" });
    assert_code(&a, 200);
    a = server_ask(s, &(Ask){ "GET", MAPS "/c2", .accept = "application/yaml" });
    assert_true(sv_find(a.text, SV("kind: ConfigMap\n")) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_says_what_it_is),
        cmocka_unit_test(test_label_selectors),
        cmocka_unit_test(test_field_selectors),
        cmocka_unit_test(test_pages_show_one_state),
        cmocka_unit_test(test_tokens_that_are_not_of_the_list),
        cmocka_unit_test(test_a_token_expires_and_leads_on),
        cmocka_unit_test(test_revisions),
        cmocka_unit_test(test_a_revision_that_is_yet_to_come),
        cmocka_unit_test(test_options_that_do_not_go_together),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_metadata_alone),
        cmocka_unit_test(test_forms_that_there_are_not),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
