/* PromQL: what parses must print, and its normal form must be its own normal form. */
#include "monitor/promql/promql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MEMORY = 16 * 1024 * 1024 };

static bool normal_form(StrView text, Buf *out)
{
    Arena a;
    PromqlExpr *e = NULL;
    arena_init(&a, MEMORY);
    bool ok = promql_parse(text, ~0u, &a, &e, NULL) >= 0;
    if (ok) {
        _cleanup_buf_ Buf other = BUF_INIT;
        promql_format(e, false, out);
        promql_format(e, true, &other);
        promql_tree_json(e, &other);
    }
    promql_expr_free(e);
    arena_free(&a);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    _cleanup_buf_ Buf first = BUF_INIT, second = BUF_INIT;
    if (!normal_form(sv_n(data, n), &first) || first.len > 10000)
        return 0;
    ASSERT_MSG(normal_form(buf_view(&first), &second), "does not parse: %.*s",
               SV_FMT(buf_view(&first)));
    ASSERT_MSG(sv_eq(buf_view(&first), buf_view(&second)), "%.*s, then %.*s",
               SV_FMT(buf_view(&first)), SV_FMT(buf_view(&second)));
    return 0;
}
