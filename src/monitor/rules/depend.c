/* depend.c - which rules of a group read what others of it write, and so which may be evaluated at
 * once.
 *
 * A rule depends on an earlier one whose name a selector of its expression matches, or whose alerts
 * it asks for in ALERTS. A selector without a metric's name may read anything: then the group's
 * rules follow each other, as they do without the feature. */
#include "monitor/rules/internal.h"

typedef struct Look {
    const RuleGroupDef *def;
    Rule *rules;
    unsigned i;   /* whose selectors these are */
    bool unclear; /* a selector without a name */
} Look;

static const Matcher *of_label(const Matcher *ms, unsigned n, StrView label)
{
    for (unsigned i = 0; i < n; i++)
        if (sv_eq(ms[i].name, label))
            return &ms[i];
    return NULL;
}

static void on_selector(void *ctx, const Matcher *ms, unsigned n)
{
    Look *l = ctx;
    const Matcher *name = of_label(ms, n, LABEL_METRIC_NAME),
                  *alert = of_label(ms, n, SV("alertname"));
    if (!name) {
        l->unclear = true;
        return;
    }
    bool alerts =
        matcher_matches(name, SV("ALERTS")) || matcher_matches(name, SV("ALERTS_FOR_STATE"));
    for (unsigned k = 0; k < l->i; k++) {
        const RuleDef *other = &l->def->rules[k];
        if (!matcher_matches(name, other->name) &&
            !(alerts && other->alerting && (!alert || matcher_matches(alert, other->name))))
            continue;
        l->rules[k].is_read = true;
        l->rules[l->i].reads = true;
    }
}

void group_plan(Group *g)
{
    Look l = { .def = g->def, .rules = g->rules };
    for (l.i = 0; l.i < g->def->n && !l.unclear; l.i++)
        promql_expr_selectors(g->def->rules[l.i].parsed, on_selector, &l);
    for (unsigned i = 0; i < g->def->n; i++) {
        Rule *rule = &g->rules[i];
        rule->stage = l.unclear        ? STAGE_IN_ORDER
                      : !rule->reads   ? STAGE_FIRST
                      : !rule->is_read ? STAGE_LAST
                                       : STAGE_IN_ORDER;
    }
}
