/* schema.c - looking things up in the constant tables that describe object types. */
#include "codec/schema.h"

const SchemaField *schema_field(const SchemaObject *o, StrView name)
{
    const SchemaField *end = o ? o->fields + o->n_fields : NULL;

    for (const SchemaField *f = o ? o->fields : NULL; f < end; f++) {
        if (f->flags & SCHEMA_F_INLINE) {
            const SchemaField *in = schema_field(f->object, name);
            if (in)
                return in;
        } else if (sv_eq(f->name, name)) {
            return f;
        }
    }
    return NULL;
}

bool schema_each_object(const SchemaField *f, Value *v, SchemaObjectFn *fn, void *ctx)
{
    if (f->type != SCHEMA_OBJECT && f->type != SCHEMA_ITEM)
        return true;
    if (f->card == SCHEMA_ONE)
        return f->type != SCHEMA_OBJECT || v->kind != VALUE_MAP || fn(ctx, f->object, v);
    const SchemaField object = { .type = SCHEMA_OBJECT, .object = f->object },
                      *item = f->type == SCHEMA_ITEM ? f->item : &object;
    value_list_foreach (it, f->card == SCHEMA_LIST ? v : NULL) {
        if (!schema_each_object(item, it, fn, ctx))
            return false;
    }
    value_map_foreach (m, f->card == SCHEMA_MAP ? v : NULL) {
        if (!schema_each_object(item, &m->val, fn, ctx))
            return false;
    }
    return true;
}
