/* Quantities: the canonical text of what parses must be the same quantity and its own canonical
 * text. */
#include "api/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char first[API_QUANTITY_TEXT_MAX], second[API_QUANTITY_TEXT_MAX];
    ApiQuantity q, again;

    if (api_quantity_parse(sv_n(data, n), &q, NULL) < 0)
        return 0;
    (void)api_quantity_milli(&q);
    size_t len = api_quantity_format(&q, first);
    ASSERT(api_quantity_parse(sv_n(first, len), &again, NULL) == 0);
    size_t len2 = api_quantity_format(&again, second);
    ASSERT_MSG(sv_eq(sv_n(first, len), sv_n(second, len2)), "%s, %s", first, second);
    return 0;
}
