/* bind.h - documents to structs by tables: which key of a map goes to which member. Errors name
 * file, line and the path of the key: "a.yml:12: clusters[0].cluster.server: …".
 *
 * To bind a document: a struct, a table of Field for each of its maps, a Type around each table,
 * and bind_struct() on what yaml_decode() or json_decode() (with `lines`) made. A format with kinds
 * of values of its own, or with keys that it ignores, has a BindFormat. */
#pragma once

#include "base/list.h"
#include "codec/value.h"

enum { BIND_UNSET = -1, BIND_LIST_MAX = 1000000 };

typedef enum FieldKind {
    FIELD_BOOL, /* bool */
    FIELD_TRI,  /* int8_t: BIND_UNSET, 0, 1 */
    FIELD_TEXT, /* StrView */
    FIELD_SECRET,
    FIELD_INT,    /* int64_t */
    FIELD_UINT,   /* uint64_t */
    FIELD_DOUBLE, /* double */
    FIELD_TEXTS,  /* StrList; one text is a list of one */
    FIELD_PARAMS, /* StrParams: a map of lists of texts, sorted */
    FIELD_SECRET_PARAMS,
    FIELD_VALUE,   /* const Value *: as it is; NULL when the key is absent */
    FIELD_STRUCT,  /* embedded; `sub` */
    FIELD_POINTER, /* NULL when the key is absent; `sub` */
    FIELD_LIST,    /* LIST() of structs; `sub` */
    FIELD_INLINE,  /* its keys stand among the parent's; `sub` */
    FIELD_OWN,     /* the kinds of a format begin here */
} FieldKind;

typedef struct Type Type;
typedef struct Field {
    const char *key;
    unsigned kind; /* FieldKind, or one of the format's */
    bool keep;     /* for those who write it: also when it is zero */
    size_t offset;
    const Type *sub;
} Field;

typedef struct Binder Binder;
struct Type {
    const char *name; /* as messages call it: "config.plain" */
    size_t size;
    const Field *fields;
    unsigned n_fields;
    void (*init)(void *obj); /* defaults; NULL: zero */
    /* After its keys were read; fails by bind_fail(). */
    int (*check)(Binder *b, void *obj, const Value *v);
};

/* Rows of tables: of the struct T, the member m that the key k goes to; K is the kind without
 * FIELD_.
 */
#define BIND(T, k, K, m)                                                                           \
    {                                                                                              \
        k, FIELD_##K, false, offsetof(T, m), NULL                                                  \
    }
#define BIND_SUB(T, k, K, m, s)                                                                    \
    {                                                                                              \
        k, FIELD_##K, false, offsetof(T, m), &(s)                                                  \
    }

/* What a format has beyond the kinds above; all may be NULL or false. */
typedef struct BindFormat {
    /* Scalars have their kinds (JSON). Else all of them come as the text that was written
     * (JsonOptions.plain_text), and what a member is decides how it is read. */
    bool typed;
    bool lenient; /* keys that are in no table are ignored */
    /* A field of a kind from FIELD_OWN on. */
    int (*read)(Binder *b, const Field *f, void *at, const Value *v);
    /* A key that is in no table: fails with a better message than the usual, or returns 0. */
    int (*unknown)(Binder *b, StrView key, const Value *v);
} BindFormat;

/* Where in the document a walk is. */
typedef struct BindFrame {
    const struct BindFrame *up;
    StrView key; /* empty: an item */
    unsigned index;
    bool is_item;
} BindFrame;

struct Binder {
    const char *file;
    Arena *arena;             /* of what the structs point at; texts are the document's */
    const BindFormat *format; /* NULL: none of all that */
    const BindFrame *frame;
    Err *err;
};

/* A YAML document for a format that is not `typed`. Errors name the file; ERR_INVALID: a key that
 * stands twice, too. */
int bind_document(StrView text, const char *name, Arena *a, Value *ret, Err *err) NODISCARD;
/* Fills obj from the map `v`; fields without a key keep what they have. Unknown keys, and values of
 * another kind, are ERR_INVALID with file, line and path. */
int bind_struct(Binder *b, const Type *t, void *obj, const Value *v) NODISCARD;
/* For formats: calls fn for each item of the list `v`, with the frame at that item. A value of
 * another kind is ERR_INVALID, as bind_bad_type() has it; the first failure ends it. */
typedef int BindItemFn(Binder *b, void *ctx, unsigned index, const Value *item);
int bind_each(Binder *b, const Value *v, const char *want, BindItemFn *fn, void *ctx) NODISCARD;
/* For formats: a list or map of texts. */
int bind_texts(Binder *b, const Value *v, StrList *ret) NODISCARD;

/* ERR_INVALID "FILE:LINE: PATH: …"; `v` is where (may be NULL: the line is not known). */
int bind_fail(Binder *b, const Value *v, const char *fmt, ...) PRINTF(3, 4);
/* The same for one key of the map `v`. */
int bind_fail_key(Binder *b, const Value *v, const char *key, const char *fmt, ...) PRINTF(4, 5);
/* "cannot unmarshal … into WANT": the value is of another kind than is wanted. */
int bind_bad_type(Binder *b, const Value *v, const char *want);

/* Calls fn for every struct of type `want` below obj, embedded and listed ones too. */
typedef void BindVisitFn(void *ctx, void *obj);
void bind_visit(const Type *t, void *obj, const Type *want, BindVisitFn *fn, void *ctx);
