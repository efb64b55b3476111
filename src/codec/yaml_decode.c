/* yaml_decode.c - YAML to a Value over libyaml's events.
 *
 * Kubernetes reads YAML by turning it into JSON, so keys become strings here too and only what JSON
 * can say is accepted. An alias is a deep copy of its anchor: the tree has no shared parts, and a
 * budget on copied nodes stops alias bombs. A merge key (<<) adds what the map itself does not set.
 */
#include <yaml.h>

#include "base/encode.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/json_internal.h"
#include "codec/yaml.h"
#include "codec/yaml_internal.h"
#include "codec/key_index.h"

enum { ALIAS_NODES_MAX = 200000, ANCHORS_MAX = 10000, PATH_TEXT_MAX = 1024 };

typedef struct Anchor {
    StrView name;
    Value val;
} Anchor;

typedef struct Frame {
    struct Frame *up;
    StrView key;
    size_t index;
    bool is_map;
} Frame;

typedef struct Decoder {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    Arena *arena;
    const JsonOptions *opt;
    Err *err;
    Frame *frame;
    uint32_t depth, depth_max;
    size_t copied; /* nodes that aliases have made */
    VEC(Anchor) anchors;
} Decoder;

static int decode_node(Decoder *d, Value *ret);

static int fail(Decoder *d, const char *what)
{
    return err_set(d->err, ERR_INVALID, 0, "yaml: line %zu: %s", d->event.start_mark.line + 1,
                   what);
}

static int next_event(Decoder *d)
{
    if (d->has_event)
        yaml_event_delete(&d->event);
    d->has_event = false;
    if (yaml_parser_parse(&d->parser, &d->event)) {
        d->has_event = true;
        return 0;
    }
    if (d->parser.error == YAML_MEMORY_ERROR)
        return err_nomem(d->err);
    size_t line =
        d->parser.error == YAML_READER_ERROR ? d->parser.mark.line : d->parser.problem_mark.line;
    return err_set(d->err, ERR_INVALID, 0, "yaml: line %zu: %s", line + 1,
                   d->parser.problem ? d->parser.problem : "malformed text");
}

/* Counts nodes into *n and returns how deep the tree is. */
static uint32_t measure(const Value *v, size_t *n)
{
    uint32_t deepest = 0;

    ++*n;
    value_map_foreach (m, v) {
        uint32_t depth = measure(&m->val, n);
        deepest = MAX(deepest, depth);
    }
    value_list_foreach (it, v) {
        uint32_t depth = measure(it, n);
        deepest = MAX(deepest, depth);
    }
    return deepest + 1;
}

static int add_anchor(Decoder *d, const yaml_char_t *name, Value v)
{
    if (!name)
        return 0;
    if (d->anchors.len >= ANCHORS_MAX)
        return err_set(d->err, ERR_LIMIT, 0, "yaml: more than %d anchors", ANCHORS_MAX);
    Anchor a = { arena_sv(d->arena, sv_cstr((const char *)name)), v };
    if (!a.name.ptr || !vec_push(&d->anchors, a))
        return err_nomem(d->err);
    return 0;
}

static int decode_alias(Decoder *d, Value *ret)
{
    StrView name = sv_cstr((const char *)d->event.data.alias.anchor);

    for (size_t i = d->anchors.len; i-- > 0;) { /* the newest of one name counts */
        if (!sv_eq(d->anchors.items[i].name, name))
            continue;
        if (d->depth + measure(&d->anchors.items[i].val, &d->copied) > d->depth_max)
            return err_set(d->err, ERR_LIMIT, 0, "yaml: exceeded max depth of %u", d->depth_max);
        if (d->copied > ALIAS_NODES_MAX)
            return err_set(d->err, ERR_LIMIT, 0, "yaml: document contains excessive aliasing");
        return value_clone(d->arena, &d->anchors.items[i].val, ret) ? 0 : err_nomem(d->err);
    }
    return err_set(d->err, ERR_INVALID, 0, "yaml: unknown anchor '%.*s' referenced", SV_FMT(name));
}

static int decode_binary(Decoder *d, StrView text, Value *ret)
{
    _cleanup_buf_ Buf out = BUF_INIT;

    if (base64_decode(BASE64_STD, text, &out) < 0)
        return fail(d, "!!binary value contains invalid base64 data");
    StrView copy = out.failed ? SV_NULL : arena_sv(d->arena, buf_view(&out));
    if (!copy.ptr)
        return err_nomem(d->err);
    *ret = value_sv(copy);
    return 0;
}

static int decode_scalar(Decoder *d, Value *ret)
{
    const char *tag = (const char *)d->event.data.scalar.tag;
    StrView raw = sv_n(d->event.data.scalar.value, d->event.data.scalar.length);
    bool plain = d->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    Value v;

    if (raw.len > UINT32_MAX)
        return fail(d, "scalar is too long");
    if (tag && strcmp(tag, "tag:yaml.org,2002:binary") == 0)
        return decode_binary(d, raw, ret);
    bool is_text = tag ? strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0 : !plain;
    v = is_text ? value_sv(raw) : yaml_plain_scalar(raw);
    if (tag && strcmp(tag, YAML_FLOAT_TAG) == 0 && v.kind != VALUE_INT && v.kind != VALUE_DOUBLE)
        return fail(d, "cannot decode !!float value");
    if (tag && strcmp(tag, YAML_INT_TAG) == 0 && v.kind != VALUE_INT)
        return fail(d, "cannot decode !!int value");
    if (tag && strcmp(tag, YAML_BOOL_TAG) == 0 && v.kind != VALUE_BOOL)
        return fail(d, "cannot decode !!bool value");
    if (d->opt && d->opt->plain_text && v.kind != VALUE_NULL)
        v = value_sv(raw);
    if (v.kind == VALUE_DOUBLE && v.d - v.d != 0)
        return fail(d, "JSON has no infinity and no NaN");
    if (v.kind == VALUE_STRING) {
        StrView copy = arena_sv(d->arena, raw);
        if (!copy.ptr)
            return err_nomem(d->err);
        v = value_sv(copy);
    }
    *ret = v;
    return 0;
}

/* A key as JSON wants it: text. */
static int key_text(Decoder *d, const Value *v, StrView *ret)
{
    _cleanup_buf_ Buf out = BUF_INIT;

    if (v->kind == VALUE_STRING) {
        *ret = value_str(v);
        return 0;
    }
    if (v->kind == VALUE_NULL || v->kind == VALUE_LIST || v->kind == VALUE_MAP)
        return fail(d, "a map key must be a string, number or boolean");
    json_encode(v, &out);
    *ret = out.failed ? SV_NULL : arena_sv(d->arena, buf_view(&out));
    return ret->ptr ? 0 : err_nomem(d->err);
}

static void path_text(const Frame *f, Buf *out)
{
    if (!f)
        return;
    path_text(f->up, out);
    if (f->is_map) {
        if (out->len)
            buf_putc(out, '.');
        buf_sv(out, f->key);
    } else {
        buf_printf(out, "[%zu]", f->index);
    }
}

static void report_duplicate(Decoder *d)
{
    _cleanup_buf_ Buf path = BUF_INIT;

    if (!d->opt || !d->opt->on_duplicate)
        return;
    path.limit = PATH_TEXT_MAX;
    path_text(d->frame, &path);
    d->opt->on_duplicate(d->opt->ctx, path.failed ? d->frame->key : buf_view(&path));
}

/* Adds the members of a merged map that `into` lacks. */
static int merge_map(Decoder *d, Value *into, const Value *from)
{
    MapView have;

    if (from->kind != VALUE_MAP)
        return fail(d, "map merge requires map or sequence of maps as the value");
    if (!map_view_init(&have, into, from->len, d->arena))
        return err_nomem(d->err);
    value_map_foreach (m, from) {
        if (!map_view_get(&have, m->key) && !map_view_append(&have, m->key, m->val))
            return err_nomem(d->err);
    }
    return 0;
}

static int merge_all(Decoder *d, Value *into, const Value *merged)
{
    int r = 0;

    value_list_foreach (v, merged) {
        if (v->kind != VALUE_LIST) {
            r = merge_map(d, into, v);
            if (r < 0)
                return r;
            continue;
        }
        value_list_foreach (it, v) {
            if ((r = merge_map(d, into, it)) < 0)
                return r;
        }
    }
    return r;
}

static bool is_merge_key(const Decoder *d)
{
    return d->event.type == YAML_SCALAR_EVENT &&
           d->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           d->event.data.scalar.length == 2 && memcmp(d->event.data.scalar.value, "<<", 2) == 0;
}

static int decode_map(Decoder *d, Frame *f, Value *ret)
{
    Value map = value_map(), merged = value_list(), key, val;
    _cleanup_map_ Map seen = { 0 };
    int r;

    for (;;) {
        if ((r = next_event(d)) < 0)
            return r;
        if (d->event.type == YAML_MAPPING_END_EVENT)
            break;
        bool merge = is_merge_key(d);
        if ((r = decode_node(d, &key)) < 0 || (r = key_text(d, &key, &f->key)) < 0 ||
            (r = next_event(d)) < 0 || (r = decode_node(d, &val)) < 0)
            return r;
        val.line = key.line; /* a member stands where its key does */
        if (merge) {
            if (!value_push(d->arena, &merged, val))
                return err_nomem(d->err);
            continue;
        }
        /* Places are remembered by index plus one: the array moves as it grows. */
        uintptr_t place = (uintptr_t)map_get(&seen, f->key);
        if (place) {
            report_duplicate(d);
            map.members[place - 1].val = val;
            continue;
        }
        if (map.len == map.cap) {
            uint32_t cap = map.cap ? map.cap * 2 : 4;
            map.members = arena_realloc(d->arena, map.members, map.cap * sizeof(Member),
                                        cap * sizeof(Member));
            if (!map.members)
                return err_nomem(d->err);
            map.cap = cap;
        }
        map.members[map.len++] = (Member){ f->key, val };
        if (!map_set(&seen, f->key, (void *)(uintptr_t)map.len, NULL))
            return err_nomem(d->err);
    }
    if ((r = merge_all(d, &map, &merged)) < 0)
        return r;
    *ret = map;
    return 0;
}

static int decode_list(Decoder *d, Frame *f, Value *ret)
{
    Value list = value_list(), val;
    int r;

    for (;; f->index++) {
        if ((r = next_event(d)) < 0)
            return r;
        if (d->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        if ((r = decode_node(d, &val)) < 0)
            return r;
        if (!value_push(d->arena, &list, val))
            return err_nomem(d->err);
    }
    *ret = list;
    return 0;
}

/* The anchor's name goes with the event, which the children replace: it is copied first. */
static int decode_container(Decoder *d, bool is_map, Value *ret)
{
    const yaml_char_t *name =
        is_map ? d->event.data.mapping_start.anchor : d->event.data.sequence_start.anchor;
    Frame f = { .up = d->frame, .is_map = is_map };
    char *anchor = NULL;
    int r;

    if (name && !(anchor = arena_cstr(d->arena, sv_cstr((const char *)name))))
        return err_nomem(d->err);
    if (++d->depth > d->depth_max)
        return err_set(d->err, ERR_LIMIT, 0, "yaml: exceeded max depth of %u", d->depth_max);
    d->frame = &f;
    r = is_map ? decode_map(d, &f, ret) : decode_list(d, &f, ret);
    d->frame = f.up;
    d->depth--;
    return r < 0 ? r : add_anchor(d, (const yaml_char_t *)anchor, *ret);
}

/* The node that the current event begins. */
static int decode_any(Decoder *d, Value *ret)
{
    int r;

    switch (d->event.type) {
    case YAML_ALIAS_EVENT:
        return decode_alias(d, ret);
    case YAML_SCALAR_EVENT:
        if ((r = decode_scalar(d, ret)) < 0)
            return r;
        return add_anchor(d, d->event.data.scalar.anchor, *ret);
    case YAML_MAPPING_START_EVENT:
        return decode_container(d, true, ret);
    case YAML_SEQUENCE_START_EVENT:
        return decode_container(d, false, ret);
    default:
        return fail(d, "did not find expected node content");
    }
}

static int decode_node(Decoder *d, Value *ret)
{
    size_t line = d->event.start_mark.line + 1;
    int r = decode_any(d, ret);

    if (r >= 0)
        ret->line = (uint32_t)MIN(line, (size_t)0xffffff);
    return r;
}

/* Where the next document starts: at its "---", or behind this one's "..." line. libyaml reports
 * the explicit end, but the implicit one only once it has seen what follows. */
static size_t document_end(const Decoder *d, StrView text)
{
    size_t at =
        d->event.data.document_end.implicit ? d->event.start_mark.index : d->event.end_mark.index;
    size_t bytes = 0;

    /* Marks count characters; offsets are in bytes. */
    for (size_t chars = 0; bytes < text.len && chars < at; chars++) {
        do
            bytes++;
        while (bytes < text.len && ((unsigned char)text.ptr[bytes] & 0xC0) == 0x80);
    }
    return bytes;
}

static int decode_document(Decoder *d, StrView text, Value *ret, size_t *ret_used)
{
    int r;

    do {
        if ((r = next_event(d)) < 0)
            return r;
    } while (d->event.type == YAML_STREAM_START_EVENT);
    if (d->event.type == YAML_STREAM_END_EVENT) {
        *ret = value_null();
        *ret_used = text.len;
        return 0;
    }
    if ((r = next_event(d)) < 0 || (r = decode_node(d, ret)) < 0 || (r = next_event(d)) < 0)
        return r;
    if (d->event.type != YAML_DOCUMENT_END_EVENT)
        return fail(d, "did not find expected <document start>");
    *ret_used = document_end(d, text);
    return 0;
}

int yaml_decode(StrView text, Arena *a, const JsonOptions *opt, Value *ret, size_t *ret_used,
                Err *err)
{
    Decoder d = { .arena = a, .opt = opt, .err = err };
    Value v = value_null();
    size_t used = 0;
    int r;

    if (text.len > JSON_TEXT_MAX)
        return err_set(err, ERR_LIMIT, 0, "YAML text of %zu bytes is over the limit of %d",
                       text.len, JSON_TEXT_MAX);
    d.depth_max = opt && opt->depth_max ? opt->depth_max : VALUE_DEPTH_MAX;
    if (!yaml_parser_initialize(&d.parser))
        return err_nomem(err);
    yaml_parser_set_encoding(&d.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&d.parser, (const unsigned char *)text.ptr, text.len);
    r = decode_document(&d, text, &v, &used);
    if (d.has_event)
        yaml_event_delete(&d.event);
    yaml_parser_delete(&d.parser);
    vec_free(&d.anchors);
    if (r < 0)
        return r;
    *ret = v;
    if (ret_used)
        *ret_used = used;
    return 0;
}
