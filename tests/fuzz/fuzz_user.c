/* fuzz_user.c - a container's /etc/passwd and /etc/group; the first line of the input is the user
 * asked for. */
#include <stdint.h>

#include "oci/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    StrView spec, rest;
    UserInfo u;
    Arena a;

    arena_init(&a, 1024 * 1024);
    sv_cut(sv_n(data, size), '\n', &spec, &rest);
    if (user_lookup_text(rest, rest, spec, &a, &u, NULL) >= 0)
        ASSERT(u.uid != UINT32_MAX && u.gid != UINT32_MAX && u.home &&
               u.groups_len <= USER_GROUPS_MAX);
    arena_free(&a);
    return 0;
}
