/* body.h - decoding the bodies of requests, with fieldValidation. */
#pragma once

#include "apiserver/call.h"
#include "codec/schema.h"

/* Decodes the body (JSON, YAML or protobuf) of the given kind; unknown and duplicate fields are
 * refused, warned of or ignored as the request's fieldValidation says. Answers itself and returns
 * false on failure. */
bool body_read(ApiCall *x, const SchemaObject *schema, StrView group, StrView version, StrView kind,
               Value *ret);
/* The same for the call's own kind. */
bool body_read_object(ApiCall *x, Value *ret);
/* Checks what a patch has made against the call's kind, as the body of an update would be. */
bool body_check(ApiCall *x, Value *obj);
/* Decodes the body of an action (DeleteOptions, Scale …) in whatever form it came; no checks. */
int body_decode(ApiCall *x, const char *schema_name, Value *ret, Err *err) NODISCARD;
/* Whether the object is the one that the URL names, as a new version of it has to be. False after
 * answering. */
bool body_is_same_object(ApiCall *x, const Value *obj);
