/* fuzz_pod_wire.c - specs and messages between stage0 and stage1; what is accepted encodes and
 * decodes again. */
#include <stdint.h>

#include "pod/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    ProtoRequest request;
    ProtoReply reply;
    ProtoHeader h;
    AppStatus st;
    AppSpec app, again;
    PodSpec pod;
    StrView body;
    Arena a;

    arena_init(&a, 8 * 1024 * 1024);
    (void)!pod_spec_decode(sv_n(data, size), &a, &pod, NULL);
    if (app_spec_decode(sv_n(data, size), &a, &app, NULL) >= 0) {
        app_spec_encode(&app, &out);
        ASSERT(out.failed || app_spec_decode(buf_view(&out), &a, &again, NULL) >= 0);
    }
    if (proto_check(sv_n(data, size), &h, &body, NULL) < 0)
        body = sv_n(data, size);
    (void)!proto_decode_request(body, &a, &request, NULL);
    if (proto_decode_reply(body, &a, &reply, NULL) >= 0)
        proto_status_of_reply(&reply, &st);
    arena_free(&a);
    return 0;
}
