/* test_starve_malloc.c - requests during which the machine has no memory: within the handler the
 * n-th allocation fails, and all behind it.
 *
 * Only the handler's thread is short of memory, and only while a request is in it: neither the
 * client of this process nor the store's writer. */
#include "starve.h"

#include "apiserver/handlers.h"

#define NS    "/api/v1/namespaces/default"
#define APPS  "/apis/apps/v1/namespaces/default/deployments"
#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io"

#define DEPLOYMENT                                                                                 \
    "'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},"    \
    "'spec':{'containers':[{'name':'c','image':'i'}]}}}"

#include "failing_memory.h"

enum { ALLOCATIONS_MAX = 4000 };

static _Atomic size_t handler_has; /* allocations; 0: no end */

void __real_route_request(void *ctx, HttpReq *req);
void __wrap_route_request(void *ctx, HttpReq *req);
void __wrap_route_request(void *ctx, HttpReq *req)
{
    size_t has = handler_has;
    allocs_left = has ? (long)has - 1 : -1;
    __real_route_request(ctx, req);
    allocs_left = -1;
}

static void set_allocations(Server *s, size_t n)
{
    handler_has = n;
}

/* Each of the first ones, then fewer: a request makes hundreds of the same kind. */
static size_t some_more(size_t n)
{
    return n + 1 + n / 32;
}

static const Shortage short_memory = { .set = set_allocations,
                                       .first = 1,
                                       .last = ALLOCATIONS_MAX,
                                       .next = some_more,
                                       .mute_to = ALLOCATIONS_MAX };

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(s, NS "/configmaps",
                "{'metadata':{'name':'c','labels':{'l':'v'}},'data':{'k':'v'}}");
    server_make(s, NS "/configmaps", "{'metadata':{'name':'d'}}");
    return 0;
}

static void test_reads(void **state)
{
    static const StarveCase cases[] = {
        { .ask = { "GET", NS "/configmaps/c" }, .code = 200 },
        { .ask = { "GET", NS "/configmaps/c", .accept = "application/yaml" }, .code = 200 },
        { .ask = { "GET", NS "/configmaps/c", .accept = TABLE }, .code = 200 },
        { .ask = { "GET", NS "/configmaps?labelSelector=l%3Dv" }, .code = 200 },
        { .ask = { "GET", NS "/configmaps", .accept = TABLE }, .code = 200 },
        { .ask = { "GET", NS "/configmaps?limit=1" }, .code = 200, .varies = true },
        { .ask = { "GET", NS "/configmaps?watch=1&labelSelector=l" }, .code = 200, .watch = true },
        { .ask = { "GET", "/apis" }, .code = 200 },
        { .ask = { "GET", "/openapi/v2" }, .code = 200 },
        { .ask = { "GET", "/openapi/v3/apis/apps/v1" }, .code = 200 },
        { .ask = { "GET", "/metrics" }, .code = 200, .varies = true },
    };
    starve(*state, &short_memory, cases, ARRAY_SIZE(cases));
}

static void test_writes(void **state)
{
    Server *s = *state;
    starve_make(s, NS "/configmaps", "{'metadata':{'name':'update-@'},'data':{'k':'v'}}");
    starve_make(s, NS "/configmaps", "{'metadata':{'name':'gone-@'}}");
    starve_make(s, NS "/configmaps", "{'metadata':{'name':'swept-@','labels':{'swept':'@'}}}");
    starve_make(s, APPS, "{'metadata':{'name':'patch-@'}," DEPLOYMENT "}");
    starve_make(s, APPS, "{'metadata':{'name':'apply-@'}," DEPLOYMENT "}");
    starve_make(s, APPS, "{'metadata':{'name':'scale-@'}," DEPLOYMENT "}");
    static const StarveCase cases[] = {
        { .ask = { "POST", NS "/configmaps", "{'metadata':{'name':'made-@'},'data':{'k':'v'}}" },
          .code = 201 },
        { .ask = { "POST", NS "/pods",
                   "{'metadata':{'name':'made-@'},'spec':{'containers':[{'name':'c','image':'i'}]}}" },
          .code = 201 },
        { .ask = { "POST", NS "/services",
                   "{'metadata':{'name':'made-@'},'spec':{'ports':[{'port':80}]}}" },
          .code = 201 },
        { .ask = { "PUT", NS "/configmaps/update-@",
                   "{'metadata':{'name':'update-@'},'data':{'k':'w'}}" },
          .code = 200 },
        { .ask = { "PATCH", APPS "/patch-@",
                   "{'spec':{'template':{'spec':{'containers':[{'name':'d','image':'j'}]}}}}",
                   .type = "application/strategic-merge-patch+json" },
          .code = 200 },
        { .ask = { "PATCH", APPS "/apply-@?fieldManager=m&force=1",
                   "{'apiVersion':'apps/v1','kind':'Deployment','spec':{'replicas':3}}",
                   .type = "application/apply-patch+yaml" },
          .code = 200 },
        { .ask = { "PATCH", APPS "/scale-@/scale", "{'spec':{'replicas':4}}",
                   .type = "application/merge-patch+json" },
          .code = 200 },
        { .ask = { "POST", NS "/serviceaccounts/default/token", "{}" }, .code = 201 },
        { .ask = { "DELETE", NS "/configmaps/gone-@" }, .code = 200 },
        { .ask = { "DELETE", NS "/configmaps?labelSelector=swept%3D@" }, .code = 200 },
    };
    starve(s, &short_memory, cases, ARRAY_SIZE(cases));
    Answer a = server_get(s, NS "/configmaps/c");
    assert_code(&a, 200); /* no sweep went too far */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_writes),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
