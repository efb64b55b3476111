/* informer_set.c - the informers of a process: what several parts need is opened once. */
#include "api/informer.h"

#include "base/vec.h"

typedef struct Shared {
    InformerSet *set;
    InformerConfig cfg; /* its views are the texts'; without events */
    char *texts;
    Informer *informer;
    unsigned users;
} Shared;

struct InformerUse {
    Shared *shared;
    InformerListener *listener;
};

struct InformerSet {
    ApiClient *client;
    VEC(Shared *) shared;
};

enum { TEXTS = 6 };

static void texts_of(InformerConfig *cfg, StrView *ret[static TEXTS])
{
    StrView *all[TEXTS] = { &cfg->target.group, &cfg->target.version, &cfg->target.plural,
                            &cfg->target.ns,    &cfg->label_selector, &cfg->field_selector };
    memcpy(ret, all, sizeof all);
}

static bool own_texts(Shared *sh)
{
    StrView *views[TEXTS];
    size_t n = 0;
    texts_of(&sh->cfg, views);
    for (size_t i = 0; i < TEXTS; i++)
        n += views[i]->len;
    char *at = sh->texts = malloc(n + 1);
    for (size_t i = 0; at && i < TEXTS; i++) {
        if (views[i]->len)
            memcpy(at, views[i]->ptr, views[i]->len);
        *views[i] = sv_n(at, views[i]->len);
        at += views[i]->len;
    }
    return sh->texts != NULL;
}

static bool is_same(const InformerConfig *a, const InformerConfig *b)
{
    StrView *x[TEXTS], *y[TEXTS];
    texts_of((InformerConfig *)a, x);
    texts_of((InformerConfig *)b, y);
    for (size_t i = 0; i < TEXTS; i++)
        if (!sv_eq(*x[i], *y[i]))
            return false;
    return a->project == b->project && a->ctx == b->ctx && a->drop_json == b->drop_json &&
           a->target.metadata_only == b->target.metadata_only;
}

static Shared *shared_free(Shared *sh)
{
    informer_free(sh->informer);
    free(sh->texts);
    free(sh);
    return NULL;
}

static int shared_open(InformerSet *s, const InformerConfig *cfg, Shared **ret, Err *err)
{
    Shared *sh = calloc(1, sizeof *sh);
    if (!sh)
        return err_nomem(err);
    sh->set = s;
    sh->cfg = *cfg;
    sh->cfg.events = (InformerEvents){ 0 };
    if (!own_texts(sh) || !vec_reserve(&s->shared, s->shared.len + 1)) {
        shared_free(sh);
        return err_nomem(err);
    }
    int r = informer_new(s->client, &sh->cfg, &sh->informer, err);
    if (r < 0) {
        shared_free(sh);
        return r;
    }
    s->shared.items[s->shared.len++] = sh;
    *ret = sh;
    return 0;
}

static void shared_put(Shared *sh)
{
    InformerSet *s = sh->set;
    if (sh->users > 0)
        return;
    for (size_t i = 0; i < s->shared.len; i++)
        if (s->shared.items[i] == sh) {
            vec_swap_remove(&s->shared, i);
            break;
        }
    shared_free(sh);
}

int informer_set_new(ApiClient *c, InformerSet **ret, Err *err)
{
    InformerSet *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    s->client = c;
    *ret = s;
    return 0;
}

InformerSet *informer_set_free(InformerSet *s)
{
    if (!s)
        return NULL;
    ASSERT(s->shared.len == 0);
    vec_free(&s->shared);
    free(s);
    return NULL;
}

int informer_join(InformerSet *s, const InformerConfig *cfg, InformerUse **ret, Err *err)
{
    Shared *sh = NULL;
    for (size_t i = 0; i < s->shared.len && !sh; i++)
        if (is_same(&s->shared.items[i]->cfg, cfg))
            sh = s->shared.items[i];
    int r = sh ? 0 : shared_open(s, cfg, &sh, err);
    if (r < 0)
        return r;
    InformerUse *u = calloc(1, sizeof *u);
    if (!u) {
        shared_put(sh);
        return err_nomem(err);
    }
    u->shared = sh;
    if ((r = informer_listen(sh->informer, &cfg->events, &u->listener, err)) < 0) {
        shared_put(sh);
        free(u);
        return r;
    }
    sh->users++;
    *ret = u;
    return 0;
}

InformerUse *informer_leave(InformerUse *u)
{
    if (!u)
        return NULL;
    informer_unlisten(u->listener);
    u->shared->users--;
    shared_put(u->shared);
    free(u);
    return NULL;
}

Informer *informer_of(const InformerUse *u)
{
    return u->shared->informer;
}
