/* fuzz_image_config.c - manifests and configurations of images. */
#include <stdint.h>

#include "codec/json.h"
#include "image/image_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena a;
    Value doc;
    Manifest m;
    ImageConfig c;

    arena_init(&a, 16 * 1024 * 1024);
    if (json_decode(sv_n(data, size), &a, NULL, &doc, NULL) >= 0) {
        (void)!manifest_parse(&doc, &a, &m, NULL);
        if (image_config_parse(&doc, &a, &c, NULL) >= 0)
            for (uint32_t i = 0; i < c.env.len; i++)
                ASSERT(c.env.items[i]);
    }
    arena_free(&a);
    return 0;
}
