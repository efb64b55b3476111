/* test_credentials.c - who requests say they are: signatures against the published vectors of AWS'
 * Signature Version 4, profiles, answers of STS, signed assertions. */
#include "unit.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/encode.h"
#include "codec/json.h"
#include "failing_memory.h"
#include "fetch/aws_parse.h"
#include "fetch/identity.h"
#include "fetch/jwt.h"
#include "fetch/sigv4.h"

/* ---- signatures ---- */

typedef struct Vector {
    const char *name, *method, *target, *body, *session, *signature;
    HttpHeader more[3];
} Vector;

/* Of the "Signature Version 4 test suite". */
static const Vector vectors[] = {
    { "get-vanilla",
      "GET",
      "/",
      "",
      "",
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
      { { { 0 } } } },
    { "get-vanilla-query-order-key-case",
      "GET",
      "/?Param2=value2&Param1=value1",
      "",
      "",
      "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
      { { { 0 } } } },
    { "get-unreserved",
      "GET",
      "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
      "",
      "",
      "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
      { { { 0 } } } },
    { "get-utf8",
      "GET",
      "/\u1234",
      "",
      "",
      "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
      { { { 0 } } } },
    { "get-space",
      "GET",
      "/example space/",
      "",
      "",
      "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
      { { { 0 } } } },
    { "get-relative",
      "GET",
      "/example/..",
      "",
      "",
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
      { { { 0 } } } },
    { "get-slash",
      "GET",
      "//",
      "",
      "",
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
      { { { 0 } } } },
    { "get-slash-pointless-dot",
      "GET",
      "/./example",
      "",
      "",
      "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
      { { { 0 } } } },
    { "get-header-key-duplicate",
      "GET",
      "/",
      "",
      "",
      "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
      { { SV_INIT("my-header1"), SV_INIT("value2") },
        { SV_INIT("my-header1"), SV_INIT("value2") },
        { SV_INIT("my-header1"), SV_INIT("value1") } } },
    { "get-header-value-trim",
      "GET",
      "/",
      "",
      "",
      "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
      { { SV_INIT("my-header1"), SV_INIT(" value1") },
        { SV_INIT("my-header2"), SV_INIT(" \"a   b   c\"") } } },
    { "post-vanilla",
      "POST",
      "/",
      "",
      "",
      "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
      { { { 0 } } } },
    { "post-x-www-form-urlencoded",
      "POST",
      "/",
      "Param1=value1",
      "",
      "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
      { { SV_INIT("content-type"), SV_INIT("application/x-www-form-urlencoded") } } },
    { "post-sts-header-before",
      "POST",
      "/",
      "",
      "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfI"
      "eoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0"
      "wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/"
      "oLxBA==",
      "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
      { { { 0 } } } },
};

static HttpHeader find(const HttpHeader *h, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (sv_eq(h[i].name, sv_cstr(name)))
            return h[i];
    return (HttpHeader){ SV_NULL, SV_NULL };
}

static void sign_vector(const Vector *v, Arena *a, HttpHeader *out, unsigned *n)
{
    HttpHeader headers[4] = { { SV("host"), SV("example.amazonaws.com") } };
    unsigned n_headers = 1;
    Err err = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(v->more) && v->more[i].name.ptr; i++)
        headers[n_headers++] = v->more[i];
    const Sigv4 s = { .key_id = SV("AKIDEXAMPLE"),
                      .secret = SV("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                      .session = sv_cstr(v->session),
                      .region = SV("us-east-1"),
                      .service = SV("service"),
                      .now_s = 1440938160 };
    const Sigv4Request rq = { sv_cstr(v->method), sv_cstr(v->target), sv_cstr(v->body), headers,
                              n_headers };
    assert_int_equal(sigv4_sign(&s, &rq, a, out, n, &err), 0);
}

static void test_signatures_are_those_of_the_published_vectors(void **state)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        _cleanup_arena_ Arena a;
        HttpHeader h[SIGV4_HEADERS_MAX];
        unsigned n = 0;
        arena_init(&a, 0);
        sign_vector(&vectors[i], &a, h, &n);
        StrView got = find(h, n, "authorization").value;
        if (!sv_ends(got, sv_cstr(vectors[i].signature))) {
            print_message("%s: %.*s\n", vectors[i].name, SV_FMT(got));
            wrong++;
        }
        assert_sv(find(h, n, "x-amz-date").value, "20150830T123600Z");
    }
    assert_int_equal(wrong, 0);
}

static int sign_s3(Arena *a, HttpHeader *h, unsigned *n, Err *err)
{
    const HttpHeader host = { SV("host"), SV("b.s3.amazonaws.com") };
    const Sigv4 s = { .key_id = SV("K"),
                      .secret = SV("S"),
                      .session = SV("T"),
                      .region = SV("r"),
                      .service = SV("s3"),
                      .now_s = 1440938160 };
    const Sigv4Request rq = { SV("PUT"), SV("/a%20b/../c?x&y=%2B+"), SV("body"), &host, 1 };
    return sigv4_sign(&s, &rq, a, h, n, err);
}

static void test_signing_survives_the_end_of_memory(void **state)
{
    Err err = { 0 };
    HttpHeader h[SIGV4_HEADERS_MAX];
    unsigned n = 0;
    int r = -1;
    for (long left = 0; r < 0; left++) {
        _cleanup_arena_ Arena a;
        arena_init(&a, 0);
        allocs_left = left;
        r = sign_s3(&a, h, &n, &err);
        allocs_left = -1;
        assert_true(r == 0 || r == -ERR_NOMEM);
        if (r == 0) /* the hash goes with a request to S3 */
            assert_sv(find(h, n, "x-amz-content-sha256").value,
                      "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5");
    }
    assert_int_equal(n, 4);
}

/* ---- texts of AWS ---- */

static void test_profiles_are_found(void **state)
{
    static const char text[] = "# comment\n[default]\naws_access_key_id=D\n"
                               "[ profile  a ]\r\naws_access_key_id = A\r\n"
                               "AWS_SECRET_ACCESS_KEY = s=3\ns3 =\n  region = nested\n"
                               "; no = no\nregion = eu\n[b\naws_access_key_id = B";
    AwsProfile p = { .key_id = SV(""), .secret = SV(""), .session = SV(""), .region = SV("") };
    AwsProfile b = p, none = p;
    aws_profile_find(sv_cstr(text), SV("a"), &p);
    assert_true(p.found);
    assert_sv(p.key_id, "A");
    assert_sv(p.secret, "s=3");
    assert_sv(p.region, "eu");
    assert_sv(p.session, "");
    aws_profile_find(sv_cstr(text), SV("b"), &b);
    assert_sv(b.key_id, "B");
    aws_profile_find(sv_cstr(text), SV("c"), &none);
    assert_false(none.found);
}

static void test_elements_are_found(void **state)
{
    StrView got = SV("");
    StrView xml = SV("<R><A> x </A><B><C>1</C></B><D>no end");
    assert_true(aws_element(xml, "A", &got));
    assert_sv(got, "x");
    assert_true(aws_element(xml, "C", &got));
    assert_sv(got, "1");
    assert_false(aws_element(xml, "B", &got)); /* it has elements inside */
    assert_false(aws_element(xml, "D", &got));
    assert_false(aws_element(xml, "E", &got));
}

/* ---- assertions ---- */

static bool verifies(EVP_PKEY *key, StrView jwt)
{
    _cleanup_buf_ Buf signature = BUF_INIT;
    ssize_t dot = sv_rfind_char(jwt, '.');
    if (dot < 0 || base64_decode(BASE64_URL, sv_skip(jwt, (size_t)dot + 1), &signature) < 0)
        return false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(ctx, (const uint8_t *)signature.ptr, signature.len,
                               (const uint8_t *)jwt.ptr, (size_t)dot) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static void test_assertions_are_signed(void **state)
{
    _cleanup_arena_ Arena a;
    EVP_PKEY *key = EVP_RSA_gen(2048), *curve = EVP_EC_gen("P-256"), *read = NULL;
    Value header = value_map(), claims = value_map();
    Err err = { 0 };
    int r = -1;
    arena_init(&a, 0);
    assert_non_null(value_set(&a, &header, SV("alg"), value_sv(SV("RS256"))));
    assert_non_null(value_set(&a, &claims, SV("iat"), value_int(1)));
    for (long left = 0; r < 0; left++) {
        _cleanup_buf_ Buf jwt = BUF_INIT;
        allocs_left = left;
        r = jwt_sign(&header, &claims, key, &jwt, &err);
        allocs_left = -1;
        assert_true(r == 0 || r == -ERR_NOMEM);
        if (r == 0) {
            assert_true(sv_starts(buf_view(&jwt), SV("eyJhbGciOiJSUzI1NiJ9.eyJpYXQiOjF9.")));
            assert_true(verifies(key, buf_view(&jwt)));
            jwt.ptr[0] ^= 1;
            assert_false(verifies(key, buf_view(&jwt)));
        }
    }
    _cleanup_buf_ Buf jwt = BUF_INIT;
    assert_int_equal(jwt_sign(&header, &claims, curve, &jwt, &err), -ERR_INVALID);
    assert_int_equal(jwt_key(SV("no key"), &read, &err), -ERR_INVALID);
    EVP_PKEY_free(key);
    EVP_PKEY_free(curve);
}

/* ---- chains ---- */

typedef struct Chain {
    FetchOptions cfg;
    const char *answer; /* to what is asked; NULL: nothing is */
    const char *want;   /* token or key; of what fails, its error */
} Chain;

/* Asks, and is answered. */
static int walk(Identity *id, const Chain *c, Err *err)
{
    id->next = id->first;
    int r = id->next(id, NULL, err);
    if (r != STEP_ASKS || !c->answer)
        return r;
    const FetchResult got = { .status = 200, .body = sv_cstr(c->answer) };
    id->ask = (Ask){ 0 };
    return id->next(id, &got, err);
}

static void on_ready(void *ctx, const Err *why)
{
}

static void survive(Loop *l, const Chain *c)
{
    int r = -1;
    for (long left = 0; r < 0; left++) {
        Identity *id = NULL;
        Err err = { 0 };
        allocs_left = left;
        r = identity_new(l, &c->cfg, on_ready, NULL, &id, &err);
        if (r == 0)
            r = walk(id, c, &err);
        allocs_left = -1;
        if (r < 0 && r != -ERR_NOMEM)
            fail_msg("%s", err.msg);
        if (r >= 0) {
            const Credentials *got = identity_credentials(id);
            assert_int_equal(r, STEP_ENDS);
            assert_sv(got->token.len ? got->token : got->key_id, c->want);
        }
        identity_free(id);
    }
}

static const char sts[] = "<C><AccessKeyId>A2</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
                          "<SessionToken>T</SessionToken><Expiration>2100-01-01T00:00:00Z"
                          "</Expiration></C>";
static const char token[] = "{\"access_token\":\"abc\",\"expires_in\":\"3600\"}";

static void test_chains_survive_the_end_of_memory(void **state)
{
    FetchOauth2 oauth = { .client_id = SV("c"), .client_secret = SV("s"), .token_url = SV("u") };
    FetchAzureIdentity one = { .client_id = SV("c"),
                               .client_secret = SV("s"),
                               .tenant_id = SV("t") };
    FetchAzuread secret = { .oauth = &one }, managed = { .managed_identity = &one };
    FetchSigv4 keys = { .region = SV("r"), .access_key = SV("A"), .secret_key = SV("s") };
    FetchSigv4 role = keys, machine = { .region = SV("r") };
    FetchGoogleIam google = { SV("") };
    Loop *l;
    Err err = { 0 };
    static const char *const unset[] = {
        "AWS_ACCESS_KEY_ID",    "AWS_WEB_IDENTITY_TOKEN_FILE",    "AWS_PROFILE",
        "AWS_ENDPOINT_URL_STS", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"
    };
    for (size_t i = 0; i < ARRAY_SIZE(unset); i++)
        unsetenv(unset[i]);
    setenv("HOME", "/nowhere", 1);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://box/", 1);
    role.role_arn = SV("arn");
    role.external_id = SV("x");
    const Chain chains[] = {
        { { .oauth2 = &oauth }, token, "Bearer abc" },
        { { .azuread = &secret }, token, "Bearer abc" },
        { { .azuread = &managed }, token, "Bearer abc" },
        { { .google_iam = &google }, token, "Bearer abc" },
        { { .sigv4 = &keys }, NULL, "A" },
        { { .sigv4 = &role }, sts, "A2" },
        { { .sigv4 = &machine }, "{\"AccessKeyId\":\"M\",\"SecretAccessKey\":\"s\"}", "M" },
    };
    assert_int_equal(loop_new(&l, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
        survive(l, &chains[i]);
    loop_free(l);
}

static void test_answers_that_cannot_be_used_are_told(void **state)
{
    FetchOauth2 oauth = { .client_id = SV("c"), .client_secret = SV("s"), .token_url = SV("u") };
    const Chain chains[] = {
        { { .oauth2 = &oauth }, "{}", "server response missing access_token" },
        { { .oauth2 = &oauth }, "<html>", "the answer" },
        { { .oauth2 = &oauth }, "", "the answer" },
    };
    Loop *l;
    Err err = { 0 };
    assert_int_equal(loop_new(&l, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
        Identity *id;
        assert_int_equal(identity_new(l, &chains[i].cfg, on_ready, NULL, &id, &err), 0);
        assert_true(walk(id, &chains[i], &err) < 0);
        if (!strstr(err.msg, chains[i].want))
            fail_msg("%s", err.msg);
        identity_free(id);
    }
    loop_free(l);
}

#define T(f) cmocka_unit_test(f)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_signatures_are_those_of_the_published_vectors),
        T(test_signing_survives_the_end_of_memory),
        T(test_profiles_are_found),
        T(test_elements_are_found),
        T(test_assertions_are_signed),
        T(test_chains_survive_the_end_of_memory),
        T(test_answers_that_cannot_be_used_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
