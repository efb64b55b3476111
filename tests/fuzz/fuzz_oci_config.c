/* fuzz_oci_config.c - config.json of a bundle, and the two parts of it that stand alone elsewhere.
 */
#include <stdint.h>

#include "oci/runtime/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    StrView text = sv_n(data, size);
    OciResources resources;
    OciProcess *process;
    OciSpec *spec;
    Err err = { 0 };
    Arena a;

    arena_init(&a, 64 * 1024 * 1024);
    if (oci_spec_parse(text, "config.json", &a, &spec, &err) >= 0) {
        ASSERT(spec->root && spec->masked.items && spec->warnings.items);
        ASSERT(spec->resources.devices.len > 0);
        for (unsigned i = 0; i < spec->mounts.len; i++)
            ASSERT(spec->mounts.items[i].destination && spec->mounts.items[i].options.items);
        (void)!oci_spec_check_rootless(spec, &err);
    } else {
        ASSERT(err.msg[0]);
    }
    if (oci_process_parse(text, "process", &a, &process, &err) >= 0)
        ASSERT(process->cwd && process->args.len && process->env.items);
    (void)!oci_resources_parse(text, "resources", &a, &resources, &err);
    arena_free(&a);
    return 0;
}
