/* test_node.c - taints of nodes: which there are, and when pods leave because of them. */
#include "unit.h"

#include "base/arena.h"
#include "base/clock.h"
#include "codec/json.h"
#include "controller/taint.h"

typedef struct Docs {
    Arena arena;
} Docs;

static Value parse(Docs *d, const char *text)
{
    Value v;
    assert_int_equal(json_decode(sv_cstr(text), &d->arena, NULL, &v, NULL), 0);
    return v;
}

static uint32_t taints(const Value *node)
{
    return value_len(value_path(node, "spec.taints"));
}

static void conditions_bring_and_take_taints(void **state)
{
    Docs d = { 0 };
    Value now = value_sv(SV("2026-01-01T00:00:00Z"));
    Value node =
        parse(&d,
              "{\"spec\":{\"taints\":[{\"key\":\"mine\",\"effect\":\"NoExecute\"}]},\"status\":{"
              "\"conditions\":[{\"type\":\"Ready\",\"status\":\"Unknown\"},"
              "{\"type\":\"DiskPressure\",\"status\":\"True\"}]}}");
    assert_true(taints_update(&d.arena, &node, now));
    assert_int_equal(taints(&node), 4); /* its own, unreachable twice, disk pressure */
    assert_false(taints_update(&d.arena, &node, now));
    value_set_path(&d.arena, &node, "status.conditions",
                   parse(&d, "[{\"type\":\"Ready\",\"status\":\"False\"}]"));
    value_set_path(&d.arena, &node, "spec.unschedulable", value_bool(true));
    assert_true(taints_update(&d.arena, &node, now));
    assert_int_equal(taints(&node), 4); /* its own, not-ready twice, unschedulable */
    value_set_path(&d.arena, &node, "status.conditions",
                   parse(&d, "[{\"type\":\"Ready\",\"status\":\"True\"}]"));
    value_set_path(&d.arena, &node, "spec.unschedulable", value_bool(false));
    assert_true(taints_update(&d.arena, &node, now));
    assert_int_equal(taints(&node), 1);
    arena_free(&d.arena);
}

static void the_shortest_toleration_counts(void **state)
{
    static const struct {
        const char *tolerations;
        int64_t want; /* seconds after timeAdded; -1: stays; -2: at once */
    } rows[] = {
        { "[]", -2 },
        { "[{\"operator\":\"Exists\"}]", -1 },
        { "[{\"key\":\"a\",\"operator\":\"Exists\",\"effect\":\"NoExecute\",\"tolerationSeconds\":30}]",
          30 },
        { "[{\"key\":\"a\",\"operator\":\"Exists\",\"tolerationSeconds\":30},{\"operator\":\"Exists\"}]",
          30 },
        { "[{\"key\":\"a\",\"value\":\"v\",\"tolerationSeconds\":30},{\"key\":\"a\",\"value\":\"v\",\"tolerationSeconds\":5}]",
          5 },
        { "[{\"key\":\"a\",\"operator\":\"Exists\",\"tolerationSeconds\":-7}]", 0 },
        { "[{\"key\":\"a\",\"value\":\"other\"}]", -2 },
        { "[{\"key\":\"a\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\"}]", -2 },
    };
    Docs d = { 0 };
    Value list = parse(
        &d, "[{\"key\":\"b\",\"effect\":\"NoSchedule\"},{\"key\":\"a\",\"value\":\"v\",\"effect\":"
            "\"NoExecute\",\"timeAdded\":\"1970-01-01T00:16:40Z\"}]");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Value tolerations = parse(&d, rows[i].tolerations);
        int64_t at = taints_evict_at(&list, &tolerations, 0);
        assert_int_equal(at, rows[i].want == -1   ? TAINT_STAYS
                             : rows[i].want == -2 ? 0
                                                  : (1000 + rows[i].want) * NSEC_PER_SEC);
    }
    assert_int_equal(taints_evict_at(NULL, NULL, 0), TAINT_STAYS);
    arena_free(&d.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_bring_and_take_taints),
        cmocka_unit_test(the_shortest_toleration_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
