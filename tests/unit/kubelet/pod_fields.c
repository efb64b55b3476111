/* pod_fields.c - run by the build: fails it when a field of a pod is in no row of support.c. */
#include <stdio.h>

#include "kubelet/internal.h"

int main(void)
{
    _cleanup_buf_ Buf out = BUF_INIT;

    support_coverage(&out);
    if (out.len)
        fprintf(stderr, "src/kubelet/support.c does not fit the fields of a pod:\n%s",
                buf_cstr(&out));
    return out.len || out.failed;
}
