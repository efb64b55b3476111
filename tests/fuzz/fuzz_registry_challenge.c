/* fuzz_registry_challenge.c - WWW-Authenticate, and the realm that it names. */
#include "image/registry_challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena a;
    Challenge c;

    arena_init(&a, 1024 * 1024);
    if (challenge_parse(sv_n(data, size), &a, &c, NULL) >= 0) {
        ASSERT(c.scheme != CHALLENGE_BEARER || c.realm.len > 0);
        ASSERT(!challenge_realm_is_own(SV("https://registry.example.com"), c.realm) ||
               sv_find(c.realm, SV("://")) > 0);
    }
    arena_free(&a);
    return 0;
}
