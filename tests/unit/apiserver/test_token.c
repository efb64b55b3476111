/* test_token.c - tokens of service accounts: what is issued is what is read, and nothing else is.
 */
#include "unit.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "apiserver/token.h"
#include "base/buf.h"

static const StrView audience[] = { SV_INIT("https://api") };

static TokenSigner *signer(void)
{
    TokenSigner *s = NULL;
    Err err = { 0 };
    char *pem;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long n = BIO_get_mem_data(bio, &pem);
    assert_int_equal(token_signer_new(sv_n(pem, (size_t)n), audience[0], &s, &err), 0);
    BIO_free(bio);
    EVP_PKEY_free(key);
    return s;
}

static int setup(void **state)
{
    *state = signer();
    return 0;
}

static int teardown(void **state)
{
    token_signer_free(*state);
    return 0;
}

static void test_a_bound_token_says_what_it_is_bound_to(void **state)
{
    _cleanup_arena_ Arena a;
    TokenClaims c = { .ns = SV("ns"),
                      .account = SV("robot"),
                      .account_uid = SV("u1"),
                      .pod = SV("web"),
                      .pod_uid = SV("u2"),
                      .node = SV("n"),
                      .node_uid = SV("u3"),
                      .secret = SV("s"),
                      .secret_uid = SV("u4"),
                      .audiences = audience,
                      .n_audiences = 1,
                      .issued = 1000,
                      .expires = 2000 },
                got;
    StrView token;
    Err err = { 0 };
    arena_init(&a, 0);
    assert_int_equal(token_issue(*state, &c, &a, &token, &err), 0);
    assert_int_equal(token_verify(*state, token, 1999, &a, &got, &err), 0);
    assert_false(got.legacy);
    assert_sv(got.account, "robot");
    assert_sv(got.pod_uid, "u2");
    assert_sv(got.node_uid, "u3");
    assert_sv(got.secret, "s");
    assert_sv(got.secret_uid, "u4");
    assert_int_equal(token_verify(*state, token, 2000, &a, &got, &err), -ERR_UNAUTHENTICATED);
    assert_int_equal(token_verify(*state, token, 900, &a, &got, &err), -ERR_UNAUTHENTICATED);
}

static TokenClaims legacy(void)
{
    return (TokenClaims){ .ns = SV("ns"),
                          .account = SV("robot"),
                          .account_uid = SV("u1"),
                          .secret = SV("s"),
                          .legacy = true };
}

static void test_a_token_of_a_secret_has_no_end(void **state)
{
    _cleanup_arena_ Arena a;
    TokenClaims c = legacy(), got;
    StrView token;
    Err err = { 0 };
    arena_init(&a, 0);
    assert_int_equal(token_issue(*state, &c, &a, &token, &err), 0);
    assert_int_equal(token_verify(*state, token, INT64_C(1) << 40, &a, &got, &err), 0);
    assert_true(got.legacy);
    assert_sv(got.ns, "ns");
    assert_sv(got.account, "robot");
    assert_sv(got.account_uid, "u1");
    assert_sv(got.secret, "s");
    assert_int_equal(got.n_audiences, 1);
    assert_sv(got.audiences[0], "https://api");
}

static void test_what_is_incomplete_or_of_another_key_is_refused(void **state)
{
    _cleanup_arena_ Arena a;
    TokenClaims c = legacy(), got;
    StrView token;
    Err err = { 0 };
    TokenSigner *other = signer();
    arena_init(&a, 0);
    assert_int_equal(token_issue(other, &c, &a, &token, &err), 0);
    assert_int_equal(token_verify(*state, token, 1, &a, &got, &err), -ERR_UNAUTHENTICATED);
    token_signer_free(other);
    StrView *const parts[] = { &c.ns, &c.account, &c.account_uid, &c.secret };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        c = legacy();
        *parts[i] = SV("");
        assert_int_equal(token_issue(*state, &c, &a, &token, &err), 0);
        assert_int_equal(token_verify(*state, token, 1, &a, &got, &err), -ERR_UNAUTHENTICATED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_bound_token_says_what_it_is_bound_to, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_token_of_a_secret_has_no_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_incomplete_or_of_another_key_is_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
