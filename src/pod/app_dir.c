/* app_dir.c - what is left of an app's files when it will not run any more. */
#include <stdio.h>

#include "base/file.h"
#include "pod/pod_internal.h"

void pod_remove_scratch(int dir_fd, const char *app)
{
    static const char *const leaves[] = { "apps/%s/rootfs", "apps/%s/upper", "apps/%s/work",
                                          "apps/%s/pid",    "apps/%s/spec",  "memory/%s.spec" };
    char path[APP_ID_MAX + 32];

    for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
        int n = snprintf(path, sizeof path, leaves[i], app);
        if (n > 0 && (size_t)n < sizeof path)
            (void)!rm_rf(dir_fd, path);
    }
}
