/* fuzz_seccomp_json.c - seccomp profiles as JSON. */
#include <stdint.h>

#include "oci/seccomp_load.h"
#include "oci/seccomp_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ Buf out = BUF_INIT;

    if (size < 64 * 1024 && seccomp_profile_json(sv_n(data, size), &out, NULL) >= 0)
        ASSERT(out.len > 0 && out.len % 8 == 0 && out.len <= SECCOMP_FILTER_MAX);
    return 0;
}
