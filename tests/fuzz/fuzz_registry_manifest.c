/* fuzz_registry_manifest.c - what a registry answers for a name: manifests and indexes. */
#include "image/registry_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const RegPlatform p = { SV("linux"), SV("arm"), SV("v7") };
    RegManifest m;
    Arena a;

    arena_init(&a, 16 * 1024 * 1024);
    if (reg_manifest_parse(sv_n(data, size), SV(""), &p, &a, &m, NULL) >= 0)
        ASSERT(m.is_index ? m.chosen.text[0] != 0 : m.image.config.text[0] != 0);
    arena_free(&a);
    return 0;
}
