// regex.cc - RE2 behind a C face; the only C++ of the house.
extern "C" {
#include "base/regex.h"
}

#include <cstring>
#include <new>
#include <re2/re2.h>

struct Regex {
    re2::RE2 re;
    bool anchored;
};

static re2::StringPiece piece(StrView s)
{
    return re2::StringPiece(s.ptr ? s.ptr : "", s.len);
}

Regex *regex_new(StrView pattern, bool anchored, char *why, size_t why_size)
{
    re2::RE2::Options opt;
    opt.set_log_errors(false);
    Regex *re = new (std::nothrow) Regex{ { piece(pattern), opt }, anchored };
    if (re && re->re.ok())
        return re;
    if (why_size)
        snprintf(why, why_size, "%s", re ? re->re.error().c_str() : "out of memory");
    return regex_free(re);
}

Regex *regex_free(Regex *re)
{
    delete re;
    return nullptr;
}

bool regex_match(const Regex *re, StrView text)
{
    return regex_groups(re, text, nullptr, 0);
}

bool regex_groups(const Regex *re, StrView text, StrView *ret_groups, int n)
{
    return regex_groups_from(re, text, 0, ret_groups, n);
}

int regex_group_number(const Regex *re, StrView name)
{
    for (const auto &group : re->re.NamedCapturingGroups())
        if (name.len == group.first.size() && memcmp(name.ptr, group.first.data(), name.len) == 0)
            return group.second;
    return -1;
}

bool regex_groups_from(const Regex *re, StrView text, size_t start, StrView *ret_groups, int n)
{
    enum { GROUPS_MAX = 32 };
    re2::StringPiece groups[GROUPS_MAX];
    if (n > GROUPS_MAX)
        n = GROUPS_MAX;
    auto anchor = re->anchored ? re2::RE2::ANCHOR_BOTH : re2::RE2::UNANCHORED;
    if (!re->re.Match(piece(text), start, text.len, anchor, groups, n))
        return false;
    for (int i = 0; i < n; i++)
        ret_groups[i] = StrView{ groups[i].data(), groups[i].size() };
    return true;
}
