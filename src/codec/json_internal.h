/* json_internal.h - numbers and characters, shared by the JSON decoder, the encoder and YAML. */
#pragma once

#include "base/buf.h"
#include "codec/value.h"

/* Reads the JSON number at *at (RFC 8259 grammar) and moves *at behind it. Integers that fit become
 * VALUE_INT, all else VALUE_DOUBLE. NULL, or why not; *at is then where it went wrong. */
const char *json_number(const char **at, const char *end, Value *ret);

/* Appends a double in its shortest form that reads back the same, laid out as Go does it: plain
 * between 1e-6 and 1e21, else with an exponent. What JSON cannot say (NaN, infinities) is `null`.
 */
void json_double(double d, Buf *out);

/* Bytes of the well-formed UTF-8 sequence at p (1-4), or 0. p < end. */
static inline unsigned utf8_sequence(const char *at, const char *end)
{
    const unsigned char *p = (const unsigned char *)at;
    size_t room = (size_t)(end - at);

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4 || room < 2)
        return 0;
    if (p[0] < 0xE0)
        return (p[1] & 0xC0) == 0x80 ? 2 : 0;
    if (p[0] < 0xF0) {
        unsigned char low = p[0] == 0xE0 ? 0xA0 : 0x80, high = p[0] == 0xED ? 0x9F : 0xBF;
        return room >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xC0) == 0x80 ? 3 : 0;
    }
    unsigned char low = p[0] == 0xF0 ? 0x90 : 0x80, high = p[0] == 0xF4 ? 0x8F : 0xBF;
    return room >= 4 && p[1] >= low && p[1] <= high && (p[2] & 0xC0) == 0x80 &&
                   (p[3] & 0xC0) == 0x80
               ? 4
               : 0;
}

/* Writes a code point (a scalar value) as UTF-8; returns its length. */
static inline unsigned utf8_put(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* Offset of the first byte in [p, end) that is not plain inside a JSON string: a quote, a
 * backslash, a control character or non-ASCII. Eight bytes at a time: the borrow of each
 * subtraction lands in the byte's high bit (Mycroft). A byte behind the first hit may be marked
 * wrongly; only the first is used. */
static inline size_t json_plain_run(const char *p, const char *end)
{
    const char *start = p;
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        uint64_t hit =
            ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w) | w;
        hit &= high;
        if (hit)
            return (size_t)(p - start) + (unsigned)__builtin_ctzll(hit) / 8;
        p += 8;
    }
#else
    (void)high;
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 &&
           (unsigned char)*p < 0x80)
        p++;
    return (size_t)(p - start);
}
