/* world.h - a small cluster for tests: nodes and pods from short JSON. */
#pragma once

#include "unit.h"

#include <stdio.h>

#include "codec/json.h"
#include "scheduler/decide.h"

static Arena arena;
static Cluster cluster;
static VEC(SchedPod *) pods;
static VEC(NodeInfo *) infos;

static inline const Value *parse(const char *text)
{
    Value *v = arena_new(&arena, Value);
    Err err = { 0 };
    if (json_decode(sv_cstr(text), &arena, NULL, v, &err) < 0)
        fail_msg("%s: %s", err.msg, text);
    return v;
}

/* labels: "\"zone\":\"a\""; extras: more of what it has to give, as members. */
static inline void node_with(const char *name, const char *labels, const char *spec,
                             const char *extras)
{
    char text[2048];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/hostname\":\"%s\"%s%s}},\"spec\":{%s},"
        "\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"10\"%s%s}}}",
        name, name, *labels ? "," : "", labels, spec, *extras ? "," : "", extras);
    NodeInfo *n = node_info_new(parse(text));
    assert_non_null(n);
    assert_true(vec_push(&infos, n));
    assert_true(cluster_set_node(&cluster, sv_cstr(name), n));
}

static inline void node(const char *name, const char *labels, const char *spec)
{
    node_with(name, labels, spec, "");
}

/* on: the node's name, or empty for one that waits; labels and spec as members. */
static inline SchedPod *pod_in(const char *ns, const char *name, const char *on, const char *labels,
                               const char *spec)
{
    char text[4096];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\",\"uid\":\"u-%s\",\"labels\":{%s}},"
        "\"spec\":{\"nodeName\":\"%s\"%s%s}}",
        ns, name, name, labels, on, *spec ? "," : "", spec);
    SchedPod *p = sched_pod_new(parse(text));
    assert_non_null(p);
    assert_true(vec_push(&pods, p));
    if (*on)
        assert_true(cluster_place(&cluster, p, sv_cstr(on)));
    return p;
}

static inline SchedPod *pod(const char *name, const char *on, const char *labels, const char *spec)
{
    return pod_in("default", name, on, labels, spec);
}

/* The name of the node, or why not. */
static inline const char *place(SchedPod *p)
{
    Decision d;
    _cleanup_buf_ Buf text = BUF_INIT;
    assert_true(decide(&cluster, p, &arena, &d));
    if (d.node)
        return d.node->name;
    decision_explain(&d, &text);
    return arena_cstr(&arena, buf_view(&text));
}

static inline int world_setup(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static inline int world_teardown(void **state)
{
    vec_foreach (p, &pods) {
        cluster_take(&cluster, *p);
        sched_pod_free(*p);
    }
    while (cluster.nodes.len) {
        SchedNode *n = cluster.nodes.items[0];
        assert_int_equal(n->facts.used.pods, 0);
        assert_int_equal(n->facts.used.cpu_milli, 0);
        assert_int_equal(n->pods.len, 0);
        assert_int_equal(n->extras.len, 0);
        cluster_remove_node(&cluster, sv_cstr(n->name));
    }
    assert_int_equal(cluster.by_name.len, 0);
    assert_int_equal(cluster.with_anti.len + cluster.with_terms.len, 0);
    vec_foreach (n, &infos)
        node_info_free(*n);
    vec_free(&pods);
    vec_free(&infos);
    cluster_free(&cluster);
    arena_free(&arena);
    return 0;
}

#define CPU(n)      "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"" n "\"}}}]"
#define ASKS(list)  "\"containers\":[{\"resources\":{\"requests\":{" list "}}}]"
#define IN_WORLD(t) cmocka_unit_test_setup_teardown(t, world_setup, world_teardown)
