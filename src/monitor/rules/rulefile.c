/* rulefile.c - reads rule files.
 *
 * The YAML tree is walked once: unknown keys and wrong kinds are problems, then each rule is
 * checked. All problems of a file are collected, so that promtool can show them at once. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "codec/yaml.h"
#include "monitor/model/duration.h"
#include "monitor/rules/rulefile.h"
#include "monitor/template/template.h"

typedef struct Reader {
    RuleFile *file;
    unsigned features;
    bool ignore_unknown;
    Buf *problems;
    unsigned n_problems;
    StrView group, rule; /* being read; ptr NULL: none */
    unsigned rule_index; /* from 1 */
    uint32_t line;
    bool nomem;
    Err *err; /* the first problem */
} Reader;

static void PRINTF(2, 3) problem(Reader *r, const char *fmt, ...)
{
    char text[600];
    _cleanup_buf_ Buf b = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_printf(&b, "%.*s: ", SV_FMT(r->file->path));
    if (r->line)
        buf_printf(&b, "%u: ", r->line);
    if (r->group.ptr) {
        buf_sv(&b, SV("group "));
        text_quote(r->group, &b);
        if (r->rule_index) {
            buf_printf(&b, ", rule %u, ", r->rule_index);
            text_quote(r->rule, &b);
        }
        buf_sv(&b, SV(": "));
    }
    buf_sv(&b, sv_cstr(text));
    if (r->n_problems++ == 0)
        err_set(r->err, ERR_INVALID, 0, "%.*s", SV_FMT(buf_view(&b)));
    if (r->problems) {
        buf_sv(r->problems, buf_view(&b));
        buf_putc(r->problems, '\n');
    }
}

/* YAML was read with plain_text: every scalar but null is a text. */
static StrView text_of(Reader *r, const Value *v, const char *what)
{
    if (!v || v->kind == VALUE_NULL)
        return SV("");
    if (v->kind != VALUE_STRING) {
        r->line = v->line;
        problem(r, "field %s: cannot unmarshal a list or map into string", what);
        return SV("");
    }
    return value_str(v);
}

static int64_t duration_of(Reader *r, const Value *v, const char *what, int64_t absent)
{
    int64_t ms = absent;
    StrView s = text_of(r, v, what);
    if (!v || v->kind != VALUE_STRING)
        return absent;
    if (prom_duration_parse(s, &ms) < 0) {
        _cleanup_buf_ Buf why = BUF_INIT;
        prom_duration_explain(s, &why);
        r->line = v->line;
        problem(r, "field %s: %.*s", what, SV_FMT(buf_view(&why)));
    }
    return ms;
}

static void check_keys(Reader *r, const Value *map, const char *const *keys, const char *type)
{
    value_map_foreach (m, map) {
        bool known = r->ignore_unknown;
        for (unsigned i = 0; keys[i]; i++)
            known |= sv_eq(m->key, sv_cstr(keys[i]));
        if (!known) {
            r->line = m->val.line;
            problem(r, "field %.*s not found in type rulefmt.%s", SV_FMT(m->key), type);
        }
    }
}

/* Sets one label in a sorted list that has room. Not with a LabelsBuilder: an empty value stays, as
 * it takes a label of the query's result away. */
static void set_label(Label *items, unsigned *n, StrView name, StrView value)
{
    unsigned i = 0;
    while (i < *n && sv_cmp(items[i].name, name) < 0)
        i++;
    if (i == *n || !sv_eq(items[i].name, name)) {
        memmove(items + i + 1, items + i, (*n - i) * sizeof *items);
        ++*n;
    }
    items[i] = (Label){ name, value };
}

/* A map of texts over `base`. */
static Labels labels_of(Reader *r, const Value *v, const char *what, Labels base)
{
    unsigned n = base.len, more = value_is(v, VALUE_MAP) ? value_len(v) : 0;
    Label *items = arena_array(&r->file->arena, Label, base.len + more + 1u);
    if (!items) {
        r->nomem = true;
        return base;
    }
    if (n)
        memcpy(items, base.items, n * sizeof *items);
    if (v && v->kind != VALUE_NULL && v->kind != VALUE_MAP) {
        r->line = v->line;
        problem(r, "field %s: expected a map of texts", what);
    }
    bool annotations = strcmp(what, "annotations") == 0;
    value_map_foreach (m, v) {
        StrView text = text_of(r, &m->val, what);
        r->line = m->val.line;
        if (!m->key.len || !sv_is_utf8(m->key) ||
            (!annotations && sv_eq(m->key, LABEL_METRIC_NAME)))
            problem(r, "invalid %s name: %.*s", annotations ? "annotation" : "label",
                    SV_FMT(m->key));
        if (n >= LABELS_MAX) {
            problem(r, "field %s: more than %d", what, LABELS_MAX);
            break;
        }
        set_label(items, &n, m->key, text);
    }
    return (Labels){ items, n };
}

static void check_templates(Reader *r, const RuleDef *d, const Value *map, const char *what)
{
    char name[256];
    Err err = { 0 };
    snprintf(name, sizeof name, "__alert_%.*s", SV_FMT(d->name));
    value_map_foreach (m, map) {
        r->line = m->val.line;
        if (template_check(value_str(&m->val), sv_cstr(name), &err) < 0)
            problem(r, "%s \"%.*s\": %s", what, SV_FMT(m->key), err.msg);
    }
}

static void read_expr(Reader *r, RuleDef *d, const Value *v)
{
    Err err = { 0 };
    _cleanup_buf_ Buf text = BUF_INIT;
    d->expr = text_of(r, value_get(v, SV("expr")), "expr");
    if (!d->expr.len) {
        problem(r, "field 'expr' must be set in rule");
        return;
    }
    if (promql_parse(d->expr, r->features, &r->file->arena, &d->parsed, &err) < 0) {
        r->line = value_get(v, SV("expr"))->line;
        problem(r, "could not parse expression: %s", err.msg);
        return;
    }
    promql_format(d->parsed, false, &text);
    d->expr_text = arena_sv(&r->file->arena, buf_view(&text));
    r->nomem |= text.failed || !d->expr_text.ptr;
}

static void check_recording(Reader *r, const RuleDef *d)
{
    if (d->annotations.len)
        problem(r, "invalid field 'annotations' in recording rule");
    if (d->hold)
        problem(r, "invalid field 'for' in recording rule");
    if (d->keep_firing)
        problem(r, "invalid field 'keep_firing_for' in recording rule");
    if (!sv_is_utf8(d->name))
        problem(r, "invalid recording rule name: %.*s", SV_FMT(d->name));
    if (sv_find_char(d->name, '{') >= 0 || sv_find_char(d->name, '}') >= 0)
        problem(r, "braces present in the recording rule name; should it be in expr?: %.*s",
                SV_FMT(d->name));
}

static void read_rule(Reader *r, RuleDef *d, const Value *v, Labels group_labels)
{
    static const char *const keys[] = { "record",          "alert",  "expr",        "for",
                                        "keep_firing_for", "labels", "annotations", NULL };
    r->line = v->line;
    if (v->kind != VALUE_MAP) {
        problem(r, "expected a map of a rule's fields");
        return;
    }
    check_keys(r, v, keys, "Rule");
    StrView record = text_of(r, value_get(v, SV("record")), "record");
    StrView alert = text_of(r, value_get(v, SV("alert")), "alert");
    d->alerting = alert.len > 0;
    d->name = r->rule = d->alerting ? alert : record;
    r->line = v->line;
    if (record.len && alert.len)
        problem(r, "only one of 'record' and 'alert' must be set");
    if (!record.len && !alert.len)
        problem(r, "one of 'record' or 'alert' must be set");
    read_expr(r, d, v);
    d->hold = duration_of(r, value_get(v, SV("for")), "for", 0);
    d->keep_firing = duration_of(r, value_get(v, SV("keep_firing_for")), "keep_firing_for", 0);
    d->labels = labels_of(r, value_get(v, SV("labels")), "labels", group_labels);
    d->annotations = labels_of(r, value_get(v, SV("annotations")), "annotations", (Labels){ 0 });
    r->line = v->line;
    if (record.len)
        check_recording(r, d);
    if (d->alerting) {
        check_templates(r, d, value_get(v, SV("labels")), "label");
        check_templates(r, d, value_get(v, SV("annotations")), "annotation");
    }
}

static void read_group(Reader *r, RuleGroupDef *g, const Value *v)
{
    static const char *const keys[] = { "name",   "interval", "query_offset", "limit", "rules",
                                        "labels", NULL };
    r->line = v->line;
    if (v->kind != VALUE_MAP) {
        problem(r, "expected a map of a group's fields");
        return;
    }
    check_keys(r, v, keys, "RuleGroup");
    g->name = text_of(r, value_get(v, SV("name")), "name");
    r->line = v->line;
    if (!g->name.len)
        problem(r, "Groupname must not be empty");
    for (const RuleGroupDef *o = r->file->groups; o < g; o++)
        if (sv_eq(o->name, g->name))
            problem(r, "groupname: \"%.*s\" is repeated in the same file", SV_FMT(g->name));
    r->group = g->name;
    g->interval = duration_of(r, value_get(v, SV("interval")), "interval", 0);
    g->query_offset = duration_of(r, value_get(v, SV("query_offset")), "query_offset", -1);
    StrView limit = text_of(r, value_get(v, SV("limit")), "limit");
    if (limit.len && sv_to_i64(limit, &g->limit) < 0)
        problem(r, "field limit: expected an integer, not '%.*s'", SV_FMT(limit));
    Labels labels = labels_of(r, value_get(v, SV("labels")), "labels", (Labels){ 0 });
    const Value *rules = value_get(v, SV("rules"));
    g->n = value_is(rules, VALUE_LIST) ? value_len(rules) : 0;
    g->rules = arena_array(&r->file->arena, RuleDef, g->n + 1);
    r->nomem |= !g->rules;
    for (unsigned i = 0; !r->nomem && i < g->n; i++) {
        r->rule_index = i + 1;
        r->rule = SV("");
        read_rule(r, &g->rules[i], value_at(rules, i), labels);
    }
    r->rule_index = 0;
    r->group = SV_NULL;
}

static void on_duplicate(void *ctx, StrView path)
{
    Reader *r = ctx;
    problem(r, "mapping key \"%.*s\" already defined", SV_FMT(path));
}

static void read_document(Reader *r, const Value *doc)
{
    static const char *const keys[] = { "groups", NULL };
    if (doc->kind == VALUE_NULL)
        return;
    if (doc->kind != VALUE_MAP) {
        problem(r, "expected a map with 'groups'");
        return;
    }
    check_keys(r, doc, keys, "RuleGroups");
    const Value *groups = value_get(doc, SV("groups"));
    if (groups && groups->kind != VALUE_LIST && groups->kind != VALUE_NULL)
        problem(r, "field groups: expected a list");
    RuleFile *f = r->file;
    f->n = value_is(groups, VALUE_LIST) ? value_len(groups) : 0;
    f->groups = arena_array(&f->arena, RuleGroupDef, f->n + 1);
    r->nomem |= !f->groups;
    for (unsigned i = 0; !r->nomem && i < f->n; i++)
        read_group(r, &f->groups[i], value_at(groups, i));
}

int rule_file_parse(StrView text, StrView path, unsigned promql_features, Buf *problems,
                    RuleFile **ret, Err *err)
{
    Err yaml = { 0 };
    Value doc = value_null();
    RuleFile *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(err);
    arena_init(&f->arena, RULE_FILE_MEMORY_MAX);
    f->path = arena_sv(&f->arena, path);
    Reader r = { .file = f,
                 .features = promql_features & ~RULE_FILE_IGNORE_UNKNOWN,
                 .ignore_unknown = promql_features & RULE_FILE_IGNORE_UNKNOWN,
                 .problems = problems,
                 .err = err };
    JsonOptions opt = { .on_duplicate = on_duplicate, .ctx = &r, .plain_text = true };
    if (sv_trim(text).len && yaml_decode(text, &f->arena, &opt, &doc, NULL, &yaml) < 0)
        problem(&r, "%s", yaml.msg);
    else
        read_document(&r, &doc);
    if (r.nomem || r.n_problems) {
        rule_file_free(f);
        return r.nomem ? err_nomem(err) : -(int)ERR_INVALID;
    }
    *ret = f;
    return 0;
}

int rule_file_load(const char *path, unsigned promql_features, Buf *problems, RuleFile **ret,
                   Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Err first = { 0 };
    int n = file_read(AT_FDCWD, path, RULE_FILE_MAX, &text), r;
    if (n < 0)
        r = err_neg(&first, n, "%s", path);
    else
        return rule_file_parse(buf_view(&text), sv_cstr(path), promql_features, problems, ret, err);
    if (problems)
        buf_printf(problems, "%s\n", first.msg);
    if (err)
        *err = first;
    return r;
}

RuleFile *rule_file_free(RuleFile *f)
{
    if (!f || f->refs-- > 0)
        return NULL;
    for (unsigned g = 0; f->groups && g < f->n; g++)
        for (unsigned i = 0; f->groups[g].rules && i < f->groups[g].n; i++)
            promql_expr_free(f->groups[g].rules[i].parsed);
    arena_free(&f->arena);
    free(f);
    return NULL;
}
