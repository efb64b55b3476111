/* Pages behind the proxy: whole and byte by byte they become the same, and without links to rewrite
 * they stay as they are. */
#include "apiserver/html_links.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void rewrite(const LinkMap *map, const uint8_t *data, size_t n, size_t step, Buf *out)
{
    HtmlLinks h = { .map = map };
    for (size_t i = 0; i < n; i += step)
        html_links_feed(&h, sv_n((const char *)data + i, MIN(step, n - i)), out);
    html_links_end(&h, out);
    html_links_free(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const LinkMap map = { SV_INIT("/p/proxy"), SV_INIT("10.1.2.3:80"), SV_INIT("api") };
    static const LinkMap none = { SV_INIT(""), SV_INIT("/"), SV_INIT("") };
    _cleanup_buf_ Buf whole = BUF_INIT, pieces = BUF_INIT, same = BUF_INIT;
    rewrite(&map, data, n, n ? n : 1, &whole);
    rewrite(&map, data, n, 1, &pieces);
    ASSERT(sv_eq(buf_view(&whole), buf_view(&pieces)));
    rewrite(&none, data, n, n ? n : 1, &same);
    ASSERT(sv_eq(buf_view(&same), sv_n((const char *)data, n)));
    return 0;
}
