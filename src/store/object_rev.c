/* object_rev.c - versions of objects: one block each, immutable, counted. */
#include "store/tree.h"

ObjectRev *object_rev_ref(ObjectRev *o)
{
    if (o)
        atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

ObjectRev *object_rev_unref(ObjectRev *o)
{
    if (o && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
        free(o);
    return NULL;
}

ObjectRev *object_rev_new(StrView key, StrView val, StrView attrs)
{
    ObjectRev *o = malloc(sizeof *o + key.len + val.len + attrs.len);
    if (!o)
        return NULL;
    char *p = (char *)(o + 1);
    StrView *parts[] = { &key, &val, &attrs };
    for (int i = 0; i < 3; i++) {
        if (parts[i]->len)
            memcpy(p, parts[i]->ptr, parts[i]->len);
        parts[i]->ptr = p;
        p += parts[i]->len;
    }
    *o = (ObjectRev){ .refs = 1, .key = key, .val = val, .attrs = attrs };
    return o;
}
