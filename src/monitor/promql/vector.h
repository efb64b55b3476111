/* vector.h - loops over arrays of numbers in the widest instructions of the machine they run on. */
#pragma once

/* Before a function: it is compiled once for AVX2 and once for every x86-64, and the loader takes
 * what fits. Results are the same to the bit: nothing is reordered or contracted. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__)
#define VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define VECTORS
#endif
