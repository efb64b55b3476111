#include "fake_api.h"

#include "api/events.h"

typedef struct Fix {
    FakeApi api;
    unsigned done;
    int status;
    ErrCode code;
    char reason[32], name[32], msg[128];
    uint32_t retry;
    bool free_client;
} Fix;

static void on_done(void *ctx, const ApiResult *r)
{
    Fix *f = ctx;
    f->done++;
    f->status = r->status;
    f->code = r->err ? r->err->code : ERR_NONE;
    f->retry = r->retry_after_s;
    snprintf(f->msg, sizeof f->msg, "%.100s", r->err ? r->err->msg : "");
    fake_copy(r->reason, f->reason, sizeof f->reason);
    fake_copy(value_path_str(r->body, "metadata.name"), f->name, sizeof f->name);
    if (f->free_client)
        f->api.client = api_client_free(f->api.client);
    loop_stop(f->api.loop);
}

static int setup(void **state)
{
    static Fix f;
    f = (Fix){ 0 };
    fake_start(&f.api);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fake_stop(&((Fix *)*state)->api);
    return 0;
}

static const ApiTarget pod = { .version = SV_INIT("v1"),
                               .plural = SV_INIT("pods"),
                               .ns = SV_INIT("d"),
                               .name = SV_INIT("web"),
                               .subresource = SV_INIT("status") };
static const ApiTarget deploy = { .group = SV_INIT("apps"),
                                  .version = SV_INIT("v1"),
                                  .plural = SV_INIT("deployments"),
                                  .ns = SV_INIT("d"),
                                  .name = SV_INIT("web") };

static void run(Fix *f)
{
    assert_int_equal(loop_run(f->api.loop, NULL), 0);
}

static void test_calls_are_counted(void **state)
{
    Fix *f = *state;
    _cleanup_buf_ Buf out = BUF_INIT;
    char want[160];
    Metrics *m = metrics_new();
    api_client_count(f->api.client, m);
    assert_ptr_equal(api_client_metrics(f->api.client), m);
    assert_null(api_client_metrics(NULL));
    for (int i = 0; i < 2; i++) {
        f->api.answer = i ? 409 : 200;
        assert_int_equal(api_get(f->api.client, &pod, on_done, f, NULL, NULL), 0);
        run(f);
    }
    metrics_write(m, METRICS_TEXT, &out);
    for (int i = 0; i < 2; i++) {
        snprintf(want, sizeof want,
                 "rest_client_requests_total{code=\"%d\",method=\"GET\",host=\"127.0.0.1:%u\"} 1\n",
                 i ? 409 : 200, api_client_port(f->api.client));
        assert_non_null(strstr(buf_cstr(&out), want));
    }
    snprintf(want, sizeof want,
             "rest_client_request_duration_seconds_count{verb=\"GET\",host=\"127.0.0.1:%u\"} 2\n",
             api_client_port(f->api.client));
    assert_non_null(strstr(buf_cstr(&out), want));
    f->api.client = api_client_free(f->api.client);
    metrics_free(m);
}

static void test_verbs_reach_their_paths(void **state)
{
    Fix *f = *state;
    Arena a;
    arena_init(&a, 0);
    Value body = value_map();
    value_set(&a, &body, SV("x"), value_int(1));
    f->api.answer_body = "{\"metadata\":{\"name\":\"web\"}}";
    assert_int_equal(api_update(f->api.client, &pod, &body, on_done, f, NULL, NULL), 0);
    run(f);
    assert_string_equal(f->api.last_method, "PUT");
    assert_string_equal(f->api.last_path, "/api/v1/namespaces/d/pods/web/status");
    assert_string_equal(f->api.last_body, "{\"x\":1}");
    assert_string_equal(f->api.last_type, "application/json");
    assert_string_equal(f->api.last_auth, "Bearer tok");
    assert_string_equal(f->name, "web");
    assert_int_equal(f->code, ERR_NONE);
    assert_int_equal(api_create(f->api.client, &deploy, &body, on_done, f, NULL, NULL), 0);
    run(f);
    assert_string_equal(f->api.last_path, "/apis/apps/v1/namespaces/d/deployments");
    assert_int_equal(api_patch(f->api.client, &deploy, API_PATCH_MERGE, SV("fieldManager=k"), &body,
                               on_done, f, NULL, NULL),
                     0);
    run(f);
    assert_string_equal(f->api.last_type, "application/merge-patch+json");
    assert_string_equal(f->api.last_query, "fieldManager=k");
    assert_int_equal(api_delete(f->api.client, &deploy, NULL, on_done, f, NULL, NULL), 0);
    run(f);
    assert_string_equal(f->api.last_method, "DELETE");
    arena_free(&a);
}

static void test_statuses_become_errors(void **state)
{
    static const struct {
        int status;
        const char *reason;
        ErrCode code;
    } table[] = {
        { 404, "NotFound", ERR_NOT_FOUND },   { 409, "AlreadyExists", ERR_EXISTS },
        { 409, "Conflict", ERR_CONFLICT },    { 403, "Forbidden", ERR_DENIED },
        { 422, "Invalid", ERR_INVALID },      { 410, "Expired", ERR_GONE },
        { 429, "TooManyRequests", ERR_BUSY }, { 401, "Unauthorized", ERR_UNAUTHENTICATED },
        { 500, "InternalError", ERR_PROTO },
    };
    Fix *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"kind\":\"Status\",\"reason\":\"%s\",\"message\":\"why\","
                 "\"details\":{\"retryAfterSeconds\":7}}",
                 table[i].reason);
        f->api.answer = table[i].status;
        f->api.answer_body = body;
        assert_int_equal(api_get(f->api.client, &pod, on_done, f, NULL, NULL), 0);
        run(f);
        assert_int_equal(f->code, table[i].code);
        assert_int_equal(f->status, table[i].status);
        assert_string_equal(f->reason, table[i].reason);
        assert_string_equal(f->msg, "why");
        assert_int_equal(f->retry, 7);
    }
}

static void test_answers_that_are_not_json(void **state)
{
    Fix *f = *state;
    f->api.fail_next = 1;
    assert_int_equal(api_get(f->api.client, &pod, on_done, f, NULL, NULL), 0);
    run(f);
    assert_int_equal(f->code, ERR_BUSY);
    assert_int_equal(f->retry, 1);
    f->api.answer_body = "{\"broken\":";
    assert_int_equal(api_get(f->api.client, &pod, on_done, f, NULL, NULL), 0);
    run(f);
    assert_int_equal(f->code, ERR_INVALID);
}

static void test_client_may_be_freed_in_the_answer(void **state)
{
    Fix *f = *state;
    f->free_client = true;
    ApiCall *other;
    assert_int_equal(api_get(f->api.client, &pod, on_done, f, NULL, NULL), 0);
    assert_int_equal(api_get(f->api.client, &pod, on_done, f, &other, NULL), 0);
    run(f);
    fake_run(&f->api, 20);
    assert_int_equal(f->done, 1);
}

static void test_cancelled_call_is_silent(void **state)
{
    Fix *f = *state;
    ApiCall *call;
    assert_int_equal(api_get(f->api.client, &pod, on_done, f, &call, NULL), 0);
    call = api_call_cancel(call);
    fake_run(&f->api, 20);
    assert_int_equal(f->done, 0);
}

static void test_equal_events_are_counted_in_one_object(void **state)
{
    Fix *f = *state;
    EventRecorder *r;
    EventRef ref = { .api_version = SV("v1"),
                     .kind = SV("Pod"),
                     .ns = SV("d"),
                     .name = SV("web"),
                     .uid = SV("u1") };
    assert_int_equal(event_recorder_new(f->api.client, SV("kubelet"), SV("n1"), &r, NULL), 0);
    event_record(r, &ref, SV("Warning"), SV("BackOff"), "restart %d", 1);
    fake_run(&f->api, 20);
    assert_string_equal(f->api.last_method, "POST");
    assert_string_equal(f->api.last_path, "/api/v1/namespaces/d/events");
    assert_non_null(strstr(f->api.last_body, "\"message\":\"restart 1\""));
    assert_non_null(strstr(f->api.last_body, "\"involvedObject\":{\"kind\":\"Pod\""));
    event_record(r, &ref, SV("Warning"), SV("BackOff"), "restart %d", 1);
    event_record(r, &ref, SV("Warning"), SV("BackOff"), "restart %d", 1);
    fake_run(&f->api, 20);
    assert_string_equal(f->api.last_method, "PATCH");
    assert_non_null(strstr(f->api.last_body, "\"count\":3"));
    assert_int_equal(f->api.others, 3);
    event_recorder_free(r);
}

static void test_floods_of_events_are_combined_and_limited(void **state)
{
    Fix *f = *state;
    EventRecorder *r;
    EventRef ref = { .api_version = SV("v1"), .kind = SV("Node"), .name = SV("n1") };
    assert_int_equal(event_recorder_new(f->api.client, SV("kubelet"), SV("n1"), &r, NULL), 0);
    for (int i = 0; i < 100; i++)
        event_record(r, &ref, SV("Normal"), SV("Flap"), "message %d", i);
    fake_run(&f->api, 50);
    assert_int_equal(f->api.others, 12); /* ten, the combined one, and its count */
    assert_string_equal(f->api.last_method, "PATCH");
    assert_non_null(strstr(f->api.last_path, "/api/v1/namespaces/default/events/n1."));
    assert_non_null(strstr(f->api.last_body, "\"count\":15"));
    event_recorder_free(r);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_calls_are_counted),
        CASE(test_verbs_reach_their_paths),
        CASE(test_statuses_become_errors),
        CASE(test_answers_that_are_not_json),
        CASE(test_client_may_be_freed_in_the_answer),
        CASE(test_cancelled_call_is_silent),
        CASE(test_equal_events_are_counted_in_one_object),
        CASE(test_floods_of_events_are_combined_and_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
