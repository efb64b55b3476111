/* image_ref.c - parses and normalises image references.
 * The text is cut from the right (digest, then tag), the rest is split into registry and path, and
 * each part is checked by a small scanner of its own. */
#include "image/image_ref.h"

#include <ctype.h>
#include <stdio.h>

#include "base/encode.h"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_hex_lower(StrView s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return true;
}

int digest_parse(StrView text, Digest *ret, Err *err)
{
    StrView algo, hex;

    if (!sv_cut(text, ':', &algo, &hex) || sv_empty(algo))
        return err_set(err, ERR_INVALID, 0, "'%.*s' is not a digest (algorithm:hex)",
                       SV_FMT(sv_head(text, 160)));
    if (!sv_eq(algo, SV("sha256")))
        return err_set(err, ERR_UNSUPPORTED, 0, "digest algorithm '%.*s' is not supported",
                       SV_FMT(sv_head(algo, 32)));
    if (hex.len != 64 || !is_hex_lower(hex))
        return err_set(err, ERR_INVALID, 0, "digest '%.*s' wants 64 lower-case hex digits",
                       SV_FMT(sv_head(text, 160)));
    memcpy(ret->text, text.ptr, text.len);
    ret->text[text.len] = 0;
    return 0;
}

void digest_from_bytes(const uint8_t sum[static 32], Digest *ret)
{
    memcpy(ret->text, "sha256:", 7);
    hex_encode(sum, 32, ret->text + 7);
    ret->text[DIGEST_SIZE - 1] = 0;
}

static bool tag_is_valid(StrView s)
{
    if (sv_empty(s) || s.len > IMAGE_REF_TAG_MAX || !(is_alnum(s.ptr[0]) || s.ptr[0] == '_'))
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!is_alnum(s.ptr[i]) && s.ptr[i] != '_' && s.ptr[i] != '.' && s.ptr[i] != '-')
            return false;
    return true;
}

/* Length of a separator between two runs of letters and digits: ".", "_", "__" or any number of
 * "-". */
static size_t separator_len(StrView s)
{
    size_t n = 0;

    if (s.len && s.ptr[0] == '.')
        return 1;
    if (s.len && s.ptr[0] == '_')
        return s.len > 1 && s.ptr[1] == '_' ? 2 : 1;
    while (n < s.len && s.ptr[n] == '-')
        n++;
    return n;
}

static bool path_part_is_valid(StrView s)
{
    for (;;) {
        size_t run = 0, sep;

        while (run < s.len && is_lower_alnum(s.ptr[run]))
            run++;
        if (run == 0)
            return false;
        s = sv_skip(s, run);
        if (sv_empty(s))
            return true;
        sep = separator_len(s);
        if (sep == 0)
            return false;
        s = sv_skip(s, sep);
    }
}

static bool path_is_valid(StrView path)
{
    StrView part;

    do {
        bool more = sv_cut(path, '/', &part, &path);

        if (!path_part_is_valid(part))
            return false;
        if (!more)
            return true;
    } while (true);
}

static bool label_is_valid(StrView s)
{
    if (sv_empty(s) || !is_alnum(s.ptr[0]) || !is_alnum(s.ptr[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.ptr[i]) && s.ptr[i] != '-')
            return false;
    return true;
}

static bool host_is_valid(StrView host)
{
    StrView label;

    if (sv_starts(host, SV("["))) { /* an IPv6 address */
        if (!sv_ends(host, SV("]")) || host.len < 4)
            return false;
        for (size_t i = 1; i < host.len - 1; i++)
            if (!isxdigit((unsigned char)host.ptr[i]) && host.ptr[i] != ':')
                return false;
        return true;
    }
    do {
        bool more = sv_cut(host, '.', &label, &host);

        if (!label_is_valid(label))
            return false;
        if (!more)
            return true;
    } while (true);
}

static bool domain_is_valid(StrView domain)
{
    ssize_t bracket = sv_rfind_char(domain, ']');
    ssize_t colon = sv_rfind_char(domain, ':');

    if (colon > bracket) {
        StrView port = sv_skip(domain, (size_t)colon + 1);

        if (sv_empty(port) || port.len > 5)
            return false;
        for (size_t i = 0; i < port.len; i++)
            if (!isdigit((unsigned char)port.ptr[i]))
                return false;
        domain = sv_head(domain, (size_t)colon);
    }
    return host_is_valid(domain);
}

static bool has_upper(StrView s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
            return true;
    return false;
}

/* The part before the first '/' is a registry only if it can be told from a folder of Docker Hub.
 */
static void split_domain(StrView name, StrView *ret_domain, StrView *ret_path, bool *ret_library)
{
    StrView head, tail;
    bool has_slash = sv_cut(name, '/', &head, &tail);

    *ret_library = false;
    if (has_slash && (sv_find_char(head, '.') >= 0 || sv_find_char(head, ':') >= 0 ||
                      sv_eq(head, SV("localhost")) || has_upper(head))) {
        *ret_domain = sv_eq(head, SV("index.docker.io")) ? SV("docker.io") : head;
        *ret_path = tail;
    } else {
        *ret_domain = SV("docker.io");
        *ret_path = name;
    }
    if (sv_eq(*ret_domain, SV("docker.io")) && sv_find_char(*ret_path, '/') < 0)
        *ret_library = true;
}

static int ref_invalid(StrView text, const char *why, Err *err)
{
    return err_set(err, ERR_INVALID, 0, "image reference '%.*s': %s", SV_FMT(sv_head(text, 200)),
                   why);
}

static int ref_fill_name(StrView text, StrView name, ImageRef *ref, Err *err)
{
    StrView domain, path;
    bool library;

    split_domain(name, &domain, &path, &library);
    if (!domain_is_valid(domain))
        return ref_invalid(text, "the registry's name is malformed", err);
    if (has_upper(path))
        return ref_invalid(text, "the repository name must be lower case", err);
    if (!path_is_valid(path))
        return ref_invalid(text, "the repository name is malformed", err);
    if (domain.len + 1 + (library ? 8 : 0) + path.len > IMAGE_REF_NAME_MAX)
        return ref_invalid(text, "the repository name is longer than 255 bytes", err);
    if (name.len == 64 && is_hex_lower(name))
        return ref_invalid(text, "64 hex digits are an image ID, not a name", err);
    snprintf(ref->domain, sizeof ref->domain, "%.*s", SV_FMT(domain));
    snprintf(ref->path, sizeof ref->path, "%s%.*s", library ? "library/" : "", SV_FMT(path));
    return 0;
}

int image_ref_parse(StrView text, ImageRef *ret_ref, Err *err)
{
    ImageRef ref = { 0 };
    StrView name = text;
    ssize_t at, colon;
    int r;

    if (sv_empty(text))
        return ref_invalid(text, "it is empty", err);
    if (text.len >= IMAGE_REF_SIZE)
        return ref_invalid(text, "it is too long", err);
    at = sv_find_char(name, '@');
    if (at >= 0) {
        r = digest_parse(sv_skip(name, (size_t)at + 1), &ref.digest, err);
        if (r < 0)
            return err_wrap(err, "image reference '%.*s'", SV_FMT(sv_head(text, 160)));
        name = sv_head(name, (size_t)at);
    }
    colon = sv_rfind_char(name, ':');
    if (colon >= 0 && sv_rfind_char(name, '/') < colon) {
        StrView tag = sv_skip(name, (size_t)colon + 1);

        if (!tag_is_valid(tag))
            return ref_invalid(text, "the tag is malformed", err);
        sv_copy_cstr(tag, ref.tag, sizeof ref.tag);
        name = sv_head(name, (size_t)colon);
    } else if (at < 0) {
        strcpy(ref.tag, "latest");
    }
    r = ref_fill_name(text, name, &ref, err);
    if (r < 0)
        return r;
    *ret_ref = ref;
    return 0;
}

char *image_ref_repository(const ImageRef *ref, char buf[static IMAGE_REF_SIZE])
{
    snprintf(buf, IMAGE_REF_SIZE, "%s/%s", ref->domain, ref->path);
    return buf;
}

char *image_ref_format(const ImageRef *ref, char buf[static IMAGE_REF_SIZE])
{
    snprintf(buf, IMAGE_REF_SIZE, "%s/%s%s%s%s%s", ref->domain, ref->path, ref->tag[0] ? ":" : "",
             ref->tag, ref->digest.text[0] ? "@" : "", ref->digest.text);
    return buf;
}
