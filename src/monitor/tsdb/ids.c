/* ids.c - see ids.h. */
#include <string.h>

#include "monitor/tsdb/ids.h"

void ids_free(Ids *l)
{
    free(l->items);
    *l = (Ids){ 0 };
}

bool ids_reserve(Ids *l, size_t n)
{
    if (n <= l->cap)
        return true;
    size_t cap = MAX(n, l->cap + l->cap / 2 + 16);
    uint32_t *p = realloc(l->items, cap * sizeof *p);
    if (!p)
        return false;
    l->items = p;
    l->cap = cap;
    return true;
}

bool ids_push(Ids *l, uint32_t id)
{
    if (!ids_reserve(l, l->len + 1))
        return false;
    l->items[l->len++] = id;
    return true;
}

bool ids_append(Ids *l, const uint32_t *ids, size_t n)
{
    if (!ids_reserve(l, l->len + n))
        return false;
    if (n)
        memcpy(l->items + l->len, ids, n * sizeof *ids);
    l->len += n;
    return true;
}

/* Least significant digit first: four passes of a byte each, and none for digits that all share. */
static bool radix_sort(uint32_t *items, size_t n)
{
    uint32_t *spare = malloc(n * sizeof *spare), *from = items, *to = spare;
    if (!spare)
        return false;
    for (unsigned shift = 0; shift < 32; shift += 8) {
        size_t count[257] = { 0 };
        for (size_t i = 0; i < n; i++)
            count[(from[i] >> shift & 255) + 1]++;
        if (count[(from[0] >> shift & 255) + 1] == n)
            continue;
        for (unsigned d = 0; d < 256; d++)
            count[d + 1] += count[d];
        for (size_t i = 0; i < n; i++)
            to[count[from[i] >> shift & 255]++] = from[i];
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, n * sizeof *items);
    free(spare);
    return true;
}

bool ids_normalize(Ids *l)
{
    bool sorted = true;
    for (size_t i = 1; i < l->len && sorted; i++)
        sorted = l->items[i - 1] < l->items[i];
    if (sorted)
        return true;
    if (!radix_sort(l->items, l->len))
        return false;
    size_t kept = 1;
    for (size_t i = 1; i < l->len; i++)
        if (l->items[i] != l->items[kept - 1])
            l->items[kept++] = l->items[i];
    l->len = kept;
    return true;
}

/* First place in items[from…] whose id is not below `id`, by doubling steps: short lists skip
 * quickly through long ones. */
static size_t gallop(const Ids *l, size_t from, uint32_t id)
{
    size_t step = 1, lo = from, hi = from;
    while (hi < l->len && l->items[hi] < id) {
        lo = hi + 1;
        hi += step;
        step *= 2;
    }
    hi = MIN(hi, l->len);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (l->items[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void ids_intersect(Ids *l, const Ids *with)
{
    size_t kept = 0, at = 0, other = 0;
    while (at < l->len && other < with->len) {
        uint32_t id = l->items[at];
        other = gallop(with, other, id);
        if (other == with->len)
            break;
        if (with->items[other] == id) {
            l->items[kept++] = id;
            at++;
        } else {
            at = gallop(l, at, with->items[other]);
        }
    }
    l->len = kept;
}

void ids_subtract(Ids *l, const Ids *without)
{
    size_t kept = 0, other = 0;
    for (size_t at = 0; at < l->len; at++) {
        other = gallop(without, other, l->items[at]);
        if (other == without->len || without->items[other] != l->items[at])
            l->items[kept++] = l->items[at];
    }
    l->len = kept;
}
