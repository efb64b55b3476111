/* Rule files: whatever the bytes, they end in groups or in problems. */
#include "monitor/rules/rulefile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    RuleFile *f = NULL;
    _cleanup_buf_ Buf problems = BUF_INIT;
    if (rule_file_parse(sv_n(data, n), SV("f"), 0, &problems, &f, NULL) < 0)
        ASSERT(problems.len > 0);
    rule_file_free(f);
    return 0;
}
