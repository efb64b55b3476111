/* fuzz_remote_answer.c - answers to remote reads: frames of chunks, and messages. */
#include "monitor/remote/read_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ReadAnswer a;
    SampleCols cols;
    if (size < 1)
        return 0;
    sample_cols_init(&cols);
    if (read_answer_init(&a, sv_n(data + 1, size - 1), data[0] & 1, 1 << 20, (Labels){ 0 }, NULL) ==
        0) {
        vec_foreach (p, &a.pieces) {
            sample_cols_clear(&cols);
            if (read_piece_decode(&a, p, INT64_MIN, INT64_MAX, &cols, NULL) == 0)
                for (size_t i = 1; i < cols.len; i++)
                    ASSERT(cols.t[i - 1] < cols.t[i]);
        }
    }
    sample_cols_free(&cols);
    read_answer_free(&a);
    return 0;
}
