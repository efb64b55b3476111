/* test_template.c - what templates of alerts expand to, and how they fail. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "monitor/template/template.h"

static const Label label_items[] = { { SV_INIT("instance"), SV_INIT("web.example.com:80") },
                                     { SV_INIT("job"), SV_INIT("node") } };
static const Label external_items[] = { { SV_INIT("dc"), SV_INIT("eu") } };

static int query(void *ctx, StrView q, int64_t t, Arena *a, TemplateSample **ret, size_t *ret_n,
                 Err *err)
{
    static const Label one[] = { { SV_INIT("n"), SV_INIT("b") } };
    static const Label two[] = { { SV_INIT("n"), SV_INIT("a") } };
    (void)ctx, (void)t;
    if (sv_eq(q, SV("bad")))
        return err_set(err, ERR_INVALID, 0, "no such thing");
    *ret_n = sv_eq(q, SV("none")) ? 0 : 2;
    *ret = arena_array(a, TemplateSample, 2);
    (*ret)[0] = (TemplateSample){ .labels = { one, 1 }, .value = 1 };
    (*ret)[1] = (TemplateSample){ .labels = { two, 1 }, .value = 2.5 };
    return 0;
}

static const TemplateOptions options = {
    .name = SV_INIT("__alert_A"),
    .labels = { label_items, 2 },
    .external_labels = { external_items, 1 },
    .external_url = SV_INIT("http://mon:9090/prom"),
    .value = 1234567.5,
    .time = 1500,
    .query = query,
};

static void expect(const char *text, const char *want)
{
    Buf out = BUF_INIT;
    Err err = { 0 };
    if (template_expand(sv_cstr(text), &options, &out, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    if (!sv_eq(buf_view(&out), sv_cstr(want)))
        fail_msg("%s: got '%.*s', want '%s'", text, SV_FMT(buf_view(&out)), want);
    buf_free(&out);
}

static void expect_error(const char *text, const char *want)
{
    Buf out = BUF_INIT;
    Err err = { 0 };
    assert_true(template_expand(sv_cstr(text), &options, &out, &err) < 0);
    if (!strstr(err.msg, want))
        fail_msg("%s: got '%s', want '%s'", text, err.msg, want);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

static void test_data_is_reached_by_fields_and_variables(void **state)
{
    expect("plain", "plain");
    expect("{{ $labels.instance }} {{ .Labels.job }} {{ $labels.gone }}|",
           "web.example.com:80 node |");
    expect("{{ $value }}", "1.2345675e+06");
    expect("{{ $externalLabels.dc }} {{ $externalURL }} {{ externalURL }} {{ pathPrefix }}",
           "eu http://mon:9090/prom http://mon:9090/prom /prom");
    expect("{{ $labels }}", "map[instance:web.example.com:80 job:node]");
    expect("{{/* a comment */}}a  {{- 1 -}}  b", "a1b");
    expect("{{ with $x := .Labels.job }}{{ $x }}{{ . }}{{ else }}none{{ end }}", "nodenode");
}

static void test_blocks_run(void **state)
{
    expect("{{ if gt $value 80.0 }}a{{ else if true }}b{{ else }}c{{ end }}", "a");
    expect("{{ if lt $value 80.0 }}a{{ else if eq $labels.job \"x\" \"node\" }}b{{ end }}", "b");
    expect("{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}",
           "instance=web.example.com:80;job=node;");
    expect("{{ range query \"up\" | sortByLabel \"n\" }}{{ .Labels.n }}{{ .Value }} {{ end }}",
           "a2.5 b1 ");
    expect("{{ range $i, $s := query \"up\" }}{{ $i }}{{ $s | label \"n\" }}{{ end }}", "0b1a");
    expect("{{ range query \"none\" }}x{{ else }}nothing{{ end }}", "nothing");
    expect("{{ range query \"up\" }}{{ .Value }}{{ break }}{{ end }}", "1");
    expect("{{ define \"t\" }}<{{ .arg0 }}{{ .arg1 }}>{{ end }}{{ template \"t\" (args 1 \"x\") }}",
           "<1x>");
    expect("{{ $a := 1 }}{{ if true }}{{ $a = 2 }}{{ end }}{{ $a }}", "2");
    expect("{{ query \"up\" | first | value }}", "1");
    expect("{{ and 1 0 2 }} {{ or 0 \"\" 3 }} {{ not true }}", "0 3 false");
}

static void test_functions_format(void **state)
{
    expect("{{ humanize $value }} {{ humanize 0.0123 }} {{ humanize 0 }}", "1.235M 12.3m 0");
    expect("{{ humanize1024 1048576 }} {{ humanizePercentage 0.1234 }}", "1Mi 12.34%");
    expect("{{ humanizeDuration 90061 }} {{ humanizeDuration 0.5 }} {{ humanizeDuration -61 }}",
           "1d 1h 1m 1s 500ms -1m 1s");
    expect("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC");
    expect("{{ printf \"%.2f %s %d %q %5.1f%% %x\" 1.5 \"a\" 3 \"b\" 2.25 255 }}",
           "1.50 a 3 \"b\"   2.2% ff");
    expect("{{ printf \"%d %s\" \"a\" }}", "%!d(string=a) %!s(MISSING)");
    expect("{{ len $labels }} {{ index $labels \"job\" }} {{ slice \"hello\" 1 3 }}", "2 node el");
    expect("{{ \"<a&b>\" | html }} {{ \"a b&\" | urlquery }} {{ js \"a'<\" }}",
           "&lt;a&amp;b&gt; a+b%26 a\\'\\u003C");
    expect("{{ title \"hello big world\" }} {{ toUpper \"a\" }} {{ toLower \"B\" }}",
           "Hello Big World A b");
    expect("{{ reReplaceAll \"a(.)\" \"<$1>\" \"abacx\" }} {{ match \"^a\" \"ab\" }}",
           "<b><c>x true");
    expect("{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }} "
           "{{ stripDomain \"10.0.0.1:9\" }} {{ stripPort \"[::1]:9\" }}",
           "web.example.com web:80 10.0.0.1:9 ::1");
    expect("{{ graphLink \"up{a=\\\"b\\\"}\" }} {{ tableLink \"x\" }}",
           "/graph?g0.expr=up%7Ba%3D%22b%22%7D&g0.tab=0 /graph?g0.expr=x&g0.tab=1");
    expect("{{ parseDuration \"1h2m\" }} {{ now }} {{ toDuration 90 }}", "3720 1.5 1m30s");
    expect("{{ print 1 2 \"a\" }}{{ println \"x\" 3 }}", "1 2ax 3\n");
}

static void test_errors_say_where_and_what(void **state)
{
    expect_error("{{ foo }}", "error parsing template __alert_A: template: __alert_A:1: function "
                              "\"foo\" not defined");
    expect_error("\n{{ $x }}", "template: __alert_A:2: undefined variable \"$x\"");
    expect_error("{{ if true }}", "unexpected EOF");
    expect_error("{{ $labels.job", "unclosed action");
    expect_error("{{ end }}", "unexpected {{end}}");
    expect_error("{{ query \"bad\" }}",
                 "error executing template __alert_A: template: __alert_A:1:");
    expect_error("{{ query \"bad\" }}", "at <query>: error calling query: no such thing");
    expect_error("{{ first (query \"none\") }}", "first() called on vector with no elements");
    expect_error("{{ gt $value 80 }}", "incompatible types for comparison");
    expect_error("{{ .Foo }}", "at <.Foo>: can't evaluate field Foo in type");
    expect_error("{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}",
                 "exceeded maximum template depth");
    expect_error("{{ nil | print }}", "nil is not a command");
    expect_error("{{ range 1000 }}{{ range 2000 }}{{ end }}{{ end }}", "more than");
}

static void expect_parsed(const char *text, bool ok)
{
    Err err = { 0 };
    int r = template_check(sv_cstr(text), SV("t"), &err);
    if ((r >= 0) != ok)
        fail_msg("%s: %s", text, ok ? err.msg : "was parsed");
}

/* As Go's own parser decides. */
static void test_what_go_parses_is_parsed(void **state)
{
    static const char *const good[] = {
        "{{ $labels.a | $labels.b }}",
        "{{ if (gt $value 1.0) and (lt $value 2.0) }}x{{ end }}",
        "{{ 1 2 }}{{ $value 2 }}{{ . 2 }}",
        "{{ 1 | $value }}{{ 1 | (print) }}{{ 1 | .Labels.x 3 }}{{ 1 | }}",
        "{{ block \"x\" . }}a{{ end }}",
        "{{ $x = 1 }}{{ $y := $y }}{{ ($z := 1) }}{{ $w:=1 }}",
        "{{ range $x, $y := $labels }}{{ break }}{{ continue }}{{ else }}{{ end }}",
        "{{/* c */}}{{- /* c */ -}}{{- 1 -}}{{-1}}",
        "{{ '\\'' }}{{ `a\nb` }}{{ \"\\u00e9\" }}{{ 1_000.5 }}{{ 0x_1F }}{{ 1. }}{{ .5 }}{{ +5 }}",
        "{{ (now).x.y }}{{ now.x }}{{ $.x }}{{ .x.y }}",
        "{{ define \"a\" }} {{ end }}{{ define \"a\" }}2{{ end }}{{ template `a` }}",
        "{{if(true)}}a{{end}}",
    };
    static const char *const bad[] = {
        "{{ break }}",
        "{{ continue }}",
        "{{ range $labels }}{{ else }}{{ break }}{{ end }}",
        "{{ range $labels }}{{ block \"q\" . }}{{ break }}{{ end }}{{ end }}",
        "{{ block \"x\" }}a{{ end }}",
        "{{ /* c */ }}",
        "{{/* c */ }}",
        "{{-  /* c */ -}}",
        "{{/* c */-}}",
        "{{ 1-}}",
        "{{ 'ab' }}",
        "{{ '' }}",
        "{{ '\\\"' }}",
        "{{ \"\\'\" }}",
        "{{ \"\\q\" }}",
        "{{ 1__0 }}",
        "{{ 5_ }}",
        "{{ 08 }}",
        "{{ 0x }}",
        "{{ 0b2 }}",
        "{{ 0x1.8 }}",
        "{{ 99999999999999999999 }}",
        "{{ $x=1 }}",
        "{{ $x, $y := 1 }}",
        "{{ range $x, $y, $z := $labels }}{{ end }}",
        "{{ 1 | 2 }}",
        "{{ 1 | . }}",
        "{{ 1 | nil }}",
        "{{ 1.x }}",
        "{{ true.x }}",
        "{{ \"a\".x }}",
        "{{ ..x }}",
        "{{ .x. }}",
        "{{ ( ) }}",
        "{{ (1)(2) }}",
        "{{ \"a\"\"b\" }}",
        "{{ 1) }}",
        "{{ }}",
        "{{ if true }}{{ define \"a\" }}1{{ end }}{{ end }}",
        "{{ define \"a\" }}1{{ end }}{{ define \"a\" }}2{{ end }}",
        "{{ define \"a\" }}{{ $labels }}{{ end }}",
        "{{ if true }}{{ else iffy }}{{ end }}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        expect_parsed(good[i], true);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        expect_parsed(bad[i], false);
}

static void test_what_is_wrong_shows_when_it_is_run(void **state)
{
    expect_error("{{ $labels.a | $labels.b }}", "b is not a method but has arguments");
    expect_error("{{ if (gt $value 1.0) and (lt $value 2.0) }}x{{ end }}",
                 "can't give argument to non-function");
    expect_error("{{ $x = 1 }}", "undefined variable: $x");
    expect_error("{{ 1 | (print) }}", "can't give argument to non-function");
    expect_error("{{ (toTime 0).Nope }}", "can't evaluate field Nope in type *time.Time");
    expect_error("{{ (toTime 0).Format }}", "wrong number of args for Format: want 1 got 0");
    expect_error("{{ template \"nope\" }}", "1:124: executing \"__alert_A\" at <\"nope\">");
    /* …and is no matter where it is not. */
    expect("{{ if false }}{{ $labels.a | $labels.b }}{{ $x = 1 }}{{ end }}ok", "ok");
}

static void test_times_and_durations_have_methods(void **state)
{
    expect("{{ (1435065584.128 | toTime).Format \"2006-01-02\" }}", "2015-06-23");
    expect(
        "{{ (toTime 1435065584.128).Format \"Mon Jan _2 15:04:05.000 MST 2006 PM 03 3 002 Z07:00 "
        "-0700 Janitor\" }}",
        "Tue Jun 23 13:19:44.128 UTC 2015 PM 01 1 174 Z +0000 Janitor");
    expect(
        "{{ $t := toTime 1435065584.128 }}{{ $t.Unix }} {{ $t.Year }} {{ $t.Month }} {{ $t.Day }} "
        "{{ $t.Weekday }} {{ $t.Hour }} {{ $t.Minute }} {{ $t.Second }} {{ $t.YearDay }} "
        "{{ $t.UnixMilli }} {{ $t.String }}",
        "1435065584 2015 June 23 Tuesday 13 19 44 174 1435065584128 2015-06-23 13:19:44.128 +0000 "
        "UTC");
    expect("{{ $t := toTime 1435065584 }}{{ $u := $t.AddDate 0 1 3 }}{{ $u }} {{ $u.Sub $t }} "
           "{{ $u.After $t }} {{ $u.Before $t }} {{ $t.Add 3600000000000 }} "
           "{{ $t.Truncate 3600000000000 }}",
           "2015-07-26 13:19:44 +0000 UTC 792h0m0s true false 2015-06-23 14:19:44 +0000 UTC "
           "2015-06-23 13:00:00 +0000 UTC");
    expect("{{ $d := toDuration 5425.5 }}{{ $d.Seconds }} {{ $d.Minutes }} {{ $d.Milliseconds }} "
           "{{ $d.String }} {{ $d.Round 60000000000 }} {{ (toDuration -2).Abs }}",
           "5425.5 90.425 5425500 1h30m25.5s 1h30m0s 2s");
    expect("{{ if eq (toTime 0).Month 1 }}{{ printf \"%d\" (toTime 0).Month }}{{ end }}", "1");
    expect("{{ \"2006\" | (toTime 0).Format }} {{ (toTime -1.5).Unix }}", "1970 -2");
}

static void test_texts_are_made_as_go_makes_them(void **state)
{
    expect("{{ humanize \"1e3\" }} {{ humanize \"0x10p0\" }} {{ humanize \"inf\" }} "
           "{{ humanize \"-Infinity\" }} {{ humanize \"nan\" }} {{ humanize \"+5\" }} "
           "{{ humanize \"1_000\" }} {{ humanize \".5\" }}",
           "1k 16 +Inf -Inf NaN 5 1k 500m");
    expect_error("{{ humanize \" 5\" }}", "error calling humanize: strconv.ParseFloat");
    expect_error("{{ humanize \"1e400\" }}", "error calling humanize: strconv.ParseFloat");
    expect("{{ reReplaceAll \"(?P<n>a)b\" \"${n}x$n-\" \"abab\" }} "
           "{{ reReplaceAll \"^a\" \"x\" \"aaa\" }} {{ reReplaceAll \"a*\" \"x\" \"baac\" }} "
           "{{ reReplaceAll \"\" \"-\" \"ab\" }} {{ reReplaceAll \"\\\\b\" \"|\" \"ab cd\" }} "
           "{{ reReplaceAll \"\" \"-\" \"\xc3\xa9\" }}",
           "axa-axa- xaa xbxcx -a-b- |ab| |cd| -\xc3\xa9-");
    expect("{{ title \"hello-world foo_bar o'neil\" }}", "Hello-World Foo_bar O'Neil");
    expect("{{ printf \"%3s|%-3s|%.1s|%T|%b|%x|%X|%.3v\" \"\xc3\xa9\" \"\xc3\xa9\" "
           "\"\xc3\xa9x\" 1 5 \"hi\" \"hi\" 3.14159 }}",
           "  \xc3\xa9|\xc3\xa9  |\xc3\xa9|int|101|6869|6869|3.14");
    expect("{{ print 1.0 2.5 true nil }}", "1 2.5 true <nil>");
}

static void test_constants_are_gos(void **state)
{
    expect(
        "{{ 0x1F }} {{ 1_000 }} {{ 0b11 }} {{ 017 }} {{ 1e3 }} {{ 0x1p4 }} {{ 'a' }} {{ '\\x41' }} "
        "{{ '\xc3\xa9' }} {{ \"\\u00e9\\101\" }}",
        "31 1000 3 15 1000 16 97 65 233 \xc3\xa9"
        "A");
    expect("{{ block \"x\" . }}a{{ .Labels.job }}{{ end }}{{ template \"x\" $ }}", "anodeanode");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_is_reached_by_fields_and_variables),
        cmocka_unit_test(test_blocks_run),
        cmocka_unit_test(test_functions_format),
        cmocka_unit_test(test_errors_say_where_and_what),
        cmocka_unit_test(test_what_go_parses_is_parsed),
        cmocka_unit_test(test_what_is_wrong_shows_when_it_is_run),
        cmocka_unit_test(test_times_and_durations_have_methods),
        cmocka_unit_test(test_constants_are_gos),
        cmocka_unit_test(test_texts_are_made_as_go_makes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
