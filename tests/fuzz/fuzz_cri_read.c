/* fuzz_cri_read.c - log files as readers see them: any split into two blocks gives the same text.
 */
#include <stdint.h>

#include "kubelet/cri_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ Buf whole = BUF_INIT, parts = BUF_INIT;
    CriFilter f1 = { .limit = -1, .timestamps = true }, f2 = f1;
    size_t used = cri_filter(&f1, sv_n(data, size), &whole),
           half = cri_filter(&f2, sv_n(data, size / 2), &parts);
    ASSERT(half + cri_filter(&f2, sv_n(data + half, size - half), &parts) == used);
    ASSERT(sv_eq(buf_view(&whole), buf_view(&parts)));
    return 0;
}
