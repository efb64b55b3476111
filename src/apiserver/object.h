/* object.h - between documents and stored bytes: keys, the stored form, and the attributes that
 * selectors look at. */
#pragma once

#include "api/kind_set.h"
#include "codec/value.h"
#include "store/store.h"

/* "/registry/pods/" for a resource; with ns and name the object's key. False when too long. */
bool registry_key(const ApiResource *res, StrView ns, StrView name, char buf[static STORE_KEY_MAX]);
/* Namespace (SV_NULL without one) and name of a key that is one of `res`. */
void registry_names(const ApiResource *res, StrView key, StrView *ret_ns, StrView *ret_name);

/* Stored form: {"kind":"…","apiVersion":"…","metadata":{…, as any Kubernetes server could read it;
 * without resourceVersion. `res` is the row in whose form the object is (convert_stored). */
void object_store_form(const ApiResource *res, const Value *obj, Buf *out);
/* Appends the beginning of the object as clients see it: kind and apiVersion (unless `item`), the
 * metadata up to and with resourceVersion. Returns what of the stored value follows it; of a kind
 * that is stored in another form (convert.h) all is appended, and nothing follows. */
StrView object_open(const ApiResource *res, const ObjectRev *o, uint64_t rev, bool item, Buf *out);
/* Appends the object as clients see it. */
void object_encode(const ApiResource *res, const ObjectRev *o, uint64_t rev, bool item, Buf *out);
/* The same as a tree in the arena. */
int object_decode(const ApiResource *res, const ObjectRev *o, Arena *a, Value *ret,
                  Err *err) NODISCARD;
/* The newest version of an object of the core group. False: there is none, or no memory. */
bool object_core(Store *store, StrView plural, StrView ns, StrView name, Arena *a, Value *ret);
/* The raw text of the stored object's metadata: from "{" to the matching "}". */
StrView object_metadata_text(const ObjectRev *o);

/* What a store is to be told of objects (StoreConfig.derive, upgrade, ctx). */
StoreConfig object_store_config(ApiKinds *kinds);

/* Labels and selectable fields in compact form (ObjectRev.attrs), of an object in stored form. */
void attrs_build(const ApiResource *res, const Value *obj, Buf *out);
StrView attrs_label(StrView attrs, StrView key, bool *ret_found);
/* A selectable field of a stored object, by the stored form's names; empty when it is not set. */
StrView attrs_field(const ApiResource *res, const ObjectRev *o, StrView label);
