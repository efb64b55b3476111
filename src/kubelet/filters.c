/* filters.c - the default system call filters that containers were started with last. Compiling one
 * takes some 15 ms, a third of a pod's whole start, and depends on nothing but the capabilities, of
 * which a node's containers have few different sets. Used from pool threads: a lock guards the
 * list, and nothing is compiled while it is held. */
#include "kubelet/filters.h"

#include <pthread.h>
#include <stdlib.h>

#include "oci/seccomp_profile.h"

typedef struct Filter {
    uint64_t caps;
    uint64_t used; /* the cache's clock when it was asked for last; 0: an empty place */
    Buf bytes;
} Filter;

struct FilterCache {
    pthread_mutex_t lock;
    uint64_t clock;
    FilterCompileFn *compile;
    Filter list[FILTERS_MAX];
};

int filter_cache_new(FilterCompileFn *compile, FilterCache **ret, Err *err)
{
    FilterCache *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    pthread_mutex_init(&c->lock, NULL);
    c->compile = compile ? compile : seccomp_profile_default;
    *ret = c;
    return 0;
}

FilterCache *filter_cache_free(FilterCache *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < FILTERS_MAX; i++)
        buf_free(&c->list[i].bytes);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return NULL;
}

static Filter *find(FilterCache *c, uint64_t caps)
{
    for (size_t i = 0; i < FILTERS_MAX; i++)
        if (c->list[i].used && c->list[i].caps == caps)
            return &c->list[i];
    return NULL;
}

/* Takes the bytes over; another thread may have been faster with the same. */
static void keep(FilterCache *c, uint64_t caps, Buf *bytes)
{
    Filter *oldest = &c->list[0];
    if (find(c, caps)) {
        buf_free(bytes);
        return;
    }
    for (size_t i = 1; i < FILTERS_MAX; i++)
        if (c->list[i].used < oldest->used)
            oldest = &c->list[i];
    buf_free(&oldest->bytes);
    *oldest = (Filter){ .caps = caps, .used = ++c->clock, .bytes = *bytes };
    *bytes = (Buf)BUF_INIT;
}

int filter_cache_get(FilterCache *c, uint64_t caps, Arena *a, StrView *ret, Err *err)
{
    StrView found = SV_NULL;
    pthread_mutex_lock(&c->lock);
    Filter *f = find(c, caps);
    if (f) {
        f->used = ++c->clock;
        found = arena_sv(a, buf_view(&f->bytes));
    }
    pthread_mutex_unlock(&c->lock);
    if (!f) {
        Buf bytes = BUF_INIT;
        int r = c->compile(caps, &bytes, err);
        if (r < 0) {
            buf_free(&bytes);
            return r;
        }
        found = arena_sv(a, buf_view(&bytes));
        pthread_mutex_lock(&c->lock);
        keep(c, caps, &bytes);
        pthread_mutex_unlock(&c->lock);
    }
    if (!found.ptr)
        return err_nomem(err);
    *ret = found;
    return 0;
}
