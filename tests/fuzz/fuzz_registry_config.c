/* fuzz_registry_config.c - registries.yaml, and the endpoints that come of it. */
#include "image/registry_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RegistryConfig *c;
    RegistryEndpoint *list;
    ImageRef ref;
    unsigned n;
    Arena a;

    if (registry_config_parse(sv_n(data, size), "fuzz", &c, NULL) < 0)
        return 0;
    arena_init(&a, 16 * 1024 * 1024);
    ASSERT(image_ref_parse(SV("docker.io/library/a:1"), &ref, NULL) >= 0);
    if (registry_endpoints(c, &ref, &a, &list, &n, NULL) >= 0)
        ASSERT(n > 0 && n <= REGISTRY_ENDPOINTS_MAX);
    arena_free(&a);
    registry_config_free(c);
    return 0;
}
