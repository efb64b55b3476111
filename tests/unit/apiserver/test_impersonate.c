/* test_impersonate.c - who somebody is: certificates, claimed identities, and what a review of
 * oneself says. */
#include "server_fixture.h"

#include <string.h>

#define RBAC "/apis/rbac.authorization.k8s.io/v1"
#define SELF "/apis/authentication.k8s.io/v1/selfsubjectreviews"

/* Who the server takes the asker for. */
static Answer who(Server *s, const char *as, const HttpHeader *headers, unsigned n)
{
    return server_ask(s,
                      &(Ask){ "POST", SELF, "{}", .as = as, .headers = headers, .n_headers = n });
}

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(
        s, RBAC "/clusterroles",
        "{'metadata':{'name':'actor'},'rules':[{'verbs':['impersonate'],'apiGroups':[''],"
        "'resources':['users'],'resourceNames':['bob']},{'verbs':['impersonate'],'apiGroups':"
        "[''],'resources':['groups'],'resourceNames':['devs']},{'verbs':['impersonate'],"
        "'apiGroups':[''],'resources':['serviceaccounts']},{'verbs':['impersonate'],"
        "'apiGroups':['authentication.k8s.io'],'resources':['uids'],'resourceNames':['u-1']}]}");
    server_make(s, RBAC "/clusterrolebindings",
                "{'metadata':{'name':'actor'},'roleRef':{'apiGroup':'rbac.authorization.k8s.io',"
                "'kind':'ClusterRole','name':'actor'},'subjects':[{'kind':'User','name':'alice',"
                "'apiGroup':'rbac.authorization.k8s.io'}]}");
    return 0;
}

static void test_a_certificate_says_name_and_groups(void **state)
{
    Answer a = who(*state, "carol/devs,ops", NULL, 0);
    assert_code(&a, 201);
    assert_at(&a, "status.userInfo.username", "carol");
    assert_at(&a, "status.userInfo.groups", "[\"devs\",\"ops\",\"system:authenticated\"]");
    a = who(*state, "", NULL, 0);
    assert_status(&a, 403, "Forbidden", NULL);
    const HttpHeader basic[] = { { SV_INIT("authorization"), SV_INIT("Basic YTpi") } };
    a = who(*state, "", basic, 1);
    assert_status(&a, 401, "Unauthorized", "Unauthorized");
    const HttpHeader bad[] = { { SV_INIT("authorization"), SV_INIT("Bearer nonsense") } };
    a = who(*state, "", bad, 1);
    assert_status(&a, 401, "Unauthorized", NULL);
    a = who(*state, "carol", bad, 1); /* a certificate that holds is enough */
    assert_at(&a, "status.userInfo.username", "carol");
}

static void test_an_administrator_acts_as_anybody(void **state)
{
    const HttpHeader h[] = { { SV_INIT("impersonate-user"), SV_INIT("bob") },
                             { SV_INIT("impersonate-group"), SV_INIT("devs") },
                             { SV_INIT("impersonate-group"), SV_INIT("ops") },
                             { SV_INIT("impersonate-uid"), SV_INIT("u-1") } };
    Answer a = who(*state, NULL, h, ARRAY_SIZE(h));
    assert_code(&a, 201);
    assert_at(&a, "status.userInfo.username", "bob");
    assert_at(&a, "status.userInfo.uid", "u-1");
    assert_at(&a, "status.userInfo.groups", "[\"devs\",\"ops\",\"system:authenticated\"]");
    /* And has no right any more but those. */
    a = server_ask(*state, &(Ask){ "GET", "/api/v1/nodes", .headers = h, .n_headers = 1 });
    assert_status(&a, 403, "Forbidden", NULL);
    assert_true(strstr(answer_at(&a, "message"), "User \"bob\" cannot list") != NULL);
}

static void test_each_claim_needs_its_right(void **state)
{
    static const struct {
        const char *header, *value, *message;
    } rows[] = {
        { "impersonate-user", "bob", NULL },
        { "impersonate-user", "root",
          "users \"root\" is forbidden: User \"alice\" cannot impersonate resource \"users\" in API "
          "group \"\" at the cluster scope" },
        { "impersonate-group", "devs", NULL },
        { "impersonate-group", "system:masters",
          "groups \"system:masters\" is forbidden: User \"alice\" cannot impersonate resource "
          "\"groups\" in API group \"\" at the cluster scope" },
        { "impersonate-uid", "u-1", NULL },
        { "impersonate-uid", "u-2",
          "uids.authentication.k8s.io \"u-2\" is forbidden: User \"alice\" cannot impersonate "
          "resource \"uids\" in API group \"authentication.k8s.io\" at the cluster scope" },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        HttpHeader h[] = { { SV("impersonate-user"), SV("bob") },
                           { sv_cstr(rows[i].header), sv_cstr(rows[i].value) } };
        bool only = sv_eq(h[0].name, h[1].name);
        Answer a = who(s, "alice", only ? &h[1] : h, only ? 1 : 2);
        if (rows[i].message)
            assert_status(&a, 403, "Forbidden", rows[i].message);
        else {
            assert_code(&a, 201);
            assert_at(&a, "status.userInfo.username", "bob");
        }
    }
    HttpHeader h[] = { { SV("impersonate-user"), SV("bob") } };
    Answer a = who(s, "mallory", h, 1);
    assert_status(&a, 403, "Forbidden", NULL);
}

static void test_an_account_gets_the_groups_of_accounts(void **state)
{
    HttpHeader h[] = { { SV("impersonate-user"), SV("system:serviceaccount:default:robot") } };
    Answer a = who(*state, "alice", h, 1);
    assert_code(&a, 201);
    assert_at(&a, "status.userInfo.username", "system:serviceaccount:default:robot");
    assert_at(&a, "status.userInfo.groups",
              "[\"system:serviceaccounts\",\"system:serviceaccounts:default\","
              "\"system:authenticated\"]");
}

static void test_nobody_in_particular(void **state)
{
    HttpHeader h[] = { { SV("impersonate-user"), SV("system:anonymous") } };
    Answer a = server_ask(*state, &(Ask){ "GET", "/api", .headers = h, .n_headers = 1 });
    assert_status(&a, 403, "Forbidden", NULL); /* unauthenticated, as the real one */
    a = server_ask(*state, &(Ask){ "GET", "/version", .headers = h, .n_headers = 1 });
    assert_code(&a, 200);
}

static void test_claims_that_cannot_be(void **state)
{
    HttpHeader group[] = { { SV("impersonate-group"), SV("devs") } },
               extra[] = { { SV("impersonate-user"), SV("bob") },
                           { SV("impersonate-extra-scopes"), SV("view") } };
    Answer a = who(*state, NULL, group, 1);
    assert_code(&a, 400);
    a = who(*state, NULL, extra, 2);
    assert_code(&a, 400);
    HttpHeader many[27] = { { SV("impersonate-user"), SV("bob") } };
    for (size_t i = 1; i < ARRAY_SIZE(many); i++)
        many[i] = (HttpHeader){ SV("impersonate-group"), sv_cstr(server_text(*state, "g%zu", i)) };
    a = who(*state, NULL, many, ARRAY_SIZE(many));
    assert_status(&a, 400, "BadRequest", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_certificate_says_name_and_groups),
        cmocka_unit_test(test_an_administrator_acts_as_anybody),
        cmocka_unit_test(test_each_claim_needs_its_right),
        cmocka_unit_test(test_an_account_gets_the_groups_of_accounts),
        cmocka_unit_test(test_nobody_in_particular),
        cmocka_unit_test(test_claims_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
