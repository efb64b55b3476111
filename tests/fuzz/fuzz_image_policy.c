/* fuzz_image_policy.c - containers' policy.json, and the rules of a name by it. */
#include "image/image_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ImagePolicy *p;
    ImageRef ref;

    if (image_policy_parse(sv_n(data, size), "fuzz", &p, NULL) < 0)
        return 0;
    ASSERT(image_ref_parse(SV("a.example.com/b/c:1"), &ref, NULL) >= 0);
    ASSERT(image_policy_for(p, &ref)->len > 0);
    image_policy_free(p);
    return 0;
}
