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

ObjectRev *object_rev_room(StrView key, size_t val_len, size_t attrs_len)
{
    ObjectRev *o = malloc(sizeof *o + key.len + val_len + attrs_len);
    if (!o)
        return NULL;
    char *p = (char *)(o + 1);
    if (key.len)
        memcpy(p, key.ptr, key.len);
    *o = (ObjectRev){ .refs = 1,
                      .key = sv_n(p, key.len),
                      .val = sv_n(p + key.len, val_len),
                      .attrs = sv_n(p + key.len + val_len, attrs_len) };
    return o;
}

ObjectRev *object_rev_new(StrView key, StrView val, StrView attrs)
{
    ObjectRev *o = object_rev_room(key, val.len, attrs.len);
    if (o && val.len)
        memcpy((char *)o->val.ptr, val.ptr, val.len);
    if (o && attrs.len)
        memcpy((char *)o->attrs.ptr, attrs.ptr, attrs.len);
    return o;
}
