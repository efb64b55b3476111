/* head_index.c - the head's inverted index: label pair → series, label name → values.
 *
 * Numbers only grow, so that lists stay sorted by appending (but for a log replay that brings old
 * numbers back: those are put in their place). */
#include "monitor/tsdb/head.h"

enum { SLOTS_MIN = 256 };

static uint32_t *posting_ids(Posting *p)
{
    return p->cap ? p->many : p->few;
}

/* ---- label pairs ---- */

static Posting *posting_slot(Posting *slots, uint32_t n, uint32_t name, uint32_t value)
{
    uint32_t i = (uint32_t)num_hash((uint64_t)name << 32 | value) & (n - 1);
    while (slots[i].name != SYMBOL_NONE && (slots[i].name != name || slots[i].value != value))
        i = (i + 1) & (n - 1);
    return &slots[i];
}

static Posting *new_slots(uint32_t n)
{
    Posting *slots = malloc(n * sizeof *slots);
    for (uint32_t i = 0; slots && i < n; i++)
        slots[i] = (Posting){ .name = SYMBOL_NONE };
    return slots;
}

static bool grow_postings(Head *h, uint32_t more)
{
    uint32_t n = h->cap_postings ? h->cap_postings : SLOTS_MIN;
    while ((h->n_postings + more) * 10ULL >= n * 7ULL)
        n *= 2;
    if (n == h->cap_postings)
        return true;
    Posting *slots = new_slots(n);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < h->cap_postings; i++)
        if (h->postings[i].name != SYMBOL_NONE)
            *posting_slot(slots, n, h->postings[i].name, h->postings[i].value) = h->postings[i];
    free(h->postings);
    h->postings = slots;
    h->cap_postings = n;
    return true;
}

static bool posting_reserve(Posting *p)
{
    if (p->len < (p->cap ? p->cap : ARRAY_SIZE(p->few)))
        return true;
    uint32_t cap = p->len + MAX(p->len / 2, 2u);
    uint32_t *ids = realloc(p->cap ? p->many : NULL, cap * sizeof *ids);
    if (!ids)
        return false;
    if (!p->cap)
        memcpy(ids, p->few, sizeof p->few);
    p->many = ids;
    p->cap = cap;
    return true;
}

static void posting_insert(Posting *p, uint32_t id)
{
    uint32_t *ids = posting_ids(p), i = p->len++;
    for (; i > 0 && ids[i - 1] > id; i--)
        ids[i] = ids[i - 1];
    ids[i] = id;
}

/* ---- label names ---- */

static uint32_t name_home(const Head *h, uint32_t symbol)
{
    return symbol * 0x9e3779b1u & (h->name_slots_len - 1);
}

/* The slot with the name's index, or the free one where it belongs. */
static uint32_t *name_slot(const Head *h, uint32_t symbol)
{
    uint32_t i = name_home(h, symbol);
    while (h->name_slots[i] != SYMBOL_NONE && h->names[h->name_slots[i]].symbol != symbol)
        i = (i + 1) & (h->name_slots_len - 1);
    return &h->name_slots[i];
}

static const LabelName *name_find(const Head *h, StrView text)
{
    uint32_t symbol = symbols_find(&h->symbols, text);
    if (symbol == SYMBOL_NONE || !h->name_slots_len)
        return NULL;
    uint32_t at = *name_slot(h, symbol);
    return at == SYMBOL_NONE ? NULL : &h->names[at];
}

static bool grow_names(Head *h)
{
    if (h->n_names == h->cap_names) {
        uint32_t cap = h->cap_names ? h->cap_names * 2 : 32;
        LabelName *names = realloc(h->names, cap * sizeof *names);
        if (!names)
            return false;
        h->names = names;
        h->cap_names = cap;
    }
    if (h->name_slots_len && h->n_names * 2 < h->name_slots_len)
        return true;
    uint32_t n = h->name_slots_len ? h->name_slots_len * 2 : 64;
    uint32_t *slots = malloc(n * sizeof *slots);
    if (!slots)
        return false;
    memset(slots, 0xff, n * sizeof *slots);
    free(h->name_slots);
    h->name_slots = slots;
    h->name_slots_len = n;
    for (uint32_t i = 0; i < h->n_names; i++)
        *name_slot(h, h->names[i].symbol) = i;
    return true;
}

static bool add_value(Head *h, uint32_t name, uint32_t value)
{
    if (!grow_names(h))
        return false;
    uint32_t *slot = name_slot(h, name);
    if (*slot == SYMBOL_NONE) {
        h->names[h->n_names] = (LabelName){ .symbol = name };
        *slot = h->n_names++;
    }
    LabelName *n = &h->names[*slot];
    if (n->len == n->cap) {
        uint32_t cap = n->cap ? n->cap + n->cap / 2 + 1 : 2;
        uint32_t *values = realloc(n->values, cap * sizeof *values);
        if (!values)
            return false;
        n->values = values;
        n->cap = cap;
    }
    n->values[n->len++] = value;
    return true;
}

/* ---- adding and sweeping ---- */

/* All memory is taken first, so that nothing has to be taken back: a pair that is left empty by a
 * failure harms nobody. */
bool head_index_add(Head *h, const HeadSeries *s)
{
    if (!grow_postings(h, s->n_labels))
        return false;
    for (unsigned i = 0; i < s->n_labels; i++) {
        uint32_t name = s->labels[2 * i], value = s->labels[2 * i + 1];
        Posting *p = posting_slot(h->postings, h->cap_postings, name, value);
        if (p->name == SYMBOL_NONE) {
            if (!add_value(h, name, value))
                return false;
            *p = (Posting){ .name = name, .value = value };
            h->n_postings++;
        }
        if (!posting_reserve(p))
            return false;
    }
    for (unsigned i = 0; i < s->n_labels; i++)
        posting_insert(posting_slot(h->postings, h->cap_postings, s->labels[2 * i],
                                    s->labels[2 * i + 1]),
                       s->id);
    return true;
}

/* Keeps the numbers that are alive. */
static void posting_sweep(const Head *h, Posting *p)
{
    uint32_t *ids = posting_ids(p), kept = 0;
    for (uint32_t i = 0; i < p->len; i++)
        if (head_by_id(h, ids[i]))
            ids[kept++] = ids[i];
    p->len = kept;
}

void head_index_sweep(Head *h)
{
    Posting *old = h->postings;
    uint32_t n = h->cap_postings;
    Posting *slots = new_slots(n);
    for (uint32_t i = 0; i < n; i++)
        if (old[i].name != SYMBOL_NONE)
            posting_sweep(h, &old[i]);
    if (!slots) /* empty lists stay until the next sweep */
        return;
    for (uint32_t i = 0; i < h->n_names; i++)
        h->names[i].len = 0;
    h->n_postings = 0;
    for (uint32_t i = 0; i < n; i++) {
        Posting *p = &old[i];
        if (p->name == SYMBOL_NONE)
            continue;
        if (!p->len) {
            if (p->cap)
                free(p->many);
            continue;
        }
        *posting_slot(slots, n, p->name, p->value) = *p;
        h->n_postings++;
        LabelName *name = &h->names[*name_slot(h, p->name)];
        name->values[name->len++] = p->value;
    }
    free(old);
    h->postings = slots;
    /* Names without values go. */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->n_names; i++) {
        if (h->names[i].len)
            h->names[kept++] = h->names[i];
        else
            free(h->names[i].values);
    }
    h->n_names = kept;
    memset(h->name_slots, 0xff, h->name_slots_len * sizeof *h->name_slots);
    for (uint32_t i = 0; i < kept; i++)
        *name_slot(h, h->names[i].symbol) = i;
}

/* ---- as an index ---- */

static int head_postings(const void *index, StrView name, StrView value, Ids *out, Err *err)
{
    const Head *h = index;
    uint32_t n = symbols_find(&h->symbols, name), v = symbols_find(&h->symbols, value);
    if (n == SYMBOL_NONE || v == SYMBOL_NONE || !h->cap_postings)
        return 0;
    Posting *p = posting_slot(h->postings, h->cap_postings, n, v);
    if (p->name == SYMBOL_NONE)
        return 0;
    return ids_append(out, posting_ids(p), p->len) ? 0 : err_nomem(err);
}

static int head_values(const void *index, StrView name,
                       int (*fn)(void *ctx, StrView value, Err *err), void *ctx, Err *err)
{
    const Head *h = index;
    const LabelName *n = name_find(h, name);
    int r = 0;
    for (uint32_t i = 0; n && i < n->len && r == 0; i++)
        r = fn(ctx, symbols_text(&h->symbols, n->values[i]), err);
    return r;
}

static int head_names(const void *index, int (*fn)(void *ctx, StrView name, Err *err), void *ctx,
                      Err *err)
{
    const Head *h = index;
    int r = 0;
    for (uint32_t i = 0; i < h->n_names && r == 0; i++)
        r = fn(ctx, symbols_text(&h->symbols, h->names[i].symbol), err);
    return r;
}

static int head_all(const void *index, Ids *out, Err *err)
{
    const Head *h = index;
    if (!ids_reserve(out, out->len + h->n_series))
        return err_nomem(err);
    for (uint32_t p = 0; p < h->n_pages; p++)
        for (uint32_t i = 0; h->pages[p] && i < HEAD_PAGE; i++)
            if (h->pages[p][i] && !ids_push(out, h->pages[p][i]->id))
                return err_nomem(err);
    return 0;
}

const IndexOps head_index = {
    .postings = head_postings, .values = head_values, .names = head_names, .all = head_all
};
