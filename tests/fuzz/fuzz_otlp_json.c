/* fuzz_otlp_json.c - OTLP/JSON: what it comes to is a message that can be read. */
#include "monitor/otlp/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_sample(void *ctx, const OtlpSample *s, Err *err)
{
    return s->labels.len > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ Buf message = BUF_INIT;
    ConfigOtlp cfg = { .translation_strategy = SV("UnderscoreEscapingWithSuffixes"),
                       .promote_scope_metadata = true };
    const OtlpOptions o = { .cfg = &cfg, .allow_delta = true, .fn = on_sample };
    OtlpOutcome out = { 0 };
    Err err = { 0 };
    if (otlp_from_json(sv_n((const char *)data, size), &message, &err) == 0) {
        int r = otlp_translate(&o, buf_view(&message), &out, &err);
        /* Only values inside of values may still be too many for it. */
        ASSERT(r != -ERR_INVALID || sv_ends(sv_cstr(err.msg), SV("an attribute")));
    } else {
        ASSERT(err.msg[0]);
    }
    otlp_outcome_free(&out);
    return 0;
}
