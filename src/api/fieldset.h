/* fieldset.h - sets of an object's fields, as server-side apply keeps them per manager.
 *
 * A set is a tree. Each node stands for one step of a path in FieldsV1's own notation ("f:spec",
 * "k:{"name":"web"}", "v:"a""), so that a step is compared and written as it is. A node may be a
 * member of the set, lead to members, or both. Nodes of one level are sorted: fields, keys, values,
 * indexes, each bytewise. Everything lives in an arena; a FieldSet is freed with it.
 * Source: sigs.k8s.io/structured-merge-diff, fieldpath; metav1.FieldsV1. */
#pragma once

#include "codec/value.h"

typedef struct FieldSet FieldSet;
struct FieldSet {
    StrView step; /* empty at the root */
    bool member;
    unsigned len, cap;
    FieldSet *children;
    struct KeyIndex *loose; /* while it is built: children are in no order and found by this */
};

/* A path as a chain of steps, the last one first. */
typedef struct FieldPath {
    const struct FieldPath *up; /* NULL: a member of the root */
    StrView step;
} FieldPath;

enum { FIELD_SET_DEPTH_MAX = 120 };

/* The child with this step, or NULL. */
FieldSet *fieldset_child(const FieldSet *s, StrView step);
/* Adds the path; false: arena exhausted. Steps must live as long as the set. After the last one,
 * fieldset_settle() puts the set in order: no other function may see it before. */
bool fieldset_insert(FieldSet *s, const FieldPath *path, Arena *a) NODISCARD;
void fieldset_settle(FieldSet *s);
bool fieldset_empty(const FieldSet *s);
bool fieldset_equal(const FieldSet *x, const FieldSet *y);
/* Adds all members of `with` to `s`. */
bool fieldset_union(FieldSet *s, const FieldSet *with, Arena *a) NODISCARD;
/* Members of x that are not (or, for the second, are) members of y. */
bool fieldset_minus(const FieldSet *x, const FieldSet *y, Arena *a, FieldSet *ret) NODISCARD;
bool fieldset_common(const FieldSet *x, const FieldSet *y, Arena *a, FieldSet *ret) NODISCARD;
/* Takes out the child with all below it. */
void fieldset_drop(FieldSet *s, StrView step);

/* From a FieldsV1 document; views into it. ERR_INVALID: not FieldsV1. */
int fieldset_decode(const Value *v, Arena *a, FieldSet *ret, Err *err) NODISCARD;
bool fieldset_encode(const FieldSet *s, Arena *a, Value *ret) NODISCARD;

/* Calls fn for each member with its path as messages show it: `.spec.containers[name="a"].image`.
 */
typedef void FieldSetFn(void *ctx, StrView path);
bool fieldset_each(const FieldSet *s, Arena *a, FieldSetFn *fn, void *ctx) NODISCARD;
