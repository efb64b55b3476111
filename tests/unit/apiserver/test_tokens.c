/* test_tokens.c - tokens of service accounts: asked for, bound, reviewed, and no longer good. */
#include "server_fixture.h"

#include "base/encode.h"

#include <string.h>

#define NS      "/api/v1/namespaces/default"
#define TOKEN   NS "/serviceaccounts/robot/token"
#define REVIEWS "/apis/authentication.k8s.io/v1/tokenreviews"
#define SELF    "/apis/authentication.k8s.io/v1/selfsubjectreviews"

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'robot'}}");
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'other'}}");
    return 0;
}

static const char *token_for(Server *s, const char *spec)
{
    Answer a = server_create(s, TOKEN, server_text(s, "{'spec':{%s}}", spec));
    assert_code(&a, 201);
    return answer_at(&a, "status.token");
}

static const char *bound_to(Server *s, const char *kind, const char *name)
{
    return token_for(s,
                     server_text(s, "'boundObjectRef':{'kind':'%s','apiVersion':'v1','name':'%s'}",
                                 kind, name));
}

/* Whom the token is taken for; a 401 else. */
static Answer whoami(Server *s, const char *token)
{
    return server_ask(s, &(Ask){ "POST", SELF, "{}", .token = token });
}

static bool is_good(Server *s, const char *token)
{
    Answer a = whoami(s, token);
    if (a.status != 201)
        assert_status(&a, 401, "Unauthorized", "Unauthorized");
    return a.status == 201;
}

static void test_what_a_request_gets(void **state)
{
    Server *s = *state;
    Answer a = server_create(s, TOKEN, "{}");
    assert_code(&a, 201);
    assert_at(&a, "kind", "TokenRequest");
    assert_at(&a, "apiVersion", "authentication.k8s.io/v1");
    assert_at(&a, "spec.audiences", "[\"https://kubernetes.default.svc\"]");
    assert_at(&a, "spec.expirationSeconds", "3600");
    assert_string_not_equal(answer_at(&a, "status.expirationTimestamp"), "");
    a = whoami(s, answer_at(&a, "status.token"));
    assert_at(&a, "status.userInfo.username", "system:serviceaccount:default:robot");
    assert_at(&a, "status.userInfo.groups",
              "[\"system:serviceaccounts\",\"system:serviceaccounts:default\","
              "\"system:authenticated\"]");
    a = server_create(s, TOKEN, "{'spec':{'expirationSeconds':200000}}");
    assert_at(&a, "spec.expirationSeconds", "86400"); /* no longer than a day */
}

static void test_requests_that_cannot_be(void **state)
{
    static const struct {
        const char *path, *body;
        int code;
        const char *message;
    } rows[] = {
        { TOKEN, "{'spec':{'expirationSeconds':599}}", 422,
          "TokenRequest.authentication.k8s.io \"robot\" is invalid: spec.expirationSeconds: Invalid "
          "value: 599: may not specify a duration less than 10 minutes" },
        { TOKEN, "{'spec':{'expirationSeconds':4294967297}}", 422, NULL },
        { NS "/serviceaccounts/nosuch/token", "{}", 404, "serviceaccounts \"nosuch\" not found" },
        { TOKEN, "{'spec':{'boundObjectRef':{'kind':'Pod','apiVersion':'v1','name':'nosuch'}}}",
          404, "pods \"nosuch\" not found" },
        { TOKEN, "{'spec':{'boundObjectRef':{'kind':'Secret','apiVersion':'v1','name':'nosuch'}}}",
          404, "secrets \"nosuch\" not found" },
        { TOKEN, "{'spec':{'boundObjectRef':{'kind':'ConfigMap','apiVersion':'v1','name':'x'}}}",
          400, NULL },
        { TOKEN, "{'metadata':{'name':'other'}}", 400,
          "the name of the object (other) does not match the name on the URL (robot)" },
        { TOKEN, "{'kind':'Pod','apiVersion':'v1'}", 400, NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_create(*state, rows[i].path, rows[i].body);
        assert_status(&a, rows[i].code, NULL, rows[i].message);
    }
}

static void test_an_audience_of_others(void **state)
{
    Server *s = *state;
    const char *token = token_for(s, "'audiences':['vault','other']");
    assert_false(is_good(s, token)); /* not meant for this server */
    Answer a = server_create(s, REVIEWS, server_text(s, "{'spec':{'token':'%s'}}", token));
    assert_at(&a, "status.authenticated", "false");
    assert_string_not_equal(answer_at(&a, "status.error"), "");
    a = server_create(s, REVIEWS,
                      server_text(s, "{'spec':{'token':'%s','audiences':['x','vault']}}", token));
    assert_at(&a, "status.authenticated", "true");
    assert_at(&a, "status.audiences", "[\"vault\"]");
    assert_at(&a, "status.user.username", "system:serviceaccount:default:robot");
}

static void test_a_token_of_a_pod_ends_with_it(void **state)
{
    Server *s = *state;
    const char *pod =
        "{'metadata':{'name':'p'},'spec':{'serviceAccountName':'robot','containers':[{"
        "'name':'c','image':'i'}]}}";
    Answer made = server_make(s, NS "/pods", pod);
    const char *token = bound_to(s, "Pod", "p"), *uid = answer_at(&made, "metadata.uid");
    Answer a = whoami(s, token);
    assert_at(&a, "status.userInfo.extra.[authentication.kubernetes.io/pod-name]", "[\"p\"]");
    assert_at(&a, "status.userInfo.extra.[authentication.kubernetes.io/pod-uid]",
              server_text(s, "[\"%s\"]", uid));
    a = server_create(s, TOKEN,
                      "{'spec':{'boundObjectRef':{'kind':'Pod','apiVersion':'v1','name':'p','uid':"
                      "'another'}}}");
    assert_status(&a, 409, "Conflict", NULL);
    a = server_create(s, NS "/serviceaccounts/other/token",
                      "{'spec':{'boundObjectRef':{'kind':'Pod','apiVersion':'v1','name':'p'}}}");
    assert_status(&a, 400, "BadRequest",
                  "cannot bind token for serviceaccount \"other\" to pod running with different "
                  "serviceaccount name.");
    a = server_delete(s, NS "/pods/p", NULL);
    assert_code(&a, 200);
    assert_false(is_good(s, token));
    server_make(s, NS "/pods", pod); /* another pod of that name does not bring it back */
    assert_false(is_good(s, token));
}

static void test_a_token_of_a_secret_ends_with_it(void **state)
{
    Server *s = *state;
    server_make(s, NS "/secrets", "{'metadata':{'name':'lock'}}");
    const char *token = bound_to(s, "Secret", "lock");
    assert_true(is_good(s, token));
    Answer a = server_delete(s, NS "/secrets/lock", NULL);
    assert_code(&a, 200);
    assert_false(is_good(s, token));
}

static void test_a_token_of_a_node_ends_with_it(void **state)
{
    Server *s = *state;
    server_make(s, "/api/v1/nodes", "{'metadata':{'name':'n'}}");
    const char *token = bound_to(s, "Node", "n");
    assert_true(is_good(s, token));
    Answer a = server_delete(s, "/api/v1/nodes/n", NULL);
    assert_code(&a, 200);
    assert_false(is_good(s, token));
}

static void test_a_token_ends_with_its_account(void **state)
{
    Server *s = *state;
    const char *path = NS "/serviceaccounts/brief";
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'brief'}}");
    Answer a = server_create(s, server_text(s, "%s/token", path), "{}");
    const char *token = answer_at(&a, "status.token");
    assert_true(is_good(s, token));
    a = server_delete(s, path, NULL);
    assert_code(&a, 200);
    assert_false(is_good(s, token));
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'brief'}}");
    assert_false(is_good(s, token));
}

static void test_tokens_that_are_damaged_or_foreign(void **state)
{
    Server *s = *state;
    const char *token = token_for(s, ""), *dot = strrchr(token, '.');
    char *broken = strdup(token);
    broken[dot - token - 3] = broken[dot - token - 3] == 'A' ? 'B' : 'A';
    assert_false(is_good(s, broken));
    free(broken);
    assert_false(is_good(s, server_text(s, "%.*s", (int)(dot - token), token)));
    Server *foreign = server_start(NULL, 0); /* with a key of its own */
    server_make(foreign, NS "/serviceaccounts", "{'metadata':{'name':'robot'}}");
    assert_false(is_good(s, token_for(foreign, "")));
    server_stop(foreign);
    assert_true(is_good(s, token));
}

static void test_a_secret_that_holds_a_token(void **state)
{
    Server *s = *state;
    const char *body =
        "{'metadata':{'name':'%s','annotations':{'kubernetes.io/service-account.name':"
        "'%s'}},'type':'kubernetes.io/service-account-token'}";
    server_make(s, NS "/secrets", server_text(s, body, "lasting", "robot"));
    Answer a = server_get(s, NS "/secrets/lasting");
    _cleanup_buf_ Buf token = BUF_INIT;
    assert_int_equal(base64_decode(BASE64_STD, sv_cstr(answer_at(&a, "data.token")), &token), 0);
    assert_string_not_equal(answer_at(&a, "data.[ca.crt]"), "");
    assert_at(&a, "data.namespace", "ZGVmYXVsdA==");
    Answer account = server_get(s, NS "/serviceaccounts/robot");
    assert_at(&a, "metadata.annotations.[kubernetes.io/service-account.uid]",
              answer_at(&account, "metadata.uid"));
    const char *text = server_text(s, "%.*s", (int)token.len, token.ptr);
    assert_true(is_good(s, text));
    a = server_delete(s, NS "/secrets/lasting", NULL);
    assert_code(&a, 200);
    assert_false(is_good(s, text));
    a = server_create(s, NS "/secrets", server_text(s, body, "orphan", "nosuch"));
    assert_status(&a, 403, "Forbidden", NULL);
}

static void test_the_keys_are_told(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, "/.well-known/openid-configuration");
    assert_at(&a, "issuer", "https://kubernetes.default.svc");
    assert_at(&a, "id_token_signing_alg_values_supported", "[\"ES256\"]");
    a = server_get(s, "/openid/v1/jwks");
    assert_at(&a, "keys.0.kty", "EC");
    assert_at(&a, "keys.0.crv", "P-256");
    assert_at(&a, "keys.0.use", "sig");
    assert_sv(answer_header(&a, "content-type"), "application/jwk-set+json");
    /* An account may verify others' tokens so; a stranger may not. */
    a = server_ask(s, &(Ask){ "GET", "/openid/v1/jwks", .token = token_for(s, "") });
    assert_code(&a, 200);
    a = server_ask(s, &(Ask){ "GET", "/openid/v1/jwks", .as = "stranger" });
    assert_code(&a, 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_request_gets),
        cmocka_unit_test(test_requests_that_cannot_be),
        cmocka_unit_test(test_an_audience_of_others),
        cmocka_unit_test(test_a_token_of_a_pod_ends_with_it),
        cmocka_unit_test(test_a_token_of_a_secret_ends_with_it),
        cmocka_unit_test(test_a_token_of_a_node_ends_with_it),
        cmocka_unit_test(test_a_token_ends_with_its_account),
        cmocka_unit_test(test_tokens_that_are_damaged_or_foreign),
        cmocka_unit_test(test_a_secret_that_holds_a_token),
        cmocka_unit_test(test_the_keys_are_told),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
