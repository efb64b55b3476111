/* relabel.c - checks relabelling rules and applies them.
 *
 * An expression is anchored on both ends and its dot matches newlines. Templates follow Go's
 * Regexp.Expand: $1, ${1}, $name, ${name}; $$ is a dollar; a name reaches as far as letters, digits
 * and underscores do; an unknown group is empty. */
#include "monitor/relabel/relabel.h"

#include <openssl/evp.h>

#include "base/buf.h"

const char *const relabel_action_names[RELABEL_ACTION_MAX] = {
    [RELABEL_REPLACE] = "replace",
    [RELABEL_KEEP] = "keep",
    [RELABEL_DROP] = "drop",
    [RELABEL_KEEP_EQUAL] = "keepequal",
    [RELABEL_DROP_EQUAL] = "dropequal",
    [RELABEL_HASHMOD] = "hashmod",
    [RELABEL_LABELMAP] = "labelmap",
    [RELABEL_LABELDROP] = "labeldrop",
    [RELABEL_LABELKEEP] = "labelkeep",
    [RELABEL_LOWERCASE] = "lowercase",
    [RELABEL_UPPERCASE] = "uppercase",
};

RelabelRule relabel_rule_default(void)
{
    return (RelabelRule){ .separator = SV(";"),
                          .regex = SV("(.*)"),
                          .replacement = SV("$1"),
                          .action = RELABEL_REPLACE };
}

/* ---- checks ---- */

static bool has_template(StrView s)
{
    return sv_find_char(s, '$') >= 0;
}

static bool name_is_valid(const RelabelRule *r, StrView name)
{
    return r->legacy_names ? label_name_is_legacy(name) : name.len > 0 && sv_is_utf8(name);
}

/* Legacy names with variables in them: letters, digits, underscores, $x and ${x}. */
static bool template_is_valid(const RelabelRule *r, StrView s)
{
    if (!r->legacy_names)
        return name_is_valid(r, s);
    bool first = true;
    while (s.len) {
        char c = s.ptr[0];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (c == '$' && s.len > 1 && s.ptr[1] == '{') {
            ssize_t end = sv_find_char(s, '}');
            if (end < 3)
                return false;
            s = sv_skip(s, (size_t)end + 1);
        } else if (alpha || c == '$' || (!first && c >= '0' && c <= '9')) {
            s = sv_skip(s, 1);
        } else {
            return false;
        }
        first = false;
    }
    return !first;
}

static int bad_name(const RelabelRule *r, StrView text, const char *key, Err *err)
{
    _cleanup_buf_ Buf q = BUF_INIT;
    text_quote(text, &q);
    const char *quoted = buf_cstr(&q);
    return err_set(err, ERR_INVALID, 0, "%s is invalid '%s' for %s action",
                   quoted ? quoted : "name", key, relabel_action_names[r->action]);
}

static int check_extra(const RelabelRule *r, Err *err)
{
    RelabelRule d = relabel_rule_default();
    const char *name = relabel_action_names[r->action];
    bool plain =
        r->modulus == 0 && sv_eq(r->separator, d.separator) && sv_eq(r->replacement, d.replacement);
    bool equal = r->action == RELABEL_DROP_EQUAL || r->action == RELABEL_KEEP_EQUAL;
    bool by_name = r->action == RELABEL_LABELDROP || r->action == RELABEL_LABELKEEP;

    if (equal && (!plain || !sv_eq(r->regex, d.regex)))
        return err_set(err, ERR_INVALID, 0,
                       "%s action requires only 'source_labels' and `target_label`, and no other "
                       "fields",
                       name);
    if (by_name && (!plain || r->n_source_labels || r->target_label.len))
        return err_set(err, ERR_INVALID, 0, "%s action requires only 'regex', and no other fields",
                       name);
    return 0;
}

static int check(const RelabelRule *r, Err *err)
{
    RelabelAction a = r->action;
    bool cased = a == RELABEL_LOWERCASE || a == RELABEL_UPPERCASE || a == RELABEL_KEEP_EQUAL ||
                 a == RELABEL_DROP_EQUAL;
    bool targets = cased || a == RELABEL_REPLACE || a == RELABEL_HASHMOD;

    if (a == RELABEL_HASHMOD && r->modulus == 0)
        return err_set(err, ERR_INVALID, 0,
                       "relabel configuration for hashmod requires non-zero modulus");
    if (targets && sv_empty(r->target_label))
        return err_set(err, ERR_INVALID, 0,
                       "relabel configuration for %s action requires 'target_label' value",
                       relabel_action_names[a]);
    bool templated = a == RELABEL_REPLACE && has_template(r->target_label);
    if (targets &&
        !(templated ? template_is_valid(r, r->target_label) : name_is_valid(r, r->target_label)))
        return bad_name(r, r->target_label, "target_label", err);
    if (cased && !sv_eq(r->replacement, SV("$1")))
        return err_set(err, ERR_INVALID, 0, "'replacement' can not be set for %s action",
                       relabel_action_names[a]);
    if (a == RELABEL_LABELMAP && !template_is_valid(r, r->replacement))
        return bad_name(r, r->replacement, "replacement", err);
    return check_extra(r, err);
}

/* ---- the names of groups ---- */

/* At '(' in s: whether it opens a capturing group, and the group's name. */
static bool opens_group(StrView s, StrView *ret_name)
{
    *ret_name = SV("");
    if (s.len < 2 || s.ptr[1] != '?')
        return true;
    size_t at = sv_starts(s, SV("(?P<")) ? 4 : sv_starts(s, SV("(?<")) ? 3 : 0;
    ssize_t end = at ? sv_find_char(s, '>') : -1;
    if (end < 0)
        return false;
    *ret_name = sv_n(s.ptr + at, (size_t)end - at);
    return true;
}

static size_t skip_class(StrView s) /* s starts at '[' */
{
    size_t i = 1;
    if (i < s.len && s.ptr[i] == '^')
        i++;
    if (i < s.len && s.ptr[i] == ']')
        i++;
    for (; i < s.len && s.ptr[i] != ']'; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == '[' && i + 1 < s.len && s.ptr[i + 1] == ':') {
            ssize_t end = sv_find(sv_skip(s, i), SV(":]"));
            i += end > 0 ? (size_t)end + 1 : 0;
        }
    }
    return MIN(i + 1, s.len);
}

static int name_groups(RelabelRule *r, Arena *a, Err *err)
{
    StrView names[RELABEL_GROUPS_MAX], s = r->regex;
    unsigned n = 0;
    while (s.len) {
        size_t step = 1;
        if (sv_starts(s, SV("\\Q"))) {
            ssize_t end = sv_find(s, SV("\\E"));
            step = end < 0 ? s.len : (size_t)end + 2;
        } else if (s.ptr[0] == '\\') {
            step = 2;
        } else if (s.ptr[0] == '[') {
            step = skip_class(s);
        } else if (s.ptr[0] == '(' && n < RELABEL_GROUPS_MAX && opens_group(s, &names[n])) {
            n++;
        }
        s = sv_skip(s, step);
    }
    StrView *copy = arena_array(a, StrView, n + 1u);
    if (!copy)
        return err_nomem(err);
    memcpy(copy, names, n * sizeof *copy);
    r->groups = copy;
    r->n_groups = n;
    return 0;
}

int relabel_rule_compile(RelabelRule *r, Arena *a, Err *err)
{
    char why[256];
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_printf(&text, "(?s:%.*s)", SV_FMT(r->regex));
    if (text.failed)
        return err_nomem(err);
    r->compiled = regex_new(buf_view(&text), true, why, sizeof why);
    if (!r->compiled)
        return err_set(err, ERR_INVALID, 0, "error parsing regexp: %s", why);
    int n = check(r, err);
    return n < 0 ? n : name_groups(r, a, err);
}

void relabel_rule_free(RelabelRule *r)
{
    r->compiled = regex_free(r->compiled);
}

/* ---- applying ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The name behind a '$'; returns how many bytes it takes, 0: it is none. */
static size_t variable(StrView s, StrView *ret_name)
{
    if (s.len && s.ptr[0] == '{') {
        ssize_t end = sv_find_char(s, '}');
        if (end < 2)
            return 0;
        *ret_name = sv_n(s.ptr + 1, (size_t)end - 1);
        for (size_t i = 0; i < ret_name->len; i++)
            if (!is_word(ret_name->ptr[i]))
                return 0;
        return (size_t)end + 1;
    }
    size_t n = 0;
    while (n < s.len && is_word(s.ptr[n]))
        n++;
    *ret_name = sv_head(s, n);
    return n;
}

static StrView group_value(const RelabelRule *r, StrView name, const StrView *groups)
{
    uint64_t number;
    if (sv_to_u64(name, &number) == 0)
        return number <= r->n_groups ? groups[number] : SV("");
    for (unsigned i = 0; i < r->n_groups; i++)
        if (sv_eq(r->groups[i], name) && groups[i + 1].ptr)
            return groups[i + 1];
    return SV("");
}

static void expand(const RelabelRule *r, StrView text, const StrView *groups, Buf *out)
{
    while (text.len) {
        ssize_t at = sv_find_char(text, '$');
        if (at < 0)
            break;
        buf_append(out, text.ptr, (size_t)at);
        text = sv_skip(text, (size_t)at + 1);
        StrView name;
        size_t n;
        if (text.len && text.ptr[0] == '$') {
            buf_putc(out, '$');
            text = sv_skip(text, 1);
        } else if ((n = variable(text, &name)) > 0) {
            buf_sv(out, group_value(r, name, groups));
            text = sv_skip(text, n);
        } else {
            buf_putc(out, '$');
        }
    }
    buf_sv(out, text);
}

/* In the arena, or as it is without a variable; ptr NULL: exhausted. */
static StrView expanded(const RelabelRule *r, StrView text, const StrView *groups, Arena *a)
{
    if (!has_template(text))
        return text;
    if (sv_eq(text, SV("$1")))
        return r->n_groups && groups[1].ptr ? groups[1] : SV("");
    _cleanup_buf_ Buf out = BUF_INIT;
    expand(r, text, groups, &out);
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

/* Whole match and groups of `text`; false: it does not match. */
static bool match(const RelabelRule *r, StrView text, StrView groups[RELABEL_GROUPS_MAX + 1])
{
    if (sv_eq(r->regex, SV("(.*)"))) { /* the default, not worth an engine */
        groups[0] = groups[1] = text;
        return true;
    }
    return regex_groups(r->compiled, text, groups, (int)r->n_groups + 1);
}

static void set(LabelsBuilder *b, StrView name, StrView value)
{
    if (!name.ptr || !value.ptr)
        b->failed = true;
    else
        labels_builder_set(b, name, value);
}

static void do_replace(const RelabelRule *r, StrView val, LabelsBuilder *b)
{
    StrView groups[RELABEL_GROUPS_MAX + 1];
    if (!match(r, val, groups))
        return;
    StrView target = expanded(r, r->target_label, groups, b->arena);
    if (target.ptr && !name_is_valid(r, target))
        return;
    set(b, target, expanded(r, r->replacement, groups, b->arena));
}

static void do_hashmod(const RelabelRule *r, StrView val, LabelsBuilder *b)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    uint64_t n = 0;
    if (EVP_Digest(val.ptr, val.len, sum, &len, EVP_md5(), NULL) != 1 || len != 16) {
        b->failed = true;
        return;
    }
    for (unsigned i = 8; i < 16; i++) /* the last eight bytes, as ever */
        n = n << 8 | sum[i];
    set(b, r->target_label, arena_printf(b->arena, "%llu", (unsigned long long)(n % r->modulus)));
}

/* ASCII and the two-byte Latin, Greek and Cyrillic letters would need tables; ASCII is what labels
 * are made of, and other bytes stay as they are. */
static void do_case(const RelabelRule *r, StrView val, LabelsBuilder *b)
{
    char *copy = arena_alloc(b->arena, val.len + 1);
    if (!copy) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < val.len; i++) {
        char c = val.ptr[i];
        if (r->action == RELABEL_LOWERCASE)
            copy[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        else
            copy[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    set(b, r->target_label, sv_n(copy, val.len));
}

/* Actions on names look at the labels as they were before. */
static void do_names(const RelabelRule *r, LabelsBuilder *b)
{
    StrView groups[RELABEL_GROUPS_MAX + 1];
    unsigned n = b->len;
    Label *before = arena_array(b->arena, Label, n + 1u);
    if (!before) {
        b->failed = true;
        return;
    }
    if (n)
        memcpy(before, b->items, n * sizeof *before);
    for (unsigned i = 0; i < n; i++) {
        bool hit = match(r, before[i].name, groups);
        if (r->action == RELABEL_LABELMAP && hit)
            set(b, expanded(r, r->replacement, groups, b->arena), before[i].value);
        else if (r->action == RELABEL_LABELDROP ? hit : r->action == RELABEL_LABELKEEP && !hit)
            labels_builder_del(b, before[i].name);
    }
}

static StrView source_value(const RelabelRule *r, const LabelsBuilder *b)
{
    if (r->n_source_labels == 1)
        return labels_builder_get(b, r->source_labels[0]);
    _cleanup_buf_ Buf out = BUF_INIT;
    for (unsigned i = 0; i < r->n_source_labels; i++) {
        if (i)
            buf_sv(&out, r->separator);
        buf_sv(&out, labels_builder_get(b, r->source_labels[i]));
    }
    return out.failed ? SV_NULL : arena_sv(b->arena, buf_view(&out));
}

static bool apply(const RelabelRule *r, LabelsBuilder *b)
{
    StrView val = source_value(r, b);
    if (!val.ptr) {
        b->failed = true;
        return true;
    }
    switch (r->action) {
    case RELABEL_DROP:
        return !regex_match(r->compiled, val);
    case RELABEL_KEEP:
        return regex_match(r->compiled, val);
    case RELABEL_DROP_EQUAL:
        return !sv_eq(labels_builder_get(b, r->target_label), val);
    case RELABEL_KEEP_EQUAL:
        return sv_eq(labels_builder_get(b, r->target_label), val);
    case RELABEL_REPLACE:
        do_replace(r, val, b);
        return true;
    case RELABEL_HASHMOD:
        do_hashmod(r, val, b);
        return true;
    case RELABEL_LOWERCASE:
    case RELABEL_UPPERCASE:
        do_case(r, val, b);
        return true;
    default:
        do_names(r, b);
        return true;
    }
}

bool relabel(const RelabelRule *rules, unsigned n, LabelsBuilder *b)
{
    for (unsigned i = 0; i < n && !b->failed; i++)
        if (!apply(&rules[i], b))
            return false;
    return true;
}
