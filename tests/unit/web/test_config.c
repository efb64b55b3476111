/* test_config.c - the file of --web.config.file: what it may say, and errors with their place.
 */
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "failing_memory.h"
#include "web/config.h"
#include "unit.h"

#include "../net/test_certs.h"

#define HASH "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

static void refuse(const char *text, const char *want)
{
    WebConfig *c = NULL;
    Err err = { 0 };
    assert_true(web_config_parse(sv_cstr(text), "web.yml", &c, &err) < 0);
    assert_null(c);
    if (!strstr(err.msg, want))
        fail_msg("got '%s', wanted '%s'", err.msg, want);
}

static WebConfig *load(const char *text)
{
    WebConfig *c = NULL;
    Err err = { 0 };
    if (web_config_parse(sv_cstr(text), "web.yml", &c, &err) < 0)
        fail_msg("%s", err.msg);
    return c;
}

static StrView value_of(const StrPairs *pairs, StrView name)
{
    for (unsigned i = 0; i < pairs->len; i++)
        if (sv_eq(pairs->items[i].name, name))
            return pairs->items[i].value;
    return SV_NULL;
}

static void test_empty_file_is_clear_text_for_anyone(void **state)
{
    const char *const texts[] = { "", "\n# nothing\n", "{}", "basic_auth_users:\n",
                                  "tls_server_config: {}" };
    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        WebConfig *c = load(texts[i]);
        assert_null(c->tls);
        assert_int_equal(c->users.len, 0);
        assert_int_equal(c->headers.len, 0);
        assert_int_equal(c->burst, 0);
        web_config_free(c);
    }
}

static void test_users_headers_and_rate(void **state)
{
    WebConfig *c = load("basic_auth_users: {a: '" HASH "', b: '$2b$05"
                        "$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi'}\n"
                        "http_server_config: {headers: {x-frame-options: SameOrigin}}\n"
                        "rate_limit: {burst: 3, interval: 2s}\n");
    assert_sv(value_of(&c->users, SV("a")), HASH);
    assert_int_equal(c->users.len, 2);
    assert_int_equal(c->cost, 10);
    assert_sv(value_of(&c->headers, SV("x-frame-options")), "SameOrigin");
    assert_int_equal(c->burst, 3);
    assert_int_equal(c->interval_ms, 2000);
    web_config_free(c);
}

static void test_hashes_are_bcrypt(void **state)
{
    assert_int_equal(web_config_bcrypt_cost(SV(HASH)), 10);
    assert_int_equal(web_config_bcrypt_cost(SV("")), 0);
    assert_int_equal(web_config_bcrypt_cost(sv_head(SV(HASH), 59)), 0);
    assert_int_equal(web_config_bcrypt_cost(SV(HASH "x")), 0);
    char text[] = HASH;
    memcpy(text + 4, "04", 2);
    assert_int_equal(web_config_bcrypt_cost(sv_cstr(text)), 4);
    memcpy(text + 4, "31", 2);
    assert_int_equal(web_config_bcrypt_cost(sv_cstr(text)), 31);
    memcpy(text + 4, "03", 2);
    assert_int_equal(web_config_bcrypt_cost(sv_cstr(text)), 0);
    memcpy(text + 4, "32", 2);
    assert_int_equal(web_config_bcrypt_cost(sv_cstr(text)), 0);
    memcpy(text + 4, "10", 2);
    text[59] = '=';
    assert_int_equal(web_config_bcrypt_cost(sv_cstr(text)), 0);
}

static void test_errors_name_file_line_and_key(void **state)
{
    refuse("\nnonsense: 1\n", "web.yml:2: field nonsense not found in type web.Config");
    refuse("basic_auth_users:\n  a: plain\n",
           "web.yml:2: basic_auth_users: the password of \"a\" is no bcrypt");
    refuse("basic_auth_users: {a: ''}", "\"a\" is no bcrypt hash");
    refuse("basic_auth_users: {a: }", "\"a\" is no bcrypt hash");
    refuse("http_server_config: {headers: {X-Other: a}}",
           "HTTP header \"X-Other\" can not be configured");
    refuse("http_server_config: {headers: {X-Frame-Options: allow}}",
           "Expected one of: deny, sameorigin");
    refuse("http_server_config: {http2: perhaps}", "web.yml:1: http_server_config.http2: ");
    refuse("tls_server_config: {cert: a}", "web.yml:1: tls_server_config: missing one of key");
    refuse("tls_server_config: {key: a}", "missing one of cert");
    refuse("tls_server_config: {client_auth_type: NoClientCert}", "missing one of cert");
    refuse("tls_server_config: {cert: a, cert_file: b, key: c}",
           "tls_server_config.cert: expected one of");
    refuse("tls_server_config: {cert: a, key: b, client_auth_type: X}",
           "client_auth_type: invalid ClientAuth: X");
    refuse("tls_server_config: {cert: a, key: b, client_ca: c}", "without a Client Auth Policy");
    refuse("tls_server_config: {cert: a, key: b, client_allowed_sans: [x]}",
           "needs a client_auth_type");
    refuse("tls_server_config: {min_version: TLS9}",
           "tls_server_config.min_version: unknown TLS version: TLS9");
    refuse("tls_server_config: {cipher_suites: [X]}", "cipher_suites: unknown cipher: X");
    refuse("tls_server_config: {curve_preferences: [X]}", "curve_preferences: unknown curve: X");
    refuse("tls_server_config: {cert: a, key: b}",
           "web.yml: tls_server_config: read the certificate");
    refuse("tls_server_config: {cert_file: /no/such/file, key: b}",
           "failed to read cert_file (/no/such/file)");
    refuse("a: 1\na: 2\n", "web.yml");
    refuse("[", "web.yml");
}

static void put_indented(Buf *out, const char *key, const char *pem)
{
    StrView rest = sv_cstr(pem), line;
    buf_printf(out, "  %s: |\n", key);
    while (sv_next(&rest, '\n', &line))
        if (line.len)
            buf_printf(out, "    %.*s\n", SV_FMT(line));
}

static void test_certificates_inline(void **state)
{
    TestCert a = test_cert(NULL, NULL, "a", "IP:127.0.0.1"), b = test_cert(NULL, NULL, "b", NULL);
    _cleanup_buf_ Buf good = BUF_INIT, mixed = BUF_INIT;
    buf_sv(&good, SV("tls_server_config:\n"));
    put_indented(&good, "cert", a.cert_pem);
    put_indented(&good, "key", a.key_pem);
    put_indented(&good, "client_ca", b.cert_pem);
    buf_printf(
        &good, "%s",
        "  client_auth_type: RequireAndVerifyClientCert\n  max_version: TLS12\n"
        "  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n");
    WebConfig *c = load(buf_cstr(&good));
    assert_non_null(c->tls);
    web_config_free(c);
    buf_sv(&mixed, SV("tls_server_config:\n"));
    put_indented(&mixed, "cert", a.cert_pem);
    put_indented(&mixed, "key", b.key_pem);
    refuse(buf_cstr(&mixed), "the private key does not belong to the certificate");
    test_cert_free(&a);
    test_cert_free(&b);
}

static void test_changes_are_noticed(void **state)
{
    char dir[] = "/tmp/webconfig-XXXXXX", path[64];
    WebConfig *c = NULL;
    Err err = { 0 };
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/web.yml", dir);
    FILE *f = fopen(path, "w");
    fputs("rate_limit: {burst: 1}\n", f);
    fclose(f);
    assert_int_equal(web_config_load(path, &c, &err), 0);
    assert_int_equal(c->n_files, 1);
    assert_false(web_config_changed(c));
    f = fopen(path, "a");
    fputs("# more\n", f);
    fclose(f);
    assert_true(web_config_changed(c));
    web_config_free(c);
    c = NULL;
    /* The limit of a file's size, and one byte more. */
    assert_int_equal(truncate(path, 0), 0);
    f = fopen(path, "w");
    for (int i = 0; i < WEB_CONFIG_SIZE_MAX; i++)
        fputc('\n', f);
    fclose(f);
    assert_int_equal(web_config_load(path, &c, &err), 0);
    web_config_free(c);
    assert_int_equal(truncate(path, WEB_CONFIG_SIZE_MAX + 1), 0);
    assert_true(web_config_load(path, &c, &err) < 0);
    unlink(path);
    assert_true(web_config_load(path, &c, &err) < 0);
    assert_non_null(strstr(err.msg, path));
    rmdir(dir);
}

/* Whatever is missing, it is said, and nothing half-read serves. */
static void test_the_end_of_memory_is_told(void **state)
{
    TestCert a = test_cert(NULL, NULL, "a", "IP:127.0.0.1");
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = -1;
    buf_sv(&text, SV("basic_auth_users: {a: '" HASH "', b: '" HASH "'}\n"
                     "rate_limit: {burst: 3, interval: 2s}\n"
                     "http_server_config: {headers: {X-Frame-Options: deny}}\n"
                     "tls_server_config:\n"));
    put_indented(&text, "cert", a.cert_pem);
    put_indented(&text, "key", a.key_pem);
    for (long left = 0; r < 0; left++) {
        WebConfig *c = NULL;
        Err err = { 0 };
        allocs_left = left;
        r = web_config_parse(buf_view(&text), "web.yml", &c, &err);
        allocs_left = -1;
        if (r < 0) {
            assert_null(c);
            if (r != -ERR_NOMEM)
                fail_msg("after %ld: %s", left, err.msg);
            continue;
        }
        assert_int_equal(c->users.len, 2);
        assert_int_equal(c->burst, 3);
        assert_int_equal(c->headers.len, 1);
        assert_non_null(c->tls);
        web_config_free(c);
    }
    test_cert_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_file_is_clear_text_for_anyone),
        cmocka_unit_test(test_users_headers_and_rate),
        cmocka_unit_test(test_hashes_are_bcrypt),
        cmocka_unit_test(test_errors_name_file_line_and_key),
        cmocka_unit_test(test_certificates_inline),
        cmocka_unit_test(test_changes_are_noticed),
        cmocka_unit_test(test_the_end_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
