/* test_services.c - addresses and node ports of Services: chosen, claimed, given back, repaired. */
#include "server_fixture.h"

#include <stdio.h>
#include <string.h>

#define SERVICES "/api/v1/namespaces/default/services"
#define CLAIMS   "/apis/networking.k8s.io/v1/ipaddresses"

enum { ADDRESSES = 12 }; /* of the range, beside those of `kubernetes` and of the DNS */

/* The smallest range of addresses, and three ports. */
static int setup(void **state)
{
    ApiServerConfig cfg = { .service_cidr = SV("10.9.0.0/28"),
                            .node_port_min = 30000,
                            .node_port_max = 30002 };
    *state = server_start(&cfg, 0);
    return 0;
}

static int teardown(void **state)
{
    server_stop(*state);
    return 0;
}

static Answer service(Server *s, const char *name, const char *spec)
{
    return server_create(
        s, SERVICES,
        server_text(s, "{'metadata':{'name':'%s'},'spec':{%s%s'ports':[{'port':80}]}}", name, spec,
                    *spec ? "," : ""));
}

static void remove_service(Server *s, const char *name)
{
    Answer a = server_delete(s, server_text(s, SERVICES "/%s", name), NULL);
    assert_code(&a, 200);
}

static void test_addresses_are_claimed_and_given_back(void **state)
{
    Server *s = *state;
    Answer a = service(s, "a", "");
    assert_code(&a, 201);
    const char *ip = answer_at(&a, "spec.clusterIP");
    assert_int_equal(strncmp(ip, "10.9.0.", 7), 0);
    assert_at(&a, "spec.clusterIPs", server_text(s, "[\"%s\"]", ip));
    assert_at(&a, "spec.ipFamilies", "[\"IPv4\"]");
    assert_at(&a, "spec.ipFamilyPolicy", "SingleStack");
    assert_at(&a, "spec.type", "ClusterIP");
    Answer claim = server_get(s, server_text(s, CLAIMS "/%s", ip));
    assert_code(&claim, 200);
    assert_at(&claim, "spec.parentRef.name", "a");
    assert_at(&claim, "spec.parentRef.resource", "services");
    a = service(s, "b", server_text(s, "'clusterIP':'%s'", ip));
    assert_status(&a, 422, "Invalid",
                  server_text(s,
                              "Service \"b\" is invalid: spec.clusterIPs: Invalid value: \"%s\": "
                              "failed to allocate IP: provided IP is already allocated",
                              ip));
    remove_service(s, "a");
    claim = server_get(s, server_text(s, CLAIMS "/%s", ip));
    assert_code(&claim, 404);
    a = service(s, "b", server_text(s, "'clusterIP':'%s'", ip));
    assert_code(&a, 201);
}

static void test_addresses_that_cannot_be(void **state)
{
    Server *s = *state;
    Answer a = service(s, "x", "'clusterIP':'10.8.0.1'");
    assert_status(&a, 422, "Invalid", NULL);
    assert_non_null(strstr(answer_at(&a, "message"), "the provided IP is not in the valid range"));
    a = service(s, "x", "'clusterIP':'not-an-address'");
    assert_status(&a, 422, "Invalid", NULL);
    a = service(s, "x", "'clusterIP':'10.9.0.1'"); /* of the Service `kubernetes` */
    assert_status(&a, 422, "Invalid", NULL);
    a = service(s, "headless", "'clusterIP':'None'");
    assert_code(&a, 201);
    assert_at(&a, "spec.clusterIPs", "[\"None\"]");
    a = server_create(s, SERVICES,
                      "{'metadata':{'name':'name'},'spec':{'type':'ExternalName','externalName':"
                      "'example.com'}}");
    assert_code(&a, 201);
    assert_at(&a, "spec.clusterIP", "");
}

static void test_a_full_range(void **state)
{
    Server *s = *state;
    for (int i = 0; i < ADDRESSES; i++) {
        Answer a = service(s, server_text(s, "full-%d", i), "");
        assert_code(&a, 201);
    }
    Answer a = service(s, "over", "");
    assert_status(&a, 422, "Invalid", NULL);
    assert_non_null(strstr(answer_at(&a, "message"), "range is full"));
    remove_service(s, "full-3");
    a = service(s, "over", "");
    assert_code(&a, 201);
    server_restart(s, 0); /* who knows of them is the store */
    a = service(s, "again", "");
    assert_status(&a, 422, "Invalid", NULL);
}

static void test_node_ports(void **state)
{
    Server *s = *state;
    Answer a = service(s, "np", "'type':'NodePort'");
    assert_code(&a, 201);
    const char *port = answer_at(&a, "spec.ports.0.nodePort");
    assert_in_range(strtol(port, NULL, 10), 30000, 30002);
    assert_at(&a, "spec.externalTrafficPolicy", "Cluster");
    const char *same = "{'metadata':{'name':'%s'},'spec':{'type':'NodePort','ports':[{'port':80,"
                       "'nodePort':%s}]}}";
    a = server_create(s, SERVICES, server_text(s, same, "np2", port));
    assert_status(
        &a, 422, "Invalid",
        server_text(s,
                    "Service \"np2\" is invalid: spec.ports[0].nodePort: Invalid value: %s: "
                    "provided port is already allocated",
                    port));
    a = server_create(s, SERVICES, server_text(s, same, "np2", "80"));
    assert_status(&a, 422, "Invalid",
                  "Service \"np2\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided "
                  "port is not in the valid range. The range of valid ports is 30000-30002");
    a = server_create(s, SERVICES,
                      "{'metadata':{'name':'np2'},'spec':{'type':'NodePort','ports':[{'name':'a',"
                      "'port':1},{'name':'b','port':2}]}}");
    assert_code(&a, 201);
    a = service(s, "np3", "'type':'NodePort'");
    assert_status(&a, 422, "Invalid", NULL);
    assert_non_null(
        strstr(answer_at(&a, "message"), "failed to allocate a nodePort: range is full"));
    a = server_get(s, CLAIMS);
    remove_service(s, "np2");
    a = service(s, "np3", "'type':'NodePort'");
    assert_code(&a, 201);
}

static void test_an_update_keeps_what_it_does_not_name(void **state)
{
    Server *s = *state;
    Answer made = service(s, "kept", "'type':'NodePort'");
    const char *ip = answer_at(&made, "spec.clusterIP"),
               *port = answer_at(&made, "spec.ports.0.nodePort");
    Answer a =
        server_update(s, SERVICES "/kept",
                      "{'metadata':{'name':'kept'},'spec':{'type':'NodePort','ports':[{'port':80,"
                      "'targetPort':8080}]}}");
    assert_code(&a, 200);
    assert_at(&a, "spec.clusterIP", ip);
    assert_at(&a, "spec.ports.0.nodePort", port);
    a = server_patch(s, SERVICES "/kept", "merge",
                     server_text(s, "{'spec':{'clusterIP':'%s'}}",
                                 strcmp(ip, "10.9.0.6") == 0 ? "10.9.0.5" : "10.9.0.6"));
    assert_status(&a, 422, "Invalid", NULL);
    assert_at(&a, "details.causes.0.reason", "FieldValueInvalid");
}

static void test_a_change_of_type_gives_back(void **state)
{
    Server *s = *state;
    Answer a = service(s, "turns", "'type':'NodePort'");
    const char *ip = answer_at(&a, "spec.clusterIP"),
               *port = answer_at(&a, "spec.ports.0.nodePort");
    a = server_patch(s, SERVICES "/turns", "merge", "{'spec':{'type':'ClusterIP'}}");
    assert_code(&a, 200);
    assert_at(&a, "spec.ports.0.nodePort", "");
    assert_at(&a, "spec.externalTrafficPolicy", "");
    assert_at(&a, "spec.clusterIP", ip);
    a = server_create(
        s, SERVICES,
        server_text(s,
                    "{'metadata':{'name':'takes'},'spec':{'type':'NodePort','ports':[{"
                    "'port':80,'nodePort':%s}]}}",
                    port));
    assert_code(&a, 201);
    a = server_patch(s, SERVICES "/turns", "merge",
                     "{'spec':{'type':'ExternalName','externalName':'example.com'}}");
    assert_code(&a, 200);
    assert_at(&a, "spec.clusterIP", "");
    a = server_get(s, server_text(s, CLAIMS "/%s", ip));
    assert_code(&a, 404);
}

/* Takes a key out of the store, or puts one there, as an older program might have left it. */
static void set_key(Server *s, const char *key, const char *val)
{
    StoreOp op = { .kind = val ? STORE_PUT : STORE_DELETE,
                   .key = sv_cstr(key),
                   .if_rev = STORE_ANY_REV,
                   .val = val ? sv_cstr(val) : SV_NULL };
    Err err = { 0 };
    if (store_commit_sync(s->store, &op, 1, NULL, &err) < 0)
        fail_msg("%s: %s", key, err.msg);
}

static void test_a_start_repairs_the_claims(void **state)
{
    Server *s = *state;
    Answer a = service(s, "lost", "");
    const char *ip = answer_at(&a, "spec.clusterIP");
    set_key(s, server_text(s, "/registry/ipaddresses/%s", ip), NULL);
    const char *orphan = strcmp(ip, "10.9.0.5") == 0 ? "10.9.0.4" : "10.9.0.5";
    set_key(
        s, server_text(s, "/registry/ipaddresses/%s", orphan),
        server_text(s,
                    "{\"kind\":\"IPAddress\",\"apiVersion\":\"networking.k8s.io/v1\",\"metadata\":{"
                    "\"name\":\"%s\"},\"spec\":{\"parentRef\":{\"resource\":\"services\","
                    "\"namespace\":\"default\",\"name\":\"gone\"}}}",
                    orphan));
    server_restart(s, 0);
    a = server_get(s, server_text(s, CLAIMS "/%s", ip));
    assert_code(&a, 200);
    assert_at(&a, "spec.parentRef.name", "lost");
    a = server_get(s, server_text(s, CLAIMS "/%s", orphan));
    assert_code(&a, 404);
}

static void test_the_service_kubernetes(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, SERVICES "/kubernetes");
    assert_code(&a, 200);
    assert_at(&a, "spec.clusterIP", "10.9.0.1");
    assert_at(&a, "spec.ports.0.port", "443");
    assert_at(&a, "metadata.labels.provider", "kubernetes");
    a = server_get(s, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes");
    assert_at(&a, "endpoints.0.addresses", "[\"127.0.0.1\"]");
    assert_at(&a, "ports.0.port", "6443");
    a = server_get(s, "/api/v1/namespaces/default/endpoints/kubernetes");
    assert_at(&a, "subsets.0.addresses.0.ip", "127.0.0.1");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_addresses_are_claimed_and_given_back),
        TEST(test_addresses_that_cannot_be),
        TEST(test_a_full_range),
        TEST(test_node_ports),
        TEST(test_an_update_keeps_what_it_does_not_name),
        TEST(test_a_change_of_type_gives_back),
        TEST(test_a_start_repairs_the_claims),
        TEST(test_the_service_kubernetes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
