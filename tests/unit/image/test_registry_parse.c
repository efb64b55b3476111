/* test_registry_parse.c - what a registry client reads: challenges, credentials, registries.yaml,
 * manifests and indexes. */
#include "unit.h"

#include <stdio.h>

#include "base/encode.h"
#include "image/registry_internal.h"

static Arena arena;

static int setup(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    arena_free(&arena);
    return 0;
}

/* ---- WWW-Authenticate ---- */

static void test_challenge_bearer(void **state)
{
    Challenge c;

    assert_int_equal(
        challenge_parse(SV("Bearer realm=\"https://auth.example.com/token\",service=\"reg\","
                           "scope=\"repository:a/b:pull,push repository:c:pull\""),
                        &arena, &c, NULL),
        0);
    assert_int_equal(c.scheme, CHALLENGE_BEARER);
    assert_sv(c.realm, "https://auth.example.com/token");
    assert_sv(c.service, "reg");
    assert_sv(c.scope, "repository:a/b:pull,push repository:c:pull");
}

static void test_challenge_of_several_takes_bearer(void **state)
{
    static const char *const forms[] = {
        "Basic realm=\"x\", Bearer realm=\"https://r/t\"",
        "Bearer realm=\"https://r/t\", Basic realm=\"x\"",
        "Negotiate YWJjZA==, Bearer  realm = \"https://r/t\" , Basic realm=x",
        "Negotiate, bEARER REALM=\"https:\\/\\/r/t\"",
        "Digest realm=\"a, Bearer\", nonce=\"x\",, Bearer realm=\"https://r/t\"",
    };
    Challenge c;

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        assert_int_equal(challenge_parse(sv_cstr(forms[i]), &arena, &c, NULL), 0);
        assert_int_equal(c.scheme, CHALLENGE_BEARER);
        assert_sv(c.realm, "https://r/t");
    }
    assert_int_equal(challenge_parse(SV("Basic"), &arena, &c, NULL), 0);
    assert_int_equal(c.scheme, CHALLENGE_BASIC);
    assert_int_equal(challenge_parse(SV("Negotiate"), &arena, &c, NULL), 0);
    assert_int_equal(c.scheme, CHALLENGE_NONE);
}

static void test_challenge_refuses_what_is_none(void **state)
{
    static const char *const bad[] = { "=",
                                       "\"Bearer\"",
                                       "Bearer realm=\"never closed",
                                       "Bearer realm=\"a\" service=\"b\"",
                                       "Bearer service=\"s\"",
                                       "Bearer realm=\"\"" };
    Challenge c;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(challenge_parse(sv_cstr(bad[i]), &arena, &c, NULL), -ERR_INVALID);
    char *much = arena_alloc(&arena, CHALLENGE_MAX + 1);
    memset(much, 'a', CHALLENGE_MAX + 1);
    assert_int_equal(challenge_parse(sv_n(much, CHALLENGE_MAX + 1), &arena, &c, NULL), -ERR_LIMIT);
    assert_int_equal(challenge_parse(sv_n(much, CHALLENGE_MAX), &arena, &c, NULL), 0);
}

static void test_realm_is_own(void **state)
{
    static const struct {
        const char *registry, *realm;
        bool own;
    } rows[] = {
        { "https://registry-1.docker.io/v2", "https://auth.docker.io/token", true },
        { "https://registry.gitlab.com/v2", "https://gitlab.com/jwt/auth", true },
        { "https://ghcr.io/v2", "https://ghcr.io/token", true },
        { "https://example.com/v2", "https://auth.example.com/token", true },
        { "https://registry.example.com:5000/v2", "https://registry.example.com:5001/t", true },
        { "https://registry.example.com/v2", "http://registry.example.com/t", false },
        { "https://registry.example.com/v2", "http://auth.example.com/t", false },
        { "https://registry.example.com/v2", "https://badexample.com/t", false },
        { "https://registry.example.com/v2", "https://example.com.evil.net/t", false },
        { "https://registry.example.com/v2", "https://example.com@evil.net/t", false },
        { "https://example.com/v2", "https://other.com/t", false },
        { "https://shop.co.uk/v2", "https://evil.co.uk/t", false },
        { "http://10.0.0.1:5000/v2", "http://10.0.0.1:5001/t", true },
        { "http://10.0.0.1:5000/v2", "http://10.0.0.2:5000/t", false },
        { "https://10.0.0.1/v2", "https://1.10.0.0.1/t", false },
        { "http://localhost:5000/v2", "http://127.0.0.1:5000/t", false },
        { "https://example.com/v2", "ftp://example.com/t", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (challenge_realm_is_own(sv_cstr(rows[i].registry), sv_cstr(rows[i].realm)) !=
            rows[i].own)
            fail_msg("%s -> %s", rows[i].registry, rows[i].realm);
}

/* ---- credentials ---- */

static void test_credential_fits_as_in_kubernetes(void **state)
{
    static const struct {
        const char *pattern, *host, *path;
        bool fits;
    } rows[] = {
        { "quay.io", "quay.io", "org/app", true },
        { "quay.io", "quay.io:443", "org/app", false },
        { "quay.io:443", "quay.io:443", "org/app", true },
        { "https://quay.io", "quay.io", "org/app", true },
        { "quay.io/org", "quay.io", "org/app", true },
        { "quay.io/org", "quay.io", "organisation/app", true }, /* a prefix, as there */
        { "quay.io/other", "quay.io", "org/app", false },
        { "*.example.com", "reg.example.com", "a", true },
        { "*.example.com", "a.reg.example.com", "a", false },
        { "*.*.example.com", "a.reg.example.com", "a", true },
        { "*.example.com", "example.com", "a", false },
        { "reg-*.example.com:5000/team", "reg-1.example.com:5000", "team/x", true },
        { "*", "localhost", "a", true },
        { "*", "quay.io", "a", false },
        { "https://index.docker.io/v1/", "docker.io", "library/nginx", true },
        { "docker.io", "docker.io", "library/nginx", true },
        { "https://index.docker.io/v1/", "quay.io", "library/nginx", false },
        { "", "quay.io", "a", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (registry_credential_fits(sv_cstr(rows[i].pattern), sv_cstr(rows[i].host),
                                     sv_cstr(rows[i].path)) != rows[i].fits)
            fail_msg("%s for %s/%s", rows[i].pattern, rows[i].host, rows[i].path);
}

static void test_auth_file(void **state)
{
    AuthFile f;
    Err err = { 0 };

    assert_int_equal(
        auth_file_parse(
            SV("{\"auths\":{\"quay.io\":{\"auth\":\"dTpwOnE=\"},\"b:5000\":{\"identitytoken\":\"t\"},"
               "\"c\":{}},\"credsStore\":\"pass\",\"credHelpers\":{\"gcr.io\":\"gcloud\"},"
               "\"HttpHeaders\":{\"User-Agent\":\"Docker\"}}"),
            "config.json", &arena, &f, &err),
        0);
    assert_int_equal(f.len, 3);
    assert_sv(f.items[0].username, "u");
    assert_sv(f.items[0].password, "p:q");
    assert_sv(f.items[1].identity_token, "t");
    assert_int_equal(f.n_helpers, 2);
    assert_sv(f.helpers[0].host, "gcr.io");
    assert_sv(f.helpers[0].helper, "gcloud");
    assert_sv(f.helpers[1].host, "");
    /* kubernetes.io/dockercfg */
    assert_int_equal(auth_file_parse(SV("{\"quay.io\":{\"username\":\"u\",\"password\":\"p\"}}"),
                                     "x", &arena, &f, NULL),
                     0);
    assert_int_equal(f.len, 1);
    assert_int_equal(auth_file_parse(SV(" \n"), "x", &arena, &f, NULL), 0);
    assert_int_equal(f.len, 0);
}

static void test_auth_file_errors_name_the_field(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "[]", "config.json: expected an object" },
        { "{\"auths\":[]}", "config.json: auths: expected an object" },
        { "{\"auths\":{\"q\":1}}", "config.json: auths[\"q\"]: expected an object" },
        { "{\"auths\":{\"q\":{\"auth\":\"%%\"}}}",
          "auths[\"q\"].auth: expected the base64 of USER:PASSWORD" },
        { "{\"auths\":{\"q\":{\"auth\":\"dQ==\"}}}",
          "auths[\"q\"].auth: expected the base64 of USER:PASSWORD" },
        { "{\"auths\":{\"q\":{\"username\":[]}}}", "auths[\"q\"].username: expected a string" },
        { "{\"auths\":{},\"credsStore\":1}", "credsStore: expected a string" },
        { "{\"auths\":{},\"credHelpers\":{\"q\":1}}", "credHelpers[\"q\"]: expected a string" },
        { "{", "config.json" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Err err = { 0 };
        AuthFile f;

        assert_int_equal(auth_file_parse(sv_cstr(rows[i].text), "config.json", &arena, &f, &err),
                         -ERR_INVALID);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
}

static void test_helper_with_a_path_is_refused(void **state)
{
    AuthFile f;
    RegistryCredential c;
    Err err = { 0 };
    bool found;

    assert_int_equal(
        auth_file_parse(SV("{\"credsStore\":\"../../bin/sh\"}"), "x", &arena, &f, NULL), 0);
    assert_int_equal(auth_file_ask_helper(&f, SV("quay.io"), &arena, &c, &found, &err),
                     -ERR_INVALID);
}

/* ---- registries.yaml ---- */

static RegistryConfig *config_of(const char *text)
{
    RegistryConfig *c = NULL;
    Err err = { 0 };

    if (registry_config_parse(sv_cstr(text), "registries.yaml", &c, &err) < 0)
        fail_msg("%s", err.msg);
    return c;
}

static void endpoints_of(const RegistryConfig *c, const char *image, RegistryEndpoint **ret,
                         unsigned *ret_n)
{
    ImageRef ref;

    assert_int_equal(image_ref_parse(sv_cstr(image), &ref, NULL), 0);
    assert_int_equal(registry_endpoints(c, &ref, &arena, ret, ret_n, NULL), 0);
}

static void test_endpoints_of_mirrors(void **state)
{
    RegistryConfig *c =
        config_of("mirrors:\n"
                  "  docker.io:\n"
                  "    endpoint: [\"https://m1:5000\", \"http://m2/v2/hub/\", m3]\n"
                  "    rewrite: {\"^library/(.*)\": \"hub/$1\"}\n"
                  "  \"*\": {endpoint: [\"https://all.example.com\"]}\n"
                  "configs:\n"
                  "  m1:5000: {auth: {username: u, password: p}, tls: {ca_file: /ca}}\n"
                  "  m3: {auth: {auth: YTpi}, tls: {insecure_skip_verify: true}}\n");
    RegistryEndpoint *e;
    unsigned n;

    endpoints_of(c, "nginx", &e, &n);
    assert_int_equal(n, 4);
    assert_sv(e[0].base, "https://m1:5000/v2");
    assert_sv(e[0].path, "hub/nginx");
    assert_sv(e[0].config->username, "u");
    assert_sv(e[0].config->tls.ca_file, "/ca");
    assert_true(e[0].is_mirror);
    assert_sv(e[1].base, "http://m2/v2/hub");
    assert_null(e[1].config);
    assert_sv(e[2].base, "https://m3/v2");
    assert_sv(e[2].config->password, "b");
    assert_true(e[2].config->tls.insecure_skip_verify);
    assert_sv(e[3].base, "https://registry-1.docker.io/v2");
    assert_sv(e[3].path, "library/nginx");
    assert_false(e[3].is_mirror);
    endpoints_of(c, "quay.io/a/b", &e, &n);
    assert_int_equal(n, 2);
    assert_sv(e[0].base, "https://all.example.com/v2");
    assert_sv(e[0].path, "a/b");
    assert_sv(e[1].base, "https://quay.io/v2");
    registry_config_free(c);
}

static void test_endpoint_of_itself_replaces_it(void **state)
{
    RegistryConfig *c = config_of("mirrors: {\"reg:5000\": {endpoint: [\"http://reg:5000\"]}}");
    RegistryEndpoint *e, own;
    ImageRef ref;
    unsigned n;

    endpoints_of(c, "reg:5000/a", &e, &n);
    assert_int_equal(n, 1);
    assert_sv(e[0].base, "http://reg:5000/v2");
    assert_false(e[0].is_mirror);
    assert_int_equal(image_ref_parse(SV("reg:5000/a"), &ref, NULL), 0);
    assert_int_equal(registry_endpoint(c, &ref, &arena, &own, NULL), 0);
    assert_sv(own.base, "http://reg:5000/v2");
    endpoints_of(c, "localhost:1/a", &e, &n);
    assert_true(e[0].may_clear);
    endpoints_of(c, "127.0.1.1/a", &e, &n);
    assert_true(e[0].may_clear);
    endpoints_of(c, "128.0.0.1/a", &e, &n);
    assert_false(e[0].may_clear);
    registry_config_free(c);
}

static void test_rewrites_expand_as_go_does(void **state)
{
    static const struct {
        const char *match, *into, *path, *becomes;
    } rows[] = {
        { "^rancher/(.*)", "mirror/rancher-$1", "rancher/pause", "mirror/rancher-pause" },
        { "(\\w+)/(?P<name>\\w+)", "${name}/$1", "a/b", "b/a" },
        { "a", "x", "a/banana", "x/bxnxnx" },
        { "(.*)", "all/$1", "a/b", "all/a/b" },
        { "b", "$1y-$$-$", "a/b", "a/-$-$" },
        { "none", "x", "a/b", "a/b" },
        { "^", "pre/", "a/b", "pre/a/b" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[400], image[64];
        RegistryEndpoint *e;
        unsigned n;

        snprintf(text, sizeof text,
                 "mirrors: {q.io: {endpoint: [\"https://m\"], rewrite: {'%s': '%s'}}}",
                 rows[i].match, rows[i].into);
        snprintf(image, sizeof image, "q.io/%s", rows[i].path);
        RegistryConfig *c = config_of(text);
        endpoints_of(c, image, &e, &n);
        assert_sv(e[0].path, rows[i].becomes);
        assert_sv(e[1].path, rows[i].path);
        registry_config_free(c);
    }
}

static void test_registries_errors_name_the_place(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "mirror: {}", "registries.yaml:1: field mirror not found in type Registry" },
        { "mirrors:\n  a.io:\n    endpoints: []",
          "registries.yaml:3: mirrors.a.io: field endpoints not found" },
        { "mirrors: [a]", "registries.yaml:1: mirrors: cannot unmarshal !!seq" },
        { "mirrors:\n  a.io:\n    endpoint:\n    - ftp://x",
          "registries.yaml:4: mirrors.a.io.endpoint[0]: 'ftp://x'" },
        { "mirrors: {a.io: {endpoint: [\"https://u:p@x\"]}}",
          "mirrors.a.io.endpoint[0]: an endpoint has no user" },
        { "mirrors: {a.io: {rewrite: {'(': x}}}",
          "mirrors.a.io.rewrite.(: not a regular expression" },
        { "mirrors: {a.io: {rewrite: [x]}}", "mirrors.a.io.rewrite: cannot unmarshal !!seq" },
        { "configs: {a.io: {auth: {auth: '%'}}}", "configs.a.io.auth: expected the base64" },
        { "configs: {a.io: {tls: {cert_file: x}}}",
          "configs.a.io.tls: cert_file and key_file belong together" },
        { "configs: {a.io: {tls: {insecure_skip_verify: 7}}}",
          "configs.a.io.tls.insecure_skip_verify: cannot unmarshal" },
        { "configs: {a.io: {}, a.io: {}}", "configs.a.io: field already set" },
        { "mirrors: {", "registries.yaml" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        RegistryConfig *c;
        Err err = { 0 };

        assert_int_equal(registry_config_parse(sv_cstr(rows[i].text), "registries.yaml", &c, &err),
                         -ERR_INVALID);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
}

/* ---- manifests ---- */

#define D(c)                                                                                       \
    "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
        c c c c c c c c c c c c c c c c c c c c c c
#define ENTRY(c, platform) "{\"digest\":\"" D(c) "\",\"size\":7" platform "}"
#define ON(os, arch, more) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}"

static int parse(const char *text, const char *os, const char *arch, const char *variant,
                 RegManifest *ret, Err *err)
{
    const RegPlatform p = { sv_cstr(os), sv_cstr(arch), sv_cstr(variant) };

    return reg_manifest_parse(sv_cstr(text), SV("application/json"), &p, &arena, ret, err);
}

static void assert_chosen(const char *text, const char *arch, const char *variant, char digit)
{
    RegManifest m;
    Err err = { 0 };

    if (parse(text, "linux", arch, variant, &m, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(m.is_index);
    assert_int_equal(m.chosen.text[7], digit);
    assert_int_equal(m.chosen_size, 7);
}

static void test_index_choice(void **state)
{
    static const char index[] =
        "{\"schemaVersion\":2,\"manifests\":[" ENTRY("1", ON("windows", "amd64", "")) "," ENTRY("2", ON("linux", "arm", ",\"variant\":\"v6\"")) "," ENTRY(
            "3",
            ON("linux", "arm",
               ",\"variant\":\"v7\"")) "," ENTRY("4",
                                                 ON("linux", "arm64",
                                                    ",\"variant\":\"v8\"")) "," ENTRY("5",
                                                                                      ON("linux",
                                                                                         "amd64",
                                                                                         ",\"variant\":\"v3\"")) "," ENTRY("6",
                                                                                                                           ON("linux",
                                                                                                                              "amd64",
                                                                                                                              "")) "," ENTRY("7",
                                                                                                                                             ON("unknown",
                                                                                                                                                "unknown",
                                                                                                                                                "")) "]}";
    RegManifest m;
    Err err = { 0 };

    assert_chosen(index, "amd64", "", '6');
    assert_chosen(index, "amd64", "v3", '5');
    assert_chosen(index, "arm64", "", '4');
    assert_chosen(index, "arm", "", '3');
    assert_chosen(index, "arm", "v8", '3');
    assert_chosen(index, "arm", "v6", '2');
    assert_int_equal(parse(index, "linux", "riscv64", "", &m, &err), -ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "linux/riscv64"));
    assert_int_equal(parse(index, "linux", "arm", "v5", &m, NULL), -ERR_NOT_FOUND);
}

static void test_index_passes_over_attestations(void **state)
{
    assert_chosen(
        "{\"manifests\":[{\"digest\":\"" D(
            "1") "\",\"size\":7,\"annotations\":"
                 "{\"vnd.docker.reference.type\":\"attestation-manifest\"}}," ENTRY("2", "") "]}",
        "amd64", "", '2');
}

static void test_manifest_of_an_image(void **state)
{
    RegManifest m;

    assert_int_equal(
        parse(
            "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\","
            "\"config\":" ENTRY("1", "") ",\"layers\":[" ENTRY(
                "2", "") ","
                         "{\"digest\":\"" D("3") "\",\"size\":9,\"urls\":[\"http://x\"]}]}",
            "linux", "amd64", "", &m, NULL),
        0);
    assert_false(m.is_index);
    assert_true(m.has_urls);
    assert_int_equal(m.image.layers_len, 2);
    assert_int_equal(m.image.layers[1].size, 9);
}

static void test_manifests_refused(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } rows[] = {
        { "{\"schemaVersion\":1,\"fsLayers\":[]}", ERR_UNSUPPORTED, "schema 1" },
        { "<html>", ERR_PROTO, "no JSON" },
        { "[]", ERR_PROTO, "no object" },
        { "{}", ERR_INVALID, "config" },
        { "{\"manifests\":[]}", ERR_NOT_FOUND, "no image for" },
        { "{\"manifests\":[],\"layers\":[]}", ERR_INVALID, "at once" },
        { "{\"manifests\":[{\"size\":1}]}", ERR_INVALID, "digest" },
        { "{\"manifests\":[{\"digest\":\"" D("1") "\"}]}", ERR_INVALID, "no size" },
        { "{\"manifests\":[{\"digest\":\"" D("1") "\",\"size\":-1}]}", ERR_INVALID, "no size" },
        { "{\"manifests\":[{\"digest\":\"sha512:1\",\"size\":1}]}", ERR_UNSUPPORTED, "sha512" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        RegManifest m;
        Err err = { 0 };

        assert_int_equal(parse(rows[i].text, "linux", "amd64", "", &m, &err), -rows[i].code);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
}

static void test_manifest_must_be_what_it_was_sent_as(void **state)
{
    const RegPlatform p = { SV("linux"), SV("amd64"), SV("") };
    RegManifest m;

    assert_int_equal(
        reg_manifest_parse(
            SV("{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}"),
            SV("application/vnd.oci.image.manifest.v1+json"), &p, &arena, &m, NULL),
        -ERR_INVALID);
    assert_int_equal(reg_manifest_parse(
                         SV("{}"), SV("application/vnd.docker.distribution.manifest.v1+prettyjws"),
                         &p, &arena, &m, NULL),
                     -ERR_UNSUPPORTED);
    /* umoci's say nothing of themselves. */
    assert_int_equal(
        reg_manifest_parse(SV("{\"schemaVersion\":2,\"config\":" ENTRY("1", "") ",\"layers\":[]}"),
                           SV("application/vnd.oci.image.manifest.v1+json"), &p, &arena, &m, NULL),
        0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenge_bearer),
        cmocka_unit_test(test_challenge_of_several_takes_bearer),
        cmocka_unit_test(test_challenge_refuses_what_is_none),
        cmocka_unit_test(test_realm_is_own),
        cmocka_unit_test(test_credential_fits_as_in_kubernetes),
        cmocka_unit_test(test_auth_file),
        cmocka_unit_test(test_auth_file_errors_name_the_field),
        cmocka_unit_test(test_helper_with_a_path_is_refused),
        cmocka_unit_test(test_endpoints_of_mirrors),
        cmocka_unit_test(test_endpoint_of_itself_replaces_it),
        cmocka_unit_test(test_rewrites_expand_as_go_does),
        cmocka_unit_test(test_registries_errors_name_the_place),
        cmocka_unit_test(test_index_choice),
        cmocka_unit_test(test_index_passes_over_attestations),
        cmocka_unit_test(test_manifest_of_an_image),
        cmocka_unit_test(test_manifests_refused),
        cmocka_unit_test(test_manifest_must_be_what_it_was_sent_as),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
