/* namespace_report.h - what holds up the end of a namespace, as conditions of its status. */
#pragma once

#include "codec/value.h"

/* What one round of emptying found. Texts live in the arena of the round. */
typedef struct NamespaceReport {
    Arena *arena;
    Value discovery_errors; /* lists of texts */
    Value parse_errors, content_errors;
    Value remaining;  /* of "pods." and so on, to numbers */
    Value finalizers; /* their names to numbers of objects */
} NamespaceReport;

void namespace_report_init(NamespaceReport *r, Arena *a);
/* `n` more objects of a kind are still there. */
void namespace_report_remaining(NamespaceReport *r, StrView plural, StrView group, int64_t n);
void namespace_report_finalizer(NamespaceReport *r, StrView finalizer);
/* Whether nothing is left and everything was looked at: the namespace may go. */
bool namespace_report_clean(const NamespaceReport *r);

/* The conditions that a Namespace's status should have after this round, made from those that it
 * has (`had`, may be NULL): the five of namespace deletion with Kubernetes' reasons and messages,
 * whatever else there is untouched. `now` is for those that change. null: they say so already. */
Value namespace_report_conditions(const NamespaceReport *r, const Value *had, Value now);
