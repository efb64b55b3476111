/* Protobuf: a Pod that decodes must encode, and decode again to the same. */
#include "api/kinds.h"
#include "codec/json.h"
#include "codec/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const SchemaObject *pod = api_schema_find(SV("io.k8s.api.core.v1.Pod"));
    _cleanup_buf_ Buf first = BUF_INIT;
    StrView bytes = sv_n(data, n);
    ProtobufEnvelope e;
    _cleanup_arena_ Arena a;
    Value v, again;
    Err err;

    arena_init(&a, 16 << 20);
    if (protobuf_open(bytes, &e, &err) == 0)
        bytes = e.raw;
    if (protobuf_decode(pod, bytes, &a, &v, &err) < 0)
        return 0;
    if (protobuf_encode(pod, &v, &first, &err) < 0)
        return 0;
    ASSERT(protobuf_decode(pod, buf_view(&first), &a, &again, &err) == 0 || err.code == ERR_NOMEM);
    return 0;
}
