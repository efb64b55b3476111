/* test_config.c - prometheus.yml: defaults, inheritance, errors with their place, secrets. */
#include <stdio.h>

#include "base/file.h"
#include "monitor/config/config.h"
#include "unit.h"

static Config *load(const char *text)
{
    Config *c = NULL;
    Err err = { 0 };
    int r = config_parse(sv_cstr(text), "prometheus.yml", SV("/etc/prom"), NULL, &c, &err);
    if (r < 0)
        fail_msg("%s", err.msg);
    return c;
}

static void refuse(const char *text, const char *want)
{
    Config *c = NULL;
    Err err = { 0 };
    int r = config_parse(sv_cstr(text), "prometheus.yml", SV(""), NULL, &c, &err);
    assert_true(r < 0);
    if (!strstr(err.msg, want))
        fail_msg("got '%s', wanted '%s'", err.msg, want);
}

static void test_empty_file_has_defaults(void **state)
{
    Config *c = load("");
    assert_int_equal(c->global.scrape_interval, 60000);
    assert_int_equal(c->global.scrape_timeout, 10000);
    assert_int_equal(c->global.evaluation_interval, 60000);
    assert_sv(c->global.metric_name_validation_scheme, "utf8");
    assert_int_equal(c->jobs.len, 0);
    config_unref(c);
    c = load("global:\n");
    assert_int_equal(c->global.scrape_interval, 60000);
    config_unref(c);
}

static void test_jobs_inherit_globals(void **state)
{
    Config *c = load("global:\n"
                     "  scrape_interval: 5s\n"
                     "  sample_limit: 100\n"
                     "  body_size_limit: 15MB\n"
                     "scrape_configs:\n"
                     "- job_name: a\n"
                     "  static_configs:\n"
                     "  - targets: [x:1, 'y:2']\n"
                     "    labels: {version: 0010, on: yes}\n"
                     "  relabel_configs:\n"
                     "  - source_labels: [a, b]\n"
                     "    target_label: c\n"
                     "    replacement: 1e3\n"
                     "- job_name: b\n"
                     "  scrape_interval: 1m\n"
                     "  sample_limit: 7\n"
                     "  scrape_native_histograms: true\n");
    const ConfigScrape *a = c->jobs.items[0], *b = c->jobs.items[1];
    assert_int_equal(a->scrape_interval, 5000);
    assert_int_equal(a->scrape_timeout, 5000);
    assert_int_equal(a->limits.samples, 100);
    assert_int_equal(a->limits.body_size, 15 * 1024 * 1024);
    assert_true(a->honor_timestamps && a->enable_compression && a->http.follow_redirects);
    assert_sv(a->metrics_path, "/metrics");
    assert_int_equal(a->scrape_protocols.len, 4);
    assert_sv(a->sd.statics.items[0].targets.items[1], "y:2");
    assert_sv(labels_get(a->sd.statics.items[0].labels, SV("version")), "0010");
    assert_sv(labels_get(a->sd.statics.items[0].labels, SV("on")), "yes");
    assert_int_equal(a->relabel.items[0].n_source_labels, 2);
    assert_sv(a->relabel.items[0].replacement, "1e3");
    assert_int_equal(b->scrape_timeout, 5000); /* the global one, cut to the global interval */
    assert_int_equal(b->limits.samples, 7);
    assert_sv(b->scrape_protocols.items[0], "PrometheusProto");
    config_unref(c);
}

static void test_errors_name_line_and_key(void **state)
{
    refuse("global:\n  scrape_interval: 1x\n", "prometheus.yml:2: global.scrape_interval: ");
    refuse("scrape_configs:\n- job_name: a\n  foo: 1\n",
           "prometheus.yml:3: scrape_configs[0]: field foo not found in type config.plain");
    refuse("scrape_configs:\n- job_name: a\n- job_name: a\n",
           "prometheus.yml:3: found multiple scrape configs with job name \"a\"");
    refuse("scrape_configs:\n- job_name: ''\n", "job_name is empty");
    refuse("scrape_configs:\n- job_name: a\n  consul_sd_configs: []\n", "is not supported");
    refuse("scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [http://x]\n",
           "\"http://x\" is not a valid hostname");
    refuse("scrape_configs:\n- job_name: a\n  relabel_configs:\n  - action: hashmod\n"
           "    target_label: x\n",
           "prometheus.yml:4: scrape_configs[0].relabel_configs[0]: relabel configuration for "
           "hashmod requires non-zero modulus");
    refuse("scrape_configs:\n- job_name: a\n  scrape_timeout: 2m\n",
           "scrape timeout greater than scrape interval for scrape config with job name \"a\"");
    refuse("scrape_configs:\n- job_name: a\n  scrape_protocols: [Foo]\n",
           "prometheus.yml:3: scrape_configs[0].scrape_protocols: unknown scrape protocol Foo");
    refuse("global: [1]\n", "cannot unmarshal !!seq into config.plain");
    refuse("global:\n  scrape_interval: 1s\n  scrape_interval: 2s\n", "already set");
    refuse("rule_files: ['*/a.yml']\n", "invalid rule file path \"*/a.yml\"");
    refuse("remote_write:\n- name: x\n", "url for remote_write is empty");
    refuse("scrape_configs:\n- job_name: a\n  basic_auth: {username: a}\n  bearer_token: b\n",
           "at most one of basic_auth, oauth2");
    refuse("a: [", "prometheus.yml: yaml: line 2");
}

static void test_sections_of_clouds(void **state)
{
    Config *c = load("remote_write:\n"
                     "- url: http://a\n"
                     "  name: a\n"
                     "  sigv4: {access_key: k, secret_key: hidden}\n"
                     "- url: http://b\n"
                     "  name: b\n"
                     "  azuread:\n"
                     "    oauth:\n"
                     "      client_id: '{11111111-2222-3333-4444-555555555555}'\n"
                     "      client_secret: hidden\n"
                     "      tenant_id: t\n"
                     "- {url: 'http://c', name: c, google_iam: {}}\n"
                     "alerting: {alertmanagers: [{sigv4: {}}]}\n");
    const ConfigRemoteWrite *w = c->remote_write.items;
    _cleanup_buf_ Buf shown = BUF_INIT;
    Err err = { 0 };
    assert_sv(w[0].http.sigv4->secret_key, "hidden");
    assert_null(w[0].http.azuread);
    assert_sv(w[1].http.azuread->cloud, "AzurePublic");
    assert_sv(w[1].http.azuread->oauth->tenant_id, "t");
    assert_non_null(w[2].http.google_iam);
    assert_non_null(c->alerting.alertmanagers.items[0].http.sigv4);
    assert_int_equal(config_format(c, &shown, &err), 0);
    assert_true(sv_find(buf_view(&shown), SV("hidden")) < 0);
    assert_true(sv_find(buf_view(&shown), SV("google_iam: {}")) > 0);
    config_unref(c);
    refuse("remote_write:\n- {url: 'http://a', sigv4: {}, google_iam: {}}\n",
           "Currently configured: [sigv4 google_iam]");
    refuse("alerting: {alertmanagers: [{sigv4: {}, oauth2: {client_id: a, client_secret: b, "
           "token_url: c}}]}\n",
           "at most one of basic_auth, authorization, oauth2, & sigv4");
    refuse("remote_write:\n- {url: 'http://a', azuread: {sdk: {tenant_id: a/b}}}\n",
           "azuread.sdk: the provided Azure SDK tenant_id is invalid");
    refuse("remote_write:\n- {url: 'http://a', azuread: {sdk: {}, scope: 'a b;'}}\n",
           "the provided scope contains invalid characters");
    refuse("remote_write:\n- {url: 'http://a', sigv4: {external_id: a}}\n",
           "external_id can only be used with role_arn");
    refuse("remote_read:\n- {url: 'http://a', sigv4: {}}\n", "field sigv4 not found");
}

static void test_relative_names_join_the_folder(void **state)
{
    Config *c = load("rule_files: [a.yml, /b.yml]\n"
                     "scrape_configs:\n"
                     "- job_name: a\n"
                     "  authorization: {credentials_file: token}\n"
                     "  tls_config: {ca_file: ca.pem}\n"
                     "  file_sd_configs: [{files: ['t/*.json']}]\n");
    assert_sv(c->rule_files.items[0], "/etc/prom/a.yml");
    assert_sv(c->rule_files.items[1], "/b.yml");
    const ConfigScrape *s = c->jobs.items[0];
    assert_sv(s->http.authorization->credentials_file, "/etc/prom/token");
    assert_sv(s->http.authorization->type, "Bearer");
    assert_sv(s->http.tls.ca_file, "/etc/prom/ca.pem");
    assert_sv(s->sd.files.items[0].files.items[0], "/etc/prom/t/*.json");
    assert_int_equal(s->sd.files.items[0].refresh_interval, 300000);
    config_unref(c);
}

static void test_format_hides_secrets(void **state)
{
    Config *c =
        load("scrape_configs:\n"
             "- job_name: a\n"
             "  basic_auth: {username: u, password: hunter2}\n"
             "  http_headers: {X-A: {secrets: [hunter2], values: [plain]}}\n"
             "  kubernetes_sd_configs: [{role: pod, namespaces: {names: [x]}}]\n"
             "remote_write:\n"
             "- url: http://me:hunter2@host/x\n"
             "  bearer_token: hunter2\n"
             "alerting:\n"
             "  alertmanagers:\n"
             "  - static_configs: [{targets: ['am:9093']}]\n"
             "storage: {tsdb: {out_of_order_time_window: 1h}, exemplars: {max_exemplars: 5}}\n"
             "tracing: {endpoint: 'x:1', sampling_fraction: 0.5}\n");
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = { 0 };
    assert_int_equal(config_format(c, &out, &err), 0);
    const char *text = buf_cstr(&out);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "password: <secret>"));
    assert_non_null(strstr(text, "http://me:xxxxx@host/x"));
    assert_non_null(strstr(text, "plain"));
    assert_non_null(strstr(text, "out_of_order_time_window: 1h"));
    assert_non_null(strstr(text, "scrape_interval: 1m"));
    /* What is shown can be read again. */
    Config *again = load(text);
    assert_int_equal(again->jobs.len, 1);
    assert_int_equal(again->storage.exemplars->max_exemplars, 5);
    config_unref(again);
    config_unref(c);
}

static void test_external_labels_take_the_environment(void **state)
{
    setenv("KNARR_TEST_ZONE", "north", 1);
    Config *c = load("global: {external_labels: {zone: 'z-${KNARR_TEST_ZONE}', d: a$$b}}\n");
    assert_sv(labels_get(c->global.external_labels, SV("zone")), "z-north");
    assert_sv(labels_get(c->global.external_labels, SV("d")), "a$b");
    config_unref(c);
}

static void test_scrape_config_files_are_read(void **state)
{
    char dir[] = "/tmp/knarr-config-XXXXXX", path[256], text[256];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.yml", dir);
    assert_int_equal(file_write(AT_FDCWD, path,
                                SV("scrape_configs:\n- job_name: x\n"
                                   "  file_sd_configs: [{files: [t.yml]}]\n"),
                                0600),
                     0);
    snprintf(path, sizeof path, "%s/prometheus.yml", dir);
    snprintf(text, sizeof text, "scrape_config_files: ['*.yml.not', 'a*.yml']\n");
    assert_int_equal(file_write(AT_FDCWD, path, sv_cstr(text), 0600), 0);
    Config *c = NULL;
    Err err = { 0 };
    if (config_load(path, NULL, &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(c->jobs.len, 1);
    snprintf(text, sizeof text, "%s/t.yml", dir);
    assert_true(sv_eq(c->jobs.items[0]->sd.files.items[0].files.items[0], sv_cstr(text)));
    config_unref(c);
    assert_true(config_load("/nowhere/x.yml", NULL, &c, &err) < 0);
    assert_int_equal(rm_rf(AT_FDCWD, dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_file_has_defaults),
        cmocka_unit_test(test_jobs_inherit_globals),
        cmocka_unit_test(test_errors_name_line_and_key),
        cmocka_unit_test(test_sections_of_clouds),
        cmocka_unit_test(test_relative_names_join_the_folder),
        cmocka_unit_test(test_format_hides_secrets),
        cmocka_unit_test(test_external_labels_take_the_environment),
        cmocka_unit_test(test_scrape_config_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
