/* edit.c - see edit.h. */
#include "monitor/tool/edit.h"

#include "monitor/promql/promql.h"
#include "monitor/tool/internal.h"

typedef enum EditKind { EDIT_NOTHING, EDIT_SET, EDIT_DROP } EditKind;

typedef struct Edit {
    EditKind kind;
    const char *op, *name, *value;
} Edit;

static int match_op(const char *text, MatchOp *ret, Err *err)
{
    static const char *const texts[MATCH_MAX] = {
        [MATCH_EQ] = "=", [MATCH_NE] = "!=", [MATCH_RE] = "=~", [MATCH_NRE] = "!~"
    };
    for (unsigned i = 0; i < MATCH_MAX; i++)
        if (strcmp(text, texts[i]) == 0) {
            *ret = (MatchOp)i;
            return 0;
        }
    return err_set(err, ERR_INVALID, 0, "--type: expected =, !=, =~ or !~, got '%s'", text);
}

static int apply(PromqlExpr *e, const Edit *edit, Err *err)
{
    MatchOp op = MATCH_EQ;
    int r = 0;
    if (edit->kind == EDIT_SET && (r = match_op(edit->op, &op, err)) == 0)
        r = promql_expr_set_matcher(e, op, sv_cstr(edit->name), sv_cstr(edit->value), err);
    if (edit->kind == EDIT_DROP)
        r = promql_expr_drop_matchers(e, sv_cstr(edit->name), err);
    return r;
}

static int run(const ToolIo *io, unsigned features, const char *query, const Edit *edit)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    PromqlExpr *e = NULL;
    Err err = { 0 };

    arena_init(&a, ARENA_DEFAULT_LIMIT);
    int r = promql_parse(sv_cstr(query), features, &a, &e, &err);
    if (r >= 0)
        r = apply(e, edit, &err);
    if (r >= 0) {
        promql_format(e, true, &out);
        r = out.failed ? err_nomem(&err) : 0;
    }
    promql_expr_free(e);
    if (r < 0)
        return tool_failed(io, &err);
    fprintf(io->out, "%.*s\n", SV_FMT(buf_view(&out)));
    return TOOL_OK;
}

int tool_promql_format(const ToolIo *io, unsigned features, const char *query)
{
    return run(io, features, query, &(Edit){ EDIT_NOTHING });
}

int tool_promql_set_matcher(const ToolIo *io, unsigned features, const char *query, const char *op,
                            const char *name, const char *value)
{
    return run(io, features, query, &(Edit){ EDIT_SET, op, name, value });
}

int tool_promql_drop_matchers(const ToolIo *io, unsigned features, const char *query,
                              const char *name)
{
    return run(io, features, query, &(Edit){ EDIT_DROP, .name = name });
}
