/* The notation of series in test scripts, histograms included: no input may do harm. */
#include "monitor/promqltest/series.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MEMORY = 64 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena a;
    Labels l;
    SeriesValues v;
    arena_init(&a, MEMORY);
    if (series_parse(sv_n(data, n), &a, &l, &v, NULL) >= 0) {
        _cleanup_buf_ Buf out = BUF_INIT;
        for (size_t i = 0; i < v.len && i < 100; i++) {
            if (!v.items[i].h)
                continue;
            histogram_format_test(v.items[i].h, &out);
            if (histogram_validate(v.items[i].h, NULL) >= 0)
                histogram_format(v.items[i].h, &out);
        }
    }
    if (series_parse_starts(sv_n(data, n), &a, &v, NULL) >= 0)
        ASSERT(v.len <= SERIES_VALUES_MAX);
    arena_free(&a);
    return 0;
}
