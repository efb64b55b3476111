/* convert.h - kinds that are served in more than one form.
 *
 * Event is one: events.k8s.io/v1 has new names for half of what core/v1 has.
 * HorizontalPodAutoscaler is another, of two versions. Such a kind is stored in one form (the one
 * that kube-apiserver stores), and every request sees its own. */
#pragma once

#include "api/kinds.h"
#include "api/selector.h"
#include "base/buf.h"
#include "codec/value.h"

/* The resource in whose form the objects of `res` are stored: mostly itself. */
const ApiResource *convert_stored(const ApiResource *res);

/* An object in the form of `res` as it is to be stored. Shares everything below its members; not
 * complete when the arena has failed. */
Value convert_object(const ApiResource *res, const Value *obj, Arena *a);

/* Whether conversion makes values, and not just other names of them. */
bool convert_makes_values(const ApiResource *res);

/* Takes out of `obj` what would become part of the stored form's status, though it lies in its
 * metadata, and puts there what `old` has (NULL: nothing). For writes of anything but the status.
 */
void convert_keep_status(const ApiResource *res, Value *obj, const Value *old, Arena *a);

/* Gives the terms of a field selector the names of the stored form. */
int convert_field_terms(const ApiResource *res, Selector *s, Arena *a, Err *err) NODISCARD;

/* Appends a stored object's text, from within its metadata on, with the
 * names of `res`. Takes one pass over the text. */
void convert_rest(const ApiResource *res, StrView rest, Buf *out);
