/* pack.c - parts of an object in one block of exactly the needed size. */
#include "api/pack.h"

void *pack_alloc(Pack *p, size_t head)
{
    head = (head + 7) & ~(size_t)7;
    char *block = calloc(1, head + p->size);
    p->at = block ? block + head : NULL;
    return block;
}

void *pack_bytes(Pack *p, size_t n)
{
    n = (n + 7) & ~(size_t)7;
    if (!p->at) {
        p->size += n;
        return NULL;
    }
    char *at = p->at;
    p->at += n;
    return at;
}

StrView pack_sv(Pack *p, StrView s)
{
    if (s.len == 0)
        return SV("");
    char *at = pack_bytes(p, s.len);
    if (!at)
        return s;
    memcpy(at, s.ptr, s.len);
    return sv_n(at, s.len);
}

Value pack_value(Pack *p, const Value *v)
{
    Value ret = v ? *v : value_null();
    if (ret.kind == VALUE_STRING)
        return value_sv(pack_sv(p, value_str(v)));
    if (ret.kind == VALUE_LIST && ret.len > 0) {
        Value *items = pack_bytes(p, ret.len * sizeof *items);
        for (uint32_t i = 0; i < v->len; i++) {
            Value it = pack_value(p, &v->items[i]);
            if (items)
                items[i] = it;
        }
        if (items)
            ret.items = items;
        ret.cap = ret.len;
    } else if (ret.kind == VALUE_MAP && ret.len > 0) {
        Member *members = pack_bytes(p, ret.len * sizeof *members);
        for (uint32_t i = 0; i < v->len; i++) {
            Member m = { pack_sv(p, v->members[i].key), pack_value(p, &v->members[i].val) };
            if (members)
                members[i] = m;
        }
        if (members)
            ret.members = members;
        ret.cap = ret.len;
    }
    return ret;
}
