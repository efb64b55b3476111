/* test_relabel.c - every action of relabelling, templates, and what is refused. */
#include "monitor/relabel/relabel.h"
#include "unit.h"

typedef struct Case {
    RelabelRule rule;
    const char *want; /* NULL: dropped */
} Case;

static const StrView src_a[] = { SV_INIT("a") }, src_ab[] = { SV_INIT("a"), SV_INIT("b") };

static RelabelRule rule(RelabelAction action, const StrView *src, unsigned n)
{
    RelabelRule r = relabel_rule_default();
    r.action = action;
    r.source_labels = src;
    r.n_source_labels = n;
    return r;
}

static void run(RelabelRule r, const char *want)
{
    static const Label base[] = { { SV_INIT("a"), SV_INIT("foo") },
                                  { SV_INIT("b"), SV_INIT("bar") },
                                  { SV_INIT("c"), SV_INIT("bAz") } };
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    LabelsBuilder b;
    Labels got;
    Err err = { 0 };

    arena_init(&a, 0);
    if (relabel_rule_compile(&r, &a, &err) < 0)
        fail_msg("%s", err.msg);
    labels_builder_init(&b, &a, (Labels){ base, 3 });
    bool kept = relabel(&r, 1, &b);
    assert_int_equal(kept, want != NULL);
    if (kept) {
        assert_true(labels_builder_take(&b, &got));
        labels_format(got, &out);
        assert_string_equal(buf_cstr(&out), want);
    }
    relabel_rule_free(&r);
}

static void test_replace(void **state)
{
    RelabelRule r = rule(RELABEL_REPLACE, src_a, 1);
    r.regex = SV("f(.*)");
    r.target_label = SV("d");
    r.replacement = SV("ch${1}-ch${1}");
    run(r, "{a=\"foo\", b=\"bar\", c=\"bAz\", d=\"choo-choo\"}");
    r.regex = SV("o(.*)"); /* anchored: no match, nothing happens */
    run(r, "{a=\"foo\", b=\"bar\", c=\"bAz\"}");
    r = rule(RELABEL_REPLACE, src_ab, 2);
    r.regex = SV("(?P<first>f.*);(.*)r");
    r.replacement = SV("b${2}$2m$$-${first}$nope");
    r.target_label = SV("a");
    run(r, "{a=\"bba$-foo\", b=\"bar\", c=\"bAz\"}");
    r.target_label = SV("${2}_x"); /* a name made from a group */
    run(r, "{a=\"foo\", b=\"bar\", ba_x=\"bba$-foo\", c=\"bAz\"}");
    r = rule(RELABEL_REPLACE, NULL, 0);
    r.target_label = SV("a");
    r.replacement = SV(""); /* empty deletes */
    run(r, "{b=\"bar\", c=\"bAz\"}");
}

static void test_keep_and_drop(void **state)
{
    RelabelRule r = rule(RELABEL_KEEP, src_a, 1);
    r.regex = SV("foo|x");
    run(r, "{a=\"foo\", b=\"bar\", c=\"bAz\"}");
    r.regex = SV("fo");
    run(r, NULL);
    r = rule(RELABEL_DROP, src_ab, 2);
    r.regex = SV("foo;bar");
    run(r, NULL);
    r = rule(RELABEL_DROP_EQUAL, src_a, 1);
    r.target_label = SV("b");
    run(r, "{a=\"foo\", b=\"bar\", c=\"bAz\"}");
    r.action = RELABEL_KEEP_EQUAL;
    run(r, NULL);
}

static void test_values(void **state)
{
    RelabelRule r = rule(RELABEL_HASHMOD, src_a, 1);
    r.target_label = SV("d");
    r.modulus = 1000;
    run(r, "{a=\"foo\", b=\"bar\", c=\"bAz\", d=\"696\"}");
    r = rule(RELABEL_LOWERCASE, (StrView[]){ SV("c") }, 1);
    r.target_label = SV("c");
    run(r, "{a=\"foo\", b=\"bar\", c=\"baz\"}");
    r.action = RELABEL_UPPERCASE;
    run(r, "{a=\"foo\", b=\"bar\", c=\"BAZ\"}");
}

static void test_names(void **state)
{
    RelabelRule r = rule(RELABEL_LABELMAP, NULL, 0);
    r.regex = SV("(a|b)");
    r.replacement = SV("x_$1");
    r.legacy_names = true;
    r.replacement = SV("x_${1}");
    run(r, "{a=\"foo\", b=\"bar\", c=\"bAz\", x_a=\"foo\", x_b=\"bar\"}");
    r = rule(RELABEL_LABELDROP, NULL, 0);
    r.regex = SV("[ab]");
    run(r, "{c=\"bAz\"}");
    r.action = RELABEL_LABELKEEP;
    run(r, "{a=\"foo\", b=\"bar\"}");
}

static void refuse(RelabelRule r, const char *want)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };
    arena_init(&a, 0);
    assert_true(relabel_rule_compile(&r, &a, &err) < 0);
    if (!strstr(err.msg, want))
        fail_msg("got '%s', wanted '%s'", err.msg, want);
    relabel_rule_free(&r);
}

static void test_bad_rules_are_refused(void **state)
{
    RelabelRule r = rule(RELABEL_REPLACE, src_a, 1);
    refuse(r, "requires 'target_label' value");
    r.target_label = SV("a-b");
    r.legacy_names = true;
    refuse(r, "\"a-b\" is invalid 'target_label' for replace action");
    r.target_label = SV("a");
    r.regex = SV("(");
    refuse(r, "error parsing regexp");
    r = rule(RELABEL_LABELDROP, src_a, 1);
    refuse(r, "labeldrop action requires only 'regex', and no other fields");
    r = rule(RELABEL_LOWERCASE, src_a, 1);
    r.target_label = SV("a");
    r.replacement = SV("x");
    refuse(r, "'replacement' can not be set for lowercase action");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_keep_and_drop),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bad_rules_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
