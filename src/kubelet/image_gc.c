/* image_gc.c - see image_gc.h. A look is one job: it lists what there is, and where the disk is
 * fuller than the high threshold it removes images until it is at the low one. When an image was
 * used last is the time of its record (pull_record.h), so that a restart forgets nothing. */
#include "kubelet/image_gc.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "codec/json.h"
#include "kubelet/internal.h"

enum {
    LOOK_EVERY_MS = 60 * 1000,
    LOOK_SOON_MS = 1000, /* so that several changes are one look */
};

struct ImageKeeper {
    Kubelet *k;
    Source *timer;
    bool busy, again;
    Buf list;  /* JSON; empty: not yet known */
    bool said; /* that not enough can be removed */
};

/* ---- node.status.images ---- */

static int by_size(const void *a, const void *b)
{
    const ImageInfo *x = *(const ImageInfo *const *)a, *y = *(const ImageInfo *const *)b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return strcmp(x->manifest.text, y->manifest.text);
}

/* "repository@sha256:…" and the names with tags. */
static void push_names(Value *list, const ImageInfo *i, Arena *a)
{
    ImageRef ref;
    char repository[IMAGE_REF_SIZE];
    StrView last = SV_NULL;
    for (uint32_t n = 0; n < i->names_len; n++) {
        if (image_ref_parse(sv_cstr(i->names[n]), &ref, NULL) < 0)
            continue;
        image_ref_repository(&ref, repository);
        if (sv_eq(last, sv_cstr(repository)))
            continue; /* sorted: names of one repository follow each other */
        last = arena_sv(a, sv_cstr(repository));
        value_push(a, list, value_sv(arena_printf(a, "%s@%s", repository, i->manifest.text)));
    }
    for (uint32_t n = 0; n < i->names_len; n++)
        if (!strchr(i->names[n], '@'))
            value_push(a, list, value_sv(arena_sv(a, sv_cstr(i->names[n]))));
}

Value node_images(const ImageInfo *list, size_t n, Arena *a)
{
    Value images = value_list();
    const ImageInfo **sorted = arena_array(a, const ImageInfo *, n + 1);
    size_t len = 0;
    for (size_t i = 0; sorted && i < n; i++)
        if (!list[i].damage && list[i].names_len)
            sorted[len++] = &list[i];
    if (len)
        qsort(sorted, len, sizeof *sorted, by_size);
    for (size_t i = 0; i < len && i < NODE_IMAGES_MAX; i++) {
        Value v = value_map(), names = value_list();
        push_names(&names, sorted[i], a);
        value_set(a, &v, SV("names"), names);
        value_set(a, &v, SV("sizeBytes"), value_int((int64_t)sorted[i]->size));
        value_push(a, &images, v);
    }
    return images;
}

/* ---- a look ---- */

typedef struct LookJob {
    Kubelet *k;
    Arena arena;
    ImageInfo *images;
    size_t n;
    Digest *pins;
    size_t n_pins;
    char dir[PULL_DIR_SIZE]; /* of the records */
    Buf list;                /* result */
    uint64_t wanted, freed;
    Err err;
} LookJob;

typedef struct Candidate {
    const ImageInfo *image;
    int64_t used_ns;
} Candidate;

static bool is_pinned(const LookJob *j, const ImageInfo *i)
{
    for (size_t n = 0; n < j->n_pins; n++)
        if (digest_eq(&j->pins[n], &i->manifest))
            return true;
    return false;
}

static bool is_candidate(const LookJob *j, const ImageInfo *i, int64_t *ret_used)
{
    char path[PATH_SIZE];
    struct stat st;
    if (i->damage || is_pinned(j, i))
        return false;
    snprintf(path, sizeof path, "%s/%s", j->dir, digest_hex(&i->config));
    if (stat(path, &st) < 0)
        return false; /* it was brought by hand */
    *ret_used = st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec;
    return clock_real_ns() - *ret_used >= j->k->cfg.image_min_age_ms * NSEC_PER_MSEC;
}

static int by_use(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return (x->used_ns > y->used_ns) - (x->used_ns < y->used_ns);
}

/* Bytes that are to be free again; 0: there is room, or it is not known. */
static uint64_t missing_room(const Kubelet *k)
{
    struct statvfs fs;
    if (statvfs(k->cfg.data_dir, &fs) < 0 || !fs.f_blocks)
        return 0;
    uint64_t all = (uint64_t)fs.f_blocks * fs.f_frsize, left = (uint64_t)fs.f_bavail * fs.f_frsize;
    uint64_t used_percent = 100 - left * 100 / all;
    uint64_t wanted = all / 100 * (100 - k->cfg.image_gc_low);
    return used_percent >= k->cfg.image_gc_high && wanted > left ? wanted - left : 0;
}

/* What ended or was cancelled pulls have left belongs to no image, and goes first. */
static bool collect_remains(LookJob *j)
{
    if (image_gc(j->k->images, NULL, &j->err) < 0)
        return false;
    j->wanted = missing_room(j->k);
    return j->wanted > 0;
}

static void remove_unused(LookJob *j)
{
    Candidate *list = arena_array(&j->arena, Candidate, j->n + 1);
    size_t n = 0;
    if (!list || image_pins(j->k->images, &j->arena, &j->pins, &j->n_pins, &j->err) < 0)
        return;
    for (size_t i = 0; i < j->n; i++) {
        list[n].image = &j->images[i];
        n += is_candidate(j, &j->images[i], &list[n].used_ns);
    }
    if (n)
        qsort(list, n, sizeof *list, by_use);
    for (size_t i = 0; i < n && j->freed < j->wanted; i++) {
        const ImageInfo *image = list[i].image;
        if (image_rm(j->k->images, sv_cstr(image->manifest.text), &j->err) < 0)
            return;
        log_info("image %s is removed: the disk is full and nothing uses it",
                 image->names_len ? image->names[0] : image->manifest.text);
        j->freed += image->size;
    }
    (void)!pull_record_sweep(j->dir, j->k->images, &j->err);
}

static void look_work(void *ctx)
{
    LookJob *j = ctx;
    if (image_list(j->k->images, &j->arena, &j->images, &j->n, &j->err) < 0)
        return;
    j->wanted = missing_room(j->k);
    if (j->wanted) {
        if (collect_remains(j))
            remove_unused(j);
        if (image_list(j->k->images, &j->arena, &j->images, &j->n, &j->err) < 0)
            return;
    }
    Value v = node_images(j->images, j->n, &j->arena);
    json_encode(&v, &j->list);
}

static void say(ImageKeeper *g, const LookJob *j)
{
    EventRef node = { .api_version = SV("v1"),
                      .kind = SV("Node"),
                      .name = sv_cstr(g->k->cfg.node_name),
                      .uid = sv_cstr(g->k->cfg.node_name) };
    bool fails = j->err.code != ERR_NONE || j->freed < j->wanted;
    if (fails && !g->said && j->err.code != ERR_NONE)
        event_record(g->k->events, &node, SV("Warning"), SV("ImageGCFailed"), "%s", j->err.msg);
    else if (fails && !g->said)
        event_record(g->k->events, &node, SV("Warning"), SV("FreeDiskSpaceFailed"),
                     "Failed to garbage collect required amount of images. Attempted to free %llu "
                     "bytes, but only found %llu bytes eligible to free.",
                     (unsigned long long)j->wanted, (unsigned long long)j->freed);
    g->said = fails;
}

static void look(void *ctx);

static void look_done(void *ctx)
{
    LookJob *j = ctx;
    Kubelet *k = j->k;
    ImageKeeper *g = k->ended ? NULL : k->image_keeper;
    if (g) {
        g->busy = false;
        say(g, j);
        if (j->list.len && !j->list.failed) {
            buf_free(&g->list);
            g->list = j->list;
            j->list = (Buf)BUF_INIT;
        }
        if (g->again)
            image_keeper_look(g);
    }
    buf_free(&j->list);
    arena_free(&j->arena);
    free(j);
    kubelet_job_done(k);
}

static void look(void *ctx)
{
    ImageKeeper *g = ctx;
    LookJob *j = g->busy ? NULL : calloc(1, sizeof *j);
    g->again = g->busy;
    if (!j)
        return;
    j->k = g->k;
    j->list = (Buf)BUF_INIT;
    arena_init(&j->arena, 0);
    pull_record_dir(g->k->cfg.data_dir, j->dir);
    g->busy = kubelet_job(g->k, look_work, look_done, j, NULL) == 0;
    if (!g->busy) {
        arena_free(&j->arena);
        free(j);
    }
}

void image_keeper_look(ImageKeeper *g)
{
    if (g)
        (void)!source_set_timer(g->timer, LOOK_SOON_MS, LOOK_EVERY_MS, NULL);
}

bool image_keeper_list(const ImageKeeper *g, Arena *a, Value *ret)
{
    StrView text = g && g->list.len ? arena_sv(a, buf_view(&g->list)) : SV_NULL;
    return text.len && json_decode(text, a, NULL, ret, NULL) == 0;
}

int image_keeper_new(Kubelet *k, ImageKeeper **ret, Err *err)
{
    ImageKeeper *g = calloc(1, sizeof *g);
    if (!g)
        return err_nomem(err);
    g->k = k;
    g->list = (Buf)BUF_INIT;
    int r = loop_add_timer(k->loop, LOOK_SOON_MS, LOOK_EVERY_MS, look, g, &g->timer, err);
    if (r < 0) {
        free(g);
        return r;
    }
    *ret = g;
    return 0;
}

ImageKeeper *image_keeper_free(ImageKeeper *g)
{
    if (!g)
        return NULL;
    source_free(g->timer);
    buf_free(&g->list);
    free(g);
    return NULL;
}
