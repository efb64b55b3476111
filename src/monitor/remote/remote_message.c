/* remote_message.c - see remote_message.h. A series is read twice: its labels first, which may
 * stand behind the samples. */
#include "monitor/remote/remote_message.h"

#include "monitor/model/pb.h"

/* Fields of a series: 1.0 and 2.0 differ in numbers and in how texts are given. */
enum { V1_LABELS = 1, V1_SAMPLES, V1_EXEMPLARS, V1_HISTOGRAMS };
enum { V2_LABELS = 1, V2_SAMPLES, V2_HISTOGRAMS, V2_EXEMPLARS, V2_METADATA };
enum { V1_SERIES = 1, V2_SYMBOLS = 4, V2_SERIES = 5 };

static int malformed(Err *err, const char *what)
{
    return err_set(err, ERR_INVALID, 0, "the message is malformed: %s", what);
}

/* ---- symbols ---- */

static int read_symbols(RemoteReader *r, Err *err)
{
    PbReader p = pb_reader(r->rest);
    PbField f;
    while (pb_next(&p, &f)) {
        if (f.number != V2_SYMBOLS || f.wire != 2)
            continue;
        if (r->symbols.len == REMOTE_SYMBOLS_MAX)
            return err_set(err, ERR_LIMIT, 0, "more than %d symbols", REMOTE_SYMBOLS_MAX);
        if (!vec_push(&r->symbols, f.bytes))
            return err_nomem(err);
    }
    return p.failed ? malformed(err, "its fields") : 0;
}

static bool symbol(const RemoteReader *r, uint64_t ref, StrView *ret)
{
    if (ref >= r->symbols.len)
        return false;
    *ret = r->symbols.items[ref];
    return true;
}

/* ---- labels ---- */

/* Label messages (1.0), or a list of references in pairs (2.0), of the field `number`. */
static int add_label(RemoteLabels *to, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    Label l = { SV(""), SV("") };
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 2)
            l.name = f.bytes;
        else if (f.number == 2 && f.wire == 2)
            l.value = f.bytes;
    }
    if (p.failed)
        return malformed(err, "a label");
    return vec_push(to, l) ? 0 : err_nomem(err);
}

/* *ret_bad: a reference leads nowhere, or one is left over. */
static int add_refs(const RemoteReader *r, RemoteLabels *to, const PbField *f, bool *ret_bad,
                    Err *err)
{
    PbReader p = pb_reader(f->wire == 2 ? f->bytes : SV(""));
    while (p.at < p.end) {
        Label l;
        uint64_t name = pb_varint(&p);
        if (p.at >= p.end && !p.failed) {
            *ret_bad = true;
            break;
        }
        uint64_t value = pb_varint(&p);
        if (p.failed)
            return malformed(err, "references of labels");
        if (!symbol(r, name, &l.name) || !symbol(r, value, &l.value))
            *ret_bad = true;
        else if (!vec_push(to, l))
            return err_nomem(err);
    }
    *ret_bad |= f->wire != 2;
    return 0;
}

static void sort_labels(Label *l, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && sv_cmp(l[k - 1].name, l[k].name) > 0; k--) {
            Label t = l[k];
            l[k] = l[k - 1];
            l[k - 1] = t;
        }
}

/* Sorted, without empty values; false: a name stands twice. */
static bool normalize(RemoteLabels *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->len; i++)
        if (l->items[i].value.len)
            l->items[kept++] = l->items[i];
    l->len = kept;
    sort_labels(l->items, kept);
    for (size_t i = 1; i < kept; i++)
        if (sv_eq(l->items[i].name, l->items[i - 1].name))
            return false;
    return true;
}

static int read_labels(RemoteReader *r, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    bool bad = false;
    RemoteLabels *list = &r->labels;
    int got = 0;
    vec_clear(list);
    while (got == 0 && pb_next(&p, &f)) {
        if (f.number != V1_LABELS)
            continue;
        if (list->len > LABELS_MAX)
            return err_set(err, ERR_LIMIT, 0, "a series has more than %d labels", LABELS_MAX);
        if (r->v2)
            got = add_refs(r, list, &f, &bad, err);
        else if (f.wire == 2)
            got = add_label(list, f.bytes, err);
    }
    if (got < 0)
        return got;
    if (p.failed)
        return malformed(err, "a series");
    r->series.labels_wrong = NULL;
    if (bad)
        r->series.labels_wrong = "a reference to a symbol that is not there";
    else if (!normalize(list))
        r->series.labels_wrong = "duplicated label";
    r->series.labels = (Labels){ list->items, (unsigned)list->len };
    return 0;
}

/* ---- samples, exemplars, metadata ---- */

static int add_sample(RemoteReader *r, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    RemoteSample s = { 0 };
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 1)
            s.v = pb_double(f.n);
        else if (f.number == 2 && f.wire == 0)
            s.t = (int64_t)f.n;
        else if (f.number == 3 && f.wire == 0)
            s.start = (int64_t)f.n;
    }
    if (p.failed)
        return malformed(err, "a sample");
    return vec_push(&r->series.samples, s) ? 0 : err_nomem(err);
}

static int add_histogram(RemoteReader *r, StrView bytes, Err *err)
{
    RemoteHistogram h;
    int got = remote_histogram_decode(bytes, &r->scratch, &h, err);
    if (got < 0)
        return got;
    return vec_push(&r->series.histograms, h) ? 0 : err_nomem(err);
}

static int add_exemplar(RemoteReader *r, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    Exemplar e = { 0 };
    RemoteLabels list = { 0 };
    bool bad = false;
    int got = 0;
    while (got == 0 && pb_next(&p, &f)) {
        if (f.number == 1 && list.len <= LABELS_MAX)
            got = r->v2 ? add_refs(r, &list, &f, &bad, err) : add_label(&list, f.bytes, err);
        else if (f.number == 2 && f.wire == 1)
            e.value = pb_double(f.n);
        else if (f.number == 3 && f.wire == 0)
            e.t = (int64_t)f.n;
    }
    if (got == 0 && p.failed)
        got = malformed(err, "an exemplar");
    if (got == 0 && (bad || !normalize(&list))) {
        r->series.exemplars_wrong++;
    } else if (got == 0) {
        Labels view = { list.items, (unsigned)list.len };
        if (!labels_copy(view, &r->scratch, &e.labels) || !vec_push(&r->series.exemplars, e))
            got = err_nomem(err);
    }
    vec_free(&list);
    return got;
}

static int read_metadata(RemoteReader *r, StrView bytes, Err *err)
{
    static const StrView types[] = { SV_INIT("unknown"),        SV_INIT("counter"),
                                     SV_INIT("gauge"),          SV_INIT("histogram"),
                                     SV_INIT("gaugehistogram"), SV_INIT("summary"),
                                     SV_INIT("info"),           SV_INIT("stateset") };
    PbReader p = pb_reader(bytes);
    PbField f;
    MetricMetadata *m = &r->series.metadata;
    while (pb_next(&p, &f)) {
        if (f.wire != 0)
            continue;
        if (f.number == 1)
            m->type = f.n < ARRAY_SIZE(types) ? types[f.n] : types[0];
        else if (f.number == 3 && !symbol(r, f.n, &m->help))
            return malformed(err, "a reference of metadata");
        else if (f.number == 4 && !symbol(r, f.n, &m->unit))
            return malformed(err, "a reference of metadata");
    }
    return p.failed ? malformed(err, "metadata") : 0;
}

static int read_rest(RemoteReader *r, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    int got = 0;
    while (got == 0 && pb_next(&p, &f)) {
        if (f.wire != 2)
            continue;
        if (f.number == V1_SAMPLES)
            got = add_sample(r, f.bytes, err);
        else if (f.number == (r->v2 ? (unsigned)V2_HISTOGRAMS : V1_HISTOGRAMS))
            got = add_histogram(r, f.bytes, err);
        else if (f.number == (r->v2 ? (unsigned)V2_EXEMPLARS : V1_EXEMPLARS))
            got = add_exemplar(r, f.bytes, err);
        else if (r->v2 && f.number == V2_METADATA)
            got = read_metadata(r, f.bytes, err);
    }
    return got;
}

/* ---- the message ---- */

int remote_reader_init(RemoteReader *r, StrView body, bool v2, Err *err)
{
    *r = (RemoteReader){ .rest = body, .v2 = v2 };
    arena_init(&r->scratch, ARENA_DEFAULT_LIMIT);
    return v2 ? read_symbols(r, err) : 0;
}

void remote_reader_free(RemoteReader *r)
{
    vec_free(&r->symbols);
    vec_free(&r->labels);
    vec_free(&r->series.samples);
    vec_free(&r->series.histograms);
    vec_free(&r->series.exemplars);
    arena_free(&r->scratch);
}

int remote_reader_next(RemoteReader *r, const RemoteSeries **ret, Err *err)
{
    PbReader p = pb_reader(r->rest);
    PbField f;
    while (pb_next(&p, &f)) {
        r->rest = sv_n(p.at, (size_t)(p.end - p.at));
        if (f.number != (r->v2 ? (unsigned)V2_SERIES : V1_SERIES) || f.wire != 2)
            continue;
        vec_clear(&r->series.samples);
        vec_clear(&r->series.histograms);
        vec_clear(&r->series.exemplars);
        r->series.exemplars_wrong = 0;
        r->series.metadata = (MetricMetadata){ 0 };
        arena_reset(&r->scratch);
        int got = read_labels(r, f.bytes, err);
        if (got == 0)
            got = read_rest(r, f.bytes, err);
        *ret = &r->series;
        return got < 0 ? got : 1;
    }
    return p.failed ? malformed(err, "its fields") : 0;
}
