/* html_links.c - links of a proxied page lead back through the proxy.
 *
 * A tokenizer that knows what HTML knows of text, tags, comments and raw text, and no more: of a
 * start tag whose attributes may hold links it replaces those; every other byte passes unchanged.
 * It keeps one tag at most. To add an attribute: a row of `attributes`. */
#include "apiserver/html_links.h"

enum {
    AT_TEXT,
    AT_OPEN,    /* behind '<' */
    AT_TAG,     /* inside a start tag */
    AT_VALUE,   /* behind '=': a quote may follow */
    AT_QUOTED,  /* inside a value in quotes */
    AT_END_TAG, /* inside an end tag, a declaration or what stands for a comment: up to '>' */
    AT_COMMENT, /* `tag` holds its last bytes */
    AT_RAW,     /* text of `raw` */
};

/* Elements and their attributes that hold links: HTML 4.01 and HTML 5. */
static const struct {
    StrView element, names;
} attributes[] = {
    { SV_INIT("a"), SV_INIT("href") },
    { SV_INIT("applet"), SV_INIT("codebase") },
    { SV_INIT("area"), SV_INIT("href") },
    { SV_INIT("audio"), SV_INIT("src") },
    { SV_INIT("base"), SV_INIT("href") },
    { SV_INIT("blockquote"), SV_INIT("cite") },
    { SV_INIT("body"), SV_INIT("background") },
    { SV_INIT("button"), SV_INIT("formaction") },
    { SV_INIT("command"), SV_INIT("icon") },
    { SV_INIT("del"), SV_INIT("cite") },
    { SV_INIT("embed"), SV_INIT("src") },
    { SV_INIT("form"), SV_INIT("action") },
    { SV_INIT("frame"), SV_INIT("longdesc,src") },
    { SV_INIT("head"), SV_INIT("profile") },
    { SV_INIT("html"), SV_INIT("manifest") },
    { SV_INIT("iframe"), SV_INIT("longdesc,src") },
    { SV_INIT("img"), SV_INIT("longdesc,src,usemap") },
    { SV_INIT("input"), SV_INIT("src,usemap,formaction") },
    { SV_INIT("ins"), SV_INIT("cite") },
    { SV_INIT("link"), SV_INIT("href") },
    { SV_INIT("object"), SV_INIT("classid,codebase,data,usemap") },
    { SV_INIT("q"), SV_INIT("cite") },
    { SV_INIT("script"), SV_INIT("src") },
    { SV_INIT("source"), SV_INIT("src") },
    { SV_INIT("video"), SV_INIT("poster,src") },
};

static const StrView raw_elements[] = {
    SV_INIT("script"), SV_INIT("style"),   SV_INIT("textarea"), SV_INIT("title"),
    SV_INIT("iframe"), SV_INIT("noembed"), SV_INIT("noframes"), SV_INIT("xmp"),
};

/* ---- one link ---- */

/* Behind the prefix already? */
static bool is_behind(StrView path, StrView prefix)
{
    if (!sv_starts(path, prefix))
        return false;
    return path.len == prefix.len || strchr("/?#", path.ptr[prefix.len]) != NULL;
}

void link_map(const LinkMap *m, StrView link, Buf *out)
{
    ssize_t scheme = sv_find(link, SV("://"));
    size_t host_at = sv_starts(link, SV("http://")) || sv_starts(link, SV("https://"))
                         ? (size_t)scheme + 3
                     : sv_starts(link, SV("//")) ? 2
                                                 : 0;
    StrView path = link, before = SV("");
    if (host_at) {
        size_t end = host_at;
        while (end < link.len && !strchr("/?#", link.ptr[end]))
            end++;
        StrView host = sv_n(link.ptr + host_at, end - host_at);
        path = sv_skip(link, end);
        bool asked = m->asked.len && sv_eq_nocase(host, m->asked);
        if (!asked && !sv_eq_nocase(host, m->host))
            path = SV(""); /* somebody else's */
        before = asked ? sv_head(link, end) : SV("");
    }
    if (!sv_starts(path, SV("/"))) {
        buf_sv(out, link);
        return;
    }
    buf_sv(out, before);
    if (!is_behind(path, m->prefix))
        buf_sv(out, m->prefix);
    buf_sv(out, path);
}

/* ---- tags ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static StrView take_until(StrView s, const char *stops)
{
    size_t n = 0;
    while (n < s.len && s.ptr[n] && !is_space(s.ptr[n]) && !strchr(stops, s.ptr[n]))
        n++;
    return sv_head(s, n);
}

static StrView skip_spaces(StrView s)
{
    while (s.len && is_space(s.ptr[0]))
        s = sv_skip(s, 1);
    return s;
}

static bool holds_link(StrView names, StrView name)
{
    StrView one;
    while (sv_next(&names, ',', &one))
        if (sv_eq_nocase(one, name))
            return true;
    return false;
}

/* The value at the start of `s`: without its quotes; *ret_skip: bytes with them. */
static StrView value_at(StrView s, size_t *ret_skip, size_t *ret_quote)
{
    char quote = s.len ? s.ptr[0] : 0;
    if (quote != '"' && quote != '\'') {
        StrView v = take_until(s, ">");
        *ret_skip = v.len;
        *ret_quote = 0;
        return v;
    }
    StrView inside = sv_skip(s, 1);
    ssize_t end = sv_find_char(inside, quote);
    StrView v = end < 0 ? inside : sv_head(inside, (size_t)end);
    *ret_skip = v.len + 1 + (end >= 0);
    *ret_quote = 1;
    return v;
}

/* Copies a start tag, its links replaced. */
static void write_tag(const HtmlLinks *h, StrView names, StrView tag, size_t name_len, Buf *out)
{
    size_t done = 0;
    StrView rest = sv_skip(tag, 1 + name_len);
    while (rest.len) {
        rest = skip_spaces(rest);
        if (rest.len && (rest.ptr[0] == '/' || rest.ptr[0] == '>' || rest.ptr[0] == '=')) {
            rest = sv_skip(rest, 1);
            continue;
        }
        StrView name = take_until(rest, "=>/");
        StrView after = skip_spaces(sv_skip(rest, name.len));
        if (!after.len || after.ptr[0] != '=') {
            rest = name.len ? sv_skip(rest, name.len) : sv_skip(rest, 1);
            continue;
        }
        after = skip_spaces(sv_skip(after, 1));
        size_t skip, quote;
        StrView value = value_at(after, &skip, &quote);
        if (holds_link(names, name)) {
            size_t begin = (size_t)(after.ptr - tag.ptr) + quote;
            buf_append(out, tag.ptr + done, begin - done);
            link_map(h->map, value, out);
            done = begin + value.len;
        }
        rest = sv_skip(after, skip);
    }
    buf_append(out, tag.ptr + done, tag.len - done);
}

static void end_of_tag(HtmlLinks *h, Buf *out)
{
    StrView tag = buf_view(&h->tag), name = take_until(sv_skip(tag, 1), "/>"), names = SV("");
    h->at = AT_TEXT;
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        if (sv_eq_nocase(attributes[i].element, name))
            names = attributes[i].names;
    for (size_t i = 0; i < ARRAY_SIZE(raw_elements); i++)
        if (sv_eq_nocase(raw_elements[i], name)) {
            h->raw = raw_elements[i];
            h->at = AT_RAW;
        }
    if (names.len)
        write_tag(h, names, tag, name.len, out);
    else
        buf_sv(out, tag);
    buf_clear(&h->tag);
}

/* ---- the tokenizer ---- */

static void flush(HtmlLinks *h, Buf *out)
{
    buf_sv(out, buf_view(&h->tag));
    buf_clear(&h->tag);
}

static void opened(HtmlLinks *h, char c, Buf *out)
{
    if (is_letter(c)) {
        buf_putc(&h->tag, c);
        h->at = AT_TAG;
        return;
    }
    flush(h, out);
    if (c == '<') { /* the one before was text */
        buf_putc(&h->tag, c);
        return;
    }
    buf_putc(out, c);
    h->at = c == '/' || c == '!' || c == '?' ? AT_END_TAG : AT_TEXT;
    if (c == '!')
        buf_putc(&h->tag, c); /* a comment, if "--" follows */
}

static void in_tag(HtmlLinks *h, char c, Buf *out)
{
    buf_putc(&h->tag, c);
    if (h->tag.len > HTML_TAG_MAX) {
        flush(h, out);
        h->at = AT_TEXT;
    } else if (h->at == AT_QUOTED) {
        if (c == h->quote)
            h->at = AT_TAG;
    } else if (c == '>')
        end_of_tag(h, out);
    else if (h->at == AT_VALUE && (c == '"' || c == '\'')) {
        h->at = AT_QUOTED;
        h->quote = c;
    } else if (c == '=' && h->at == AT_TAG)
        h->at = AT_VALUE;
    else if (!is_space(c))
        h->at = AT_TAG;
}

/* `tag` holds "!", "!-" of a beginning comment, or nothing. */
static void in_end_tag(HtmlLinks *h, char c, Buf *out)
{
    buf_putc(out, c);
    if (h->tag.len && c == '-') {
        buf_putc(&h->tag, c);
        if (h->tag.len < 3)
            return;
        h->at = AT_COMMENT;
        /* "<!-->" and "<!--->" are whole comments: the dashes of the beginning count. */
        buf_clear(&h->tag);
        buf_sv(&h->tag, SV("--"));
        return;
    }
    buf_clear(&h->tag);
    if (c == '>')
        h->at = AT_TEXT;
}

static void in_comment(HtmlLinks *h, char c, Buf *out)
{
    buf_putc(out, c);
    if (c == '>' && h->tag.len == 2) {
        h->at = AT_TEXT;
        buf_clear(&h->tag);
    } else if (c != '-')
        buf_clear(&h->tag);
    else if (h->tag.len < 2)
        buf_putc(&h->tag, c);
}

/* `tag` holds what may become "</NAME" and what ends the name. */
static void in_raw(HtmlLinks *h, char c, Buf *out)
{
    size_t n = h->tag.len, name = h->raw.len + 2;
    bool fits = n == 0     ? c == '<'
                : n == 1   ? c == '/'
                : n < name ? sv_eq_nocase(sv_n(&c, 1), sv_n(h->raw.ptr + n - 2, 1))
                           : is_space(c) || c == '/' || c == '>';
    if (!fits) {
        flush(h, out);
        h->at = AT_RAW;
        if (c == '<')
            buf_putc(&h->tag, c);
        else
            buf_putc(out, c);
        return;
    }
    buf_putc(&h->tag, c);
    if (n < name)
        return;
    flush(h, out);
    h->raw = SV_NULL;
    h->at = c == '>' ? AT_TEXT : AT_END_TAG;
}

static void step(HtmlLinks *h, char c, Buf *out)
{
    switch (h->at) {
    case AT_OPEN:
        opened(h, c, out);
        break;
    case AT_TAG:
    case AT_VALUE:
    case AT_QUOTED:
        in_tag(h, c, out);
        break;
    case AT_END_TAG:
        in_end_tag(h, c, out);
        break;
    case AT_COMMENT:
        in_comment(h, c, out);
        break;
    case AT_RAW:
        in_raw(h, c, out);
        break;
    default:
        buf_putc(&h->tag, c);
        h->at = AT_OPEN;
    }
}

void html_links_feed(HtmlLinks *h, StrView in, Buf *out)
{
    while (in.len) {
        if (h->at == AT_TEXT || (h->at == AT_RAW && h->tag.len == 0)) {
            ssize_t open = sv_find_char(in, '<');
            StrView text = open < 0 ? in : sv_head(in, (size_t)open);
            buf_sv(out, text);
            in = sv_skip(in, text.len);
            if (!in.len)
                return;
        }
        step(h, in.ptr[0], out);
        in = sv_skip(in, 1);
    }
}

void html_links_end(HtmlLinks *h, Buf *out)
{
    if (h->at == AT_OPEN || h->at == AT_TAG || h->at == AT_VALUE || h->at == AT_QUOTED ||
        h->at == AT_RAW)
        flush(h, out);
    h->at = AT_TEXT;
}

void html_links_free(HtmlLinks *h)
{
    buf_free(&h->tag);
}
