// shortest.cc - the shortest decimal digits of a double, by the C++ library: Ryu, in a tenth of the
// time that printf and strtod need. C has no such function, and most samples that are not whole
// numbers have 16 or 17 digits.
#include <charconv>

extern "C" __attribute__((visibility("hidden"))) unsigned double_shortest(double v, char *out,
                                                                          unsigned size);

unsigned double_shortest(double v, char *out, unsigned size)
{
    auto r = std::to_chars(out, out + size, v, std::chars_format::scientific);
    return r.ec == std::errc() ? static_cast<unsigned>(r.ptr - out) : 0;
}
