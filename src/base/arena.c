/* arena.c - chunked bump allocation. Chunks double from 4 KiB to 1 MiB, so that a small request
 * costs one malloc and a large one few. */
#include "base/arena.h"

#include <stdio.h>

enum { CHUNK_MIN = 4096, CHUNK_MAX = 1024 * 1024, ALIGN = 16 };

struct ArenaChunk {
    ArenaChunk *next;
    size_t size; /* of the data behind this header */
    _Alignas(ALIGN) char data[];
};

void arena_init(Arena *a, size_t limit)
{
    *a = (Arena){ .limit = limit };
}

struct ArenaEnd {
    ArenaEnd *next;
    void (*fn)(void *ctx);
    void *ctx;
};

static void run_ends(Arena *a)
{
    ArenaEnd *e = a->ends;
    a->ends = NULL;
    for (; e; e = e->next)
        e->fn(e->ctx);
}

bool arena_at_end(Arena *a, void (*fn)(void *ctx), void *ctx)
{
    ArenaEnd *e = arena_new(a, ArenaEnd);
    if (!e)
        return false;
    *e = (ArenaEnd){ a->ends, fn, ctx };
    a->ends = e;
    return true;
}

void arena_free(Arena *a)
{
    run_ends(a);
    for (ArenaChunk *c = a->chunk, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    arena_init(a, a->limit);
}

void arena_reset(Arena *a)
{
    run_ends(a);
    a->failed = false;
    if (!a->chunk)
        return;
    ArenaChunk *keep = a->chunk;
    while (keep->next) {
        ArenaChunk *next = keep->next;
        free(keep);
        keep = next;
    }
    a->chunk = keep;
    a->at = keep->data;
    a->end = keep->data + keep->size;
    a->used = sizeof *keep + keep->size;
}

static bool arena_grow(Arena *a, size_t need)
{
    size_t size =
        a->chunk ? MIN(a->chunk->size * 2, (size_t)CHUNK_MAX) : CHUNK_MIN - sizeof(ArenaChunk);
    if (size < need)
        size = need;
    size_t total = sizeof(ArenaChunk) + size;
    if (total < size)
        return false;
    if (a->limit && (a->used > a->limit || total > a->limit - a->used)) {
        /* The last chunk below the cap may be smaller than its turn. */
        total = sizeof(ArenaChunk) + need;
        if (a->used > a->limit || total > a->limit - a->used)
            return false;
        size = need;
    }
    ArenaChunk *c = malloc(total);
    if (!c)
        return false;
    c->next = a->chunk;
    c->size = size;
    a->chunk = c;
    a->at = c->data;
    a->end = c->data + size;
    a->used += total;
    return true;
}

void *arena_alloc(Arena *a, size_t n)
{
    if (n > SIZE_MAX / 2) {
        a->failed = true;
        return NULL;
    }
    n = n ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    if ((size_t)(a->end - a->at) < n && !arena_grow(a, n)) {
        a->failed = true;
        return NULL;
    }
    void *p = a->at;
    a->at += n;
    return memset(p, 0, n);
}

void *arena_alloc_n(Arena *a, size_t n, size_t size)
{
    size_t bytes;
    return arena_alloc(a, __builtin_mul_overflow(n, size, &bytes) ? SIZE_MAX : bytes);
}

void *arena_realloc(Arena *a, void *old, size_t old_size, size_t new_size)
{
    if (!old)
        return arena_alloc(a, new_size);
    if (new_size <= old_size)
        return old;
    size_t room = (old_size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    size_t want = (new_size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (old_size && (char *)old + room == a->at && want >= new_size &&
        want - room <= (size_t)(a->end - a->at)) {
        memset((char *)old + old_size, 0, want - old_size);
        a->at += want - room;
        return old;
    }
    void *p = arena_alloc(a, new_size);
    if (p)
        memcpy(p, old, old_size);
    return p;
}

StrView arena_sv(Arena *a, StrView s)
{
    char *p = arena_alloc(a, s.len + 1);
    if (!p)
        return SV_NULL;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return sv_n(p, s.len);
}

char *arena_cstr(Arena *a, StrView s)
{
    if (s.len && memchr(s.ptr, 0, s.len))
        return NULL;
    return (char *)arena_sv(a, s).ptr;
}

StrView arena_vprintf(Arena *a, const char *fmt, va_list ap)
{
    va_list again;
    char buf[256]; /* most texts fit, and need not be made twice */
    va_copy(again, ap);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p && (size_t)n < sizeof buf)
        memcpy(p, buf, (size_t)n + 1);
    else if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p ? sv_n(p, (size_t)n) : SV_NULL;
}

StrView arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

StrView arena_join(Arena *a, const StrView *parts, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    char *to = arena_alloc(a, len + 1), *p = to;
    for (size_t i = 0; p && i < n; i++) {
        if (parts[i].len)
            memcpy(p, parts[i].ptr, parts[i].len);
        p += parts[i].len;
    }
    return p ? sv_n(to, len) : SV_NULL;
}
