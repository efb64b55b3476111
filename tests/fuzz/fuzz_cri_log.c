/* fuzz_cri_log.c - what apps print, as CRI log lines: whole and byte by byte must give the same
 * text. */
#include <stdint.h>

#include "pod/stage1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ Buf p1 = BUF_INIT, p2 = BUF_INIT, whole = BUF_INIT, bytes = BUF_INIT;

    log_format(&p1, "stdout", "T", sv_n(data, size), true, &whole);
    for (size_t i = 0; i < size; i++)
        log_format(&p2, "stdout", "T", sv_n(data + i, 1), false, &bytes);
    log_format(&p2, "stdout", "T", SV(""), true, &bytes);
    /* Where a line of exactly the limit ends, the newline may come in a packet of its own. */
    ASSERT(p1.len == 0 && p2.len == 0);
    ASSERT(size >= LOG_LINE_MAX ||
           (whole.len == bytes.len &&
            memcmp(whole.ptr ? whole.ptr : "", bytes.ptr ? bytes.ptr : "", whole.len) == 0));
    return 0;
}
