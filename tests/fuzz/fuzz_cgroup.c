/* fuzz_cgroup.c - the text of /proc/self/mountinfo. */
#include <stdint.h>

#include "base/macros.h"
#include "oci/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = calloc(1, size + 1);
    CgroupSystem sys;

    if (!text)
        return 0;
    for (size_t i = 0; i < size; i++)
        text[i] = (char)data[i];
    cgroup_system_parse(text, NULL, &sys);
    ASSERT(sys.len <= CGROUP_HIERARCHIES_MAX);
    return 0;
}
