/* Files of unit tests of rules: whatever the bytes, they end in tests or in a message. */
#include "monitor/tool/testfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    TestFile f;
    Err err = { 0 };
    if (test_file_parse(sv_n(data, n), "f", 64 * 1024 * 1024, &f, &err) < 0)
        ASSERT(err.msg[0]);
    test_file_free(&f);
    return 0;
}
