/* crc32c.h - CRC-32C (Castagnoli, RFC 3720 B.4), the checksum of stored rows, chunks and log
 * records. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continues from `crc` (0 at first). */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);
