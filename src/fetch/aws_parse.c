/* aws_parse.c - see aws_parse.h. */
#include "fetch/aws_parse.h"

#include <stdio.h>

/* "[name]" or "[profile name]"; false: another line. */
static bool is_section(StrView line, StrView *ret)
{
    if (!sv_starts(line, SV("[")))
        return false;
    ssize_t end = sv_find_char(line, ']');
    StrView name = sv_trim(sv_n(line.ptr + 1, end < 0 ? line.len - 1 : (size_t)end - 1));
    if (sv_starts(name, SV("profile ")))
        name = sv_trim(sv_skip(name, strlen("profile ")));
    *ret = name;
    return true;
}

static void take(AwsProfile *p, StrView key, StrView value)
{
    const struct {
        const char *key;
        StrView *to;
    } known[] = {
        { "aws_access_key_id", &p->key_id },
        { "aws_secret_access_key", &p->secret },
        { "aws_session_token", &p->session },
        { "region", &p->region },
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (sv_eq_nocase(key, sv_cstr(known[i].key)) && sv_empty(*known[i].to))
            *known[i].to = value;
}

void aws_profile_find(StrView text, StrView name, AwsProfile *ret)
{
    StrView line, section, key, value;
    bool inside = false;
    while (sv_next(&text, '\n', &line)) {
        bool nested = line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
        line = sv_trim(line);
        if (!line.len || line.ptr[0] == '#' || line.ptr[0] == ';')
            continue;
        if (is_section(line, &section)) {
            inside = sv_eq(section, name);
            ret->found |= inside;
        } else if (inside && !nested && sv_cut(line, '=', &key, &value)) {
            take(ret, sv_trim(key), sv_trim(value));
        }
    }
}

bool aws_element(StrView xml, const char *tag, StrView *ret)
{
    char open[64];
    int n = snprintf(open, sizeof open, "<%s>", tag);
    ssize_t at = sv_find(xml, sv_n(open, (size_t)n));
    if (at < 0)
        return false;
    StrView rest = sv_skip(xml, (size_t)at + (size_t)n);
    ssize_t end = sv_find_char(rest, '<');
    if (end < 0 || !sv_starts(sv_skip(rest, (size_t)end + 1), SV("/")))
        return false;
    *ret = sv_trim(sv_head(rest, (size_t)end));
    return true;
}
