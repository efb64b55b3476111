/* proto.c - walks the families of a protobuf body and hands their metrics out as the series that
 * the text format would have: name_count, name_sum, name_bucket{le=…}, name{quantile=…}; or one
 * native histogram.
 *
 * What names a series in the cache is the family's name and the labels as they lie in the message,
 * which do not change their order from scrape to scrape, and which part of the metric it is. */
#include <math.h>

#include "monitor/expo/proto.h"

typedef enum Stage { STAGE_FAMILY, STAGE_HELP, STAGE_TYPE, STAGE_UNIT, STAGE_METRIC } Stage;
typedef enum Part { PART_VALUE, PART_NATIVE, PART_COUNT, PART_SUM, PART_BUCKET, PART_END } Part;

struct ProtoState {
    Arena arena; /* of the current metric */
    Stage stage;
    StrView name, help, unit, metrics; /* metrics: what is left of the family */
    ProtoType type;
    bool in_metric;
    ProtoMetric m;
    bool native, classic, custom; /* which representations of a histogram are still to come */
    Part part;
    unsigned bucket;
    size_t key_base; /* bytes of `key` before the part */
    Buf key;
};

ProtoState *proto_state_new(void)
{
    ProtoState *s = calloc(1, sizeof *s);
    if (s)
        arena_init(&s->arena, ARENA_DEFAULT_LIMIT);
    return s;
}

ProtoState *proto_state_free(ProtoState *s)
{
    if (!s)
        return NULL;
    arena_free(&s->arena);
    buf_free(&s->key);
    free(s);
    return NULL;
}

void proto_state_reset(ProtoState *s)
{
    s->stage = STAGE_FAMILY;
    s->in_metric = false;
}

/* ---- families ---- */

static int read_length(ExpoParser *p, uint64_t *ret, Err *err)
{
    unsigned shift = 0;
    *ret = 0;
    while (p->at < p->end && shift < 64) {
        unsigned char c = (unsigned char)*p->at++;
        *ret |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return 0;
        shift += 7;
    }
    return err_set(err, ERR_INVALID, 0, "protobuf: the length of a metric family is malformed");
}

static int scan_family(ProtoState *s, StrView message, Err *err)
{
    StrView rest = message;
    ProtobufField f;
    uint64_t type = 0;
    int r;

    s->name = s->help = s->unit = SV("");
    while ((r = protobuf_next(&rest, &f, err)) > 0) {
        if (f.wire == 2 && f.number == 1)
            s->name = f.bytes;
        else if (f.wire == 2 && f.number == 2)
            s->help = f.bytes;
        else if (f.wire == 0 && f.number == 3)
            type = f.n;
        else if (f.wire == 2 && f.number == 5)
            s->unit = f.bytes;
    }
    if (r < 0)
        return r;
    if (sv_empty(s->name) || !sv_is_utf8(s->name) || s->name.len > EXPO_NAME_MAX)
        return err_set(err, ERR_INVALID, 0, "invalid metric name: %.*s",
                       (int)MIN(s->name.len, (size_t)200), s->name.ptr);
    if (!sv_is_utf8(s->help))
        return err_set(err, ERR_INVALID, 0, "invalid help for metric \"%.*s\"",
                       (int)MIN(s->name.len, (size_t)200), s->name.ptr);
    if (type >= PROTO_TYPE_MAX)
        return err_set(err, ERR_INVALID, 0, "unknown metric type for metric \"%.*s\": %llu",
                       (int)MIN(s->name.len, (size_t)200), s->name.ptr, (unsigned long long)type);
    s->type = (ProtoType)type;
    s->metrics = message;
    return 0;
}

/* The next Metric message of the family; 0: no more. */
static int next_metric(ProtoState *s, StrView *ret, Err *err)
{
    ProtobufField f;
    int r;
    while ((r = protobuf_next(&s->metrics, &f, err)) > 0) {
        if (f.number == 4 && f.wire == 2) {
            *ret = f.bytes;
            return 1;
        }
    }
    return r;
}

/* 1: a family with metrics; 0: the end. */
static int next_family(ExpoParser *p, Err *err)
{
    ProtoState *s = p->proto;
    uint64_t n;
    int r;

    while (p->at < p->end) {
        if ((r = read_length(p, &n, err)) < 0)
            return r;
        if (n > EXPO_MESSAGE_MAX || n > (uint64_t)(p->end - p->at))
            return err_set(err, ERR_INVALID, 0,
                           "protobuf: a metric family of %llu bytes is cut off",
                           (unsigned long long)n);
        StrView message = sv_n(p->at, (size_t)n), first;
        p->at += n;
        if ((r = scan_family(s, message, err)) < 0)
            return r;
        StrView keep = s->metrics;
        if ((r = next_metric(s, &first, err)) < 0)
            return r;
        s->metrics = keep;
        if (r > 0)
            return 1; /* families without metrics are passed over */
    }
    return 0;
}

/* ---- metrics ---- */

static bool is_histogram(const ProtoState *s)
{
    return s->type == PROTO_HISTOGRAM || s->type == PROTO_GAUGE_HISTOGRAM;
}

static void make_key(ProtoState *s)
{
    buf_clear(&s->key);
    buf_sv(&s->key, s->name);
    for (unsigned i = 0; i < s->m.n_labels; i++) {
        buf_putc(&s->key, '\xff');
        buf_sv(&s->key, s->m.labels[i].name);
        buf_putc(&s->key, '\xff');
        buf_sv(&s->key, s->m.labels[i].value);
    }
    s->key_base = s->key.len;
}

/* Decides what a metric is handed out as. */
static void begin_metric(ExpoParser *p)
{
    ProtoState *s = p->proto;
    bool native = is_histogram(s) && p->opt.native_histograms && proto_is_native(&s->m);

    s->in_metric = true;
    s->native = native;
    s->custom = is_histogram(s) && !native && p->opt.classic_to_custom;
    s->classic = is_histogram(s) ? native ? p->opt.keep_classic && s->m.n_buckets > 0
                                          : !s->custom || p->opt.keep_classic
                                 : true;
    s->bucket = 0;
    s->part = !is_histogram(s) && s->type != PROTO_SUMMARY ? PART_VALUE
              : s->native || (s->custom && !s->classic)    ? PART_NATIVE
                                                           : PART_COUNT;
    make_key(s);
}

static bool has_inf(const ProtoState *s)
{
    unsigned n = s->m.n_buckets;
    return n && isinf(s->m.buckets[n - 1].bound) && s->m.buckets[n - 1].bound > 0;
}

/* How many series of quantiles or buckets; a histogram always has +Inf. */
static unsigned n_buckets(const ProtoState *s)
{
    return s->m.n_buckets + (s->type != PROTO_SUMMARY && !has_inf(s));
}

static double bucket_bound(const ProtoState *s, unsigned i)
{
    return i < s->m.n_buckets ? s->m.buckets[i].bound : INFINITY;
}

static double total(const ProtoState *s)
{
    return s->m.count_float != 0 ? s->m.count_float : s->m.count;
}

static void advance(ProtoState *s)
{
    switch (s->part) {
    case PART_NATIVE:
        s->part = s->native && s->classic ? PART_COUNT : PART_END;
        break;
    case PART_COUNT:
        s->part = PART_SUM;
        break;
    case PART_SUM:
        s->part = PART_BUCKET;
        s->bucket = 0;
        break;
    case PART_BUCKET:
        s->bucket++;
        break;
    default:
        s->part = PART_END;
    }
    if (s->part == PART_BUCKET && s->bucket >= n_buckets(s))
        s->part = s->custom ? PART_NATIVE : PART_END;
    if (s->part == PART_END)
        s->in_metric = false;
}

static const ExpoType type_of[PROTO_TYPE_MAX] = {
    [PROTO_COUNTER] = EXPO_COUNTER,          [PROTO_GAUGE] = EXPO_GAUGE,
    [PROTO_SUMMARY] = EXPO_SUMMARY,          [PROTO_UNTYPED] = EXPO_UNKNOWN,
    [PROTO_HISTOGRAM] = EXPO_HISTOGRAM_TYPE, [PROTO_GAUGE_HISTOGRAM] = EXPO_GAUGE_HISTOGRAM,
};

static StrView current_exemplar(const ProtoState *s, unsigned i)
{
    if (s->part == PART_NATIVE)
        return i < s->m.n_exemplars ? s->m.exemplars[i] : SV_NULL;
    if (s->part == PART_BUCKET && is_histogram(s))
        return s->bucket < s->m.n_buckets ? s->m.buckets[s->bucket].exemplar : SV_NULL;
    return s->part == PART_VALUE && s->type == PROTO_COUNTER ? s->m.exemplar : SV_NULL;
}

/* A native histogram without exemplars of its own has those of its classic buckets. */
static int collect_exemplars(ProtoState *s, Err *err)
{
    ProtoMetric *m = &s->m;
    if (m->n_exemplars || !m->n_buckets)
        return 0;
    m->exemplars = arena_array(&s->arena, StrView, m->n_buckets);
    if (!m->exemplars)
        return err_nomem(err);
    for (unsigned i = 0; i < m->n_buckets; i++) {
        ExpoExemplar e;
        if (!m->buckets[i].exemplar.ptr)
            continue;
        int r = proto_exemplar_decode(m->buckets[i].exemplar, &s->arena, &e, err);
        if (r < 0)
            return r;
        if (e.has_t)
            m->exemplars[m->n_exemplars++] = m->buckets[i].exemplar;
    }
    return 0;
}

static int emit(ExpoParser *p, Err *err)
{
    ProtoState *s = p->proto;
    ExpoEntry *e = &p->entry;
    double bound = s->part == PART_BUCKET ? bucket_bound(s, s->bucket) : 0;
    bool gauge = s->type == PROTO_GAUGE_HISTOGRAM;
    int r = 0;

    *e = (ExpoEntry){ .kind = s->part == PART_NATIVE ? EXPO_HISTOGRAM : EXPO_SERIES,
                      .type = type_of[s->type],
                      .has_t = s->m.t != 0,
                      .t = s->m.t };
    if (s->part == PART_NATIVE) {
        r = s->native ? proto_native(&s->m, gauge, s->name, &s->arena, &e->h, err)
                      : proto_custom(&s->m, gauge, &s->arena, &e->h, err);
        if (r < 0 || (r = collect_exemplars(s, err)) < 0)
            return r;
        e->n_exemplars = s->m.n_exemplars;
    } else if (s->part == PART_BUCKET) {
        e->v = s->bucket < s->m.n_buckets ? s->m.buckets[s->bucket].count : total(s);
    } else {
        e->v = s->part == PART_COUNT ? total(s) : s->part == PART_SUM ? s->m.sum : s->m.value;
    }
    if (s->part != PART_NATIVE)
        e->n_exemplars = current_exemplar(s, 0).ptr != NULL;
    s->key.len = s->key_base;
    buf_putc(&s->key, '\xfe');
    buf_putc(&s->key, (char)('0' + s->part));
    if (s->part == PART_BUCKET)
        buf_append(&s->key, &bound, sizeof bound);
    e->series = buf_view(&s->key);
    return s->key.failed ? err_nomem(err) : 0;
}

static int metadata(ExpoParser *p, ExpoKind kind, StrView text)
{
    ProtoState *s = p->proto;
    p->entry = (ExpoEntry){ .kind = kind, .name = s->name, .text = text, .type = type_of[s->type] };
    p->type = p->entry.type;
    return 0;
}

/* 1: the metric that begins here is ready; 0: the family is over. */
static int load_metric(ExpoParser *p, Err *err)
{
    ProtoState *s = p->proto;
    StrView message;
    int r = next_metric(s, &message, err);
    if (r <= 0)
        return r;
    arena_reset(&s->arena);
    if ((r = proto_metric_decode(s->type, message, &s->arena, &s->m, err)) < 0)
        return r;
    begin_metric(p);
    return 1;
}

int expo_proto_next(ExpoParser *p, Err *err)
{
    ProtoState *s = p->proto;
    int r;

    if (s->in_metric)
        advance(s);
    for (;;) {
        switch (s->stage) {
        case STAGE_FAMILY:
            if ((r = next_family(p, err)) < 0)
                return r;
            if (r == 0) {
                p->entry = (ExpoEntry){ .kind = EXPO_END };
                return 0;
            }
            s->stage = STAGE_HELP;
            return metadata(p, EXPO_HELP, s->help);
        case STAGE_HELP:
            s->stage = sv_empty(s->unit) ? STAGE_UNIT : STAGE_TYPE;
            return metadata(p, EXPO_TYPE, SV(""));
        case STAGE_TYPE:
            s->stage = STAGE_UNIT;
            return metadata(p, EXPO_UNIT, s->unit);
        default:
            s->stage = STAGE_METRIC;
            if (!s->in_metric && (r = load_metric(p, err)) <= 0) {
                if (r < 0)
                    return r;
                s->stage = STAGE_FAMILY;
                continue;
            }
            return emit(p, err);
        }
    }
}

/* ---- what is asked about the current series ---- */

static const char *name_suffix(const ProtoState *s)
{
    switch (s->part) {
    case PART_COUNT:
        return "_count";
    case PART_SUM:
        return "_sum";
    case PART_BUCKET:
        return is_histogram(s) ? "_bucket" : "";
    default:
        return "";
    }
}

int expo_proto_labels(ExpoParser *p, Arena *a, Labels *ret, Err *err)
{
    const ProtoState *s = p->proto;
    LabelsBuilder b;

    labels_builder_init(&b, a, (Labels){ 0 });
    for (unsigned i = 0; i < s->m.n_labels; i++) {
        StrView name = arena_sv(a, s->m.labels[i].name), value = arena_sv(a, s->m.labels[i].value);
        if (!name.ptr || !value.ptr)
            return err_nomem(err);
        if (!sv_is_utf8(name) || !sv_is_utf8(value) || sv_empty(name))
            return err_set(err, ERR_INVALID, 0, "invalid UTF-8 label value of metric \"%.*s\"",
                           (int)MIN(s->name.len, (size_t)200), s->name.ptr);
        if (labels_builder_get(&b, name).len)
            return err_set(err, ERR_INVALID, 0, "label name \"%.*s\" is not unique: invalid sample",
                           (int)MIN(name.len, (size_t)100), name.ptr);
        labels_builder_set(&b, name, value);
    }
    /* A name may hold any character, a NUL as well: no printf. */
    _cleanup_buf_ Buf text = BUF_INIT;
    buf_sv(&text, s->name);
    buf_sv(&text, sv_cstr(name_suffix(s)));
    StrView metric = text.failed ? SV_NULL : arena_sv(a, buf_view(&text));
    StrView bound = SV("-");
    if (s->part == PART_BUCKET)
        bound = expo_float_text(a, bucket_bound(s, s->bucket));
    if (!metric.ptr || !bound.ptr)
        return err_nomem(err);
    labels_builder_set(&b, LABEL_METRIC_NAME, metric);
    if (s->part == PART_BUCKET)
        labels_builder_set(&b, is_histogram(s) ? SV("le") : SV("quantile"), bound);
    return labels_builder_take(&b, ret) ? 0 : err_nomem(err);
}

int expo_proto_exemplar(ExpoParser *p, unsigned i, Arena *a, ExpoExemplar *ret, Err *err)
{
    StrView message = current_exemplar(p->proto, i);
    if (!message.ptr)
        return err_set(err, ERR_NOT_FOUND, 0, "the series has no exemplar %u", i);
    return proto_exemplar_decode(message, a, ret, err);
}

int64_t expo_proto_start(ExpoParser *p)
{
    const ProtoState *s = p->proto;
    return s && s->in_metric ? s->m.start : 0;
}
