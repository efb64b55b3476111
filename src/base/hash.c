/* hash.c - SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF") under a key of
 * this process. One round per eight bytes and three at the end: what tables need, where nobody sees
 * the values. */
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

static uint64_t hash_key[2];

/* Before main(): no thread runs yet, and no table is built yet. */
__attribute__((constructor)) static void draw_key(void)
{
    if (getrandom(hash_key, sizeof hash_key, GRND_NONBLOCK) == (ssize_t)sizeof hash_key)
        return;
    /* Early in the boot of a machine without entropy: better than nothing known. */
    hash_key[0] = (uint64_t)clock_mono_ns() ^ (uint64_t)(uintptr_t)&hash_key;
    hash_key[1] = (uint64_t)clock_real_ns() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)getpid();
}

typedef struct Sip {
    uint64_t a, b, c, d;
} Sip;

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void round1(Sip *v)
{
    v->a += v->b;
    v->b = rotl(v->b, 13) ^ v->a;
    v->a = rotl(v->a, 32);
    v->c += v->d;
    v->d = rotl(v->d, 16) ^ v->c;
    v->a += v->d;
    v->d = rotl(v->d, 21) ^ v->a;
    v->c += v->b;
    v->b = rotl(v->b, 17) ^ v->c;
    v->c = rotl(v->c, 32);
}

static inline Sip begin(void)
{
    return (Sip){ hash_key[0] ^ UINT64_C(0x736f6d6570736575),
                  hash_key[1] ^ UINT64_C(0x646f72616e646f6d),
                  hash_key[0] ^ UINT64_C(0x6c7967656e657261),
                  hash_key[1] ^ UINT64_C(0x7465646279746573) };
}

static inline void take(Sip *v, uint64_t word)
{
    v->d ^= word;
    round1(v);
    v->a ^= word;
}

static inline uint64_t end(Sip *v)
{
    v->c ^= 0xff;
    round1(v);
    round1(v);
    round1(v);
    return v->a ^ v->b ^ v->c ^ v->d;
}

uint64_t sv_hash(StrView s)
{
    Sip v = begin();
    uint64_t word, last = (uint64_t)s.len << 56;
    const char *p = s.ptr;
    size_t n = s.len;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        take(&v, word);
    }
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)(unsigned char)p[i] << (8 * i);
    take(&v, last);
    return end(&v);
}

uint64_t num_hash(uint64_t n)
{
    Sip v = begin();
    take(&v, n);
    return end(&v);
}
