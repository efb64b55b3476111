/* pairs.c - the numbers are kept as the pointers of a map. */
#include "scheduler/pairs.h"

enum { KEY_MAX = 320 + 64 }; /* a qualified name and a label's value, both limited by the API */

static StrView join(StrView key, StrView value, char buf[static KEY_MAX])
{
    size_t k = MIN(key.len, (size_t)320), v = MIN(value.len, (size_t)63);
    if (k)
        memcpy(buf, key.ptr, k);
    buf[k] = 0;
    if (v)
        memcpy(buf + k + 1, value.ptr, v);
    return sv_n(buf, k + 1 + v);
}

void pairs_add(Pairs *p, StrView key, StrView value, int64_t n)
{
    char buf[KEY_MAX];
    StrView k = join(key, value, buf);
    intptr_t have = (intptr_t)map_get(&p->map, k);
    if (!map_set(&p->map, k, (void *)(have + (intptr_t)n), NULL))
        p->failed = true;
}

int64_t pairs_get(const Pairs *p, StrView key, StrView value)
{
    char buf[KEY_MAX];
    return p->map.len ? (int64_t)(intptr_t)map_get(&p->map, join(key, value, buf)) : 0;
}

void pairs_add_node(Pairs *p, StrView key, const Value *labels, int64_t n)
{
    const Value *value = value_get(labels, key);
    if (value)
        pairs_add(p, key, value_str(value), n);
}

void pairs_free(Pairs *p)
{
    map_free(&p->map);
}
