/* Field owners: the input is a list [live, config, managedFields]. What can be read is written and
 * read again as the same; an apply may fail, never harm. */
#include "api/check.h"
#include "api/managers.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), SV("pods"));
    const FieldWriter w = { .manager = SV("m"), .now = SV("2026-01-01T00:00:00Z"), .res = res };
    _cleanup_arena_ Arena a;
    arena_init(&a, 32 << 20);
    Value in, result, again = value_map();
    Managers m, reread;
    ApplyConflicts conflicts;
    Err err;
    if (json_decode(sv_n(data, n), &a, NULL, &in, &err) < 0 || in.kind != VALUE_LIST ||
        in.len != 3 || managers_decode(&in.items[2], &a, &m, &err) < 0)
        return 0;
    if (value_set(&a, &again, SV("metadata"), value_map()) && managers_store(&m, &a, &again)) {
        int r = managers_decode(value_path(&again, "metadata.managedFields"), &a, &reread, &err);
        ASSERT(r == -ERR_NOMEM || (r == 0 && reread.len == m.len));
        for (unsigned i = 0; r == 0 && i < m.len; i++)
            ASSERT(fieldset_equal(&m.items[i].set, &reread.items[i].set));
    }
    if (api_decode_check(res->schema, &in.items[0], &a, NULL, &err) < 0 ||
        api_decode_check(res->schema, &in.items[1], &a, NULL, &err) < 0)
        return 0;
    if (managers_apply(&m, &w, &in.items[0], &in.items[1], n % 2, &a, &result, &conflicts, &err) <
        0)
        apply_conflicts_text(&conflicts, &a);
    return 0;
}
