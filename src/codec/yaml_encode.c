/* yaml_encode.c - a Value to block-style YAML over libyaml's emitter.
 *
 * libyaml decides whether a string can stand plain by syntax alone; we add quotes where a reader
 * would take plain text for something else than a string. Text with line breaks becomes a literal
 * block.
 */
#include <yaml.h>

#include "codec/json_internal.h"
#include "codec/yaml.h"
#include "codec/yaml_internal.h"

static int write_out(void *ctx, unsigned char *data, size_t n)
{
    Buf *out = ctx;

    buf_append(out, data, n);
    return !out->failed;
}

static bool emit_text(yaml_emitter_t *e, StrView s, yaml_scalar_style_t style)
{
    yaml_event_t event;

    return yaml_scalar_event_initialize(&event, NULL, (const yaml_char_t *)YAML_STR_TAG,
                                        (const yaml_char_t *)s.ptr, (int)s.len, 1, 1, style) &&
           yaml_emitter_emit(e, &event);
}

static bool emit_string(yaml_emitter_t *e, StrView s)
{
    yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;

    if (yaml_needs_quotes(s))
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    else if (memchr(s.ptr, '\n', s.len))
        style = YAML_LITERAL_SCALAR_STYLE;
    return emit_text(e, s, style);
}

static bool emit_number(yaml_emitter_t *e, const Value *v)
{
    _cleanup_buf_ Buf text = BUF_INIT;

    json_encode(v, &text);
    return !text.failed && emit_text(e, buf_view(&text), YAML_PLAIN_SCALAR_STYLE);
}

static bool emit_node(yaml_emitter_t *e, const Value *v)
{
    yaml_event_t event;

    if (v->kind == VALUE_STRING)
        return emit_string(e, value_str(v));
    if (v->kind == VALUE_MAP) {
        if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
            !yaml_emitter_emit(e, &event))
            return false;
        for (uint32_t i = 0; i < v->len; i++) {
            if (!emit_string(e, v->members[i].key) || !emit_node(e, &v->members[i].val))
                return false;
        }
        return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
    }
    if (v->kind == VALUE_LIST) {
        if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                  YAML_BLOCK_SEQUENCE_STYLE) ||
            !yaml_emitter_emit(e, &event))
            return false;
        for (uint32_t i = 0; i < v->len; i++) {
            if (!emit_node(e, &v->items[i]))
                return false;
        }
        return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
    }
    return emit_number(e, v);
}

static bool emit_document(yaml_emitter_t *e, const Value *v)
{
    yaml_event_t event;

    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(e, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(e, &event) && emit_node(e, v) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(e, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

int yaml_encode(const Value *v, Buf *out, Err *err)
{
    yaml_emitter_t e;
    int r = 0;

    if (!yaml_emitter_initialize(&e))
        return err_nomem(err);
    yaml_emitter_set_output(&e, write_out, out);
    yaml_emitter_set_unicode(&e, 1);
    yaml_emitter_set_width(&e, -1);
    if (!emit_document(&e, v) || out->failed)
        r = e.error == YAML_MEMORY_ERROR || out->failed
                ? err_nomem(err)
                : err_set(err, ERR_INVALID, 0, "yaml: %s", e.problem ? e.problem : "cannot encode");
    yaml_emitter_delete(&e);
    return r;
}
