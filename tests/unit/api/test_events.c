/* test_events.c - how events are counted, combined, limited and forgotten. */
#include "fake_api.h"

#include "api/events.h"

typedef struct Fix {
    FakeApi api;
    EventRecorder *events;
} Fix;

static const EventRef pod = { .api_version = SV_INIT("v1"),
                              .kind = SV_INIT("Pod"),
                              .ns = SV_INIT("d"),
                              .name = SV_INIT("p"),
                              .uid = SV_INIT("u1") };

static int setup(void **state)
{
    static Fix f;
    Err err = { 0 };
    f = (Fix){ 0 };
    fake_start(&f.api);
    assert_int_equal(event_recorder_new(f.api.client, SV("test"), SV("host"), &f.events, &err), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    event_recorder_free(f->events);
    fake_stop(&f->api);
    return 0;
}

/* Runs the loop until so many requests have been made, for at most 10 s, and a little longer. */
static void requests(Fix *f, unsigned n)
{
    for (int i = 0; i < 1000 && f->api.others < n; i++)
        fake_run(&f->api, 10);
    fake_run(&f->api, 20);
    assert_int_equal(f->api.others, n);
}

static void equal_events_are_one_object_with_a_count(void **state)
{
    Fix *f = *state;
    event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image %d", 1);
    requests(f, 1);
    assert_string_equal(f->api.last_method, "POST");
    assert_non_null(strstr(f->api.last_body, "\"reason\":\"Pulled\",\"message\":\"image 1\""));
    assert_non_null(strstr(f->api.last_body, "\"component\":\"test\""));
    event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image %d", 1);
    requests(f, 2);
    assert_string_equal(f->api.last_method, "PATCH");
    assert_non_null(strstr(f->api.last_body, "\"count\":2"));
    event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image %d", 2);
    requests(f, 3);
    assert_string_equal(f->api.last_method, "POST");
}

static void what_is_counted_while_one_is_written_goes_with_the_next(void **state)
{
    Fix *f = *state;
    for (int i = 0; i < 5; i++)
        event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image");
    requests(f, 2);
    assert_non_null(strstr(f->api.last_body, "\"count\":5"));
}

static void similar_events_are_combined(void **state)
{
    Fix *f = *state;
    for (int i = 0; i < 12; i++)
        event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image %d", i);
    requests(f, 12); /* ten, the first of the combined ones, and its second */
    assert_string_equal(f->api.last_method, "PATCH");
    EventRef other = pod;
    other.uid = SV("u2");
    event_record(f->events, &other, SV("Normal"), SV("Pulled"), "image 1");
    requests(f, 13);
    assert_null(strstr(f->api.last_body, "combined from similar events"));
}

static void an_object_has_so_many_events(void **state)
{
    Fix *f = *state;
    char reason[] = "a";
    for (reason[0] = 'a'; reason[0] <= 'z'; reason[0]++)
        event_record(f->events, &pod, SV("Warning"), sv_cstr(reason), "no");
    requests(f, 25);
    EventRef part = pod; /* each container has its own share */
    part.field_path = SV("spec.containers{c}");
    event_record(f->events, &part, SV("Warning"), SV("b"), "no");
    requests(f, 26);
}

static void what_is_about_a_gone_object_is_forgotten(void **state)
{
    Fix *f = *state;
    EventRef other = pod;
    other.uid = SV("u2");
    event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image");
    event_record(f->events, &other, SV("Normal"), SV("Pulled"), "image");
    requests(f, 2);
    assert_int_equal(event_kept(f->events), 6); /* each an event and two limits */
    event_forget(f->events, SV("u1"));
    event_forget(f->events, SV("none"));
    event_forget(f->events, SV(""));
    assert_int_equal(event_kept(f->events), 3);
    /* It begins again. */
    event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image");
    requests(f, 3);
    assert_string_equal(f->api.last_method, "POST");
}

static void what_is_under_way_is_written_first(void **state)
{
    Fix *f = *state;
    event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image");
    event_record(f->events, &pod, SV("Normal"), SV("Pulled"), "image");
    event_forget(f->events, SV("u1"));
    assert_int_equal(event_kept(f->events), 1);
    requests(f, 2);
    assert_non_null(strstr(f->api.last_body, "\"count\":2"));
    assert_int_equal(event_kept(f->events), 0);
}

static void what_is_kept_is_bounded(void **state)
{
    Fix *f = *state;
    char uid[16];
    for (int i = 0; i < 20000; i++) {
        EventRef ref = pod;
        snprintf(uid, sizeof uid, "x%d", i);
        ref.uid = sv_cstr(uid);
        event_record(f->events, &ref, SV("Normal"), SV("Pulled"), "image");
        assert_true(event_kept(f->events) < 8192 + 3);
    }
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(equal_events_are_one_object_with_a_count),
        CASE(what_is_counted_while_one_is_written_goes_with_the_next),
        CASE(similar_events_are_combined),
        CASE(an_object_has_so_many_events),
        CASE(what_is_about_a_gone_object_is_forgotten),
        CASE(what_is_under_way_is_written_first),
        CASE(what_is_kept_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
