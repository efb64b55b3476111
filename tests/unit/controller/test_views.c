/* test_views.c - what the controllers keep of objects. */
#include "../api/doc.h"

#include "controller/views.h"

static void *view_of(const WatchedKind *k, Arena *a, const char *text)
{
    Value v = doc(a, text);
    InformerConfig cfg = watched_config(k);
    return cfg.project(cfg.ctx, &v);
}

static void a_pod_is_kept_as_what_decides_about_it(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    PodView *v = view_of(
        &kind_pods, &a,
        "{'metadata':{'name':'p','labels':{'app':'web'},'creationTimestamp':'1970-01-01T00:01:00Z',"
        "'deletionTimestamp':'2020-01-01T00:00:00Z','finalizers':['orphan'],"
        "'annotations':{'controller.kubernetes.io/pod-deletion-cost':'-3','other':'x'},"
        "'ownerReferences':[{'apiVersion':'x/v1','kind':'X','name':'x','uid':'u0'},"
        "{'apiVersion':'apps/v1','kind':'ReplicaSet','name':'r','uid':'u1','controller':true,"
        "'blockOwnerDeletion':true}]},"
        "'spec':{'nodeName':'n','hostname':'h','subdomain':'s','tolerations':[{'key':'k',"
        "'operator':'Exists'}],'containers':[{'name':'c','ports':[{'containerPort':1},{'name':"
        "'http','containerPort':80},{'name':'dns','protocol':'UDP','containerPort':53}]}]},"
        "'status':{'phase':'Running','podIP':'10.0.0.1','conditions':[{'type':'Ready','status':"
        "'True','lastTransitionTime':'1970-01-01T00:02:00Z'}],'containerStatuses':["
        "{'restartCount':2},{'restartCount':5,'lastState':{'terminated':{'finishedAt':"
        "'1970-01-01T00:03:00Z'}}}]}}");
    assert_non_null(v);
    arena_free(&a); /* nothing of the document is left */
    assert_true(v->meta.deleting && v->meta.orphan && !v->meta.foreground);
    assert_int_equal(v->meta.created_ns, INT64_C(60000000000));
    assert_sv(value_path_str(&v->meta.labels, "app"), "web");
    assert_int_equal(v->meta.n_owners, 2);
    assert_sv(v->meta.owners[0].api_version, "x/v1");
    assert_false(v->meta.owners[0].controls || v->meta.owners[0].blocks);
    assert_true(v->meta.owners[1].controls && v->meta.owners[1].blocks);
    assert_sv(v->meta.owners[1].kind, "ReplicaSet");
    assert_sv(v->node, "n");
    assert_sv(v->ip, "10.0.0.1");
    assert_sv(v->hostname, "h");
    assert_sv(v->subdomain, "s");
    assert_int_equal(value_len(v->tolerations), 1);
    assert_int_equal(v->n_ports, 2); /* a port without a name is looked for by nobody */
    assert_sv(v->ports[0].protocol, "TCP");
    assert_sv(v->ports[1].name, "dns");
    assert_sv(v->ports[1].protocol, "UDP");
    assert_int_equal(v->ports[1].number, 53);
    assert_int_equal(v->restarts, 5);
    assert_int_equal(v->deletion_cost, -3);
    assert_int_equal(v->ended_ns, INT64_C(180000000000));
    assert_true(v->ready && v->phase == POD_RUNNING);
    assert_int_equal(v->ready_since_ns, INT64_C(120000000000));
    free(v);
}

static void an_empty_object_has_a_view(void **state)
{
    static const WatchedKind *const kinds[] = {
        &kind_pods,          &kind_replicasets, &kind_replicationcontrollers,
        &kind_deployments,   &kind_services,    &kind_endpointslices,
        &kind_endpoints,     &kind_namespaces,  &kind_serviceaccounts,
        &kind_token_secrets, &kind_root_cas,    &kind_nodes,
        &kind_node_leases,
    };
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        MetaView *v = view_of(kinds[i], &a, "{}");
        assert_non_null(v);
        assert_int_equal(v->n_owners, 0);
        assert_false(v->deleting);
        free(v);
    }
}

static void usual_tolerations_are_there_once(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    const char *text = "{'spec':{'tolerations':[{'key':'node.kubernetes.io/not-ready','operator':"
                       "'Exists','effect':'NoExecute','tolerationSeconds':300},{'key':"
                       "'node.kubernetes.io/unreachable','operator':'Exists','effect':'NoExecute',"
                       "'tolerationSeconds':300}]}}";
    PodView *x = view_of(&kind_pods, &a, text), *y = view_of(&kind_pods, &a, text);
    Value v = doc(&a, text);
    assert_ptr_equal(x->tolerations, y->tolerations);
    assert_true(value_equal(x->tolerations, value_path(&v, "spec.tolerations")));
    free(x);
    free(y);
}

static void digests_tell_values_apart(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        { "{'a':1,'b':[1,2]}", "{'b':[1,2],'a':1}", true },
        { "{'a':1,'b':[1,2]}", "{'b':[2,1],'a':1}", false },
        { "{'a':'b'}", "{'b':'a'}", false },
        { "[]", "{}", false },
        { "[[],[]]", "[[[]]]", false },
        { "1", "true", false },
        { "'1'", "1", false },
        { "null", "false", false },
        { "['ab','c']", "['a','bc']", false },
        { "{'a':{'x':1},'b':{'y':1}}", "{'a':{'y':1},'b':{'x':1}}", false },
        { "1.5", "1.5", true },
    };
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Value x = doc(&a, rows[i].a), y = doc(&a, rows[i].b);
        assert_int_equal(digest_of(&x) == digest_of(&y), rows[i].same);
    }
}

static void the_label_of_a_revision_is_not_part_of_its_template(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    DeploymentView *d =
        view_of(&kind_deployments, &a,
                "{'metadata':{'annotations':{'kubectl.kubernetes.io/last-applied-configuration':"
                "'{}','note':'n'}},'spec':{'template':{'metadata':{'labels':{'app':'x'}},'spec':"
                "{'containers':[]}}}}");
    ReplicasView *same = view_of(&kind_replicasets, &a,
                                 "{'spec':{'template':{'spec':{'containers':[]},'metadata':"
                                 "{'labels':{'pod-template-hash':'h','app':'x'}}}}}"),
                 *other = view_of(&kind_replicasets, &a,
                                  "{'spec':{'template':{'spec':{'containers':[1]},'metadata':"
                                  "{'labels':{'pod-template-hash':'h','app':'x'}}}}}");
    assert_true(d->template_digest == same->template_digest);
    assert_true(d->template_digest != other->template_digest);
    assert_doc(&a, &d->annotations, "{'note':'n'}");
    assert_int_equal(d->replicas, 1);
    free(d);
    free(same);
    free(other);
}

static void a_node_is_kept_as_its_taints_and_conditions(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    NodeView *v = view_of(
        &kind_nodes, &a,
        "{'spec':{'podCIDR':'x','taints':[{'key':'k','effect':'NoExecute'}]},'status':{'images':"
        "[1,2],'conditions':[{'type':'Ready','status':'True','message':'long'}]}}");
    assert_true(v->evicts);
    assert_doc(&a, &v->doc,
               "{'spec':{'unschedulable':false,'taints':[{'key':'k','effect':'NoExecute'}]},"
               "'status':{'conditions':[{'type':'Ready','status':'True'}]}}");
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_is_kept_as_what_decides_about_it),
        cmocka_unit_test(an_empty_object_has_a_view),
        cmocka_unit_test(usual_tolerations_are_there_once),
        cmocka_unit_test(digests_tell_values_apart),
        cmocka_unit_test(the_label_of_a_revision_is_not_part_of_its_template),
        cmocka_unit_test(a_node_is_kept_as_its_taints_and_conditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
