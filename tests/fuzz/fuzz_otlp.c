/* fuzz_otlp.c - OpenTelemetry's messages, translated in each way. */
#include "monitor/otlp/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_sample(void *ctx, const OtlpSample *s, Err *err)
{
    for (unsigned i = 1; i < s->labels.len; i++)
        ASSERT(sv_cmp(s->labels.items[i - 1].name, s->labels.items[i].name) < 0);
    if (s->h && histogram_validate(s->h, err) < 0)
        return 0;
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const StrView strategies[] = { SV_INIT("UnderscoreEscapingWithSuffixes"),
                                          SV_INIT("NoUTF8EscapingWithSuffixes"),
                                          SV_INIT("UnderscoreEscapingWithoutSuffixes"),
                                          SV_INIT("NoTranslation") };
    if (size < 1)
        return 0;
    ConfigOtlp cfg = { .translation_strategy = strategies[data[0] & 3],
                       .promote_all_resource_attributes = data[0] & 4,
                       .keep_identifying_resource_attributes = data[0] & 8,
                       .convert_histograms_to_nhcb = data[0] & 16,
                       .promote_scope_metadata = data[0] & 32,
                       .label_name_underscore_sanitization = data[0] & 64,
                       .label_name_preserve_multiple_underscores = data[0] & 128 };
    const OtlpOptions o = { .cfg = &cfg, .allow_delta = true, .fn = on_sample };
    OtlpOutcome out;
    Buf answer = BUF_INIT;
    if (otlp_translate(&o, sv_n(data + 1, size - 1), &out, NULL) == 0)
        otlp_put_response(&out, data[0] & 1, &answer);
    ASSERT(out.rejected <= out.points);
    buf_free(&answer);
    otlp_outcome_free(&out);
    return 0;
}
