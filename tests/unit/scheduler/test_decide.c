/* test_decide.c - where pods go among other pods: affinity, spreading, nominations, messages. */
#include "world.h"

#define TERM(key, app)                                                                             \
    "{\"topologyKey\":\"" key "\",\"labelSelector\":{\"matchLabels\":{\"app\":\"" app "\"}}}"
#define REQUIRED(kind, term)                                                                       \
    "\"affinity\":{\"" kind "\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[" term "]}}"
#define PREFERRED(kind, weight, term)                                                              \
    "\"affinity\":{\"" kind                                                                        \
    "\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":" weight                 \
    ",\"podAffinityTerm\":" term "}]}}"
#define HOST "kubernetes.io/hostname"

static void three_nodes(void)
{
    node("n1", "\"zone\":\"a\"", "");
    node("n2", "\"zone\":\"a\"", "");
    node("n3", "\"zone\":\"b\"", "");
}

static void test_affinity_follows_pods_by_topology(void **state)
{
    three_nodes();
    pod("db", "n3", "\"app\":\"db\"", "");
    assert_string_equal(place(pod("w", "", "", REQUIRED("podAffinity", TERM("zone", "db")))), "n3");
    assert_string_equal(place(pod("x", "", "", REQUIRED("podAffinity", TERM("zone", "no")))),
                        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.");
    assert_string_equal(place(pod("y", "", "", REQUIRED("podAffinity", TERM("rack", "db")))),
                        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.");
    const char *other =
        place(pod_in("other", "z", "", "", REQUIRED("podAffinity", TERM("zone", "db"))));
    assert_non_null(strstr(other, "didn't match pod affinity rules")); /* another namespace */
}

static void test_the_first_of_a_group_goes_anywhere(void **state)
{
    three_nodes();
    const char *first =
        place(pod("a", "", "\"app\":\"g\"", REQUIRED("podAffinity", TERM("zone", "g"))));
    assert_int_equal(first[0], 'n');
    pod("b", "n3", "\"app\":\"g\"", "");
    assert_string_equal(
        place(pod("c", "", "\"app\":\"g\"", REQUIRED("podAffinity", TERM("zone", "g")))), "n3");
}

static void test_anti_affinity_and_its_symmetry(void **state)
{
    three_nodes();
    pod("a", "n1", "\"app\":\"web\"", REQUIRED("podAntiAffinity", TERM("zone", "web")));
    assert_string_equal(place(pod("b", "", "\"app\":\"web\"",
                                  REQUIRED("podAntiAffinity", TERM(HOST, "web")))),
                        "n3");
    pod("c", "n3", "\"app\":\"web\"", "");
    assert_string_equal(
        place(pod("d", "", "\"app\":\"web\"", REQUIRED("podAntiAffinity", TERM(HOST, "web")))),
        "0/3 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules, "
        "2 node(s) didn't match pod anti-affinity rules.");
    assert_string_equal(place(pod("e", "", "\"app\":\"web\"", "")),
                        "n3"); /* has no wish, but a's is respected */
}

static void test_namespaces_of_terms(void **state)
{
    three_nodes();
    const Value *team = parse("{\"team\":\"x\"}");
    assert_true(map_set(&cluster.namespaces, SV("prod"), (void *)team, NULL));
    pod_in("prod", "db", "n2", "\"app\":\"db\"", "");
#define WITH(extra)                                                                                \
    REQUIRED("podAffinity", "{\"topologyKey\":\"" HOST                                             \
                            "\",\"labelSelector\":{\"matchLabels\":{\"app\":\"db\"}}," extra "}")
    assert_string_equal(place(pod("a", "", "", WITH("\"namespaces\":[\"prod\"]"))), "n2");
    assert_string_equal(
        place(pod("b", "", "", WITH("\"namespaceSelector\":{\"matchLabels\":{\"team\":\"x\"}}"))),
        "n2");
    assert_string_equal(place(pod("c", "", "", WITH("\"namespaceSelector\":{}"))), "n2");
    assert_non_null(strstr(
        place(pod("d", "", "", WITH("\"namespaceSelector\":{\"matchLabels\":{\"team\":\"y\"}}"))),
        "didn't match pod affinity rules"));
}

static void test_match_label_keys_narrow_a_term(void **state)
{
    three_nodes();
    pod("old", "n1", "\"app\":\"w\",\"rev\":\"1\"", "");
    pod("new", "n2", "\"app\":\"w\",\"rev\":\"2\"", "");
#define KEYS(kind, keys)                                                                           \
    REQUIRED(kind,                                                                                 \
             "{\"topologyKey\":\"" HOST                                                            \
             "\",\"labelSelector\":{\"matchLabels\":{\"app\":\"w\"}},\"" keys "\":[\"rev\"]}")
    assert_string_equal(place(pod("a", "", "\"app\":\"w\",\"rev\":\"2\"",
                                  KEYS("podAffinity", "matchLabelKeys"))),
                        "n2");
    assert_string_equal(place(pod("b", "", "\"app\":\"w\",\"rev\":\"2\"",
                                  KEYS("podAffinity", "mismatchLabelKeys"))),
                        "n1");
}

static void test_preferred_affinity_decides_between_equals(void **state)
{
    three_nodes();
    pod("db", "n2", "\"app\":\"db\"", "");
    assert_string_equal(place(pod("a", "", "", PREFERRED("podAffinity", "100", TERM(HOST, "db")))),
                        "n2");
    pod("x1", "n1", "\"app\":\"noisy\"", "");
    pod("x3", "n3", "\"app\":\"noisy\"", "");
    assert_string_equal(
        place(pod("b", "", "", PREFERRED("podAntiAffinity", "100", TERM(HOST, "noisy")))), "n2");
}

static void test_others_wishes_count_as_well(void **state)
{
    three_nodes();
    pod("db", "n3", "\"app\":\"db\"", PREFERRED("podAffinity", "50", TERM(HOST, "web")));
    assert_string_equal(place(pod("a", "", "\"app\":\"web\"", "")), "n3");
}

#define SPREAD(key, extra)                                                                         \
    "\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"" key                         \
    "\",\"labelSelector\":{\"matchLabels\":"                                                       \
    "{\"app\":\"s\"}}" extra "}]"
#define HARD ",\"whenUnsatisfiable\":\"DoNotSchedule\""
#define SOFT ",\"whenUnsatisfiable\":\"ScheduleAnyway\""

static void test_spreading_keeps_the_skew(void **state)
{
    three_nodes();
    pod("a", "n1", "\"app\":\"s\"", "");
    assert_string_equal(place(pod("b", "", "\"app\":\"s\"", SPREAD("zone", HARD))), "n3");
    pod("c", "n3", "\"app\":\"s\"", "");
    pod("d", "n3", "\"app\":\"s\"", "");
    const char *where = place(pod("e", "", "\"app\":\"s\"", SPREAD("zone", HARD)));
    assert_true(strcmp(where, "n1") == 0 || strcmp(where, "n2") == 0);
    assert_string_equal(place(pod("f", "", "\"app\":\"s\"",
                                  SPREAD("zone", HARD) ",\"nodeSelector\":{\"zone\":\"b\"}")),
                        "n3"); /* the affinity policy leaves one domain */
    assert_non_null(strstr(
        place(
            pod("g", "", "\"app\":\"s\"",
                SPREAD("zone", HARD
                       ",\"nodeAffinityPolicy\":\"Ignore\"") ",\"nodeSelector\":{\"zone\":\"b\"}")),
        "1 node(s) didn't match pod topology spread constraints"));
}

static void test_spreading_needs_the_label_and_counts_domains(void **state)
{
    three_nodes();
    node("n4", "", "");
    pod("a", "n1", "\"app\":\"s\"", "");
    pod("b", "n3", "\"app\":\"s\"", "");
    assert_string_equal(
        place(pod("c", "", "\"app\":\"s\"", SPREAD("zone", HARD ",\"minDomains\":3"))),
        "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), "
        "3 node(s) didn't match pod topology spread constraints.");
    const char *where = place(pod("d", "", "\"app\":\"s\"", SPREAD("zone", HARD)));
    assert_true(where[0] == 'n' && where[1] < '4');
}

static void test_taints_count_where_the_policy_says_so(void **state)
{
    node("n1", "\"zone\":\"a\"", "");
    node("n2", "\"zone\":\"b\"", "\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]");
    pod("a", "n1", "\"app\":\"s\"", "");
    assert_non_null(strstr(place(pod("b", "", "\"app\":\"s\"", SPREAD("zone", HARD))),
                           "1 node(s) had untolerated taint(s)"));
    assert_string_equal(place(pod("c", "", "\"app\":\"s\"",
                                  SPREAD("zone", HARD ",\"nodeTaintsPolicy\":\"Honor\""))),
                        "n1");
}

static void test_soft_spreading_prefers_the_emptier_domain(void **state)
{
    three_nodes();
    pod("a", "n3", "\"app\":\"s\"", "");
    pod("b", "n3", "\"app\":\"s\"", "");
    pod("big", "n1", "", CPU("1"));
    pod("big2", "n2", "", CPU("1"));
    const char *where = place(pod("c", "", "\"app\":\"s\"", SPREAD("zone", SOFT)));
    assert_true(strcmp(where, "n1") == 0 || strcmp(where, "n2") == 0);
}

static void test_messages_count_and_sort(void **state)
{
    assert_string_equal(place(pod("z", "", "", "")), "no nodes available to schedule pods");
    three_nodes();
    node("n4", "", "\"unschedulable\":true");
    assert_string_equal(
        place(pod("a", "", "", CPU("5") ",\"nodeSelector\":{\"zone\":\"a\"}")),
        "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) were unschedulable, 2 Insufficient cpu.");
    pod("full", "n1", "",
        "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"4\",\"memory\":\"8Gi\"}}}]");
    assert_string_equal(
        place(pod(
            "b", "", "",
            "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"5\",\"memory\":\"1Gi\"}}}]")),
        "0/4 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 3 Insufficient cpu.");
}

#define PORTS(p) "\"containers\":[{\"ports\":[{\"containerPort\":1," p "}]}]"

static void test_host_ports_are_held_once(void **state)
{
    static const char no[] = "0/1 nodes are available: 1 node(s) didn't have free ports for the "
                             "requested pod ports.";
    node("n1", "", "");
    pod("a", "n1", "", PORTS("\"hostPort\":80"));
    pod("b", "n1", "", PORTS("\"hostPort\":81,\"hostIP\":\"10.0.0.1\""));
    assert_string_equal(place(pod("c", "", "", PORTS("\"hostPort\":80"))), no);
    assert_string_equal(place(pod("d", "", "", PORTS("\"hostPort\":81"))), no);
    assert_string_equal(place(pod("e", "", "", PORTS("\"hostPort\":81,\"hostIP\":\"10.0.0.2\""))),
                        "n1");
    assert_string_equal(place(pod("f", "", "", PORTS("\"hostPort\":80,\"protocol\":\"UDP\""))),
                        "n1");
    assert_string_equal(place(pod("g", "", "", PORTS("\"name\":\"x\""))), "n1");
}

static void test_a_nomination_holds_the_room(void **state)
{
    node("n1", "", "");
    SchedPod *high = pod("high", "", "", CPU("3") ",\"priority\":10");
    assert_true(cluster_nominate(&cluster, high, SV("n1")));
    assert_string_equal(place(pod("low", "", "", CPU("2"))),
                        "0/1 nodes are available: 1 Insufficient cpu.");
    assert_string_equal(place(pod("higher", "", "", CPU("2") ",\"priority\":11")), "n1");
    assert_string_equal(place(high), "n1");
}

static void test_nodes_come_and_go_under_their_pods(void **state)
{
    SchedPod *early = pod("early", "n9", "", CPU("1")); /* before its node is known */
    node("n9", "", "");
    assert_int_equal(cluster_node(&cluster, SV("n9"))->facts.used.cpu_milli, 1000);
    cluster_remove_node(&cluster, SV("n9"));
    assert_null(cluster_node(&cluster, SV("n9")));
    node("n9", "", "");
    assert_int_equal(cluster_node(&cluster, SV("n9"))->facts.used.cpu_milli, 1000);
    cluster_take(&cluster, early);
    assert_int_equal(cluster_node(&cluster, SV("n9"))->facts.used.cpu_milli, 0);
}

static void test_the_search_ends_early_on_large_clusters(void **state)
{
    assert_int_equal(decide_enough(3), 3);
    assert_int_equal(decide_enough(100), 100);
    assert_int_equal(decide_enough(1000), 420);
    assert_int_equal(decide_enough(5000), 500);
    assert_int_equal(decide_enough(6000), 300);
}

#define FOO(n) "\"example.com/foo\":\"" n "\""
#define BAR(n) "\"example.com/bar\":\"" n "\""

static void test_extended_resources_have_to_be_there(void **state)
{
    node_with("n1", "", "", FOO("2") "," BAR("1"));
    node_with("n2", "", "", FOO("1"));
    node("n3", "", "");
    assert_string_equal(place(pod("a", "", "", ASKS(FOO("2")))), "n1");
    assert_string_equal(place(pod("b", "", "", ASKS(BAR("1") "," FOO("1")))), "n1");
    assert_string_equal(place(pod("c", "", "", ASKS(FOO("3")))),
                        "0/3 nodes are available: 3 Insufficient example.com/foo.");
    assert_string_equal(place(pod("d", "", "", ASKS(FOO("2") "," BAR("2") ",\"cpu\":\"5\""))),
                        "0/3 nodes are available: 2 Insufficient example.com/foo, "
                        "3 Insufficient cpu, 3 Insufficient example.com/bar.");
    pod("e", "n1", "", ASKS(FOO("1")));
    assert_string_equal(place(pod("f", "", "", ASKS(FOO("2")))),
                        "0/3 nodes are available: 3 Insufficient example.com/foo.");
    assert_string_equal(place(pod("g", "", "", ASKS(BAR("1") "," FOO("1")))), "n1");
    /* What is none of a node's own is not asked for. */
    const char *any = place(pod("h", "", "", ASKS("\"storage\":\"5Gi\"," FOO("0"))));
    assert_int_equal(any[0], 'n');
}

static void test_huge_pages_are_counted_by_size(void **state)
{
    node_with("n1", "", "", "\"hugepages-2Mi\":\"64Mi\",\"hugepages-1Gi\":\"0\"");
    assert_string_equal(place(pod("a", "", "", ASKS("\"hugepages-2Mi\":\"64Mi\""))), "n1");
    assert_string_equal(place(pod("b", "", "", ASKS("\"hugepages-1Gi\":\"1Gi\""))),
                        "0/1 nodes are available: 1 Insufficient hugepages-1Gi.");
    pod("c", "n1", "", ASKS("\"hugepages-2Mi\":\"32Mi\""));
    assert_string_equal(place(pod("d", "", "", ASKS("\"hugepages-2Mi\":\"33Mi\""))),
                        "0/1 nodes are available: 1 Insufficient hugepages-2Mi.");
}

static void test_a_nomination_holds_extended_resources(void **state)
{
    node_with("n1", "", "", FOO("2"));
    SchedPod *high = pod("high", "", "", ASKS(FOO("2")) ",\"priority\":10");
    assert_true(cluster_nominate(&cluster, high, SV("n1")));
    assert_string_equal(place(pod("low", "", "", ASKS(FOO("1")))),
                        "0/1 nodes are available: 1 Insufficient example.com/foo.");
    assert_string_equal(place(pod("top", "", "", ASKS(FOO("1")) ",\"priority\":11")), "n1");
}

static void test_what_a_gone_node_gave_is_still_counted(void **state)
{
    SchedPod *early = pod("a", "n9", "", ASKS(FOO("1"))); /* before its node */
    node_with("n9", "", "", FOO("1"));
    assert_string_equal(place(pod("b", "", "", ASKS(FOO("1")))),
                        "0/1 nodes are available: 1 Insufficient example.com/foo.");
    cluster_take(&cluster, early);
    assert_string_equal(place(pod("c", "", "", ASKS(FOO("1")))), "n9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_affinity_follows_pods_by_topology),
        IN_WORLD(test_the_first_of_a_group_goes_anywhere),
        IN_WORLD(test_anti_affinity_and_its_symmetry),
        IN_WORLD(test_namespaces_of_terms),
        IN_WORLD(test_match_label_keys_narrow_a_term),
        IN_WORLD(test_preferred_affinity_decides_between_equals),
        IN_WORLD(test_others_wishes_count_as_well),
        IN_WORLD(test_spreading_keeps_the_skew),
        IN_WORLD(test_spreading_needs_the_label_and_counts_domains),
        IN_WORLD(test_taints_count_where_the_policy_says_so),
        IN_WORLD(test_soft_spreading_prefers_the_emptier_domain),
        IN_WORLD(test_messages_count_and_sort),
        IN_WORLD(test_host_ports_are_held_once),
        IN_WORLD(test_a_nomination_holds_the_room),
        IN_WORLD(test_nodes_come_and_go_under_their_pods),
        IN_WORLD(test_the_search_ends_early_on_large_clusters),
        IN_WORLD(test_extended_resources_have_to_be_there),
        IN_WORLD(test_huge_pages_are_counted_by_size),
        IN_WORLD(test_a_nomination_holds_extended_resources),
        IN_WORLD(test_what_a_gone_node_gave_is_still_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
