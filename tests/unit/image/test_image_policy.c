/* test_image_policy.c - policy.json: which rules a name has, what is refused, and signatures made
 * with a key of the test's own. */
#include "unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "base/encode.h"
#include "image/image_policy.h"

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static EVP_PKEY *key;
static char pem[2048];

static int setup(void **state)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n;

    key = EVP_EC_gen("P-256");
    if (!key || !bio || PEM_write_bio_PUBKEY(bio, key) != 1)
        return -1;
    n = BIO_read(bio, pem, sizeof pem - 1);
    BIO_free(bio);
    return n > 0 ? 0 : -1;
}

static int teardown(void **state)
{
    EVP_PKEY_free(key);
    return 0;
}

static ImageRef ref_of(const char *name)
{
    ImageRef ref;

    assert_int_equal(image_ref_parse(sv_cstr(name), &ref, NULL), 0);
    return ref;
}

static void test_the_longest_scope_counts(void **state)
{
    static const struct {
        const char *name;
        PolicyKind kind;
        unsigned n;
    } rows[] = {
        { "quay.io/other/app", POLICY_ACCEPT, 1 },
        { "quay.io/org/app:2", POLICY_REJECT, 1 },
        { "quay.io/org/app:1", POLICY_ACCEPT, 2 },
        { "quay.io/org/apple", POLICY_REJECT, 1 },
        { "quay.io/organisation/a", POLICY_ACCEPT, 1 },
        { "a.example.com/x", POLICY_REJECT, 1 },
        { "a.b.example.com/x", POLICY_REJECT, 1 },
        { "example.com/x", POLICY_ACCEPT, 3 },
        { "nginx", POLICY_REJECT, 1 },
        { "docker.io/team/x", POLICY_ACCEPT, 3 },
    };
#define ACCEPT "{\"type\":\"insecureAcceptAnything\"}"
#define REJECT "[{\"type\":\"reject\"}]"
    static const char text[] =
        "{\"default\":" REJECT ",\"transports\":{\"docker-daemon\":{\"\":[]},\"docker\":{"
        "\"\":[" ACCEPT "," ACCEPT "," ACCEPT "],\"quay.io\":[" ACCEPT "],\"quay.io/org\":" REJECT
        ",\"quay.io/org/app:1\":[" ACCEPT "," ACCEPT "],\"*.example.com\":" REJECT
        ",\"docker.io/library/nginx\":" REJECT "}}}";
    ImagePolicy *p;
    Err err = { 0 };

    if (image_policy_parse(sv_cstr(text), "policy.json", &p, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ImageRef ref = ref_of(rows[i].name);
        const PolicyRules *r = image_policy_for(p, &ref);

        if (r->len != rows[i].n || r->items[0].kind != rows[i].kind)
            fail_msg("%s: %u of %d", rows[i].name, r->len, r->items[0].kind);
    }
    image_policy_free(p);
}

static void test_what_is_not_known_is_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "{}", "default: a list of at least one requirement is wanted" },
        { "{\"default\":[]}", "policy.json:1: default: a list of at least one" },
        { "{\"default\":[{}]}", "default[0].type: '': expected insecureAcceptAnything" },
        { "{\"default\":[{\"type\":\"signedBy\"}]}", "'signedBy': expected" },
        { "{\"default\":[{\"type\":\"reject\",\"x\":1}]}",
          "field x not found in type requirement" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\"}]}", "wants one of keyPath and keyData" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyData\":\"eA==\"}]}",
          "default[0].keyData: expected the PEM of a public key" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/nowhere\"}]}",
          "keyPath: read '/nowhere'" },
        { "{\"default\":" REJECT ",\"transports\":{\"docker\":{\"a.io\":{}}}}",
          "transports.docker.a.io: cannot unmarshal !!map" },
        { "{\"default\":" REJECT ",\"transports\":{\"docker\":{\"a.io\":[]}}}",
          "transports.docker.a.io: a list of at least one" },
        { "{\"default\":" REJECT ",\"transports\":[]}", "transports: cannot unmarshal" },
        { "{", "policy.json" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ImagePolicy *p;
        Err err = { 0 };

        assert_int_equal(image_policy_parse(sv_cstr(rows[i].text), "policy.json", &p, &err),
                         -ERR_INVALID);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
}

static void sign(StrView payload, Buf *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[256];
    size_t n = sizeof sig;

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)payload.ptr, payload.len), 1);
    EVP_MD_CTX_free(ctx);
    base64_encode(BASE64_STD, sv_n(sig, n), out);
}

static int check(const char *name, PolicyIdentity how, const char *signed_name, const char *digest,
                 const char *type)
{
    PolicyRule rule = { .kind = POLICY_SIGNED, .key = sv_cstr(pem), .identity = how };
    _cleanup_buf_ Buf payload = BUF_INIT, sig = BUF_INIT;
    ImageRef ref = ref_of(name);
    Digest d;

    assert_int_equal(digest_parse(SV(DIGEST_A), &d, NULL), 0);
    buf_printf(&payload,
               "{\"critical\":{\"identity\":{\"docker-reference\":\"%s\"},\"image\":{"
               "\"docker-manifest-digest\":\"%s\"},\"type\":\"%s\"},\"optional\":null}",
               signed_name, digest, type);
    sign(buf_view(&payload), &sig);
    return image_policy_check(&rule, &ref, &d, buf_view(&payload), buf_view(&sig), NULL);
}

static void test_signatures(void **state)
{
    static const char type[] = "cosign container image signature";
    static const struct {
        const char *name;
        PolicyIdentity how;
        const char *signed_name, *digest, *type;
        bool good;
    } rows[] = {
        { "q.io/a:1", POLICY_REPOSITORY, "q.io/a", DIGEST_A, type, true },
        { "q.io/a:1", POLICY_REPOSITORY, "q.io/a:2", DIGEST_A, type, true },
        { "q.io/a:1", POLICY_REPOSITORY, "q.io/b", DIGEST_A, type, false },
        { "q.io/a:1", POLICY_REPOSITORY, "q.io/a", DIGEST_B, type, false },
        { "q.io/a:1", POLICY_REPOSITORY, "q.io/a", DIGEST_A, "other", false },
        { "q.io/a:1", POLICY_EXACT, "q.io/a:1", DIGEST_A, type, true },
        { "q.io/a:1", POLICY_EXACT, "q.io/a:2", DIGEST_A, type, false },
        { "q.io/a:latest", POLICY_EXACT, "q.io/a", DIGEST_A, type, false },
        { "q.io/a:1", POLICY_REPO_DIGEST_OR_EXACT, "q.io/a:1", DIGEST_A, type, true },
        { "q.io/a:1", POLICY_REPO_DIGEST_OR_EXACT, "q.io/a", DIGEST_A, type, false },
        { "q.io/a@" DIGEST_A, POLICY_REPO_DIGEST_OR_EXACT, "q.io/a:7", DIGEST_A, type, true },
        { "q.io/a@" DIGEST_A, POLICY_EXACT, "q.io/a:7", DIGEST_A, type, false },
        { "q.io/a@" DIGEST_A, POLICY_EXACT, "q.io/a@" DIGEST_A, DIGEST_A, type, true },
        { "nginx", POLICY_EXACT, "docker.io/library/nginx:latest", DIGEST_A, type, true },
        { "q.io/a:1", POLICY_REPOSITORY, "", DIGEST_A, type, false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int r = check(rows[i].name, rows[i].how, rows[i].signed_name, rows[i].digest, rows[i].type);

        if (r != (rows[i].good ? 0 : -(int)ERR_DENIED))
            fail_msg("row %zu: %d", i, r);
    }
}

static void test_bad_signatures(void **state)
{
    PolicyRule rule = { .kind = POLICY_SIGNED, .key = sv_cstr(pem) };
    _cleanup_buf_ Buf sig = BUF_INIT;
    ImageRef ref = ref_of("q.io/a:1");
    Err err = { 0 };
    Digest d;

    assert_int_equal(digest_parse(SV(DIGEST_A), &d, NULL), 0);
    sign(SV("{}"), &sig);
    assert_int_equal(image_policy_check(&rule, &ref, &d, SV("{} "), buf_view(&sig), &err),
                     -ERR_DENIED);
    assert_non_null(strstr(err.msg, "not by the policy's key"));
    assert_int_equal(image_policy_check(&rule, &ref, &d, SV("{}"), SV("%%"), &err), -ERR_DENIED);
    assert_int_equal(image_policy_check(&rule, &ref, &d, SV("{}"), SV(""), &err), -ERR_DENIED);
    assert_int_equal(image_policy_check(&rule, &ref, &d, SV("{}"), buf_view(&sig), &err),
                     -ERR_DENIED);
    assert_non_null(strstr(err.msg, "of type"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_scope_counts),
        cmocka_unit_test(test_what_is_not_known_is_refused),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_bad_signatures),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
