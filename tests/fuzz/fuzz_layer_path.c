/* fuzz_layer_path.c - names in layers: whatever is accepted stays below the layer's root. */
#include <stdint.h>

#include "image/layer_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[LAYER_PATH_MAX];
    LayerEntryKind kind;

    if (layer_path_clean(sv_n(data, size), path, NULL) < 0 ||
        layer_path_kind(path, &kind, NULL) < 0)
        return 0;
    ASSERT(path[0] != '/');
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        ASSERT_MSG(strncmp(p, "..", 2) != 0 || (p[2] && p[2] != '/'), "%s", path);
    return 0;
}
