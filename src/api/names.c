/* names.c - checks of name formats. The regular expressions are small enough to be written out. */
#include "api/names.h"

#define LABEL_RE       "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_RE   LABEL_RE "(\\." LABEL_RE ")*"
#define KEY_RE         "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

#define REGEX_USED(re) "regex used for validation is '" re "')"
#define LABEL_WHY                                                                                  \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end with an alphanumeric character (e.g. 'my-name',  or "                      \
    "'123-abc', " REGEX_USED(LABEL_RE)
#define SUBDOMAIN_WHY                                                                              \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', " REGEX_USED( \
        SUBDOMAIN_RE)
#define KEY_WHY                                                                                    \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "    \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', " REGEX_USED(KEY_RE)

static void fault(NameFaults *f, StrView why)
{
    if (f->n < NAME_FAULTS_MAX)
        f->why[f->n++] = why;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool is_label(StrView s)
{
    if (s.len == 0 || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_lower(s.ptr[i]) && !is_digit(s.ptr[i]) && s.ptr[i] != '-')
            return false;
    }
    return true;
}

static bool is_subdomain(StrView s)
{
    StrView label;

    for (bool more = true; more;) {
        more = sv_cut(s, '.', &label, &s);
        if (!is_label(label))
            return false;
    }
    return true;
}

/* Letters, digits and "-_.", with a letter or digit at both ends. */
static bool is_key(StrView s)
{
    if (s.len == 0 || !is_alnum(s.ptr[0]) || !is_alnum(s.ptr[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) && !memchr("-_.", s.ptr[i], 3))
            return false;
    }
    return true;
}

void name_dns1123_label(StrView s, NameFaults *ret)
{
    if (s.len > NAME_LABEL_MAX)
        fault(ret, SV("must be no more than 63 characters"));
    if (!is_label(s))
        fault(ret, is_subdomain(s) ? SV("must not contain dots") : SV(LABEL_WHY));
}

void name_dns1123_subdomain(StrView s, NameFaults *ret)
{
    if (s.len > NAME_SUBDOMAIN_MAX)
        fault(ret, SV("must be no more than 253 characters"));
    if (!is_subdomain(s))
        fault(ret, SV(SUBDOMAIN_WHY));
}

void name_dns1035_label(StrView s, NameFaults *ret)
{
    if (s.len > NAME_LABEL_MAX)
        fault(ret, SV("must be no more than 63 characters"));
    if (!is_label(s) || !is_lower(s.ptr[0]))
        fault(ret, SV("a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
                      "start with an alphabetic character, and end with an alphanumeric character "
                      "(e.g. 'my-name',  or 'abc-123', " REGEX_USED("[a-z]([-a-z0-9]*[a-z0-9])?")));
}

void name_wildcard_domain(StrView s, NameFaults *ret)
{
    if (s.len > NAME_SUBDOMAIN_MAX)
        fault(ret, SV("must be no more than 253 characters"));
    if (!sv_starts(s, SV("*.")) || !is_subdomain(sv_skip(s, 2)))
        fault(ret,
              SV("a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
                 "subdomain, which must consist of lower case alphanumeric characters, '-' or "
                 "'.' and end with an alphanumeric character (e.g. '*.example.com', " REGEX_USED(
                     "\\*\\." SUBDOMAIN_RE)));
}

void name_label_key(StrView s, NameFaults *ret)
{
    StrView prefix, name;

    if (!sv_cut(s, '/', &prefix, &name)) {
        name = prefix;
    } else if (sv_find_char(name, '/') >= 0) {
        fault(ret, SV("a valid label key " KEY_WHY " with an optional DNS subdomain prefix and '/' "
                      "(e.g. 'example.com/MyName')"));
        return;
    } else if (prefix.len == 0) {
        fault(ret, SV("prefix part must be non-empty"));
    } else {
        if (prefix.len > NAME_SUBDOMAIN_MAX)
            fault(ret, SV("prefix part must be no more than 253 characters"));
        if (!is_subdomain(prefix))
            fault(ret, SV("prefix part " SUBDOMAIN_WHY));
    }
    if (name.len == 0)
        fault(ret, SV("name part must be non-empty"));
    else if (name.len > NAME_LABEL_MAX)
        fault(ret, SV("name part must be no more than 63 characters"));
    if (!is_key(name))
        fault(ret, SV("name part " KEY_WHY));
}

void name_label_value(StrView s, NameFaults *ret)
{
    if (s.len > NAME_LABEL_MAX)
        fault(ret, SV("must be no more than 63 characters"));
    if (s.len > 0 && !is_key(s))
        fault(ret,
              SV("a valid label must be an empty string or consist of alphanumeric characters, "
                 "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
                 "'MyValue',  or 'my_value',  or '12345', " REGEX_USED("(" KEY_RE ")?")));
}

void name_port(StrView s, NameFaults *ret)
{
    bool charset = s.len > 0, letter = false, twice = false;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        charset = charset && (is_lower(c) || is_digit(c) || c == '-');
        letter = letter || is_lower(c);
        twice = twice || (c == '-' && i > 0 && s.ptr[i - 1] == '-');
    }
    if (s.len > 15)
        fault(ret, SV("must be no more than 15 characters"));
    if (!charset)
        fault(ret, SV("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"));
    if (!letter)
        fault(ret, SV("must contain at least one letter (a-z)"));
    if (twice)
        fault(ret, SV("must not contain consecutive hyphens"));
    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[s.len - 1] == '-'))
        fault(ret, SV("must not begin or end with a hyphen"));
}

void name_env(StrView s, NameFaults *ret)
{
    if (s.len == 0)
        fault(ret, SV("environment variable name must be non-empty"));
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] >= ' ' && s.ptr[i] <= '~' && s.ptr[i] != '=')
            continue;
        fault(ret, SV("a valid environment variable name must consist only of printable ASCII "
                      "characters other than '='"));
        return;
    }
}

/* "." and ".." and what begins like the latter would leave the folder of a volume. */
static void no_parent_folder(StrView s, NameFaults *ret)
{
    if (sv_eq(s, SV(".")))
        fault(ret, SV("must not be '.'"));
    else if (sv_eq(s, SV("..")))
        fault(ret, SV("must not be '..'"));
    else if (sv_starts(s, SV("..")))
        fault(ret, SV("must not start with '..'"));
}

void name_config_key(StrView s, NameFaults *ret)
{
    bool ok = s.len > 0;

    for (size_t i = 0; i < s.len; i++)
        ok = ok && (is_alnum(s.ptr[i]) || memchr("-._", s.ptr[i], 3));
    if (s.len > NAME_SUBDOMAIN_MAX)
        fault(ret, SV("must be no more than 253 characters"));
    if (!ok)
        fault(ret, SV("a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                      "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', " REGEX_USED(
                          "[-._a-zA-Z0-9]+")));
    no_parent_folder(s, ret);
}

void name_http_header(StrView s, NameFaults *ret)
{
    bool ok = s.len > 0;

    for (size_t i = 0; i < s.len; i++)
        ok = ok && (is_alnum(s.ptr[i]) || s.ptr[i] == '-');
    if (!ok)
        fault(ret, SV("a valid HTTP header must consist of alphanumeric characters or '-' (e.g. "
                      "'X-Header-Name', " REGEX_USED("[-A-Za-z0-9]+")));
}

void name_path_segment(StrView s, NameFaults *ret)
{
    if (sv_eq(s, SV(".")) || sv_eq(s, SV("..")))
        fault(ret, s.len == 1 ? SV("may not be '.'") : SV("may not be '..'"));
    if (sv_find_char(s, '/') >= 0)
        fault(ret, SV("may not contain '/'"));
    if (sv_find_char(s, '%') >= 0)
        fault(ret, SV("may not contain '%'"));
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c != 0x7f)
            continue;
        fault(ret, SV("may not contain control characters")); /* a NUL would end a store's key */
        return;
    }
}
