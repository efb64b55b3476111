/* Templates of alerts: whatever the text, expansion ends in a text or an error. */
#include "monitor/template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const Label items[] = { { SV_INIT("a"), SV_INIT("b.c:1") } };
    TemplateOptions opt = { .name = SV("t"), .labels = { items, 1 }, .value = 1.5 };
    _cleanup_buf_ Buf out = BUF_INIT;
    if (template_expand(sv_n(data, n), &opt, &out, NULL) >= 0)
        ASSERT(template_check(sv_n(data, n), opt.name, NULL) >= 0);
    return 0;
}
