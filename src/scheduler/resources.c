/* resources.c - what a pod asks for, and what a node has to give. */
#include "scheduler/resources.h"

#include "api/quantity.h"

static int64_t amount_of(const Value *v, bool milli)
{
    ApiQuantity q;
    if (!v || api_quantity_from(v, &q, NULL) < 0)
        return 0;
    return milli ? api_quantity_milli(&q) : api_quantity_value(&q);
}

static int64_t amount(const Value *map, StrView name, bool milli)
{
    return amount_of(value_get(map, name), milli);
}

/* Kubernetes' scalar resources: names of a domain's, huge pages, attachable volumes. */
static bool is_extra(StrView name)
{
    return sv_find_char(name, '/') >= 0 || sv_starts(name, SV("hugepages-")) ||
           sv_starts(name, SV("attachable-volumes-"));
}

static Extra *find(const Request *r, StrView name)
{
    for (uint32_t i = 0; i < r->n_extras; i++)
        if (sv_eq(r->extras[i].name, name))
            return &r->extras[i];
    return NULL;
}

/* NULL: the arena is exhausted, which it remembers. */
static Extra *find_or_add(Request *r, StrView name, Arena *a)
{
    Extra *e = find(r, name);
    size_t size = r->n_extras * sizeof *e;
    if (e)
        return e;
    if (!(e = arena_realloc(a, r->extras, size, size + sizeof *e)))
        return NULL;
    r->extras = e;
    e[r->n_extras] = (Extra){ .name = name };
    return &e[r->n_extras++];
}

/* The part of a container or a node that a map of quantities says; without pods. */
static Request request_of(const Value *amounts, Arena *a)
{
    Request r = { .cpu_milli = amount(amounts, SV("cpu"), true),
                  .memory = amount(amounts, SV("memory"), false),
                  .storage = amount(amounts, SV("ephemeral-storage"), false) };
    value_map_foreach (m, amounts) {
        int64_t n = is_extra(m->key) ? amount_of(&m->val, false) : 0;
        Extra *e = n ? find_or_add(&r, m->key, a) : NULL;
        if (e)
            e->amount = n;
    }
    return r;
}

bool request_of_node(const Value *node, Arena *a, Request *ret)
{
    const Value *amounts = value_path(node, "status.allocatable");
    *ret = request_of(amounts, a);
    ret->pods = amount(amounts, SV("pods"), false);
    return !a->failed;
}

static void max_of(Request *to, const Request *r, Arena *a)
{
    to->cpu_milli = MAX(to->cpu_milli, r->cpu_milli);
    to->memory = MAX(to->memory, r->memory);
    to->storage = MAX(to->storage, r->storage);
    for (uint32_t i = 0; i < r->n_extras; i++) {
        Extra *e = find_or_add(to, r->extras[i].name, a);
        if (e)
            e->amount = MAX(e->amount, r->extras[i].amount);
    }
}

static void sum_of(Request *to, const Request *r, Arena *a)
{
    request_add(to, r);
    for (uint32_t i = 0; i < r->n_extras; i++) {
        Extra *e = find_or_add(to, r->extras[i].name, a);
        if (e)
            e->amount += r->extras[i].amount;
    }
}

bool request_of_pod(const Value *pod, Arena *a, Request *ret)
{
    Request init = { 0 }, sidecars = { 0 },
            overhead = request_of(value_path(pod, "spec.overhead"), a);
    *ret = (Request){ .pods = 1 };
    value_list_foreach (c, value_path(pod, "spec.containers")) {
        Request r = request_of(value_path(c, "resources.requests"), a);
        sum_of(ret, &r, a);
    }
    value_list_foreach (c, value_path(pod, "spec.initContainers")) {
        Request r = request_of(value_path(c, "resources.requests"), a);
        if (sv_eq(value_str(value_get(c, SV("restartPolicy"))), SV("Always"))) {
            sum_of(&sidecars, &r, a);
            continue;
        }
        sum_of(&r, &sidecars, a);
        max_of(&init, &r, a);
    }
    sum_of(ret, &sidecars, a);
    max_of(ret, &init, a);
    sum_of(ret, &overhead, a);
    return !a->failed;
}

void request_add(Request *to, const Request *r)
{
    to->cpu_milli += r->cpu_milli;
    to->memory += r->memory;
    to->storage += r->storage;
    to->pods += r->pods;
}

void request_sub(Request *from, const Request *r)
{
    from->cpu_milli -= r->cpu_milli;
    from->memory -= r->memory;
    from->storage -= r->storage;
    from->pods -= r->pods;
}

bool request_exceeds(const Request *r, const Request *all)
{
    if (r->cpu_milli > all->cpu_milli || r->memory > all->memory || r->storage > all->storage)
        return true;
    for (uint32_t i = 0; i < r->n_extras; i++)
        if (r->extras[i].amount > extras_amount(all->extras, all->n_extras, r->extras[i].name))
            return true;
    return false;
}

bool request_equal(const Request *a, const Request *b)
{
    if (a->cpu_milli != b->cpu_milli || a->memory != b->memory || a->storage != b->storage ||
        a->pods != b->pods || a->n_extras != b->n_extras)
        return false;
    for (uint32_t i = 0; i < a->n_extras; i++)
        if (a->extras[i].amount != b->extras[i].amount ||
            !sv_eq(a->extras[i].name, b->extras[i].name))
            return false;
    return true;
}

int64_t extras_amount(const Extra *v, size_t n, StrView name)
{
    for (size_t i = 0; i < n; i++)
        if (sv_eq(v[i].name, name))
            return v[i].amount;
    return 0;
}
