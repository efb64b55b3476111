/* fuzz_connect_answer.c - what a proxy says to CONNECT: an answer once seen stays what it was. */
#include "net/connect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    StrView in = sv_n((const char *)data, len);
    for (size_t n = 0; n <= len; n++) {
        Err err = { 0 };
        int r = connect_answer(sv_head(in, n), &err);
        ASSERT(r == 0 || r == 1 || err.msg[0]);
        if (r == -ERR_DENIED) { /* whatever follows */
            ASSERT(connect_answer(in, NULL) == r);
            return 0;
        }
    }
    return 0;
}
