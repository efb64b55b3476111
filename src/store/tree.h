/* tree.h - a persistent ordered map: every change returns a new root that shares what did not
 * change. Nodes are immutable and reference-counted with atomic counts, so roots may be read by any
 * thread. Shape: a treap whose priorities are keyed hashes of the keys: depth is O(log n) whatever
 * the order, and whoever chooses the keys. */
#pragma once

#include "store/store.h"

/* A version with a copy of the key and room for the other two texts, no revisions yet; one
 * reference. NULL: no memory. */
ObjectRev *object_rev_room(StrView key, size_t val_len, size_t attrs_len);
/* The same with copies of the three texts. */
ObjectRev *object_rev_new(StrView key, StrView val, StrView attrs);

typedef struct TreeNode {
    atomic_uint refs;
    uint32_t prio;
    size_t count; /* of this subtree */
    ObjectRev *obj;
    struct TreeNode *left, *right;
} TreeNode;

TreeNode *tree_ref(TreeNode *n);
TreeNode *tree_unref(TreeNode *n); /* always NULL */
/* New roots; the old one stays as it is. On exhausted memory they return NULL and set *oom. An
 * empty tree is NULL, too. tree_put() takes its own reference on obj. */
TreeNode *tree_put(TreeNode *root, ObjectRev *obj, bool *oom);
TreeNode *tree_del(TreeNode *root, StrView key, bool *oom);
ObjectRev *tree_get(const TreeNode *root, StrView key);
size_t tree_rank(const TreeNode *root, StrView key); /* keys smaller than `key` */
