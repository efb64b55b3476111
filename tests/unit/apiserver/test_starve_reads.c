/* test_starve_reads.c - everything that is read, with too little memory for the request. */
#include "starve.h"

#define NS           "/api/v1/namespaces/default"
#define TABLE        "application/json;as=Table;v=v1;g=meta.k8s.io"
#define PARTIAL      "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
#define PARTIAL_LIST "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
#define PROTOBUF     "application/vnd.kubernetes.protobuf,application/json"

#define GET_AS(target, form)                                                                       \
    {                                                                                              \
        .ask = { .method = "GET", .path = (target), .accept = (form) }, .code = 200                \
    }
#define GET(target) GET_AS(target, NULL)

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(s, NS "/configmaps",
                "{'metadata':{'name':'c','labels':{'app':'x'}},'data':{'k':'v'}}");
    server_make(s, NS "/configmaps", "{'metadata':{'name':'d'},'data':{'k':'v'}}");
    server_make(s, NS "/pods",
                "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','image':'i'}]}}");
    server_make(
        s, "/apis/apps/v1/namespaces/default/deployments",
        "{'metadata':{'name':'web'},'spec':{'selector':{'matchLabels':{'a':'b'}},'template':"
        "{'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
    return 0;
}

static void test_objects_and_lists(void **state)
{
    static const StarveCase cases[] = {
        GET(NS "/configmaps/c"),
        GET_AS(NS "/configmaps/c", "application/yaml"),
        GET_AS(NS "/configmaps/c", TABLE),
        GET_AS(NS "/configmaps/c", PARTIAL),
        GET_AS(NS "/configmaps/c", PROTOBUF),
        GET_AS(NS "/pods/p", TABLE),
        GET(NS "/pods/p/status"),
        GET(NS "/pods/p/ephemeralcontainers"),
        GET("/apis/apps/v1/namespaces/default/deployments/web/scale"),
        GET_AS("/apis/apps/v1/namespaces/default/deployments/web/scale", TABLE),
        GET(NS "/configmaps"),
        GET_AS(NS "/configmaps", "application/yaml"),
        GET_AS(NS "/configmaps", TABLE),
        GET_AS(NS "/configmaps", PARTIAL_LIST),
        GET_AS(NS "/configmaps", PROTOBUF),
        { .ask = { .method = "GET", .path = NS "/configmaps?limit=1" },
          .code = 200,
          .varies = true },
        GET(NS "/configmaps?labelSelector=app%20in%20(x,y)"),
        GET(NS "/configmaps?fieldSelector=metadata.name%3Dc"),
        GET("/api/v1/pods?fieldSelector=spec.nodeName%3D"),
        GET_AS("/api/v1/pods", TABLE),
        GET("/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        GET_AS("/apis/rbac.authorization.k8s.io/v1/clusterroles", TABLE),
        { .ask = { .method = "GET", .path = NS "/configmaps?watch=1" },
          .code = 200,
          .watch = true },
        { .ask = { .method = "GET", .path = "/api/v1/watch/namespaces/default/pods/p" },
          .code = 200,
          .watch = true },
    };
    starve(*state, &short_arenas, cases, ARRAY_SIZE(cases));
}

static void test_what_the_server_says_of_itself(void **state)
{
    static const StarveCase cases[] = {
        GET("/version"),
        { .ask = { .method = "GET", .path = "/api" }, .code = 200, .varies = true }, /* the port */
        GET("/apis"),
        GET("/api/v1"),
        GET("/apis/apps"),
        GET("/apis/apps/v1"),
        GET_AS("/api", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        GET_AS("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        GET_AS("/openapi/v2", "application/json"),
        GET_AS("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
        GET("/openapi/v3"),
        GET("/openapi/v3/apis/apps/v1"),
        GET("/healthz"),
        GET("/livez?verbose"),
        GET("/readyz?verbose"),
        { .ask = { .method = "GET", .path = "/.well-known/openid-configuration" },
          .code = 200,
          .varies = true }, /* the port */
        GET("/openid/v1/jwks"),
        { .ask = { .method = "GET", .path = "/metrics" }, .code = 200, .varies = true },
    };
    starve(*state, &short_arenas, cases, ARRAY_SIZE(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_and_lists),
        cmocka_unit_test(test_what_the_server_says_of_itself),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
