/* tree.c - path copying on a treap. mk() consumes the references to the children that it is given,
 * so an operation that runs out of memory half-way drops what it built by returning. */
#include "store/tree.h"

TreeNode *tree_ref(TreeNode *n)
{
    if (n)
        atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    return n;
}

TreeNode *tree_unref(TreeNode *n)
{
    while (n && atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) == 1) {
        TreeNode *right = n->right;
        tree_unref(n->left);
        object_rev_unref(n->obj);
        free(n);
        n = right; /* the other side without recursion */
    }
    return NULL;
}

static size_t count(const TreeNode *n)
{
    return n ? n->count : 0;
}

static TreeNode *mk(ObjectRev *obj, uint32_t prio, TreeNode *left, TreeNode *right, bool *oom)
{
    TreeNode *n = *oom ? NULL : malloc(sizeof *n);
    if (!n) {
        *oom = true;
        tree_unref(left);
        tree_unref(right);
        return NULL;
    }
    *n = (TreeNode){ .refs = 1,
                     .prio = prio,
                     .count = 1 + count(left) + count(right),
                     .obj = object_rev_ref(obj),
                     .left = left,
                     .right = right };
    return n;
}

static void split(TreeNode *n, StrView key, TreeNode **ret_l, TreeNode **ret_r, bool *oom)
{
    if (!n) {
        *ret_l = *ret_r = NULL;
        return;
    }
    TreeNode *mid;
    if (sv_cmp(n->obj->key, key) < 0) {
        split(n->right, key, &mid, ret_r, oom);
        *ret_l = mk(n->obj, n->prio, tree_ref(n->left), mid, oom);
    } else {
        split(n->left, key, ret_l, &mid, oom);
        *ret_r = mk(n->obj, n->prio, mid, tree_ref(n->right), oom);
    }
}

static TreeNode *merge(TreeNode *a, TreeNode *b, bool *oom)
{
    if (!a || !b)
        return tree_ref(a ? a : b);
    if (a->prio > b->prio)
        return mk(a->obj, a->prio, tree_ref(a->left), merge(a->right, b, oom), oom);
    return mk(b->obj, b->prio, merge(a, b->left, oom), tree_ref(b->right), oom);
}

static TreeNode *put(TreeNode *n, ObjectRev *obj, uint32_t prio, bool *oom)
{
    if (!n)
        return mk(obj, prio, NULL, NULL, oom);
    int c = sv_cmp(obj->key, n->obj->key);
    if (c == 0)
        return mk(obj, prio, tree_ref(n->left), tree_ref(n->right), oom);
    if (prio > n->prio) {
        TreeNode *l, *r;
        split(n, obj->key, &l, &r, oom);
        return mk(obj, prio, l, r, oom);
    }
    if (c < 0)
        return mk(n->obj, n->prio, put(n->left, obj, prio, oom), tree_ref(n->right), oom);
    return mk(n->obj, n->prio, tree_ref(n->left), put(n->right, obj, prio, oom), oom);
}

static TreeNode *del(TreeNode *n, StrView key, bool *oom)
{
    if (!n)
        return NULL;
    int c = sv_cmp(key, n->obj->key);
    if (c == 0)
        return merge(n->left, n->right, oom);
    if (c < 0)
        return mk(n->obj, n->prio, del(n->left, key, oom), tree_ref(n->right), oom);
    return mk(n->obj, n->prio, tree_ref(n->left), del(n->right, key, oom), oom);
}

static TreeNode *checked(TreeNode *n, bool *oom)
{
    return *oom ? tree_unref(n) : n;
}

TreeNode *tree_put(TreeNode *root, ObjectRev *obj, bool *oom)
{
    return checked(put(root, obj, (uint32_t)sv_hash(obj->key), oom), oom);
}

TreeNode *tree_del(TreeNode *root, StrView key, bool *oom)
{
    return checked(del(root, key, oom), oom);
}

ObjectRev *tree_get(const TreeNode *n, StrView key)
{
    while (n) {
        int c = sv_cmp(key, n->obj->key);
        if (c == 0)
            return n->obj;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

size_t tree_rank(const TreeNode *n, StrView key)
{
    size_t rank = 0;
    while (n) {
        if (sv_cmp(n->obj->key, key) < 0) {
            rank += count(n->left) + 1;
            n = n->right;
        } else
            n = n->left;
    }
    return rank;
}
