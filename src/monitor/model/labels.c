/* labels.c - sorted sets of label pairs. */
#include "monitor/model/labels.h"

#include <string.h>

static const Label *find(Labels l, StrView name)
{
    for (unsigned i = 0; i < l.len; i++)
        if (sv_eq(l.items[i].name, name))
            return &l.items[i];
    return NULL;
}

StrView labels_get(Labels l, StrView name)
{
    const Label *found = find(l, name);
    return found ? found->value : SV("");
}

bool labels_has(Labels l, StrView name)
{
    return find(l, name) != NULL;
}

int labels_cmp(Labels a, Labels b)
{
    unsigned n = MIN(a.len, b.len);
    for (unsigned i = 0; i < n; i++) {
        int r = sv_cmp(a.items[i].name, b.items[i].name);
        if (!r)
            r = sv_cmp(a.items[i].value, b.items[i].value);
        if (r)
            return r;
    }
    return (a.len > b.len) - (a.len < b.len);
}

bool labels_eq(Labels a, Labels b)
{
    if (a.len != b.len)
        return false;
    for (unsigned i = 0; i < a.len; i++)
        if (!sv_eq(a.items[i].name, b.items[i].name) || !sv_eq(a.items[i].value, b.items[i].value))
            return false;
    return true;
}

#define HASH_SEED UINT64_C(0x9ae16a3b2f90404f)

static uint64_t mix_in(uint64_t h, uint64_t name, uint64_t value)
{
    h = (h ^ name) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33) ^ value) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 29);
}

static uint64_t mix(uint64_t h, const Label *l)
{
    return mix_in(h, sv_hash(l->name), sv_hash(l->value));
}

uint64_t labels_hash(Labels l)
{
    uint64_t h = HASH_SEED;
    for (unsigned i = 0; i < l.len; i++)
        h = mix(h, &l.items[i]);
    return h;
}

uint64_t labels_hash_stable(Labels l)
{
    uint64_t h = HASH_SEED;
    for (unsigned i = 0; i < l.len; i++)
        h = mix_in(h, sv_hash_stable(l.items[i].name), sv_hash_stable(l.items[i].value));
    return h;
}

uint64_t labels_hash_by(Labels l, const StrView *names, unsigned n_names)
{
    uint64_t h = HASH_SEED;
    unsigned j = 0;
    for (unsigned i = 0; i < l.len && j < n_names; i++) {
        int r = 1;
        while (j < n_names && (r = sv_cmp(names[j], l.items[i].name)) < 0)
            j++;
        if (j < n_names && r == 0)
            h = mix(h, &l.items[i]);
    }
    return h;
}

uint64_t labels_hash_without(Labels l, const StrView *names, unsigned n_names)
{
    uint64_t h = HASH_SEED;
    unsigned j = 0;
    for (unsigned i = 0; i < l.len; i++) {
        int r = 1;
        while (j < n_names && (r = sv_cmp(names[j], l.items[i].name)) < 0)
            j++;
        if ((j < n_names && r == 0) || sv_eq(l.items[i].name, LABEL_METRIC_NAME))
            continue;
        h = mix(h, &l.items[i]);
    }
    return h;
}

static StrView put_text(char **at, StrView s)
{
    char *to = *at;
    if (s.len)
        memcpy(to, s.ptr, s.len);
    *at += s.len;
    return sv_n(to, s.len);
}

bool labels_copy(Labels l, Arena *a, Labels *ret)
{
    *ret = (Labels){ 0 };
    if (!l.len)
        return true;
    size_t bytes = 0;
    for (unsigned i = 0; i < l.len; i++)
        bytes += l.items[i].name.len + l.items[i].value.len;
    Label *items = arena_array(a, Label, l.len);
    char *text = arena_alloc(a, bytes + 1);
    if (!items || !text)
        return false;
    for (unsigned i = 0; i < l.len; i++) {
        items[i].name = put_text(&text, l.items[i].name);
        items[i].value = put_text(&text, l.items[i].value);
    }
    *ret = (Labels){ items, l.len };
    return true;
}

void labels_builder_init(LabelsBuilder *b, Arena *a, Labels base)
{
    *b = (LabelsBuilder){ .arena = a, .cap = base.len + 4 };
    b->items = arena_array(a, Label, b->cap);
    if (!b->items) {
        b->failed = true;
        b->cap = 0;
        return;
    }
    if (base.len)
        memcpy(b->items, base.items, base.len * sizeof *b->items);
    b->len = base.len;
}

/* Where `name` stands or would stand. */
static unsigned position(const LabelsBuilder *b, StrView name, bool *ret_found)
{
    unsigned lo = 0, hi = b->len;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        int r = sv_cmp(b->items[mid].name, name);
        if (!r) {
            *ret_found = true;
            return mid;
        }
        if (r < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_found = false;
    return lo;
}

StrView labels_builder_get(const LabelsBuilder *b, StrView name)
{
    bool found;
    unsigned at = position(b, name, &found);
    return found ? b->items[at].value : SV("");
}

void labels_builder_set(LabelsBuilder *b, StrView name, StrView value)
{
    if (sv_empty(value)) {
        labels_builder_del(b, name);
        return;
    }
    bool found;
    unsigned at = position(b, name, &found);
    if (found) {
        b->items[at].value = value;
        return;
    }
    if (b->failed || b->len >= LABELS_MAX) {
        b->failed = true;
        return;
    }
    if (b->len == b->cap) {
        Label *grown = arena_realloc(b->arena, b->items, b->cap * sizeof *grown,
                                     (size_t)b->cap * 2 * sizeof *grown);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->items = grown;
        b->cap *= 2;
    }
    memmove(b->items + at + 1, b->items + at, (b->len - at) * sizeof *b->items);
    b->items[at] = (Label){ name, value };
    b->len++;
}

void labels_builder_del(LabelsBuilder *b, StrView name)
{
    bool found;
    unsigned at = position(b, name, &found);
    if (!found)
        return;
    memmove(b->items + at, b->items + at + 1, (b->len - at - 1) * sizeof *b->items);
    b->len--;
}

bool labels_builder_take(LabelsBuilder *b, Labels *ret)
{
    *ret = (Labels){ b->len ? b->items : NULL, b->len };
    return !b->failed;
}
