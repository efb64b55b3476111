/* convert.c - kinds that are served in more than one form.
 * To add one: a row in conversions[]. Where only names of members of the object itself differ, they
 * are changed in the text; else two functions convert the tree. */
#include "apiserver/convert.h"

#include "apiserver/convert_hpa.h"
#include "codec/json.h"

typedef Value ConvertFn(const Value *obj, Arena *a);
typedef void KeepStatusFn(Value *obj, const Value *old, Arena *a);

typedef struct Rename {
    StrView stored, served;
} Rename;

static const Rename event_names[] = {
    { SV_INIT("involvedObject"), SV_INIT("regarding") },
    { SV_INIT("message"), SV_INIT("note") },
    { SV_INIT("reportingComponent"), SV_INIT("reportingController") },
    { SV_INIT("source"), SV_INIT("deprecatedSource") },
    { SV_INIT("firstTimestamp"), SV_INIT("deprecatedFirstTimestamp") },
    { SV_INIT("lastTimestamp"), SV_INIT("deprecatedLastTimestamp") },
    { SV_INIT("count"), SV_INIT("deprecatedCount") },
};

static const struct {
    StrView plural, group, version;       /* what is asked for */
    StrView stored_group, stored_version; /* what is stored */
    const Rename *names;
    size_t n_names;
    ConvertFn *to_stored, *from_stored; /* or NULL */
    KeepStatusFn *keep_status;          /* or NULL */
    const char *told_by;                /* a path that the form which is not stored has */
} conversions[] = {
    { SV_INIT("events"), SV_INIT("events.k8s.io"), SV_INIT("v1"), SV_INIT(""), SV_INIT("v1"),
      event_names, ARRAY_SIZE(event_names), NULL, NULL, NULL },
    { SV_INIT("horizontalpodautoscalers"), SV_INIT("autoscaling"), SV_INIT("v1"),
      SV_INIT("autoscaling"), SV_INIT("v2"), NULL, 0, hpa_to_v2, hpa_to_v1, hpa_keep_status },
};

/* The row of a resource, or -1: it is stored as it is. */
static int conversion_of(const ApiResource *res)
{
    for (size_t i = 0; i < ARRAY_SIZE(conversions); i++) {
        if (sv_eq(res->plural, conversions[i].plural) && sv_eq(res->group, conversions[i].group) &&
            sv_eq(res->version, conversions[i].version))
            return (int)i;
    }
    return -1;
}

const ApiResource *convert_stored(const ApiResource *res)
{
    int i = conversion_of(res);
    return i < 0 ? res
                 : api_resource_find(conversions[i].stored_group, conversions[i].stored_version,
                                     conversions[i].plural);
}

static StrView stored_name(int row, StrView name)
{
    for (size_t i = 0; i < conversions[row].n_names; i++) {
        if (sv_eq(conversions[row].names[i].served, name))
            return conversions[row].names[i].stored;
    }
    return name;
}

static StrView served_name(int row, StrView name)
{
    for (size_t i = 0; i < conversions[row].n_names; i++) {
        if (sv_eq(conversions[row].names[i].stored, name))
            return conversions[row].names[i].served;
    }
    return name;
}

Value convert_object(const ApiResource *res, const Value *obj, Arena *a)
{
    int row = conversion_of(res);
    if (row < 0)
        return *obj;
    if (conversions[row].to_stored)
        return conversions[row].to_stored(obj, a);
    Value stored = value_map();
    value_map_foreach (m, obj)
        value_set(a, &stored, stored_name(row, m->key), m->val);
    return stored;
}

bool convert_makes_values(const ApiResource *res)
{
    int row = conversion_of(res);
    return row >= 0 && conversions[row].to_stored;
}

void convert_keep_status(const ApiResource *res, Value *obj, const Value *old, Arena *a)
{
    int row = conversion_of(res);
    if (row >= 0 && conversions[row].keep_status)
        conversions[row].keep_status(obj, old, a);
}

int convert_field_terms(const ApiResource *res, Selector *s, Arena *a, Err *err)
{
    int row = conversion_of(res);
    for (uint32_t i = 0; row >= 0 && i < s->n_terms; i++) {
        StrView first, rest = SV_NULL, *key = &s->terms[i].key;
        bool deep = sv_cut(*key, '.', &first, &rest);
        StrView name = stored_name(row, first);
        *key = deep ? arena_printf(a, "%.*s.%.*s", SV_FMT(name), SV_FMT(rest)) : name;
        if (!key->ptr)
            return err_nomem(err);
    }
    return 0;
}

/* The string at text[at], with its quotes. */
static StrView string_at(StrView text, size_t at)
{
    size_t end = at + 1;
    while (end < text.len && text.ptr[end] != '"')
        end += text.ptr[end] == '\\' ? 2 : 1;
    return sv_n(text.ptr + at, MIN(end + 1, text.len) - at);
}

/* The same by way of a tree. */
static void convert_tree(int row, StrView rest, Buf *out)
{
    StrView head = SV("{\"metadata\":{");
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf text = BUF_INIT, made = BUF_INIT;
    Value obj; /* refers to `text` */
    arena_init(&a, 0);
    buf_sv(&text, head);
    buf_sv(&text, rest);
    if (text.failed || json_decode(buf_view(&text), &a, NULL, &obj, NULL) < 0) {
        out->failed = true;
        return;
    }
    Value seen = conversions[row].from_stored(&obj, &a); /* the metadata stays in front */
    json_encode(&seen, &made);
    buf_sv(out, sv_skip(buf_view(&made), head.len));
    out->failed |= a.failed || made.failed;
}

void convert_rest(const ApiResource *res, StrView rest, Buf *out)
{
    int row = conversion_of(res);
    if (row >= 0 && conversions[row].from_stored) {
        convert_tree(row, rest, out);
        return;
    }
    int depth = 1; /* the text begins within the metadata; the object's own members have 0 */
    bool name_next = false;
    size_t done = 0;
    for (size_t i = 0; row >= 0 && i < rest.len; i++) {
        char c = rest.ptr[i];
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c != '"') {
            name_next = c == ',' && depth == 0;
            continue;
        }
        StrView quoted = string_at(rest, i);
        if (name_next && quoted.len > 2) {
            buf_sv(out, sv_n(rest.ptr + done, i + 1 - done));
            buf_sv(out, served_name(row, sv_n(quoted.ptr + 1, quoted.len - 2)));
            done = i + quoted.len - 1; /* from the closing quote on */
        }
        name_next = false;
        i += quoted.len - 1;
    }
    buf_sv(out, sv_skip(rest, done));
}
