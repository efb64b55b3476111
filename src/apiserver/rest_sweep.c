/* rest_sweep.c - deletecollection: every object that a selection has, each as a deletion of its
 * own.
 *
 * The objects are those of one snapshot. At most SWEEP_AT_ONCE are on their way at a time, each as
 * a WriteOp with an arena of its own, so that admission sees every one and memory does not grow
 * with the collection. Nor are many more than SWEEP_BYTES of them, since each is decoded and
 * forgotten on the loop: of the large ones a turn does one of the two for one. What is gone already
 * is no failure; the first failure is the answer. */
#include "apiserver/delete.h"
#include "apiserver/handlers.h"
#include "apiserver/object.h"
#include "apiserver/options.h"
#include "apiserver/respond.h"
#include "apiserver/rest_read.h"

enum { SWEEP_AT_ONCE = 64, SWEEP_BYTES = 256 * 1024 };

typedef struct Sweep Sweep;

/* One deletion on its way. */
typedef struct SweepItem {
    Sweep *sweep;
    bool busy;
    size_t bytes; /* of its object */
    ApiCall call;
    Arena arena;
    Outcome outcome;
} SweepItem;

struct Sweep {
    ApiCall *x; /* NULL once the peer has gone */
    Loop *loop; /* its */
    DeleteOptions options;
    Filter filter;
    char prefix[STORE_KEY_MAX];
    Snapshot *sn;
    SnapshotIter it;
    bool at_end, running; /* running: an item that ends at once does not start the next itself */
    bool posted;          /* goes on in another turn */
    size_t bytes;         /* of the objects on their way */
    unsigned n_busy;
    int failed_code; /* 0: nothing has failed */
    Buf failed;      /* the Status of the first failure */
    SweepItem items[SWEEP_AT_ONCE];
};

static void sweep_free(Sweep *s)
{
    snapshot_unref(s->sn);
    buf_free(&s->failed);
    free(s);
}

static void sweep_answer(Sweep *s)
{
    ApiCall *x = s->x;
    http_on_close(x->req, NULL, NULL);
    if (s->failed_code && s->failed.len && !s->failed.failed)
        respond_json(x, s->failed_code, buf_view(&s->failed));
    else if (s->failed_code)
        respond_nomem(x);
    else
        respond_success(x, SV_NULL);
}

static void on_item_done(void *ctx);

static void start_item(Sweep *s, SweepItem *item, const ObjectRev *have)
{
    StrView ns, name;
    registry_names(s->x->res, have->key, &ns, &name);
    item->sweep = s;
    item->busy = true;
    arena_init(&item->arena, s->x->arena->limit);
    item->outcome = (Outcome){ .done = on_item_done, .ctx = item };
    item->call = *s->x;
    item->call.arena = &item->arena;
    item->call.outcome = &item->outcome;
    if (!call_hold_kinds(&item->call, s->x->kinds)) {
        arena_free(&item->arena);
        item->busy = false;
        s->failed_code = 500;
        return;
    }
    item->call.verb = SV("delete");
    item->call.ns = ns; /* views of the snapshot's key */
    item->call.name = name;
    s->n_busy++;
    item->bytes = have->val.len;
    s->bytes += item->bytes;
    delete_start(&item->call, NULL, &s->options, ANSWER_DELETED, 200);
}

static ObjectRev *next_object(Sweep *s)
{
    ObjectRev *o;
    while ((o = snapshot_next(&s->it)))
        if (filter_match(&s->filter, o))
            return o;
    s->at_end = true;
    return NULL;
}

static void sweep_again(void *ctx);

static void run_later(Sweep *s)
{
    if (!s->posted)
        s->posted = loop_post(s->loop, sweep_again, s, NULL) == 0;
}

/* Fills what is free; ends the sweep when nothing is left and nothing is on its way. */
static void sweep_run(Sweep *s)
{
    if (s->running)
        return;
    s->running = true;
    for (unsigned i = 0; i < SWEEP_AT_ONCE && s->x && !s->at_end && s->bytes < SWEEP_BYTES; i++) {
        ObjectRev *o = s->items[i].busy ? NULL : next_object(s);
        if (o)
            start_item(s, &s->items[i], o);
    }
    s->running = false;
    bool more = s->x && !s->at_end;
    if (more && !s->n_busy) /* all ended at once: refusals, or a dry run */
        run_later(s);
    if (s->n_busy || s->posted)
        return;
    if (more)
        s->failed_code = 429;
    if (s->x)
        sweep_answer(s);
    sweep_free(s);
}

static void sweep_again(void *ctx)
{
    Sweep *s = ctx;
    s->posted = false;
    sweep_run(s);
}

static void on_item_done(void *ctx)
{
    SweepItem *item = ctx;
    Sweep *s = item->sweep;
    Outcome *o = &item->outcome;
    if (o->code >= 300 && o->code != 404 && !s->failed_code) {
        s->failed_code = o->code;
        s->failed = o->status;
        o->status = (Buf)BUF_INIT;
    }
    buf_free(&o->status);
    arena_free(&item->arena);
    item->busy = false;
    s->n_busy--;
    s->bytes -= item->bytes;
    if (item->bytes >= SWEEP_BYTES)
        run_later(s);
    if (!s->posted)
        sweep_run(s);
}

static void on_peer_gone(void *ctx)
{
    Sweep *s = ctx;
    s->x = NULL;
    for (unsigned i = 0; i < SWEEP_AT_ONCE; i++)
        s->items[i].outcome.abandoned = true;
}

void rest_delete_collection(ApiCall *x)
{
    Err err = { 0 };
    Sweep *s = calloc(1, sizeof *s);
    if (!s) {
        respond_nomem(x);
        return;
    }
    s->x = x;
    s->loop = x->on->loop;
    bool ok = delete_options_read(x, NULL, &s->options) && options_of_list(x);
    if (ok && (filter_parse(x, &s->filter, &err) < 0)) {
        respond_err(x, &err);
        ok = false;
    }
    if (ok && (!registry_key(x->res, call_scope(x), SV_NULL, s->prefix) ||
               !(s->sn = store_snapshot(x->srv->store)))) {
        respond_nomem(x);
        ok = false;
    }
    if (!ok) {
        sweep_free(s);
        return;
    }
    snapshot_iter(s->sn, sv_cstr(s->prefix), SV_NULL, &s->it);
    http_on_close(x->req, on_peer_gone, s);
    sweep_run(s);
}
