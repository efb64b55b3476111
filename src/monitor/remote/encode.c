/* encode.c - entries into messages: prometheus.WriteRequest (1.0), and io.prometheus.write.v2
 * .Request (2.0), whose texts are numbers of symbols. Each entry is a TimeSeries of its own, as
 * Prometheus does it. */
#include <snappy-c.h>

#include "monitor/model/pb.h"
#include "monitor/remote/internal.h"

enum { V1_SERIES = 1, V1_METADATA = 3, V2_SYMBOLS = 4, V2_SERIES = 5 };
enum { V1_SAMPLES = 2, V1_EXEMPLARS, V1_HISTOGRAMS };
enum { V2_LABELS = 1, V2_SAMPLES, V2_HISTOGRAMS, V2_EXEMPLARS, V2_METADATA };

void encoder_free(Encoder *e)
{
    buf_free(&e->series);
    buf_free(&e->symbols);
    buf_free(&e->plain);
    free(e->slots);
    free(e->texts);
    *e = (Encoder){ 0 };
}

int compress_message(const Buf *plain, Buf *out, Err *err)
{
    size_t n = snappy_max_compressed_length(plain->len);
    buf_clear(out);
    if (plain->failed || !buf_reserve(out, n + 1) ||
        snappy_compress(buf_view(plain).ptr, plain->len, out->ptr, &n) != SNAPPY_OK)
        return err_nomem(err);
    out->len = n;
    return 0;
}

/* ---- symbols ---- */

static bool grow_slots(Encoder *e)
{
    size_t n = e->n_slots ? e->n_slots * 2 : 1024;
    uint32_t *slots = calloc(n, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < e->n_texts; i++) {
        size_t k = (size_t)sv_hash(e->texts[i]) & (n - 1);
        while (slots[k])
            k = (k + 1) & (n - 1);
        slots[k] = (uint32_t)i + 1;
    }
    free(e->slots);
    e->slots = slots;
    e->n_slots = n;
    return true;
}

/* The number of a text, which must live until the message is built. UINT32_MAX: out of memory. */
static uint32_t symbol(Encoder *e, StrView s)
{
    if ((e->n_texts + 1) * 2 >= e->n_slots && !grow_slots(e))
        return UINT32_MAX;
    size_t k = (size_t)sv_hash(s) & (e->n_slots - 1);
    for (; e->slots[k]; k = (k + 1) & (e->n_slots - 1))
        if (sv_eq(e->texts[e->slots[k] - 1], s))
            return e->slots[k] - 1;
    if (!vec_grow_((void **)&e->texts, &e->cap_texts, e->n_texts + 1, sizeof *e->texts))
        return UINT32_MAX;
    e->texts[e->n_texts++] = s;
    e->slots[k] = (uint32_t)e->n_texts;
    pb_put_bytes(&e->symbols, V2_SYMBOLS, s);
    return e->slots[k] - 1;
}

/* The field `number`: references of the labels that stand in `v1` as fields 1. */
static void put_refs(Encoder *e, unsigned number, StrView v1, Buf *out)
{
    PbReader p = pb_reader(v1), inner;
    PbField f, g;
    size_t at = out->len;
    while (pb_next(&p, &f)) {
        if (f.number != 1 || f.wire != 2)
            continue;
        inner = pb_reader(f.bytes);
        while (pb_next(&inner, &g)) {
            uint32_t n = symbol(e, g.bytes);
            out->failed |= n == UINT32_MAX;
            pb_put_varint(out, n);
        }
    }
    if (out->len > at)
        pb_close(out, number, at);
}

/* ---- entries ---- */

static void put_sample(const Entry *x, unsigned number, Buf *out)
{
    size_t at = out->len;
    pb_put_double(out, 1, x->v);
    pb_put_int(out, 2, (uint64_t)x->t);
    pb_close(out, number, at);
}

static void put_v1(const Entry *x, Buf *out)
{
    size_t at = out->len;
    buf_append(out, x->series->labels, x->series->len);
    if (x->kind == ENTRY_SAMPLE)
        put_sample(x, V1_SAMPLES, out);
    else
        pb_put_bytes(out, x->kind == ENTRY_EXEMPLAR ? V1_EXEMPLARS : V1_HISTOGRAMS,
                     sv_n(x->blob->bytes, x->blob->len));
    pb_close(out, V1_SERIES, at);
}

static void put_v2_exemplar(Encoder *e, StrView v1, Buf *out)
{
    PbReader p = pb_reader(v1);
    PbField f;
    size_t at = out->len;
    put_refs(e, 1, v1, out);
    while (pb_next(&p, &f)) {
        if (f.number == 2)
            pb_put_double(out, 2, pb_double(f.n));
        else if (f.number == 3)
            pb_put_int(out, 3, f.n);
    }
    pb_close(out, V2_EXEMPLARS, at);
}

static void put_v2(Encoder *e, const Entry *x, Buf *out)
{
    const SentSeries *s = x->series;
    size_t at = out->len;
    put_refs(e, V2_LABELS, sv_n(s->labels, s->len), out);
    if (x->kind == ENTRY_SAMPLE)
        put_sample(x, V2_SAMPLES, out);
    else if (x->kind == ENTRY_HISTOGRAM)
        pb_put_bytes(out, V2_HISTOGRAMS, sv_n(x->blob->bytes, x->blob->len));
    else
        put_v2_exemplar(e, sv_n(x->blob->bytes, x->blob->len), out);
    for (const Blob *b = x->exemplars; b; b = b->next)
        put_v2_exemplar(e, sv_n(b->bytes, b->len), out);
    size_t metadata = out->len;
    pb_put_int(out, 1, s->type);
    if (s->help.len)
        pb_put_int(out, 3, symbol(e, s->help));
    if (s->unit.len)
        pb_put_int(out, 4, symbol(e, s->unit));
    if (out->len > metadata)
        pb_close(out, V2_METADATA, metadata);
    pb_close(out, V2_SERIES, at);
}

int encode_entries(Encoder *e, bool v2, const Entry *items, size_t n, Buf *out, Err *err)
{
    buf_clear(&e->plain);
    if (!v2) {
        for (size_t i = 0; i < n; i++)
            put_v1(&items[i], &e->plain);
        return compress_message(&e->plain, out, err);
    }
    buf_clear(&e->series);
    buf_clear(&e->symbols);
    e->n_texts = 0;
    if (e->n_slots)
        memset(e->slots, 0, e->n_slots * sizeof *e->slots);
    if (symbol(e, SV("")) == UINT32_MAX) /* number 0 is the empty text */
        return err_nomem(err);
    for (size_t i = 0; i < n; i++)
        put_v2(e, &items[i], &e->series);
    buf_sv(&e->plain, buf_view(&e->symbols));
    buf_sv(&e->plain, buf_view(&e->series));
    if (e->series.failed || e->symbols.failed)
        return err_nomem(err);
    return compress_message(&e->plain, out, err);
}

void encode_exemplar(const Exemplar *x, Buf *out)
{
    for (unsigned i = 0; i < x->labels.len; i++) {
        size_t at = out->len;
        pb_put_bytes(out, 1, x->labels.items[i].name);
        pb_put_bytes(out, 2, x->labels.items[i].value);
        pb_close(out, 1, at);
    }
    pb_put_double(out, 2, x->value);
    pb_put_int(out, 3, (uint64_t)x->t);
}

/* ---- metadata ---- */

uint8_t metadata_type_number(StrView type)
{
    static const StrView types[] = { SV_INIT("unknown"),        SV_INIT("counter"),
                                     SV_INIT("gauge"),          SV_INIT("histogram"),
                                     SV_INIT("gaugehistogram"), SV_INIT("summary"),
                                     SV_INIT("info"),           SV_INIT("stateset") };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (sv_eq(type, types[i]))
            return (uint8_t)i;
    return 0;
}

void encode_metadata(const RemoteMetadata *m, Buf *out)
{
    size_t at = out->len;
    pb_put_int(out, 1, metadata_type_number(m->type));
    pb_put_bytes(out, 2, m->metric);
    if (m->help.len)
        pb_put_bytes(out, 4, m->help);
    if (m->unit.len)
        pb_put_bytes(out, 5, m->unit);
    pb_close(out, V1_METADATA, at);
}
