/* protobuf.h - Kubernetes' protobuf encoding, driven by the same tables as everything else.
 *
 * The wire format is proto2 as Go's code generator writes it: see the field numbers in the .kapi
 * files and k8s.io/apimachinery's generated.proto for the well-known messages (Time, Quantity …).
 */
#pragma once

#include "base/buf.h"
#include "codec/schema.h"
#include "codec/value.h"

enum { PROTOBUF_MAP_MAX = 20000, PROTOBUF_DEPTH_MAX = 100 };

/* The envelope of a stored or sent object: "k8s\0" and a runtime.Unknown. */
typedef struct ProtobufEnvelope {
    StrView api_version, kind;
    StrView raw; /* the object's message */
    StrView content_encoding, content_type;
} ProtobufEnvelope;

bool protobuf_has_magic(StrView bytes);
/* ERR_INVALID without the magic or with a malformed message. Views point into `bytes`. */
int protobuf_open(StrView bytes, ProtobufEnvelope *ret, Err *err) NODISCARD;

/* Decodes one message. Strings point into `bytes`, which must outlive the tree. What Go's JSON
 * would leave out (zero values of omitempty fields) is left out. Unknown fields are skipped.
 * apiVersion and kind are not part of a message: they come from the envelope. */
int protobuf_decode(const SchemaObject *type, StrView bytes, Arena *a, Value *ret,
                    Err *err) NODISCARD;

/* Appends the message of `v`; members that the type does not have are left out. ERR_INVALID when a
 * member's value does not fit its type. */
int protobuf_encode(const SchemaObject *type, const Value *v, Buf *out, Err *err) NODISCARD;

/* Appends the whole envelope of an object. */
int protobuf_seal(StrView api_version, StrView kind, const SchemaObject *type, const Value *v,
                  Buf *out, Err *err) NODISCARD;

/* Building messages by hand (a watch event, an etcd request): one field each. */
void protobuf_put_varint(Buf *out, uint64_t n);
void protobuf_put_int(Buf *out, unsigned number, int64_t n);
void protobuf_put_bytes(Buf *out, unsigned number, StrView bytes);
/* Turns what was appended since out->len was `start` into the body of a field: for nested messages.
 */
void protobuf_close(Buf *out, unsigned number, size_t start);

/* Reading messages by hand: the next field of *rest. Returns 1, 0 at the end, or a failure. */
typedef struct ProtobufField {
    unsigned number;
    unsigned wire; /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t n;    /* the number, for wire 0, 1 and 5 */
    StrView bytes; /* for wire 2 */
} ProtobufField;

int protobuf_next(StrView *rest, ProtobufField *ret, Err *err) NODISCARD;
