/* fuzz_image_ref.c - references from pod specs: what is accepted must parse to itself again. */
#include <stdint.h>

#include "image/image_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[IMAGE_REF_SIZE], again[IMAGE_REF_SIZE];
    ImageRef ref, second;
    Err err = { 0 };

    if (image_ref_parse(sv_n(data, size), &ref, &err) < 0) {
        ASSERT(err.msg[0]);
        return 0;
    }
    image_ref_format(&ref, text);
    ASSERT_MSG(image_ref_parse(sv_cstr(text), &second, &err) >= 0, "%s", text);
    ASSERT_MSG(strcmp(text, image_ref_format(&second, again)) == 0, "%s is %s", text, again);
    return 0;
}
