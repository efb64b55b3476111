/* namespace_report.c - what holds up the end of a namespace, as conditions of its status. The texts
 * are those of Kubernetes' namespace controller: scripts look for them. */
#include "controller/namespace_report.h"

#include "base/buf.h"

typedef struct Condition {
    StrView type, reason, message;
    bool status;
} Condition;

void namespace_report_init(NamespaceReport *r, Arena *a)
{
    *r = (NamespaceReport){ .arena = a,
                            .discovery_errors = value_list(),
                            .parse_errors = value_list(),
                            .content_errors = value_list(),
                            .remaining = value_map(),
                            .finalizers = value_map() };
}

enum { FINALIZERS_MAX = 100 }; /* different ones that are named */

static void count(Arena *a, Value *map, StrView key, int64_t n)
{
    Value *v = value_get(map, key);
    if (v)
        v->i += n;
    else
        value_set(a, map, arena_sv(a, key), value_int(n));
}

void namespace_report_remaining(NamespaceReport *r, StrView plural, StrView group, int64_t n)
{
    StrView key = arena_printf(r->arena, "%.*s.%.*s", SV_FMT(plural), SV_FMT(group));
    if (n > 0)
        count(r->arena, &r->remaining, key, n);
}

void namespace_report_finalizer(NamespaceReport *r, StrView finalizer)
{
    if (r->finalizers.len < FINALIZERS_MAX || value_get(&r->finalizers, finalizer))
        count(r->arena, &r->finalizers, finalizer, 1);
}

bool namespace_report_clean(const NamespaceReport *r)
{
    return !r->discovery_errors.len && !r->parse_errors.len && !r->content_errors.len &&
           !r->remaining.len;
}

static int by_text(const void *a, const void *b)
{
    return sv_cmp(value_str(a), value_str(b));
}

/* The texts of a list, sorted, with ", " between them. */
static StrView joined(Arena *a, Value *list)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    if (list->len > 1)
        qsort(list->items, list->len, sizeof *list->items, by_text);
    value_list_foreach (v, list) {
        if (text.len)
            buf_sv(&text, SV(", "));
        buf_sv(&text, value_str(v));
    }
    return arena_sv(a, buf_view(&text));
}

/* "NAME has N resource instances" for each of the map. */
static StrView counted(Arena *a, const Value *map, const char *format)
{
    Value list = value_list();
    value_map_foreach (m, map)
        value_push(a, &list,
                   value_sv(arena_printf(a, "%.*s %s %lld resource instances", SV_FMT(m->key),
                                         format, (long long)m->val.i)));
    return joined(a, &list);
}

static Condition on_discovery(const NamespaceReport *r)
{
    Value errors = r->discovery_errors;
    if (!errors.len)
        return (Condition){ SV("NamespaceDeletionDiscoveryFailure"), SV("ResourcesDiscovered"),
                            SV("All resources successfully discovered"), false };
    StrView message = arena_printf(r->arena,
                                   "Discovery failed for some groups, %u failing: unable to "
                                   "retrieve the complete list of server APIs: %.*s",
                                   errors.len, SV_FMT(joined(r->arena, &errors)));
    return (Condition){ SV("NamespaceDeletionDiscoveryFailure"), SV("DiscoveryFailed"), message,
                        true };
}

static Condition on_parsing(const NamespaceReport *r)
{
    Value errors = r->parse_errors;
    if (!errors.len)
        return (Condition){ SV("NamespaceDeletionGroupVersionParsingFailure"),
                            SV("ParsedGroupVersions"),
                            SV("All legacy kube types successfully parsed"), false };
    return (Condition){ SV("NamespaceDeletionGroupVersionParsingFailure"),
                        SV("GroupVersionParsingFailed"), joined(r->arena, &errors), true };
}

static Condition on_content(const NamespaceReport *r)
{
    Value errors = r->content_errors;
    if (!errors.len)
        return (Condition){ SV("NamespaceDeletionContentFailure"), SV("ContentDeleted"),
                            SV("All content successfully deleted, may be waiting on finalization"),
                            false };
    StrView message =
        arena_printf(r->arena, "Failed to delete all resource types, %u remaining: %.*s",
                     errors.len, SV_FMT(joined(r->arena, &errors)));
    return (Condition){ SV("NamespaceDeletionContentFailure"), SV("ContentDeletionFailed"), message,
                        true };
}

static Condition on_remaining(const NamespaceReport *r)
{
    if (!r->remaining.len)
        return (Condition){ SV("NamespaceContentRemaining"), SV("ContentRemoved"),
                            SV("All content successfully removed"), false };
    StrView message = arena_printf(r->arena, "Some resources are remaining: %.*s",
                                   SV_FMT(counted(r->arena, &r->remaining, "has")));
    return (Condition){ SV("NamespaceContentRemaining"), SV("SomeResourcesRemain"), message, true };
}

static Condition on_finalizers(const NamespaceReport *r)
{
    if (!r->finalizers.len)
        return (Condition){ SV("NamespaceFinalizersRemaining"), SV("ContentHasNoFinalizers"),
                            SV("All content-preserving finalizers finished"), false };
    StrView message =
        arena_printf(r->arena, "Some content in the namespace has finalizers remaining: %.*s",
                     SV_FMT(counted(r->arena, &r->finalizers, "in")));
    return (Condition){ SV("NamespaceFinalizersRemaining"), SV("SomeFinalizersRemain"), message,
                        true };
}

static Value *find(Value *list, StrView type)
{
    value_list_foreach (c, list) {
        if (sv_eq(value_str(value_get(c, SV("type"))), type))
            return c;
    }
    return NULL;
}

/* Makes the list have this condition; true when it did not. */
static bool put(Arena *a, Value *list, const Condition *c, Value now)
{
    Value *had = find(list, c->type), fresh = value_map();
    StrView status = c->status ? SV("True") : SV("False");
    if (had && sv_eq(value_str(value_get(had, SV("status"))), status) &&
        sv_eq(value_str(value_get(had, SV("reason"))), c->reason) &&
        sv_eq(value_str(value_get(had, SV("message"))), c->message))
        return false;
    if (!had) {
        value_set(a, &fresh, SV("type"), value_sv(c->type));
        had = value_push(a, list, fresh);
    }
    if (!had)
        return false; /* the arena has failed */
    if (!sv_eq(value_str(value_get(had, SV("status"))), status))
        value_set(a, had, SV("lastTransitionTime"), now);
    value_set(a, had, SV("status"), value_sv(status));
    value_set(a, had, SV("reason"), value_sv(c->reason));
    value_set(a, had, SV("message"), value_sv(c->message));
    return true;
}

Value namespace_report_conditions(const NamespaceReport *r, const Value *had, Value now)
{
    const Condition all[] = { on_discovery(r), on_parsing(r), on_content(r), on_remaining(r),
                              on_finalizers(r) };
    Value list = value_list();
    bool changed = false;
    if (value_is(had, VALUE_LIST) && !value_clone(r->arena, had, &list))
        return value_null();
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        changed |= put(r->arena, &list, &all[i], now);
    return changed ? list : value_null();
}
