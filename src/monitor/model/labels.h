/* labels.h - what names a series: label pairs, sorted by name, each name once, no empty values.
 *
 * A Labels is a view: pairs and texts belong to the arena, buffer or series that its giver names.
 * Everything of the monitor (scrape, storage, queries, rules) speaks of series in this form. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"

typedef StrPair Label;
typedef StrPairs Labels;

#define LABEL_METRIC_NAME SV("__name__")

enum {
    LABELS_MAX = 1024,            /* labels of one series */
    LABEL_TEXT_MAX = 1024 * 1024, /* bytes of one name or value */
};

StrView labels_get(Labels l, StrView name); /* empty when absent */
bool labels_has(Labels l, StrView name);
/* Name by name, then value by value, then the shorter first (Prometheus' labels.Compare). */
int labels_cmp(Labels a, Labels b);
bool labels_eq(Labels a, Labels b);
uint64_t labels_hash(Labels l);        /* for tables: keyed per process */
uint64_t labels_hash_stable(Labels l); /* the same everywhere and always: for what shows */
/* Of only the named labels (`names` sorted), or of all but those and the metric name. */
uint64_t labels_hash_by(Labels l, const StrView *names, unsigned n_names);
uint64_t labels_hash_without(Labels l, const StrView *names, unsigned n_names);

/* A deep copy in `a`; items is NULL and len 0 also for the empty set. False: arena exhausted. */
bool labels_copy(Labels l, Arena *a, Labels *ret) NODISCARD;

/* Builds a set: start from a base (may be empty), set and delete, then take. */
typedef struct LabelsBuilder {
    Arena *arena;
    Label *items; /* sorted by name */
    unsigned len, cap;
    bool failed; /* arena exhausted, or more than LABELS_MAX: checked once at labels_builder_take()
                  */
} LabelsBuilder;

void labels_builder_init(LabelsBuilder *b, Arena *a, Labels base);
StrView labels_builder_get(const LabelsBuilder *b, StrView name);
/* Sets or replaces; an empty value deletes. Views are kept, not copied. */
void labels_builder_set(LabelsBuilder *b, StrView name, StrView value);
void labels_builder_del(LabelsBuilder *b, StrView name);
bool labels_builder_take(LabelsBuilder *b, Labels *ret) NODISCARD;

/* `metric{a="b", c="d"}`, names quoted where they are not legacy names: as Prometheus prints it. */
void labels_format(Labels l, Buf *out);
/* `{__name__="metric", a="b"}`: the form of sets in Prometheus' messages. */
void labels_format_set(Labels l, Buf *out);
void labels_json(Labels l, Buf *out); /* {"name":"value",…} */
/* Appends a Go-quoted string ("a\"b\n"), as labels and messages show values. */
void text_quote(StrView s, Buf *out);

bool metric_name_is_legacy(StrView s); /* [a-zA-Z_:][a-zA-Z0-9_:]* */
bool label_name_is_legacy(StrView s);  /* [a-zA-Z_][a-zA-Z0-9_]* */
