/* series.c - the series that a queue knows, by their numbers in the log: labels as they are sent,
 * with the external ones, after relabelling, in the form of a message. */
#include "monitor/model/pb.h"
#include "monitor/remote/internal.h"

enum { TABLE_MIN = 256, SERIES_SCRATCH_MAX = 16 * 1024 * 1024 };

void series_table_init(SeriesTable *t)
{
    *t = (SeriesTable){ 0 };
    arena_init(&t->scratch, SERIES_SCRATCH_MAX);
}

static SentSeries *series_free(SentSeries *s)
{
    if (s)
        free(s->texts);
    free(s);
    return NULL;
}

void series_table_free(SeriesTable *t)
{
    for (size_t i = 0; i < t->cap; i++)
        series_free(t->slots[i]);
    free(t->slots);
    arena_free(&t->scratch);
    *t = (SeriesTable){ 0 };
}

static SentSeries **slot_of(SentSeries **slots, size_t cap, uint64_t ref)
{
    size_t i = (size_t)(ref * 0x9e3779b97f4a7c15ULL >> 20) & (cap - 1);
    while (slots[i] && slots[i]->ref != ref)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

SentSeries *series_table_get(const SeriesTable *t, uint64_t ref)
{
    return t->cap ? *slot_of(t->slots, t->cap, ref) : NULL;
}

static bool rebuild(SeriesTable *t, size_t cap)
{
    SentSeries **slots = calloc(cap, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i])
            *slot_of(slots, cap, t->slots[i]->ref) = t->slots[i];
    free(t->slots);
    t->slots = slots;
    t->cap = cap;
    return true;
}

/* The labels as they are sent; false in *ret_kept: relabelling drops the series. */
static int make_labels(Arena *a, Labels l, const ConfigRemoteWrite *cfg, Labels external,
                       Labels *ret, bool *ret_kept, Err *err)
{
    LabelsBuilder b;
    labels_builder_init(&b, a, l);
    for (unsigned i = 0; i < external.len; i++)
        if (!labels_has(l, external.items[i].name))
            labels_builder_set(&b, external.items[i].name, external.items[i].value);
    *ret_kept = relabel(cfg->write_relabel.items, cfg->write_relabel.len, &b);
    if (!labels_builder_take(&b, ret))
        return err_nomem(err);
    *ret_kept = *ret_kept && ret->len;
    return 0;
}

static void put_labels(Labels l, Buf *out)
{
    for (unsigned i = 0; i < l.len; i++) {
        size_t at = out->len;
        pb_put_bytes(out, 1, l.items[i].name);
        pb_put_bytes(out, 2, l.items[i].value);
        pb_close(out, 1, at);
    }
}

int series_table_add(SeriesTable *t, uint64_t ref, Labels l, uint32_t segment,
                     const ConfigRemoteWrite *cfg, Labels external, Err *err)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    Labels sent;
    bool kept;
    SentSeries *s = series_table_get(t, ref);
    if (s) {
        s->seen = MAX(s->seen, segment);
        return 0;
    }
    arena_reset(&t->scratch);
    int r = make_labels(&t->scratch, l, cfg, external, &sent, &kept, err);
    if (r < 0)
        return r;
    if (kept)
        put_labels(sent, &bytes);
    if ((t->len + 1) * 4 >= t->cap * 3 && !rebuild(t, t->cap ? t->cap * 2 : TABLE_MIN))
        return err_nomem(err);
    s = bytes.failed ? NULL : calloc(1, sizeof *s + bytes.len);
    if (!s)
        return err_nomem(err);
    s->ref = ref;
    s->seen = segment;
    s->is_dropped = !kept;
    s->len = bytes.len;
    if (bytes.len)
        memcpy(s->labels, bytes.ptr, bytes.len);
    *slot_of(t->slots, t->cap, ref) = s;
    t->len++;
    return 0;
}

int series_set_metadata(SentSeries *s, const MetricMetadata *m, Err *err)
{
    char *texts = malloc(m->unit.len + m->help.len + 1);
    if (!texts)
        return err_nomem(err);
    if (m->unit.len)
        memcpy(texts, m->unit.ptr, m->unit.len);
    if (m->help.len)
        memcpy(texts + m->unit.len, m->help.ptr, m->help.len);
    free(s->texts);
    s->texts = texts;
    s->unit = sv_n(texts, m->unit.len);
    s->help = sv_n(texts + m->unit.len, m->help.len);
    s->type = metadata_type_number(m->type);
    return 0;
}

void series_table_sweep(SeriesTable *t, uint32_t segment)
{
    size_t gone = 0;
    for (size_t i = 0; i < t->cap; i++) {
        SentSeries *s = t->slots[i];
        if (s && s->seen <= segment && !s->pending) {
            t->slots[i] = series_free(s);
            gone++;
        }
    }
    t->len -= gone;
    /* Holes break the walks of others: all are put in anew. Without memory for that the holes are
     * filled by putting them in one by one. */
    if (!gone || rebuild(t, t->cap))
        return;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < t->cap; i++) {
            SentSeries *s = t->slots[i];
            if (!s)
                continue;
            t->slots[i] = NULL;
            SentSeries **to = slot_of(t->slots, t->cap, s->ref);
            *to = s;
            moved |= to != &t->slots[i];
        }
    }
}
