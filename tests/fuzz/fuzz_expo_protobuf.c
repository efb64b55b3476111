/* The protobuf exposition. */
#include "expo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return expo_read(EXPO_FORMAT_PROTOBUF, sv_n(data, n));
}
