/* test_node_status.c - what the node says of itself against what the API server has. */
#include "kubelet/node_status.h"

#include "codec/json.h"
#include "unit.h"

static Arena arena;

static Value tree(const char *text)
{
    Value v;
    Err err = { 0 };
    if (json_decode(sv_cstr(text), &arena, NULL, &v, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return v;
}

/* `status` joined with `old` is `want`. */
static void joins(const char *old, const char *status, const char *want)
{
    arena_init(&arena, 0);
    Value o = tree(old), s = tree(status), w = tree(want);
    node_status_join(&o, &s, &arena);
    if (!value_equal(&s, &w)) {
        Buf text = BUF_INIT;
        json_encode(&s, &text);
        fail_msg("got %.*s, want %s", (int)text.len, text.ptr, want);
    }
    arena_free(&arena);
}

static void news(const char *old, const char *status, bool want)
{
    arena_init(&arena, 0);
    Value o = tree(old), s = tree(status);
    if (node_status_is_news(&o, &s) != want)
        fail_msg("%s against %s: expected %s", status, old, want ? "news" : "no news");
    arena_free(&arena);
}

static void test_a_condition_keeps_its_time_while_it_does_not_change(void **state)
{
    joins(
        "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"then\"},"
        "{\"type\":\"DiskPressure\",\"status\":\"False\",\"lastTransitionTime\":\"then\"}]}}",
        "{\"conditions\":[{\"type\":\"DiskPressure\",\"status\":\"True\",\"lastTransitionTime\":\"now\"},"
        "{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"now\"},"
        "{\"type\":\"PIDPressure\",\"status\":\"False\",\"lastTransitionTime\":\"now\"}]}",
        "{\"conditions\":[{\"type\":\"DiskPressure\",\"status\":\"True\",\"lastTransitionTime\":\"now\"},"
        "{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"then\"},"
        "{\"type\":\"PIDPressure\",\"status\":\"False\",\"lastTransitionTime\":\"now\"}]}");
}

static void test_a_node_without_a_status_is_no_trouble(void **state)
{
    const char *status =
        "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"now\"}],"
        "\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"2\"}}";
    joins("{}", status, status);
    joins("{\"status\":{}}", status, status);
    news("{}", status, true);
}

static void test_a_patched_resource_becomes_allocatable(void **state)
{
    joins(
        "{\"status\":{\"capacity\":{\"cpu\":\"1\",\"example.com/dongle\":\"4\"},\"allocatable\":{\"cpu\":\"1\"}}}",
        "{\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"1900m\"}}",
        "{\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"1900m\",\"example.com/dongle\":\"4\"}}");
}

static void test_a_changed_one_is_followed(void **state)
{
    joins(
        "{\"status\":{\"capacity\":{\"example.com/dongle\":\"5\"},\"allocatable\":{\"example.com/dongle\":\"4\"}}}",
        "{\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"2\"}}",
        "{\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"2\",\"example.com/dongle\":\"5\"}}");
}

static void test_one_that_was_taken_out_is_not_given_out_any_more(void **state)
{
    joins(
        "{\"status\":{\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"2\",\"example.com/dongle\":\"4\"}}}",
        "{\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"2\"}}",
        "{\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"2\",\"example.com/dongle\":null}}");
}

static void test_what_is_the_same_is_no_news(void **state)
{
    const char *old =
        "{\"status\":{\"capacity\":{\"cpu\":\"2\",\"example.com/dongle\":\"4\"},\"phase\":\"x\","
        "\"conditions\":[{\"type\":\"Custom\",\"status\":\"True\"},"
        "{\"type\":\"Ready\",\"status\":\"True\",\"lastHeartbeatTime\":\"1\"}],"
        "\"addresses\":[\"a\",\"b\"],\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":10250}}}}";
    news(old, "{}", false);
    news(old, "{\"capacity\":{\"cpu\":\"2\"}}", false);
    news(old,
         "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastHeartbeatTime\":\"2\"}]}",
         false);
    news(old, "{\"addresses\":[\"a\",\"b\"]}", false);
    news(old, "{\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":10250}}}", false);
    news(old, "{\"capacity\":{\"gone\":null},\"empty\":\"\"}", false);
}

static void test_what_differs_is_news(void **state)
{
    const char *old = "{\"status\":{\"capacity\":{\"cpu\":\"2\"},"
                      "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"A\"}],"
                      "\"addresses\":[\"a\"],\"port\":1}}";
    news(old, "{\"capacity\":{\"cpu\":\"3\"}}", true);
    news(old, "{\"capacity\":{\"memory\":\"1\"}}", true);
    news(old, "{\"capacity\":{\"cpu\":null}}", true);
    news(old, "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}", true);
    news(old, "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"B\"}]}", true);
    news(old, "{\"conditions\":[{\"type\":\"Other\",\"status\":\"True\"}]}", true);
    news(old, "{\"addresses\":[\"a\",\"b\"]}", true);
    news(old, "{\"port\":2}", true);
    news(old, "{\"port\":\"1\"}", true);
    news(old, "{\"capacity\":[]}", false); /* an empty list asks for nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_condition_keeps_its_time_while_it_does_not_change),
        cmocka_unit_test(test_a_node_without_a_status_is_no_trouble),
        cmocka_unit_test(test_a_patched_resource_becomes_allocatable),
        cmocka_unit_test(test_a_changed_one_is_followed),
        cmocka_unit_test(test_one_that_was_taken_out_is_not_given_out_any_more),
        cmocka_unit_test(test_what_is_the_same_is_no_news),
        cmocka_unit_test(test_what_differs_is_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
