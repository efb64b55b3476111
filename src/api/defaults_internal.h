/* defaults_internal.h - the helpers that the defaults of all kinds are written with. */
#pragma once

#include "api/defaults.h"

typedef struct Defaults {
    Arena *arena;
    bool failed; /* exhausted; later calls do nothing harmful */
} Defaults;

/* Sets a member that is not there. `map` may be NULL or no map: then nothing happens. */
void default_value(Defaults *d, Value *map, const char *key, Value v);
void default_text(Defaults *d, Value *map, const char *key, const char *text);
void default_int(Defaults *d, Value *map, const char *key, int64_t i);
void default_bool(Defaults *d, Value *map, const char *key, bool b);
/* The map under `key`, made when it is not there; NULL when something else is. The pointer is good
 * until the next member is added to `map`: so ask for it last. */
Value *default_map(Defaults *d, Value *map, const char *key);

static inline Value *member(const Value *map, const char *key)
{
    return value_get(map, sv_cstr(key));
}
static inline bool text_is(const Value *map, const char *key, const char *text)
{
    return sv_eq(value_str(member(map, key)), sv_cstr(text));
}

void default_pod(Defaults *d, Value *obj);           /* a Pod as a whole */
void default_pod_template(Defaults *d, Value *spec); /* spec.template of a workload */
void default_claim_spec(Defaults *d, Value *spec);   /* of a PersistentVolumeClaim */
