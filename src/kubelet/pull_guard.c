/* pull_guard.c - see pull_guard.h.
 *
 * What may be reused are the blobs and layers of those images that this right lets somebody use:
 * whatever else the registry names by its digest has to come from there, or else a registry of
 * somebody's own would be the way to everybody's images. */
#include "kubelet/pull_guard.h"

#include <stdio.h>

#include "base/log.h"
#include "base/map.h"

typedef struct Guard {
    ImageStore *store;
    char dir[PULL_DIR_SIZE];
    Arena arena;
    bool everyone; /* there is no right */
    PullRight right;
    bool known;
    Map reusable; /* keys: hexadecimal digits */
    Map brought;  /* configurations of images that were brought by hand, for everyone */
} Guard;

static void guard_free(void *ctx)
{
    Guard *g = ctx;
    map_free(&g->reusable);
    map_free(&g->brought);
    arena_free(&g->arena);
    free(g);
}

static bool add_digest(void *ctx, const Digest *d)
{
    Guard *g = ctx;
    return map_set(&g->reusable, sv_cstr(digest_hex(d)), g, NULL);
}

static bool may_use(const Guard *g, const PullRecord *r)
{
    return !r->exists || r->everyone || (!g->everyone && pull_record_allows(r, &g->right));
}

/* An image that cannot be read costs itself: what only it has is not reused. */
static int look(Guard *g, Err *err)
{
    _cleanup_arena_ Arena a, one;
    ImageInfo *list;
    size_t n;
    arena_init(&a, 0);
    arena_init(&one, 0);
    int r = image_list(g->store, &a, &list, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        PullRecord record;
        if (list[i].damage)
            continue;
        r = pull_record_read(g->dir, &list[i].config, &one, &record, err);
        if (r >= 0 && !record.exists &&
            !map_set(&g->brought, sv_cstr(digest_hex(&list[i].config)), g, NULL))
            r = err_nomem(err);
        if (r >= 0 && may_use(g, &record))
            (void)!image_digests(g->store, &list[i].manifest, add_digest, g, NULL);
        arena_reset(&one);
    }
    return r;
}

static bool guard_may_reuse(void *ctx, const Digest *d)
{
    Guard *g = ctx;
    Err err = { 0 };
    if (!g->known && look(g, &err) < 0)
        log_debug("what of the node's images may be reused is not known: %s", err.msg);
    g->known = true;
    return map_has(&g->reusable, sv_cstr(digest_hex(d)));
}

static int guard_admit(void *ctx, const Digest *config, Err *err)
{
    Guard *g = ctx;
    bool everyone = g->everyone || map_has(&g->brought, sv_cstr(digest_hex(config)));
    return pull_record_add(g->dir, config, everyone ? NULL : &g->right, err);
}

int pull_guard_new(ImageStore *s, const char *dir, const PullRight *right, RegistryGuard *ret,
                   Err *err)
{
    Guard *g = calloc(1, sizeof *g);
    if (!g)
        return err_nomem(err);
    arena_init(&g->arena, 0);
    g->store = s;
    g->everyone = !right;
    if (!sv_copy_cstr(sv_cstr(dir), g->dir, sizeof g->dir)) {
        guard_free(g);
        return err_set(err, ERR_LIMIT, 0, "the path '%s' is too long", dir);
    }
    if (right)
        g->right =
            (PullRight){ arena_sv(&g->arena, right->uid), arena_sv(&g->arena, right->ns),
                         arena_sv(&g->arena, right->name), arena_sv(&g->arena, right->hash) };
    if (g->arena.failed) {
        guard_free(g);
        return err_nomem(err);
    }
    *ret = (RegistryGuard){ .trust = g->right.hash,
                            .may_reuse = guard_may_reuse,
                            .admit = guard_admit,
                            .free = guard_free,
                            .ctx = g };
    return 0;
}
