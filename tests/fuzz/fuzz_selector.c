/* Selectors: what parses must match something or nothing without harm, and its canonical text must
 * parse again to the same text. */
#include "api/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const ApiResource *pods = api_resource_find(SV(""), SV("v1"), SV("pods"));
    _cleanup_buf_ Buf first = BUF_INIT, second = BUF_INIT;
    _cleanup_arena_ Arena a;
    Value labels = value_map();
    Selector s;
    Err err;

    arena_init(&a, 16 << 20);
    if (!value_set(&a, &labels, SV("a"), value_sv(SV("1"))))
        return 0;
    if (field_selector_parse(sv_n(data, n), pods, &a, &s, &err) == 0)
        (void)field_selector_matches(&s, &labels);
    if (selector_parse(sv_n(data, n), &a, &s, &err) < 0)
        return 0;
    (void)selector_matches(&s, &labels);
    selector_format(&s, &first);
    ASSERT(selector_parse(buf_view(&first), &a, &s, &err) == 0);
    selector_format(&s, &second);
    ASSERT(sv_eq(buf_view(&first), buf_view(&second)));
    return 0;
}
