/* image_gc.c - pins, and the collector: marks from the index and the pins, then sweeps blobs and
 * layers. It holds gc.lock exclusively, so no import is under way and everything in tmp/ is left
 * over. */
#include <errno.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/file.h"
#include "base/map.h"
#include "image/image_internal.h"

enum { PIN_MAX = 200 };

static int pin_check(const char *pin, Err *err)
{
    size_t n = strlen(pin);

    if (n == 0 || n > PIN_MAX || pin[0] == '.' || strchr(pin, '/'))
        return err_set(err, ERR_INVALID, 0, "'%s' is no name for a pin", pin);
    return 0;
}

int image_pin(ImageStore *s, const char *pin, const Digest *manifest, Err *err)
{
    _cleanup_close_ int hold = -1;
    int r = pin_check(pin, err);

    if (r < 0 || (r = image_store_hold(s, &hold, err)) < 0)
        return r;
    if (!blob_exists(s, manifest, NULL))
        return err_set(err, ERR_NOT_FOUND, 0, "no image %s", manifest->text);
    /* Not synced: what it holds the image for does not run after a power cut, and pins it again. */
    r = file_write_atomic(s->pins_fd, pin, sv_cstr(manifest->text), 0600, false);
    return r < 0 ? err_neg(err, r, "write pin '%s'", pin) : 0;
}

int image_unpin(ImageStore *s, const char *pin, Err *err)
{
    int r = pin_check(pin, err);

    if (r < 0)
        return r;
    if (unlinkat(s->pins_fd, pin, 0) < 0 && errno != ENOENT)
        return err_errno(err, "remove pin '%s'", pin);
    return 0;
}

typedef struct Marks {
    Map blobs, layers; /* keys: 64 hex digits; values: any non-NULL */
    bool failed;       /* out of memory */
    bool unsure;       /* something needed cannot be read, and with it what it needs */
} Marks;

static bool mark(Map *m, const Digest *d)
{
    return map_set(m, sv_cstr(digest_hex(d)), m, NULL);
}

/* Of a manifest that cannot be read nobody knows what it needs, and pods may run from it: nothing
 * is deleted until it is mended or removed. The image's error shows where it is used. */
static int mark_image(ImageStore *s, StrView digest, Marks *marks, Err *err)
{
    _cleanup_arena_ Arena a;
    ImageConfig c;
    Manifest m;
    Digest d;
    bool ok;

    arena_init(&a, 0);
    if (digest_parse(sv_trim(digest), &d, NULL) < 0) {
        marks->unsure = true; /* a damaged pin */
        return 0;
    }
    ok = mark(&marks->blobs, &d);
    if (manifest_load(s, &d, &a, &m, NULL) < 0) {
        marks->unsure = true;
        return ok ? 0 : err_nomem(err);
    }
    ok = ok && mark(&marks->blobs, &m.config);
    for (uint32_t i = 0; i < m.layers_len; i++)
        ok = ok && mark(&marks->blobs, &m.layers[i].digest);
    if (image_config(s, &d, &a, &c, NULL) < 0)
        marks->unsure = true;
    else
        for (uint32_t i = 0; i < c.diff_ids_len; i++)
            ok = ok && mark(&marks->layers, &c.diff_ids[i]);
    return ok ? 0 : err_nomem(err);
}

static void mark_index(void *ctx, const Digest *index)
{
    Marks *marks = ctx;

    marks->failed |= !mark(&marks->blobs, index);
}

/* The indexes that prove a name's digest, where that is not the manifest's own. */
static int mark_name(ImageStore *s, const Value *entry, Marks *marks, Err *err)
{
    ImageRef ref;
    Digest d;

    if (image_ref_parse(store_entry_name(entry), &ref, NULL) >= 0 && ref.digest.text[0] &&
        digest_parse(value_str(value_get(entry, SV("digest"))), &d, NULL) >= 0)
        (void)!store_digest_leads_to(s, &ref.digest, &d, mark_index, marks);
    return marks->failed ? err_nomem(err) : 0;
}

typedef int (*EachFn)(ImageStore *s, int dir_fd, const char *name, void *ctx, Err *err);

static int each_file(ImageStore *s, int dir_fd, EachFn fn, void *ctx, Err *err)
{
    struct dirent *e;
    DIR *dir;
    int r = dir_list(dir_fd, ".", &dir), more = 0;

    if (r < 0)
        return err_neg(err, r, "read a folder of %s", s->dir);
    while (r >= 0 && (more = dir_next(dir, &e)) > 0)
        r = fn(s, dir_fd, e->d_name, ctx, err);
    closedir(dir);
    return more < 0 ? err_neg(err, more, "read a folder of %s", s->dir) : r;
}

typedef struct Pins {
    Arena *arena;
    Digest *items;
    size_t len, cap;
} Pins;

static int add_pin(ImageStore *s, int dir_fd, const char *name, void *ctx, Err *err)
{
    Pins *p = ctx;
    _cleanup_buf_ Buf text = BUF_INIT;
    Digest d;

    if (file_read(dir_fd, name, DIGEST_SIZE, &text) < 0 ||
        digest_parse(sv_trim(buf_view(&text)), &d, NULL) < 0)
        return 0;
    if (p->len == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 64;
        Digest *more = arena_array(p->arena, Digest, cap);

        if (!more)
            return err_nomem(err);
        if (p->len)
            memcpy(more, p->items, p->len * sizeof *more);
        p->items = more;
        p->cap = cap;
    }
    p->items[p->len++] = d;
    return 0;
}

int image_pins(ImageStore *s, Arena *a, Digest **ret, size_t *ret_len, Err *err)
{
    Pins p = { .arena = a };
    int r = each_file(s, s->pins_fd, add_pin, &p, err);

    *ret = p.items;
    *ret_len = p.len;
    return r;
}

static int mark_pin(ImageStore *s, int dir_fd, const char *name, void *ctx, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(dir_fd, name, 4096, &text);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_neg(err, r, "read pin '%s'", name);
    return mark_image(s, buf_view(&text), ctx, err);
}

typedef struct Sweep {
    const Map *keep;
    uint64_t freed;
} Sweep;

static int sweep_blob(ImageStore *s, int dir_fd, const char *name, void *ctx, Err *err)
{
    Sweep *sweep = ctx;
    struct stat st;

    if (map_has(sweep->keep, sv_cstr(name)) || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (unlinkat(dir_fd, name, 0) < 0)
        return err_errno(err, "remove blob %s", name);
    sweep->freed += (uint64_t)st.st_size;
    return 0;
}

static int sweep_tree(ImageStore *s, int dir_fd, const char *name, void *ctx, Err *err)
{
    Sweep *sweep = ctx;
    int r;

    if (sweep->keep && map_has(sweep->keep, sv_cstr(name)))
        return 0;
    /* Aside first: a crash in the middle must not leave half a layer under a layer's name. */
    if (sweep->keep) {
        if (renameat(dir_fd, name, s->tmp_fd, name) < 0)
            return err_errno(err, "move layer %s away", name);
        dir_fd = s->tmp_fd;
    }
    r = rm_rf(dir_fd, name);
    return r < 0 ? err_neg(err, r, "remove %s", name) : 0;
}

static int mark_all(ImageStore *s, Marks *marks, Err *err)
{
    _cleanup_arena_ Arena a;
    Value index;
    int r;

    arena_init(&a, 0);
    r = store_index_load(s, &a, &index, err);
    if (r < 0)
        return r;
    value_list_foreach (entry, value_get(&index, SV("manifests"))) {
        if ((r = mark_image(s, value_str(value_get(entry, SV("digest"))), marks, err)) < 0 ||
            (r = mark_name(s, entry, marks, err)) < 0)
            return r;
    }
    return each_file(s, s->pins_fd, mark_pin, marks, err);
}

int image_gc(ImageStore *s, uint64_t *ret_freed, Err *err)
{
    _cleanup_close_ int lock = -1;
    Marks marks = { 0 };
    Sweep blobs = { .keep = &marks.blobs }, layers = { .keep = &marks.layers }, tmp = { 0 };
    int r = store_lock(s, "gc.lock", LOCK_EX, &lock, err);

    if (r < 0)
        return r;
    if ((r = mark_all(s, &marks, err)) >= 0 &&
        (marks.unsure || ((r = each_file(s, s->blobs_fd, sweep_blob, &blobs, err)) >= 0 &&
                          (r = each_file(s, s->layers_fd, sweep_tree, &layers, err)) >= 0)))
        r = each_file(s, s->tmp_fd, sweep_tree, &tmp, err);
    map_free(&marks.blobs);
    map_free(&marks.layers);
    if (r >= 0 && ret_freed)
        *ret_freed = blobs.freed;
    return r < 0 ? err_wrap(err, "collect garbage") : 0;
}
