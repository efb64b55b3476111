/* test_informer_set.c - informers that several parts of a process share. */
#include "fake_api.h"

#include "api/informer.h"

typedef struct User {
    struct Fix *fix;
    InformerUse *use;
    char log[256];
    unsigned synced;
    bool leave_on_add;
} User;

typedef struct Fix {
    FakeApi api;
    InformerSet *set;
    User users[3];
} Fix;

static void note(User *u, char what, const ApiObject *o)
{
    size_t n = strlen(u->log);
    snprintf(u->log + n, sizeof u->log - n, "%c%.*s ", what, SV_FMT(o->key));
}

static void on_add(void *ctx, ApiObject *o)
{
    User *u = ctx;
    note(u, '+', o);
    if (u->leave_on_add)
        u->use = informer_leave(u->use);
}

static void on_update(void *ctx, ApiObject *old, ApiObject *now)
{
    note(ctx, '~', now);
}

static void on_delete(void *ctx, ApiObject *last)
{
    note(ctx, '-', last);
}

static void on_synced(void *ctx)
{
    ((User *)ctx)->synced++;
}

static void *project(void *ctx, const Value *obj)
{
    return strdup("p");
}

static void *project_otherwise(void *ctx, const Value *obj)
{
    return strdup("q");
}

static void join(Fix *f, unsigned i, void *(*fn)(void *, const Value *))
{
    User *u = &f->users[i];
    Err err = { 0 };
    char plural[] = "widgets"; /* texts are copied */
    InformerConfig cfg = { .target = { .version = SV("v1"), .plural = sv_cstr(plural) },
                           .project = fn,
                           .unproject = free,
                           .drop_json = true,
                           .events = { on_add, on_update, on_delete, on_synced, NULL, u } };
    u->fix = f;
    assert_int_equal(informer_join(f->set, &cfg, &u->use, &err), 0);
    memset(plural, 'x', sizeof plural - 1);
}

/* Runs the loop until the user has heard this, for at most 10 s. */
static void hears(Fix *f, unsigned i, const char *log, unsigned synced)
{
    const User *u = &f->users[i];
    for (int n = 0; n < 1000 && (strcmp(u->log, log) != 0 || u->synced != synced); n++)
        fake_run(&f->api, 10);
    assert_string_equal(u->log, log);
    assert_int_equal(u->synced, synced);
}

static int setup(void **state)
{
    static Fix f;
    Err err = { 0 };
    f = (Fix){ 0 };
    fake_start(&f.api);
    fake_put(&f.api, "d", "a", "n1");
    assert_int_equal(informer_set_new(f.api.client, &f.set, &err), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(f->users); i++)
        informer_leave(f->users[i].use);
    informer_set_free(f->set);
    fake_stop(&f->api);
    return 0;
}

static void users_of_one_projection_share_an_informer(void **state)
{
    Fix *f = *state;
    join(f, 0, project);
    join(f, 1, project);
    join(f, 2, project_otherwise);
    for (unsigned i = 0; i < 3; i++)
        hears(f, i, "+d/a ", 1);
    assert_ptr_equal(informer_of(f->users[0].use), informer_of(f->users[1].use));
    assert_ptr_not_equal(informer_of(f->users[0].use), informer_of(f->users[2].use));
    assert_int_equal(f->api.streams, 2);
    fake_put(&f->api, "d", "b", "n1");
    for (unsigned i = 0; i < 3; i++)
        hears(f, i, "+d/a +d/b ", 1);
}

static void a_late_user_is_told_what_is_there(void **state)
{
    Fix *f = *state;
    join(f, 0, project);
    hears(f, 0, "+d/a ", 1);
    join(f, 1, project);
    assert_string_equal(f->users[1].log, ""); /* not from inside the call */
    hears(f, 1, "+d/a ", 1);
    hears(f, 0, "+d/a ", 1);
    fake_del(&f->api, "a");
    hears(f, 1, "+d/a -d/a ", 1);
    hears(f, 0, "+d/a -d/a ", 1);
    assert_int_equal(f->api.streams, 1);
}

static void the_last_one_that_leaves_ends_it(void **state)
{
    Fix *f = *state;
    join(f, 0, project);
    join(f, 1, project);
    hears(f, 0, "+d/a ", 1);
    f->users[0].use = informer_leave(f->users[0].use);
    fake_put(&f->api, "d", "b", "n1");
    hears(f, 1, "+d/a +d/b ", 1);
    assert_string_equal(f->users[0].log, "+d/a ");
    f->users[1].use = informer_leave(f->users[1].use);
    f->users[0].log[0] = 0;
    join(f, 0, project); /* opened anew: no order in the state */
    while (f->users[0].synced < 2)
        fake_run(&f->api, 10);
    assert_int_equal(f->api.streams, 2);
    assert_non_null(strstr(f->users[0].log, "+d/a "));
    assert_non_null(strstr(f->users[0].log, "+d/b "));
    assert_string_equal(f->users[1].log, "+d/a +d/b ");
}

static void one_may_leave_in_its_handler(void **state)
{
    Fix *f = *state;
    f->users[0].leave_on_add = true;
    join(f, 0, project);
    join(f, 1, project);
    hears(f, 1, "+d/a ", 1);
    hears(f, 0, "+d/a ", 0);
    f->users[1].leave_on_add = true; /* the last one: the informer ends below it */
    fake_put(&f->api, "d", "c", "n1");
    hears(f, 1, "+d/a +d/c ", 1);
    assert_string_equal(f->users[0].log, "+d/a ");
    assert_null(f->users[1].use);
}

static void one_may_leave_before_it_was_told(void **state)
{
    Fix *f = *state;
    join(f, 0, project);
    hears(f, 0, "+d/a ", 1);
    join(f, 1, project);
    f->users[1].use = informer_leave(f->users[1].use);
    fake_put(&f->api, "d", "b", "n1");
    hears(f, 0, "+d/a +d/b ", 1);
    assert_string_equal(f->users[1].log, "");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(users_of_one_projection_share_an_informer), CASE(a_late_user_is_told_what_is_there),
        CASE(the_last_one_that_leaves_ends_it),          CASE(one_may_leave_in_its_handler),
        CASE(one_may_leave_before_it_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
