/* yaml_answer.c - see yaml_answer.h. */
#include "apiserver/yaml_answer.h"

#include "apiserver/heavy.h"
#include "apiserver/respond.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "net/http.h"

typedef struct YamlAnswer {
    Heavy heavy;
    HttpReq *req;
    Buf json, yaml;
    bool worked;
} YamlAnswer;

static bool convert(StrView json, Arena *a, Buf *out)
{
    Value v;
    return json_decode(json, a, NULL, &v, NULL) == 0 && yaml_encode(&v, out, NULL) == 0 &&
           !out->failed;
}

static void work(void *ctx)
{
    YamlAnswer *y = ctx;
    Arena a;
    arena_init(&a, 0);
    if (!convert(buf_view(&y->json), &a, &y->yaml))
        y->yaml.failed = true;
    arena_free(&a);
    y->worked = true;
}

static void yaml_free(YamlAnswer *y)
{
    heavy_leave(&y->heavy);
    buf_free(&y->heavy.answer.status);
    buf_free(&y->json);
    buf_free(&y->yaml);
    free(y);
}

static void answer(ApiCall *x, const Buf *yaml)
{
    if (respond_exhausted(x))
        return;
    if (yaml->failed)
        respond_nomem(x);
    else
        http_respond(x->req, 200, SV("application/yaml"), buf_view(yaml));
}

static void on_peer_gone(void *ctx)
{
    yaml_free(ctx);
}

static void run(YamlAnswer *y)
{
    if (!y->heavy.placed && !heavy_enter(&y->heavy)) {
        http_on_close(y->req, on_peer_gone, y);
        return;
    }
    if (heavy_run(&y->heavy))
        return;
    work(y);
    answer(y->heavy.x, &y->yaml);
    yaml_free(y);
}

/* There is a place, or the work is done. */
static void on_heavy(void *ctx)
{
    YamlAnswer *y = ctx;
    if (!y->worked) {
        http_on_close(y->req, NULL, NULL);
        run(y);
        return;
    }
    if (y->heavy.x)
        answer(y->heavy.x, &y->yaml);
    yaml_free(y);
}

void answer_yaml(ApiCall *x, Buf *json)
{
    YamlAnswer *y = json->len >= HEAVY_FROM && !json->failed ? calloc(1, sizeof *y) : NULL;
    if (!y) {
        _cleanup_buf_ Buf yaml = BUF_INIT;
        if (json->failed || !convert(buf_view(json), x->arena, &yaml))
            yaml.failed = true;
        answer(x, &yaml);
        buf_free(json);
        return;
    }
    y->heavy = (Heavy){ .x = x, .work = work, .done = on_heavy, .ctx = y };
    y->req = x->req;
    y->json = *json;
    y->yaml = (Buf)BUF_INIT;
    *json = (Buf)BUF_INIT;
    run(y);
}
