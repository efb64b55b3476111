/* fuzz_registry_auth.c - docker's config.json and containers' auth.json. */
#include "image/registry_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AuthFile f;
    Arena a;

    arena_init(&a, 16 * 1024 * 1024);
    if (auth_file_parse(sv_n(data, size), "fuzz", &a, &f, NULL) >= 0)
        for (unsigned i = 0; i < f.len; i++)
            (void)registry_credential_fits(f.items[i].pattern, SV("a.b.example.com:5000"),
                                           SV("x/y"));
    arena_free(&a);
    return 0;
}
