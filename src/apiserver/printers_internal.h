/* printers_internal.h - what the files of printers share: the forms that cells have, and the
 * function of each kind. Not for others: printers.h is the way in. */
#pragma once

#include "api/kinds.h"
#include "apiserver/printers.h"
#include "base/buf.h"

/* Makes the cell of the column `col`; false when the kind has nothing of its own to show there. */
typedef bool PrintFn(Arena *a, StrView col, const Value *obj, Value *ret);

PrintFn print_pod, print_pod_template, print_deployment, print_stateful_set, print_replica_set,
    print_replication_controller, print_daemon_set, print_controller_revision, print_job,
    print_autoscaler, print_cron_job, print_disruption_budget, print_service, print_endpoints,
    print_endpoint_slice, print_ingress, print_ingress_class, print_network_policy,
    print_ip_address, print_volume, print_volume_claim, print_storage_class;

/* A column that shows one field as it is. `otherwise` stands for an absent text or number (NULL:
 * "", or 0); an absent bool is false. */
typedef enum FieldForm { FIELD_TEXT, FIELD_NUMBER, FIELD_BOOL } FieldForm;
typedef struct FieldColumn {
    StrView col;
    const char *path;
    FieldForm form;
    const char *otherwise;
} FieldColumn;
bool cell_of_field(const FieldColumn *rows, size_t n, StrView col, const Value *obj, Value *ret);

Value cell_text(StrView s);      /* "" for SV_NULL */
StrView cell_or_none(StrView s); /* "<none>" for an empty text */
/* The buffer's text in the arena; the buffer is freed. */
StrView cell_take(Arena *a, Buf *b);
/* "a=b,c=d" by key, or "<none>". */
StrView cell_labels(Arena *a, const Value *labels);
/* A metav1.LabelSelector in its canonical text, or "<none>". */
StrView cell_selector(Arena *a, const Value *label_selector);
/* Sorted, each once, joined by commas. Reorders `items`. */
StrView cell_set(Arena *a, StrView *items, size_t n);
/* A quantity in its canonical text; "0" when absent. */
StrView cell_quantity(Arena *a, const Value *v);
/* A text or number as text; `otherwise` when absent. */
StrView cell_scalar(Arena *a, const Value *v, StrView otherwise);
/* "Containers" and "Images" of a pod's spec. */
bool cell_of_containers(Arena *a, StrView col, const Value *pod_spec, Value *ret);
StrView cell_lower(Arena *a, StrView s); /* ASCII */
/* Whether the condition `type` in status.conditions has the status True. */
bool cell_condition(const Value *obj, StrView type);
StrView cell_annotation(const Value *obj, StrView key);

/* A list of which the first few are shown: "a,b,c + 2 more...". */
enum { CELL_SHOWN = 3 };
typedef struct CellList {
    Buf text;
    unsigned n;
} CellList;
/* Appends an item as by printf while there is room, and counts it. */
void cell_list_add(CellList *l, const char *fmt, ...) PRINTF(2, 3);
/* The text in the arena, `none` for an empty list. Ends the list. */
StrView cell_list_end(Arena *a, CellList *l, StrView none);
