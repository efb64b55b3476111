/* json.h - JSON (RFC 8259) to and from a Value. Held to JSONTestSuite. */
#pragma once

#include "base/buf.h"
#include "codec/value.h"

enum { JSON_TEXT_MAX = 1u << 30 };

typedef struct JsonOptions {
    /* Called for each key that occurs twice in one object, with the path of the object's member
     * ("spec.replicas"); the last one wins, as in Go. NULL: not reported. */
    void (*on_duplicate)(void *ctx, StrView path);
    void *ctx;
    uint32_t depth_max; /* 0: VALUE_DEPTH_MAX */
    bool plain_text;    /* YAML only: unquoted scalars but null stay text as written */
    bool lines;         /* Value.line is set; YAML always does so */
} JsonOptions;

/* Decodes one document with nothing but white space after it. Strings without escapes point into
 * `text`, which must outlive the tree. Numbers that are integers and fit become VALUE_INT. `opt`
 * may be NULL. ERR_INVALID names line and column; ERR_LIMIT for depth; ERR_NOMEM for the arena's
 * cap. */
int json_decode(StrView text, Arena *a, const JsonOptions *opt, Value *ret, Err *err) NODISCARD;

/* Appends the shortest text, as Go's encoding/json writes it without HTML escaping; doubles in
 * their shortest round-trip form. Failure is in out->failed. */
void json_encode(const Value *v, Buf *out);
void json_encode_pretty(const Value *v, unsigned indent, Buf *out);
void json_encode_string(StrView s, Buf *out); /* with quotes; bad UTF-8 becomes U+FFFD */
