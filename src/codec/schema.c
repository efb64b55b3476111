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
