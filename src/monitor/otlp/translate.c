/* translate.c - the walk over resources, scopes and metrics, and the labels that they give. A
 * message is read twice at each level: what describes it may stand behind what it holds. */
#include <stdio.h>

#include "codec/json.h"
#include "monitor/otlp/internal.h"

enum { TARGET_INFO_STEP_MS = 150 * 1000, TARGET_INFO_MAX = 10000, POINT_ARENA_MAX = 64 << 20 };
enum { CUMULATIVE = 2, DELTA = 1 };
enum {
    M_NAME = 1,
    M_DESCRIPTION,
    M_UNIT,
    M_GAUGE = 5,
    M_SUM = 7,
    M_HISTOGRAM = 9,
    M_EXPONENTIAL,
    M_SUMMARY
};

void otlp_outcome_free(OtlpOutcome *o)
{
    buf_free(&o->reasons);
}

static int malformed(Err *err, const char *what)
{
    return err_set(err, ERR_INVALID, 0, "the message is malformed: %s", what);
}

void otlp_reject(Otlp *x, uint64_t points, const char *why)
{
    x->out->rejected += points;
    if (x->out->n_reasons++ >= OTLP_REASONS_MAX)
        return;
    if (x->out->reasons.len)
        buf_sv(&x->out->reasons, SV("; "));
    buf_sv(&x->out->reasons, sv_cstr(why));
}

/* ---- labels ---- */

/* Attributes that come to the same name share it: "a;b". */
static int set_attribute(const OtlpNaming *n, LabelsBuilder *b, StrView key, StrView value,
                         Err *err)
{
    StrView name = otlp_label_name(n, key, b->arena);
    if (!name.ptr)
        return err_nomem(err);
    StrView have = labels_builder_get(b, name);
    if (have.len && !n->utf8)
        value = arena_printf(b->arena, "%.*s;%.*s", SV_FMT(have), SV_FMT(value));
    if (!value.ptr)
        return err_nomem(err);
    if (name.len)
        labels_builder_set(b, name, value);
    return 0;
}

static int by_key(const void *a, const void *b)
{
    return sv_cmp(((const OtlpAttribute *)a)->key, ((const OtlpAttribute *)b)->key);
}

static void sort_attributes(OtlpAttributes *list)
{
    if (list->len)
        qsort(list->items, list->len, sizeof *list->items, by_key);
}

static bool is_identifying(StrView key)
{
    return sv_eq(key, SV("service.namespace")) || sv_eq(key, SV("service.name")) ||
           sv_eq(key, SV("service.instance.id"));
}

static void set_absent(LabelsBuilder *b, Labels l)
{
    for (unsigned i = 0; i < l.len; i++)
        if (!labels_builder_get(b, l.items[i].name).len)
            labels_builder_set(b, l.items[i].name, l.items[i].value);
}

int otlp_labels(Otlp *x, const OtlpAttributes *attributes, bool promote, bool scope, StrView name,
                Labels *ret, Err *err)
{
    LabelsBuilder b;
    int r = 0;
    labels_builder_init(&b, &x->point_arena, (Labels){ 0 });
    for (size_t i = 0; r == 0 && i < attributes->len; i++)
        if (!sv_eq(attributes->items[i].key, LABEL_METRIC_NAME))
            r = set_attribute(&x->naming, &b, attributes->items[i].key, attributes->items[i].value,
                              err);
    if (r < 0)
        return r;
    if (promote)
        set_absent(&b, x->promoted);
    if (x->job.len)
        labels_builder_set(&b, SV("job"), x->job);
    if (x->instance.len)
        labels_builder_set(&b, SV("instance"), x->instance);
    set_absent(&b, x->o->external);
    for (unsigned i = 0; scope && i < x->scope_labels.len; i++)
        labels_builder_set(&b, x->scope_labels.items[i].name, x->scope_labels.items[i].value);
    if (name.len)
        labels_builder_set(&b, LABEL_METRIC_NAME, name);
    return labels_builder_take(&b, ret) ? 0 : err_nomem(err);
}

int otlp_emit(Otlp *x, const OtlpSample *s, Err *err)
{
    Err own = { 0 };
    int r = x->o->fn(x->o->ctx, s, &own);
    if (r < 0) {
        if (err)
            *err = own;
        return r;
    }
    if (r == 0 && !s->is_target_info && !x->point_refused) {
        x->point_refused = true;
        otlp_reject(x, 1, own.msg);
    }
    return 0;
}

/* ---- resources and scopes ---- */

static bool is_listed(const StrList *l, StrView s)
{
    for (unsigned i = 0; i < l->len; i++)
        if (sv_eq(l->items[i], s))
            return true;
    return false;
}

static StrView attribute(const OtlpAttributes *list, StrView key)
{
    for (size_t i = 0; i < list->len; i++)
        if (sv_eq(list->items[i].key, key))
            return list->items[i].value;
    return SV("");
}

static int read_attributes(OtlpAttributes *list, StrView bytes, unsigned number, Arena *a, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    int r = 0;
    while (r == 0 && pb_next(&p, &f))
        if (f.number == number && f.wire == 2)
            r = otlp_add_attribute(list, f.bytes, a, err);
    return r == 0 && p.failed ? malformed(err, "attributes") : r;
}

static int set_resource(Otlp *x, StrView bytes, Err *err)
{
    const ConfigOtlp *c = x->o->cfg;
    LabelsBuilder b;
    vec_clear(&x->resource);
    arena_reset(&x->resource_arena);
    int r = read_attributes(&x->resource, bytes, 1, &x->resource_arena, err);
    if (r < 0)
        return r;
    sort_attributes(&x->resource);
    StrView name = attribute(&x->resource, SV("service.name")),
            space = attribute(&x->resource, SV("service.namespace"));
    x->job = name;
    if (name.len && space.len)
        x->job = arena_printf(&x->resource_arena, "%.*s/%.*s", SV_FMT(space), SV_FMT(name));
    x->instance = attribute(&x->resource, SV("service.instance.id"));
    labels_builder_init(&b, &x->resource_arena, (Labels){ 0 });
    for (size_t i = 0; r == 0 && i < x->resource.len; i++) {
        const OtlpAttribute *a = &x->resource.items[i];
        if (c->promote_all_resource_attributes ? !is_listed(&c->ignore_resource_attributes, a->key)
                                               : is_listed(&c->promote_resource_attributes, a->key))
            r = set_attribute(&x->naming, &b, a->key, a->value, err);
    }
    if (r == 0 && (!x->job.ptr || !labels_builder_take(&b, &x->promoted)))
        r = err_nomem(err);
    return r;
}

static int set_scope(Otlp *x, StrView bytes, StrView schema, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    LabelsBuilder b;
    StrView name = SV(""), version = SV("");
    int r = 0;
    x->scope_name = x->scope_version = SV("");
    x->scope_labels = (Labels){ 0 };
    vec_clear(&x->scope);
    arena_reset(&x->scope_arena);
    while (r == 0 && pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 2)
            name = f.bytes;
        else if (f.number == 2 && f.wire == 2)
            version = f.bytes;
        else if (f.number == 3 && f.wire == 2)
            r = otlp_add_attribute(&x->scope, f.bytes, &x->scope_arena, err);
    }
    if (r == 0 && p.failed)
        r = malformed(err, "a scope");
    x->scope_name = name;
    x->scope_version = version;
    sort_attributes(&x->scope);
    if (r < 0 || !x->o->cfg->promote_scope_metadata || !name.len)
        return r;
    labels_builder_init(&b, &x->scope_arena, (Labels){ 0 });
    for (size_t i = 0; r == 0 && i < x->scope.len; i++) {
        StrView key =
            arena_printf(&x->scope_arena, "otel_scope_%.*s", SV_FMT(x->scope.items[i].key));
        r = key.ptr ? set_attribute(&x->naming, &b, key, x->scope.items[i].value, err)
                    : err_nomem(err);
    }
    labels_builder_set(&b, SV("otel_scope_name"), name);
    labels_builder_set(&b, SV("otel_scope_version"), version);
    labels_builder_set(&b, SV("otel_scope_schema_url"), schema);
    if (r == 0 && !labels_builder_take(&b, &x->scope_labels))
        r = err_nomem(err);
    return r;
}

/* The resource's attributes as a series of their own, over the time of its points. */
static int put_target_info(Otlp *x, Err *err)
{
    bool keep = x->o->cfg->keep_identifying_resource_attributes;
    OtlpAttributes rest = { 0 };
    size_t others = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < x->resource.len; i++) {
        bool identifying = is_identifying(x->resource.items[i].key);
        others += !identifying;
        if ((keep || !identifying) && !vec_push(&rest, x->resource.items[i]))
            r = err_nomem(err);
    }
    OtlpSample s = { .v = 1,
                     .metadata = { SV("gauge"), SV(""), SV("Target metadata") },
                     .is_target_info = true };
    arena_reset(&x->point_arena);
    if (r == 0)
        r = otlp_labels(x, &rest, false, false, SV("target_info"), &s.labels, err);
    vec_free(&rest);
    if (r < 0 || !others ||
        (!labels_has(s.labels, SV("job")) && !labels_has(s.labels, SV("instance"))))
        return r;
    int64_t from = (int64_t)(x->earliest / 1000000), to = (int64_t)(x->latest / 1000000);
    if ((to - from) / TARGET_INFO_STEP_MS > TARGET_INFO_MAX)
        from = to;
    for (s.t = from; r == 0 && s.t < to; s.t += TARGET_INFO_STEP_MS)
        r = otlp_emit(x, &s, err);
    s.t = to;
    return r == 0 ? otlp_emit(x, &s, err) : r;
}

/* ---- metrics ---- */

static uint64_t count_points(StrView data)
{
    PbReader p = pb_reader(data);
    PbField f;
    uint64_t n = 0;
    while (pb_next(&p, &f))
        n += f.number == 1 && f.wire == 2;
    return n;
}

static StrView type_name(OtlpType t)
{
    static const StrView names[] = {
        [OTLP_GAUGE] = SV_INIT("gauge"),           [OTLP_COUNTER] = SV_INIT("counter"),
        [OTLP_UPDOWN] = SV_INIT("gauge"),          [OTLP_HISTOGRAM] = SV_INIT("histogram"),
        [OTLP_EXPONENTIAL] = SV_INIT("histogram"), [OTLP_SUMMARY] = SV_INIT("summary"),
    };
    return names[t];
}

/* Reads the metric's head; *ret_data is its points' message, empty for none of a known kind. */
static int read_metric(Otlp *x, StrView bytes, StrView *ret_data, Err *err)
{
    OtlpMetric *m = &x->metric;
    PbReader p = pb_reader(bytes), inner;
    PbField f, g;
    bool monotonic = false;
    unsigned kind = 0;
    *m = (OtlpMetric){ .name = SV(""), .unit = SV(""), .description = SV("") };
    *ret_data = SV_NULL;
    while (pb_next(&p, &f)) {
        if (f.wire != 2)
            continue;
        if (f.number == M_NAME)
            m->name = f.bytes;
        else if (f.number == M_DESCRIPTION)
            m->description = f.bytes;
        else if (f.number == M_UNIT)
            m->unit = f.bytes;
        else if (f.number >= M_GAUGE && f.number <= M_SUMMARY) {
            kind = f.number;
            *ret_data = f.bytes;
        }
    }
    inner = pb_reader(*ret_data);
    while (ret_data->ptr && pb_next(&inner, &g)) {
        if (g.number == 2 && g.wire == 0)
            m->temporality = (unsigned)g.n;
        else if (g.number == 3 && g.wire == 0)
            monotonic = g.n != 0;
    }
    if (p.failed || inner.failed)
        return malformed(err, "a metric");
    if (m->name.len + m->unit.len > OTLP_NAME_MAX)
        return err_set(err, ERR_LIMIT, 0, "the name and unit of a metric are longer than %d bytes",
                       OTLP_NAME_MAX);
    m->type = kind == M_GAUGE         ? OTLP_GAUGE
              : kind == M_SUM         ? (monotonic ? OTLP_COUNTER : OTLP_UPDOWN)
              : kind == M_HISTOGRAM   ? OTLP_HISTOGRAM
              : kind == M_EXPONENTIAL ? OTLP_EXPONENTIAL
                                      : OTLP_SUMMARY;
    return 0;
}

/* Whether the metric can be translated at all; else its points are rejected. */
static int name_metric(Otlp *x, uint64_t points, bool *ret_good, Err *err)
{
    OtlpMetric *m = &x->metric;
    char why[256];
    *ret_good = false;
    bool has_temporality = m->type != OTLP_GAUGE && m->type != OTLP_SUMMARY;
    m->adds_up = has_temporality && m->temporality == DELTA && x->o->deltas;
    if (m->adds_up)
        m->temporality = CUMULATIVE;
    if (has_temporality && m->temporality != CUMULATIVE &&
        !(x->o->allow_delta && m->temporality == DELTA)) {
        snprintf(why, sizeof why, "invalid temporality and type combination for metric \"%.*s\"",
                 SV_FMT(sv_head(m->name, 128)));
        otlp_reject(x, points, why);
        return 0;
    }
    m->prom_name = otlp_metric_name(&x->naming, m->name, m->unit, m->type, &x->scope_arena);
    m->metadata.unit = otlp_unit_name(m->unit, &x->scope_arena);
    if (!m->prom_name.ptr || !m->metadata.unit.ptr)
        return err_nomem(err);
    m->metadata.help = m->description;
    m->metadata.type = type_name(m->type);
    if (has_temporality && m->temporality == DELTA)
        m->metadata.type = SV("unknown");
    *ret_good = m->prom_name.len > 0 && sv_is_utf8(m->prom_name);
    if (!*ret_good) {
        snprintf(why, sizeof why, "normalization for metric \"%.*s\" resulted in invalid name",
                 SV_FMT(sv_head(m->name, 128)));
        otlp_reject(x, points, why);
    }
    return 0;
}

static int do_metric(Otlp *x, StrView bytes, Err *err)
{
    StrView data;
    bool good;
    int r = read_metric(x, bytes, &data, err);
    if (r < 0 || !data.ptr)
        return r;
    uint64_t points = count_points(data);
    x->out->points += points;
    if ((r = name_metric(x, points, &good, err)) < 0 || !good)
        return r;
    PbReader p = pb_reader(data);
    PbField f;
    while (r == 0 && pb_next(&p, &f)) {
        if (f.number != 1 || f.wire != 2)
            continue;
        x->point_refused = false;
        vec_clear(&x->point);
        vec_clear(&x->exemplars);
        arena_reset(&x->point_arena);
        r = otlp_point(x, f.bytes, err);
    }
    return r;
}

static int do_scope(Otlp *x, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    StrView scope = SV(""), schema = SV("");
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 2)
            scope = f.bytes;
        else if (f.number == 3 && f.wire == 2)
            schema = f.bytes;
    }
    if (p.failed)
        return malformed(err, "metrics of a scope");
    int r = set_scope(x, scope, schema, err);
    p = pb_reader(bytes);
    while (r == 0 && pb_next(&p, &f))
        if (f.number == 2 && f.wire == 2)
            r = do_metric(x, f.bytes, err);
    return r;
}

static int do_resource(Otlp *x, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    StrView resource = SV("");
    while (pb_next(&p, &f))
        if (f.number == 1 && f.wire == 2)
            resource = f.bytes;
    if (p.failed)
        return malformed(err, "metrics of a resource");
    x->earliest = UINT64_MAX;
    x->latest = 0;
    int r = set_resource(x, resource, err);
    p = pb_reader(bytes);
    while (r == 0 && pb_next(&p, &f))
        if (f.number == 2 && f.wire == 2)
            r = do_scope(x, f.bytes, err);
    return r == 0 && x->earliest < UINT64_MAX ? put_target_info(x, err) : r;
}

int otlp_translate(const OtlpOptions *o, StrView message, OtlpOutcome *ret, Err *err)
{
    Otlp x = { .o = o, .naming = otlp_naming(o->cfg), .out = ret };
    PbReader p = pb_reader(message);
    PbField f;
    int r = 0;
    *ret = (OtlpOutcome){ 0 };
    arena_init(&x.resource_arena, POINT_ARENA_MAX);
    arena_init(&x.scope_arena, POINT_ARENA_MAX);
    arena_init(&x.point_arena, POINT_ARENA_MAX);
    while (r == 0 && pb_next(&p, &f))
        if (f.number == 1 && f.wire == 2)
            r = do_resource(&x, f.bytes, err);
    if (r == 0 && p.failed)
        r = malformed(err, "its fields");
    vec_free(&x.resource);
    vec_free(&x.scope);
    vec_free(&x.point);
    vec_free(&x.exemplars);
    arena_free(&x.resource_arena);
    arena_free(&x.scope_arena);
    arena_free(&x.point_arena);
    return r;
}

static void put_json_response(const OtlpOutcome *o, Buf *out)
{
    if (!o->rejected) {
        buf_sv(out, SV("{}"));
        return;
    }
    buf_printf(out, "{\"partialSuccess\":{\"rejectedDataPoints\":\"%llu\",\"errorMessage\":",
               (unsigned long long)o->rejected);
    json_encode_string(buf_view(&o->reasons), out);
    buf_sv(out, SV("}}"));
}

void otlp_put_response(const OtlpOutcome *o, bool json, Buf *out)
{
    size_t at = out->len;
    if (json)
        put_json_response(o, out);
    if (json || !o->rejected)
        return;
    pb_put_int(out, 1, o->rejected);
    pb_put_bytes(out, 2, buf_view(&o->reasons));
    pb_close(out, 1, at);
}
