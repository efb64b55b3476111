/* resources.h - what a pod asks for, and what a node has to give: the amounts that decide whether
 * there is room. Pure functions on documents. */
#pragma once

#include "base/arena.h"
#include "codec/value.h"

/* A resource beyond those that every node has, by its name: extended ones ("example.com/foo"), huge
 * pages, attachable volumes. In whole units; huge pages in bytes. */
typedef struct Extra {
    StrView name;
    int64_t amount;
} Extra;

typedef struct Request {
    int64_t cpu_milli, memory, storage, pods; /* storage: ephemeral-storage, in bytes */
    Extra *extras;                            /* each name once; none of a pod's is 0 */
    uint32_t n_extras;
} Request;

/* Summed over a pod's containers as Kubernetes does: init containers count by their maximum, those
 * that run on (sidecars) are added, and so is the overhead. The extras' names are views of the
 * document. False: the arena is exhausted. */
bool request_of_pod(const Value *pod, Arena *a, Request *ret) NODISCARD;
/* A node's status.allocatable. */
bool request_of_node(const Value *node, Arena *a, Request *ret) NODISCARD;

/* All but the extras. */
void request_add(Request *to, const Request *r);
void request_sub(Request *from, const Request *r);
/* Asks for more than `all` of a node, which no leaving pod can change. Pods do not count. */
bool request_exceeds(const Request *r, const Request *all);
bool request_equal(const Request *a, const Request *b); /* with the extras, in their order */

int64_t extras_amount(const Extra *v, size_t n, StrView name); /* 0: it is not there */
