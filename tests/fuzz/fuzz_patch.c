/* Patches: the input is a list [document, patch]. Any patch may fail, none may harm. */
#include "api/kinds.h"
#include "api/patch.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const SchemaObject *pod = api_schema_find(SV("io.k8s.api.core.v1.Pod"));
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_arena_ Arena a;
    Value pair;
    Err err;

    arena_init(&a, 16 << 20);
    if (json_decode(sv_n(data, n), &a, NULL, &pair, &err) < 0 || value_len(&pair) != 2 ||
        pair.kind != VALUE_LIST)
        return 0;
    for (int kind = 0; kind < 3; kind++) {
        Value doc;
        if (!value_clone(&a, &pair.items[0], &doc))
            return 0;
        int r = kind == 0   ? patch_json(&doc, &pair.items[1], &a, &err)
                : kind == 1 ? patch_merge(&doc, &pair.items[1], &a, &err)
                            : patch_strategic(pod, &doc, &pair.items[1], &a, &err);
        if (r == 0)
            json_encode(&doc, &out);
    }
    return 0;
}
