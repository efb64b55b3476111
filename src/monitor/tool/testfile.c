/* testfile.c - see testfile.h. */
#include "monitor/tool/testfile.h"

#include <math.h>

#include "codec/yaml.h"
#include "monitor/config/bind.h"
#include "monitor/tool/internal.h"

enum { MINUTE_MS = 60 * 1000 };

/* A number as YAML writes it: also ".inf", ".nan", and underscores between digits. */
static bool yaml_number(StrView s, double *ret)
{
    char text[64];
    size_t n = 0;
    bool sign = s.len && (s.ptr[0] == '+' || s.ptr[0] == '-');
    StrView digits = sv_skip(s, sign);
    if (sv_eq_nocase(digits, SV(".inf")) || sv_eq_nocase(digits, SV("inf"))) {
        *ret = sign && s.ptr[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (sv_eq_nocase(s, SV(".nan")) || sv_eq_nocase(s, SV("nan"))) {
        *ret = NAN;
        return true;
    }
    for (size_t i = s.len && s.ptr[0] == '+'; i < s.len; i++) {
        if (s.ptr[i] == '_')
            continue;
        if (n == sizeof text)
            return false;
        text[n++] = s.ptr[i];
    }
    return sv_to_double(sv_n(text, n), ret) == 0;
}

static int check_sample(Binder *b, void *obj, const Value *v)
{
    TestSample *s = obj;
    if (s->value_text.len && !yaml_number(s->value_text, &s->value))
        return bind_fail_key(b, v, "value", "cannot unmarshal \"%.*s\" into float64",
                             SV_FMT(s->value_text));
    return 0;
}

static int check_group(Binder *b, void *obj, const Value *v)
{
    TestGroup *g = obj;
    Err why = { 0 };
    if (g->start_text.len && tool_time(g->start_text, &g->start, &why) < 0)
        return bind_fail_key(b, v, "start_timestamp", "%s", why.msg);
    return 0;
}

#define FIELD(T, member, key, kind)                                                                \
    {                                                                                              \
        key, kind, false, offsetof(T, member), NULL                                                \
    }
#define LISTED(T, member, key, sub)                                                                \
    {                                                                                              \
        key, FIELD_LIST, false, offsetof(T, member), &(sub)                                        \
    }
#define TYPE(what, T, fields, check)                                                               \
    {                                                                                              \
        what, sizeof(T), fields, ARRAY_SIZE(fields), NULL, check                                   \
    }

static const Field series_fields[] = {
    FIELD(TestSeries, series, "series", FIELD_TEXT),
    FIELD(TestSeries, values, "values", FIELD_TEXT),
};
static const Type type_series = TYPE("main.series", TestSeries, series_fields, NULL);

static const Field alert_fields[] = {
    FIELD(TestAlert, labels, "exp_labels", FIELD_LABELS),
    FIELD(TestAlert, annotations, "exp_annotations", FIELD_LABELS),
};
static const Type type_alert = TYPE("main.alert", TestAlert, alert_fields, NULL);

static const Field alert_case_fields[] = {
    FIELD(TestAlertCase, eval_time, "eval_time", FIELD_DURATION),
    FIELD(TestAlertCase, alertname, "alertname", FIELD_TEXT),
    LISTED(TestAlertCase, alerts, "exp_alerts", type_alert),
};
static const Type type_alert_case =
    TYPE("main.alertTestCase", TestAlertCase, alert_case_fields, NULL);

static const Field sample_fields[] = {
    FIELD(TestSample, labels, "labels", FIELD_TEXT),
    FIELD(TestSample, value_text, "value", FIELD_TEXT),
    FIELD(TestSample, histogram, "histogram", FIELD_TEXT),
};
static const Type type_sample = TYPE("main.sample", TestSample, sample_fields, check_sample);

static const Field expr_case_fields[] = {
    FIELD(TestExprCase, expr, "expr", FIELD_TEXT),
    FIELD(TestExprCase, eval_time, "eval_time", FIELD_DURATION),
    LISTED(TestExprCase, samples, "exp_samples", type_sample),
};
static const Type type_expr_case =
    TYPE("main.promqlTestCase", TestExprCase, expr_case_fields, NULL);

static const Field group_fields[] = {
    FIELD(TestGroup, interval, "interval", FIELD_DURATION),
    LISTED(TestGroup, series, "input_series", type_series),
    LISTED(TestGroup, alerts, "alert_rule_test", type_alert_case),
    LISTED(TestGroup, exprs, "promql_expr_test", type_expr_case),
    FIELD(TestGroup, external_labels, "external_labels", FIELD_LABELS),
    FIELD(TestGroup, external_url, "external_url", FIELD_TEXT),
    FIELD(TestGroup, name, "name", FIELD_TEXT),
    FIELD(TestGroup, start_text, "start_timestamp", FIELD_TEXT),
};
static const Type type_group = TYPE("main.testGroup", TestGroup, group_fields, check_group);

static const Field file_fields[] = {
    FIELD(TestFile, rule_files, "rule_files", FIELD_TEXTS),
    FIELD(TestFile, evaluation_interval, "evaluation_interval", FIELD_DURATION),
    FIELD(TestFile, group_eval_order, "group_eval_order", FIELD_TEXTS),
    LISTED(TestFile, tests, "tests", type_group),
    FIELD(TestFile, fuzzy_compare, "fuzzy_compare", FIELD_BOOL),
};
static const Type type_file = TYPE("main.unitTestFile", TestFile, file_fields, NULL);

static void on_duplicate(void *ctx, StrView path)
{
    char *first = ctx;
    if (!*first)
        snprintf(first, 200, "%.*s", SV_FMT(sv_head(path, 190)));
}

static int check_order(const TestFile *f, Err *err)
{
    for (unsigned i = 0; i < f->group_eval_order.len; i++)
        for (unsigned k = 0; k < i; k++)
            if (sv_eq(f->group_eval_order.items[i], f->group_eval_order.items[k]))
                return err_set(err, ERR_INVALID, 0, "group name repeated in evaluation order: %.*s",
                               SV_FMT(f->group_eval_order.items[i]));
    return 0;
}

int test_file_parse(StrView text, const char *name, size_t memory, TestFile *ret, Err *err)
{
    char duplicate[200] = "";
    Value doc = value_null();
    JsonOptions opt = { .plain_text = true, .on_duplicate = on_duplicate, .ctx = duplicate };
    int r = 0;
    *ret = (TestFile){ 0 };
    arena_init(&ret->arena, memory);
    if (sv_trim(text).len && (r = yaml_decode(text, &ret->arena, &opt, &doc, NULL, err)) < 0)
        return err_wrap(err, "%s", name);
    if (*duplicate)
        return err_set(err, ERR_INVALID, 0, "%s: %s: field already set", name, duplicate);
    Arena arena = ret->arena;
    Binder b = { .file = name, .arena = &arena, .format = &config_bind_format, .err = err };
    if (doc.kind != VALUE_NULL)
        r = bind_struct(&b, &type_file, ret, &doc); /* which begins with zeros */
    ret->arena = arena;
    if (r < 0 || (r = check_order(ret, err)) < 0)
        return r;
    if (!ret->evaluation_interval)
        ret->evaluation_interval = MINUTE_MS;
    for (unsigned i = 0; i < ret->tests.len; i++)
        if (!ret->tests.items[i].interval)
            ret->tests.items[i].interval = ret->evaluation_interval;
    return 0;
}

void test_file_free(TestFile *f)
{
    arena_free(&f->arena);
}
