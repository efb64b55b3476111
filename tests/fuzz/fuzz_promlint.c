/* Metrics in the text format: whatever the bytes, they end in families that can be linted. */
#include "monitor/tool/promlint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Families f;
    LintProblem *problems;
    size_t n_problems;
    Err err = { 0 };
    if (families_parse(sv_n(data, n), 64 * 1024 * 1024, &f, &err) < 0 ||
        promlint(&f, &problems, &n_problems, &err) < 0)
        ASSERT(err.msg[0]);
    families_free(&f);
    return 0;
}
