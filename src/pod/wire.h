/* wire.h - structs to and from bytes, by tables: each field is a tag, a length and its bytes,
 * little endian; lists of structs nest. Unknown tags are skipped, missing ones leave zero, so that
 * two versions of a program understand each other. Small on purpose: stage1 stays with every pod.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { WIRE_DEPTH_MAX = 4 };

typedef enum WireType {
    WIRE_END,
    WIRE_BOOL,   /* bool */
    WIRE_U32,    /* uint32_t */
    WIRE_U64,    /* uint64_t, int64_t */
    WIRE_TEXT,   /* const char *; encoded without NUL, decoded terminated; NULL is written as absent
                  */
    WIRE_BYTES,  /* StrView */
    WIRE_TEXTS,  /* WireStrings */
    WIRE_U32S,   /* WireU32s */
    WIRE_STRUCT, /* a struct inside, described by `sub` */
    WIRE_STRUCTS, /* { T *items; uint32_t len; }, described by `sub`, each `size` bytes */
} WireType;

typedef struct WireStrings {
    const char **items; /* decoded ones are NULL-terminated */
    uint32_t len;
} WireStrings;

typedef struct WireU32s {
    uint32_t *items;
    uint32_t len;
} WireU32s;

typedef struct WireField {
    uint16_t tag; /* 1.. ; never reused */
    uint8_t type;
    uint16_t offset;
    uint16_t size; /* of one struct */
    const struct WireField *sub;
} WireField;

#define WIRE(tag, type, T, member)                                                                 \
    {                                                                                              \
        tag, type, offsetof(T, member), 0, NULL                                                    \
    }
#define WIRE_SUB(tag, type, T, member, S, table)                                                   \
    {                                                                                              \
        tag, type, offsetof(T, member), sizeof(S), table                                           \
    }

void wire_encode(const WireField *table, const void *obj, Buf *out);
/* `obj` must be zeroed; absent texts become "". Copies into `a`. ERR_PROTO for anything malformed.
 */
int wire_decode(const WireField *table, StrView bytes, Arena *a, void *obj, Err *err) NODISCARD;
