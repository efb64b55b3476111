/* bind.h - tables that say which key of a section goes to which member of a struct, and the two
 * walks over them: YAML to structs and structs to YAML. For the configuration, and for other files
 * of Prometheus' kind. */
#pragma once

#include "codec/value.h"
#include "monitor/config/config.h"

typedef enum FieldKind {
    FIELD_BOOL,
    FIELD_TRI, /* int8_t: CONFIG_UNSET, 0, 1 */
    FIELD_TEXT,
    FIELD_SECRET,
    FIELD_URL, /* a password in it is not shown */
    FIELD_INT,
    FIELD_UINT,
    FIELD_DOUBLE,
    FIELD_DURATION,
    FIELD_SIZE,
    FIELD_TEXTS,
    FIELD_LABELS, /* any map of texts, sorted */
    FIELD_PARAMS,
    FIELD_SECRET_PARAMS,
    FIELD_ACTION, /* of relabelling */
    FIELD_HEADERS,
    FIELD_STRUCT,  /* embedded; `sub` */
    FIELD_POINTER, /* NULL when the key is absent; `sub` */
    FIELD_LIST,    /* of structs; `sub` */
    FIELD_INLINE,  /* its keys stand among the parent's; `sub` */
} FieldKind;

typedef struct Type Type;
typedef struct Field {
    const char *key;
    FieldKind kind;
    bool keep; /* shown also when it is zero */
    size_t offset;
    const Type *sub;
} Field;

typedef struct Binder Binder;
struct Type {
    const char *name; /* as Prometheus' messages call it: "config.plain" */
    size_t size;
    const Field *fields;
    unsigned n_fields;
    void (*init)(void *obj); /* defaults; NULL: zero */
    /* After its keys were read; fails by bind_fail(). */
    int (*check)(Binder *b, void *obj, const Value *v);
};

/* Where in the document a walk is. */
typedef struct BindFrame {
    const struct BindFrame *up;
    StrView key; /* empty: an item */
    unsigned index;
    bool is_item;
} BindFrame;

struct Binder {
    const char *file;
    Arena *arena;
    const BindFrame *frame;
    Err *err;
};

int bind_struct(Binder *b, const Type *t, void *obj, const Value *v) NODISCARD;
/* ERR_INVALID "FILE:LINE: PATH: …"; `v` is where (may be NULL). */
int bind_fail(Binder *b, const Value *v, const char *fmt, ...) PRINTF(3, 4);
/* The same for one key of the map `v`. */
int bind_fail_key(Binder *b, const Value *v, const char *key, const char *fmt, ...) PRINTF(4, 5);

/* The tree of a struct, for people (secrets hidden) or to be compared; false: arena exhausted. */
typedef struct BindShow {
    Arena *arena;
    bool secrets;
} BindShow;
bool bind_show(const BindShow *how, const Type *t, const void *obj, Value *ret) NODISCARD;

/* Calls fn for every struct of type `want` below obj, embedded and listed ones too. */
typedef void BindVisitFn(void *ctx, void *obj);
void bind_visit(const Type *t, void *obj, const Type *want, BindVisitFn *fn, void *ctx);

extern const Type type_config, type_scrape_files, type_global, type_scrape, type_rule, type_http;
extern const Type type_remote_write, type_remote_read;
extern const Type type_tls, type_discovery, type_alertmanager;

typedef struct ScrapeFile { /* one of scrape_config_files */
    LIST(ConfigScrape) scrape;
} ScrapeFile;

/* Checks that need the whole file: globals into jobs, names that stand twice. */
int config_finish(Binder *b, Config *c, const Value *doc, const ConfigOptions *opt) NODISCARD;
int config_finish_scrape(Binder *b, const ConfigGlobal *g, ConfigScrape *s,
                         const Value *v) NODISCARD;
int config_check_http(Binder *b, FetchOptions *h, const Value *v) NODISCARD;
