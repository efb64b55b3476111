/* page.c - the web page: one document at all of its addresses, and the files it loads.
 *
 * The document asks the API from the browser. Its links and those of its files are relative, so it
 * works below any prefix, and behind proxies that take one away. */
#include "codec/gzip.h"
#include "monitor/page/page.h"
#include "monitor/web/internal.h"

#define TITLE_DEFAULT SV("Prometheus Time Series Collection and Processing Server")
#define TITLE_MARK    SV("@TITLE@")
/* Nothing of another origin is loaded, and nothing that stands in the document itself is run. */
#define POLICY                                                                                      \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

/* Browsers ask each time whether a file has changed, so that an upgrade is seen at once. */
static bool unchanged(Call *c, const PageFile *f)
{
    call_header(c, SV("Cache-Control"), SV("no-cache"));
    call_header(c, SV("X-Content-Type-Options"), SV("nosniff"));
    call_header(c, SV("Vary"), SV("Accept-Encoding"));
    call_header(c, SV("ETag"), f->etag);
    if (sv_find(c->if_none_match, f->etag) < 0)
        return false;
    c->status = 304;
    return true;
}

static void put_escaped(Buf *out, StrView text)
{
    for (size_t i = 0; i < text.len; i++)
        switch (text.ptr[i]) {
        case '<':
            buf_sv(out, SV("&lt;"));
            break;
        case '&':
            buf_sv(out, SV("&amp;"));
            break;
        default:
            buf_putc(out, text.ptr[i]);
        }
}

void serve_page(Call *c)
{
    const PageFile *f = page_find(SV("index.html"));
    StrView title = c->web->opt.page_title;
    StrView text = { (const char *)f->bytes, f->len };
    ssize_t mark = sv_find(text, TITLE_MARK);
    ASSERT(mark >= 0);
    c->out_type = f->type;
    call_header(c, SV("Cache-Control"), SV("no-cache"));
    call_header(c, SV("X-Content-Type-Options"), SV("nosniff"));
    call_header(c, SV("Content-Security-Policy"), SV(POLICY));
    call_header(c, SV("Referrer-Policy"), SV("same-origin"));
    buf_sv(&c->out, sv_head(text, (size_t)mark));
    put_escaped(&c->out, title.len ? title : TITLE_DEFAULT);
    buf_sv(&c->out, sv_skip(text, (size_t)mark + TITLE_MARK.len));
}

void serve_page_file(Call *c)
{
    const PageFile *f = page_find(c->arg);
    if (!f || !f->plain_len) {
        call_text(c, 404, "404 page not found\n");
        return;
    }
    c->out_type = f->type;
    if (unchanged(c, f))
        return;
    if (sv_find(c->accept_encoding, SV("gzip")) >= 0) {
        call_header(c, SV("Content-Encoding"), SV("gzip"));
        buf_append(&c->out, f->bytes, f->len);
    } else if (gunzip(sv_n((const char *)f->bytes, f->len), f->plain_len, &c->out, NULL) < 0) {
        c->out.failed = true;
    }
}

/* "/", "/query" and Prometheus' older addresses. Relative: where a proxy has taken a prefix away,
 * only the browser knows the whole path. Below a prefix without a slash at its end it begins with
 * the prefix's last part. */
static void redirect(Call *c, const char *to)
{
    StrView query = c->query, last = SV("");
    if (c->at_prefix) {
        StrView p = c->web->prefix;
        last = sv_skip(p, (size_t)sv_rfind_char(p, '/') + 1);
    }
    StrView where = arena_printf(&c->arena, "%.*s%s%s%s%.*s", SV_FMT(last), last.len ? "/" : "", to,
                                 query.len ? "?" : "", SV_FMT(query));
    call_text(c, 302, "Found\n");
    call_header(c, SV("Location"), where);
}

void serve_root(Call *c)
{
    redirect(c, "graph");
}

void serve_discovery(Call *c)
{
    redirect(c, "targets");
}
