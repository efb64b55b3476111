/* wire.c - see wire.h. A field is u16 tag, u32 length, bytes; numbers are little endian; lists of
 * texts and of structs are a sequence of u32 length and bytes. */
#include "pod/wire.h"

#include <endian.h>
#include <string.h>

/* --- writing --- */

static void put_u16(Buf *out, uint16_t v)
{
    v = htole16(v);
    buf_append(out, &v, sizeof v);
}

static void put_u32(Buf *out, uint32_t v)
{
    v = htole32(v);
    buf_append(out, &v, sizeof v);
}

/* Where the length belongs is only known afterwards. */
static size_t len_open(Buf *out)
{
    put_u32(out, 0);
    return out->len;
}

static void len_close(Buf *out, size_t start)
{
    uint32_t n = htole32((uint32_t)(out->len - start));

    if (!out->failed)
        memcpy(out->ptr + start - sizeof n, &n, sizeof n);
}

static void put_texts(const WireStrings *list, Buf *out)
{
    for (uint32_t i = 0; i < list->len; i++) {
        put_u32(out, (uint32_t)strlen(list->items[i]));
        buf_append(out, list->items[i], strlen(list->items[i]));
    }
}

typedef struct AnyList {
    void *items;
    uint32_t len;
} AnyList;

static bool is_absent(const WireField *f, const char *at)
{
    uint64_t n;

    switch (f->type) {
    case WIRE_BOOL:
        return !*at;
    case WIRE_U32:
        return memcmp(at, "\0\0\0\0", 4) == 0;
    case WIRE_U64:
        memcpy(&n, at, sizeof n);
        return n == 0;
    case WIRE_TEXT:
        return !*(const char *const *)(const void *)at;
    case WIRE_BYTES:
        return ((const StrView *)(const void *)at)->len == 0;
    case WIRE_STRUCT:
        return false;
    default:
        return ((const AnyList *)(const void *)at)->len == 0;
    }
}

static void put_value(const WireField *f, const char *at, Buf *out)
{
    const AnyList *list = (const void *)at;
    uint32_t n32;
    uint64_t n64;

    switch (f->type) {
    case WIRE_BOOL:
        buf_putc(out, 1);
        break;
    case WIRE_U32:
        memcpy(&n32, at, sizeof n32);
        put_u32(out, n32);
        break;
    case WIRE_U64:
        memcpy(&n64, at, sizeof n64);
        n64 = htole64(n64);
        buf_append(out, &n64, sizeof n64);
        break;
    case WIRE_TEXT:
        buf_sv(out, sv_cstr(*(const char *const *)(const void *)at));
        break;
    case WIRE_BYTES:
        buf_sv(out, *(const StrView *)(const void *)at);
        break;
    case WIRE_TEXTS:
        put_texts((const void *)at, out);
        break;
    case WIRE_U32S:
        for (uint32_t i = 0; i < list->len; i++)
            put_u32(out, ((const uint32_t *)list->items)[i]);
        break;
    case WIRE_STRUCT:
        wire_encode(f->sub, at, out);
        break;
    case WIRE_STRUCTS:
        for (uint32_t i = 0; i < list->len; i++) {
            size_t start = len_open(out);

            wire_encode(f->sub, (const char *)list->items + (size_t)i * f->size, out);
            len_close(out, start);
        }
        break;
    default:
        ASSERT_MSG(false, "type %d", f->type);
    }
}

void wire_encode(const WireField *table, const void *obj, Buf *out)
{
    for (const WireField *f = table; f->type != WIRE_END; f++) {
        const char *at = (const char *)obj + f->offset;
        size_t start;

        if (is_absent(f, at))
            continue;
        put_u16(out, f->tag);
        start = len_open(out);
        put_value(f, at, out);
        len_close(out, start);
    }
}

/* --- reading --- */

static int bad(Err *err, const char *why)
{
    return err_set(err, ERR_PROTO, 0, "malformed message: %s", why);
}

static bool take(StrView *s, void *ret, size_t n)
{
    if (s->len < n)
        return false;
    memcpy(ret, s->ptr, n);
    *s = sv_skip(*s, n);
    return true;
}

static bool take_piece(StrView *s, StrView *ret)
{
    uint32_t n;

    if (!take(s, &n, sizeof n) || (n = le32toh(n)) > s->len)
        return false;
    *ret = sv_head(*s, n);
    *s = sv_skip(*s, n);
    return true;
}

static int get_text(StrView bytes, Arena *a, const char **ret, Err *err)
{
    *ret = arena_cstr(a, bytes);
    if (!*ret)
        return sv_find_char(bytes, 0) >= 0 ? bad(err, "a NUL byte in a text") : err_nomem(err);
    return 0;
}

static int count_pieces(StrView bytes, uint32_t *ret, Err *err)
{
    StrView piece;

    for (*ret = 0; bytes.len; (*ret)++)
        if (!take_piece(&bytes, &piece))
            return bad(err, "a list is cut short");
    return 0;
}

static int get_texts(StrView bytes, Arena *a, WireStrings *ret, Err *err)
{
    WireStrings list = { 0 };
    StrView piece;
    uint32_t n;
    int r = count_pieces(bytes, &n, err);

    if (r < 0)
        return r;
    list.items = arena_array(a, const char *, (size_t)n + 1);
    if (!list.items)
        return err_nomem(err);
    while (take_piece(&bytes, &piece)) {
        r = get_text(piece, a, &list.items[list.len++], err);
        if (r < 0)
            return r;
    }
    *ret = list;
    return 0;
}

static int get_u32s(StrView bytes, Arena *a, WireU32s *ret, Err *err)
{
    uint32_t n = (uint32_t)(bytes.len / sizeof *ret->items);

    if (bytes.len % sizeof *ret->items)
        return bad(err, "a list of numbers is cut short");
    ret->items = arena_array(a, uint32_t, (size_t)n + 1);
    if (!ret->items)
        return err_nomem(err);
    for (ret->len = 0; ret->len < n; ret->len++) {
        take(&bytes, &ret->items[ret->len], sizeof *ret->items);
        ret->items[ret->len] = le32toh(ret->items[ret->len]);
    }
    return 0;
}

static int decode_at(const WireField *table, StrView bytes, Arena *a, void *obj, int depth,
                     Err *err);

static int get_structs(const WireField *f, StrView bytes, Arena *a, AnyList *ret, int depth,
                       Err *err)
{
    StrView piece;
    uint32_t n;
    int r = count_pieces(bytes, &n, err);

    if (r < 0)
        return r;
    ret->items = arena_alloc_n(a, (size_t)n + 1, f->size);
    if (!ret->items)
        return err_nomem(err);
    for (ret->len = 0; take_piece(&bytes, &piece); ret->len++) {
        r = decode_at(f->sub, piece, a, (char *)ret->items + (size_t)ret->len * f->size, depth + 1,
                      err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int get_number(StrView bytes, void *at, size_t size, Err *err)
{
    uint64_t n = 0;
    uint32_t n32;

    if (bytes.len != size)
        return bad(err, "a number has the wrong size");
    memcpy(&n, bytes.ptr, size);
    n = le64toh(n);
    n32 = (uint32_t)n;
    memcpy(at, size == 4 ? (void *)&n32 : (void *)&n, size);
    return 0;
}

static int get_value(const WireField *f, StrView bytes, Arena *a, char *at, int depth, Err *err)
{
    StrView copy;

    switch (f->type) {
    case WIRE_BOOL:
        if (bytes.len != 1)
            return bad(err, "a boolean has the wrong size");
        *(bool *)at = bytes.ptr[0] != 0;
        return 0;
    case WIRE_U32:
        return get_number(bytes, at, 4, err);
    case WIRE_U64:
        return get_number(bytes, at, 8, err);
    case WIRE_TEXT:
        return get_text(bytes, a, (const char **)(void *)at, err);
    case WIRE_BYTES:
        copy = arena_sv(a, bytes);
        if (!copy.ptr)
            return err_nomem(err);
        *(StrView *)(void *)at = copy;
        return 0;
    case WIRE_TEXTS:
        return get_texts(bytes, a, (void *)at, err);
    case WIRE_U32S:
        return get_u32s(bytes, a, (void *)at, err);
    case WIRE_STRUCT:
        return decode_at(f->sub, bytes, a, at, depth + 1, err);
    case WIRE_STRUCTS:
        return get_structs(f, bytes, a, (void *)at, depth, err);
    default:
        ASSERT_MSG(false, "type %d", f->type);
    }
    return 0;
}

static void default_texts(const WireField *table, char *obj)
{
    for (const WireField *f = table; f->type != WIRE_END; f++) {
        if (f->type == WIRE_STRUCT)
            default_texts(f->sub, obj + f->offset);
        if (f->type == WIRE_TEXT && !*(const char **)(void *)(obj + f->offset))
            *(const char **)(void *)(obj + f->offset) = "";
    }
}

static int decode_at(const WireField *table, StrView bytes, Arena *a, void *obj, int depth,
                     Err *err)
{
    if (depth > WIRE_DEPTH_MAX)
        return bad(err, "nested too deep");
    default_texts(table, obj);
    while (bytes.len) {
        StrView value;
        uint16_t tag;
        int r;

        if (!take(&bytes, &tag, sizeof tag) || !take_piece(&bytes, &value))
            return bad(err, "a field is cut short");
        tag = le16toh(tag);
        for (const WireField *f = table; f->type != WIRE_END; f++) {
            if (f->tag != tag)
                continue;
            r = get_value(f, value, a, (char *)obj + f->offset, depth, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int wire_decode(const WireField *table, StrView bytes, Arena *a, void *obj, Err *err)
{
    return decode_at(table, bytes, a, obj, 0, err);
}
