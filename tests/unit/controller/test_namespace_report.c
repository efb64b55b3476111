/* test_namespace_report.c - what holds up the end of a namespace, in Kubernetes' words. */
#include "../api/doc.h"

#include "controller/namespace_report.h"

typedef struct Fix {
    Arena a;
    NamespaceReport r;
} Fix;

static int setup(void **state)
{
    static Fix f;
    arena_init(&f.a, 0);
    namespace_report_init(&f.r, &f.a);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    arena_free(&((Fix *)*state)->a);
    return 0;
}

#define COND(TYPE, STATUS, REASON, MESSAGE)                                                        \
    "{'type':'" TYPE "','lastTransitionTime':'now','status':'" STATUS "','reason':'" REASON        \
    "','message':'" MESSAGE "'}"
#define FINE_1                                                                                     \
    COND("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",                      \
         "All resources successfully discovered")
#define FINE_2                                                                                     \
    COND("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions",            \
         "All legacy kube types successfully parsed")
#define FINE_3                                                                                     \
    COND("NamespaceDeletionContentFailure", "False", "ContentDeleted",                             \
         "All content successfully deleted, may be waiting on finalization")
#define FINE_4                                                                                     \
    COND("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed")
#define FINE_5                                                                                     \
    COND("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers",                        \
         "All content-preserving finalizers finished")

static void a_clean_round_says_that_all_is_fine(void **state)
{
    Fix *f = *state;
    assert_true(namespace_report_clean(&f->r));
    Value list = namespace_report_conditions(&f->r, NULL, value_sv(SV("now")));
    assert_doc(&f->a, &list, "[" FINE_1 "," FINE_2 "," FINE_3 "," FINE_4 "," FINE_5 "]");
    /* Said once. */
    Value again = namespace_report_conditions(&f->r, &list, value_sv(SV("later")));
    assert_true(value_is(&again, VALUE_NULL));
}

static void what_remains_is_counted_and_sorted(void **state)
{
    Fix *f = *state;
    namespace_report_remaining(&f->r, SV("widgets"), SV("example.com"), 2);
    namespace_report_remaining(&f->r, SV("pods"), SV(""), 1);
    namespace_report_remaining(&f->r, SV("secrets"), SV(""), 0);
    namespace_report_finalizer(&f->r, SV("z/y"));
    namespace_report_finalizer(&f->r, SV("a/b"));
    namespace_report_finalizer(&f->r, SV("z/y"));
    assert_false(namespace_report_clean(&f->r));
    Value list = namespace_report_conditions(&f->r, NULL, value_sv(SV("now")));
    assert_doc(
        &f->a, &list,
        "[" FINE_1 "," FINE_2 "," FINE_3 "," COND(
            "NamespaceContentRemaining", "True", "SomeResourcesRemain",
            "Some resources are remaining: pods. has 1 resource instances, "
            "widgets.example.com has 2 resource instances") "," COND("NamespaceFinalizersRemaining",
                                                                     "True", "SomeFinalizersRemain",
                                                                     "Some content in the namespace has finalizers remaining: a/b in 1 resource "
                                                                     "instances, z/y in 2 resource instances") "]");
}

static void failures_are_told(void **state)
{
    Fix *f = *state;
    value_push(&f->a, &f->r.discovery_errors, value_sv(SV("m/v1: stale")));
    value_push(&f->a, &f->r.parse_errors, value_sv(SV("unexpected GroupVersion string: a/b/c")));
    value_push(&f->a, &f->r.content_errors, value_sv(SV("two")));
    value_push(&f->a, &f->r.content_errors, value_sv(SV("one")));
    assert_false(namespace_report_clean(&f->r));
    Value list = namespace_report_conditions(&f->r, NULL, value_sv(SV("now")));
    assert_doc(
        &f->a, &list,
        "[" COND(
            "NamespaceDeletionDiscoveryFailure", "True", "DiscoveryFailed",
            "Discovery failed for some groups, 1 failing: unable to retrieve the "
            "complete list of server APIs: m/v1: stale") "," COND("NamespaceDeletionGroupVersionParsingFailure",
                                                                  "True",
                                                                  "GroupVersionParsingFailed",
                                                                  "unexpected GroupVersion string: a/b/c") "," COND("NamespaceDeletionContentFailure",
                                                                                                                    "True",
                                                                                                                    "ContentDeletionFailed",
                                                                                                                    "Failed to delete all resource types, 2 remaining: one, two") "," FINE_4
                                                                                                                                                                                  "," FINE_5
                                                                                                                                                                                  "]");
}

static void other_conditions_and_older_times_stay(void **state)
{
    Fix *f = *state;
    Value had = doc(&f->a, "[{'type':'Mine','status':'True'},"
                           "{'type':'NamespaceContentRemaining','status':'True','reason':"
                           "'SomeResourcesRemain','message':'old','lastTransitionTime':'then'}]");
    namespace_report_remaining(&f->r, SV("pods"), SV(""), 1);
    Value list = namespace_report_conditions(&f->r, &had, value_sv(SV("now")));
    assert_int_equal(list.len, 6);
    assert_doc(&f->a, value_at(&list, 0), "{'type':'Mine','status':'True'}");
    assert_doc(&f->a, value_at(&list, 1),
               "{'type':'NamespaceContentRemaining','status':'True','reason':'SomeResourcesRemain',"
               "'message':'Some resources are remaining: pods. has 1 resource instances',"
               "'lastTransitionTime':'then'}");
}

static void names_of_finalizers_are_bounded(void **state)
{
    Fix *f = *state;
    for (int i = 0; i < 1000; i++)
        namespace_report_finalizer(&f->r, arena_printf(&f->a, "f/%d", i));
    assert_int_equal(f->r.finalizers.len, 100);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_clean_round_says_that_all_is_fine),
        CASE(what_remains_is_counted_and_sorted),
        CASE(failures_are_told),
        CASE(other_conditions_and_older_times_stay),
        CASE(names_of_finalizers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
