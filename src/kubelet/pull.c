/* pull.c - see pull.h.
 *
 *   WAIT_SECRETS   -> what of the pod's secrets fits is known
 *   WAIT_TURN      -> a place
 *   WAIT_PULLING   -> one credential after the other; without any that fits, once without
 *   WAIT_PULLED    -> a job has looked how large it is, for those who read events
 *
 * A wait is cancelled by its container at any moment; a job under way then finds nobody. */
#include "kubelet/pull.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/turns.h"
#include "image/registry.h"
#include "kubelet/internal.h"
#include "kubelet/pull_guard.h"
#include "kubelet/pull_secrets.h"

enum {
    PULLS = 4, /* under way on the node */
    PULLS_EACH = 3,
    RIGHTS_ARENA = 16 * 1024 * 1024,
};

struct Puller {
    Kubelet *k;
    Registry *registry;
    RegistryConfig *config; /* jobs of the pool may use it, and the next */
    ImagePolicy *policy;    /* NULL: anything may be pulled */
    Turns turns;
    unsigned next_id;
    ImageWait *waits; /* all there are: a job finds its own by id */
};

typedef struct SecretCall {
    ImageWait *w;
    ApiCall *call;
    char name[256];
} SecretCall;

struct ImageWait {
    Puller *p;
    Container *c;
    ImageWait *next, **link;
    unsigned id;
    Turn turn;
    bool queued, placed;
    Arena arena; /* of the following */
    ImageNeed need;
    PullRecord record;
    ImageRef ref;
    SecretCall *calls;
    unsigned n_calls, waiting;
    Buf missing; /* names of secrets that could not be used */
    PullCredentials credentials;
    unsigned at; /* the credential that is tried */
    RegistryPull *pull;
    int64_t asked_ns, begun_ns; /* monotonic */
    int64_t pulled_ns;
    Err err; /* of the tries so far */
};

/* A policy that nobody asked for by name may be absent. */
static int load_policy(Puller *p, const char *file, Err *err)
{
    int r = image_policy_load(file ? file : IMAGE_POLICY_FILE, &p->policy, err);
    if (r != -ERR_NOT_FOUND || file)
        return r;
    *err = (Err){ 0 };
    return 0;
}

int puller_new(Kubelet *k, const KubeletConfig *cfg, Puller **ret, Err *err)
{
    const char *file = cfg->registries;
    Puller *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->k = k;
    turns_init(&p->turns, PULLS, PULLS_EACH);
    int r = registry_config_load(file ? file : REGISTRY_CONFIG_FILE, &p->config, err);
    if (r >= 0)
        r = load_policy(p, cfg->policy, err);
    if (r >= 0)
        r = registry_new(k->loop, k->images, p->config, &p->registry, err);
    if (r < 0) {
        image_policy_free(p->policy);
        registry_config_free(p->config);
        free(p);
        return r;
    }
    *ret = p;
    return 0;
}

static void registry_gone(void *ctx)
{
    kubelet_job_done(ctx);
}

void puller_stop(Puller *p)
{
    if (!p || !p->registry)
        return;
    p->k->jobs++; /* the last of the pool's threads that uses images is one */
    p->registry = registry_free(p->registry, registry_gone, p->k);
}

Puller *puller_free(Puller *p)
{
    if (!p)
        return NULL;
    puller_stop(p);
    image_policy_free(p->policy);
    registry_config_free(p->config);
    free(p);
    return NULL;
}

/* ---- one wait ---- */

static void start_waiting(Puller *p);

static void give_place_back(ImageWait *w)
{
    if (w->queued)
        turns_drop(&w->p->turns, &w->turn);
    if (w->placed)
        turns_end(&w->p->turns, &w->turn);
    bool other = w->placed;
    w->queued = w->placed = false;
    if (other)
        start_waiting(w->p);
}

ImageWait *image_wait_cancel(ImageWait *w)
{
    if (!w)
        return NULL;
    for (unsigned i = 0; i < w->n_calls; i++)
        api_call_cancel(w->calls[i].call);
    w->pull = registry_pull_cancel(w->pull);
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->c->image_wait = NULL;
    give_place_back(w);
    buf_free(&w->missing);
    arena_free(&w->arena);
    free(w);
    return NULL;
}

static void end_ready(ImageWait *w)
{
    Container *c = w->c;
    image_wait_cancel(w);
    container_image_ready(c);
}

static void end_failed(ImageWait *w, const char *why, const char *message)
{
    Container *c = w->c;
    char text[sizeof c->message];
    snprintf(text, sizeof text, "%s", message);
    image_wait_cancel(w);
    container_image_failed(c, why, text);
}

static const char *image_of(const ImageWait *w)
{
    return w->c->image;
}

/* ---- the end of a pull ---- */

typedef struct SizeJob {
    Kubelet *k;
    unsigned id;
    Arena arena;
    Digest manifest, config;
    uint64_t size;
    Err err;
} SizeJob;

static void size_work(void *ctx)
{
    SizeJob *j = ctx;
    ImageInfo info;
    if (image_get(j->k->images, sv_cstr(j->manifest.text), &j->arena, &info, &j->err) < 0)
        return;
    j->size = info.size;
    j->config = info.config;
}

static ImageWait *wait_of(Puller *p, unsigned id)
{
    for (ImageWait *w = p ? p->waits : NULL; w; w = w->next)
        if (w->id == id)
            return w;
    return NULL;
}

/* As Go prints durations of some milliseconds and more. */
static const char *took_text(int64_t ns, char buf[static 32])
{
    int64_t ms = ns / NSEC_PER_MSEC;
    if (ms < 1000)
        snprintf(buf, 32, "%lldms", (long long)ms);
    else if (ms < 60 * 1000)
        snprintf(buf, 32, "%.4gs", (double)ms / 1000);
    else
        snprintf(buf, 32, "%lldm%.4gs", (long long)ms / 60000, (double)(ms % 60000) / 1000);
    return buf;
}

static void size_done(void *ctx)
{
    SizeJob *j = ctx;
    Kubelet *k = j->k;
    ImageWait *w = wait_of(k->puller, j->id);
    char took[32], all[32];
    if (w && j->err.code != ERR_NONE)
        end_failed(w, "ErrImagePull", j->err.msg);
    else if (w) {
        int64_t end = w->pulled_ns;
        worker_event(w->c->worker, w->c, SV("Normal"), SV("Pulled"),
                     "Successfully pulled image \"%s\" in %s (%s including waiting). "
                     "Image size: %llu bytes.",
                     image_of(w), took_text(end - w->begun_ns, took),
                     took_text(end - w->asked_ns, all), (unsigned long long)j->size);
        image_keeper_look(k->image_keeper);
        w->c->image_allowed = j->config;
        end_ready(w);
    }
    arena_free(&j->arena);
    free(j);
    kubelet_job_done(k);
}

static const PullRight *right_of(const ImageWait *w)
{
    return w->credentials.fits.len ? &w->credentials.fits.items[w->at].right : NULL;
}

static void tell_pulled(ImageWait *w, const RegistryPulled *pulled)
{
    Kubelet *k = w->p->k;
    Err err = { 0 };
    SizeJob *j = calloc(1, sizeof *j);
    if (j) {
        j->k = k;
        j->id = w->id;
        j->manifest = pulled->manifest;
        arena_init(&j->arena, 0);
        if (kubelet_job(k, size_work, size_done, j, &err) == 0)
            return;
        arena_free(&j->arena);
        free(j);
    }
    if (!err.code)
        err_nomem(&err);
    end_failed(w, "ErrImagePull", err.msg);
}

/* ---- pulling ---- */

static void pull_next(ImageWait *w);

/* Whatever credential it is shown. */
static bool is_no_answer(const Err *err)
{
    return err->code == ERR_SYS || err->code == ERR_TIMEOUT || err->code == ERR_CLOSED;
}

static bool is_unreachable(const Err *err)
{
    return is_no_answer(err) || err->code == ERR_BUSY;
}

static void pull_failed(ImageWait *w)
{
    char text[sizeof w->c->message];
    worker_event(w->c->worker, w->c, SV("Warning"), SV("Failed"), "Failed to pull image \"%s\": %s",
                 image_of(w), w->err.msg);
    if (!is_unreachable(&w->err)) {
        end_failed(w, "ErrImagePull", w->err.msg);
        return;
    }
    snprintf(text, sizeof text, "image pull failed for %s because the registry is unavailable: %s",
             image_of(w), w->err.msg);
    end_failed(w, "RegistryUnavailable", text);
}

static void on_pulled(void *ctx, const RegistryPulled *pulled, const Err *err)
{
    ImageWait *w = ctx;
    w->pull = NULL;
    if (!err) {
        w->pulled_ns = clock_mono_ns();
        tell_pulled(w, pulled);
        return;
    }
    w->err = *err;
    if (!is_no_answer(err) && ++w->at < w->credentials.fits.len)
        pull_next(w);
    else
        pull_failed(w);
}

static void pull_next(ImageWait *w)
{
    RegistryPullSpec spec = { .ref = w->ref, .done = on_pulled, .ctx = w };
    char dir[PULL_DIR_SIZE];
    spec.policy = w->p->policy;
    if (w->credentials.fits.len) {
        spec.options.credentials = &w->credentials.fits.items[w->at].auth;
        spec.options.n_credentials = 1;
    }
    int r = pull_guard_new(w->p->k->images, pull_record_dir(w->p->k->cfg.data_dir, dir),
                           right_of(w), &spec.guard, &w->err);
    if (r >= 0 && (r = registry_pull(w->p->registry, &spec, &w->pull, &w->err)) < 0)
        spec.guard.free(spec.guard.ctx);
    if (r < 0)
        pull_failed(w);
}

/* Gives free places to those whose turn it is. */
static void start_waiting(Puller *p)
{
    for (Turn *t; (t = turns_next(&p->turns));) {
        ImageWait *w = CONTAINER_OF(t, ImageWait, turn);
        w->queued = false;
        w->placed = true;
        w->begun_ns = clock_mono_ns();
        worker_event(w->c->worker, w->c, SV("Normal"), SV("Pulling"), "Pulling image \"%s\"",
                     image_of(w));
        pull_next(w);
    }
}

static void wait_for_turn(ImageWait *w)
{
    uint64_t ns = sv_hash(sv_cstr(w->c->worker->ns));
    memcpy(w->turn.client, &ns, sizeof ns);
    w->queued = true;
    turns_add(&w->p->turns, &w->turn);
    start_waiting(w->p);
}

/* ---- secrets ---- */

static bool may_use(const ImageWait *w)
{
    for (unsigned i = 0; i < w->credentials.fits.len; i++)
        if (pull_record_allows(&w->record, &w->credentials.fits.items[i].right))
            return true;
    return false;
}

static StrView policy_of(const Container *c)
{
    return value_str(value_get(c->spec, SV("imagePullPolicy")));
}

static void secrets_known(ImageWait *w)
{
    if (w->missing.len)
        worker_event(w->c->worker, NULL, SV("Warning"), SV("FailedToRetrieveImagePullSecret"),
                     "Unable to retrieve some image pull secrets (%.*s); attempting to pull the "
                     "image may not succeed.",
                     SV_FMT(buf_view(&w->missing)));
    pull_secrets_sort(&w->credentials);
    if (w->need == IMAGE_VERIFY && may_use(w))
        end_ready(w);
    else if (sv_eq(policy_of(w->c), SV("Never"))) {
        char text[sizeof w->c->message];
        snprintf(text, sizeof text,
                 "Container image \"%s\" is present but the pod has no right to it with pull "
                 "policy of Never",
                 image_of(w));
        end_failed(w, "ErrImageNeverPull", text);
    } else
        wait_for_turn(w);
}

static void on_secret(void *ctx, const ApiResult *r)
{
    SecretCall *s = ctx;
    ImageWait *w = s->w;
    Err err = { 0 };
    s->call = NULL;
    if (r->err)
        err = *r->err;
    else
        (void)!pull_secret_read(r->body, &w->ref, &w->arena, &w->credentials, &err);
    if (err.code != ERR_NONE) {
        log_debug("pod %s/%s: secret %s: %s", w->c->worker->ns, w->c->worker->name, s->name,
                  err.msg);
        buf_printf(&w->missing, "%s%s", w->missing.len ? ", " : "", s->name);
    }
    if (--w->waiting == 0)
        secrets_known(w);
}

static bool is_asked(const ImageWait *w, StrView name)
{
    for (unsigned i = 0; i < w->n_calls; i++)
        if (sv_eq(sv_cstr(w->calls[i].name), name))
            return true;
    return false;
}

static void ask_secrets(ImageWait *w)
{
    const Worker *pod = w->c->worker;
    const Value *list = value_path(&pod->pod, "spec.imagePullSecrets");
    Err err = { 0 };
    w->calls = arena_array(&w->arena, SecretCall, PULL_SECRETS_MAX);
    w->waiting = 1; /* held until all are asked for */
    value_list_foreach (ref, list) {
        StrView name = value_str(value_get(ref, SV("name")));
        if (!w->calls || w->n_calls == PULL_SECRETS_MAX || !name.len || is_asked(w, name))
            continue;
        SecretCall *s = &w->calls[w->n_calls];
        *s = (SecretCall){ .w = w };
        ApiTarget t = { SV(""), SV("v1"), SV("secrets"), sv_cstr(pod->ns), name, SV_NULL };
        if (!sv_copy_cstr(name, s->name, sizeof s->name) ||
            api_get(w->p->k->api, &t, on_secret, s, &s->call, &err) < 0) {
            buf_printf(&w->missing, "%s%.*s", w->missing.len ? ", " : "", SV_FMT(name));
            continue;
        }
        w->n_calls++;
        w->waiting++;
    }
    if (--w->waiting == 0)
        secrets_known(w);
}

static bool copy_record(ImageWait *w, const PullRecord *from)
{
    w->record = *from;
    w->record.rights.items = arena_array(&w->arena, PullRight, from->rights.len + 1);
    for (unsigned i = 0; w->record.rights.items && i < from->rights.len; i++) {
        const PullRight *r = &from->rights.items[i];
        w->record.rights.items[i] = (PullRight){ .uid = arena_sv(&w->arena, r->uid),
                                                 .ns = arena_sv(&w->arena, r->ns),
                                                 .name = arena_sv(&w->arena, r->name),
                                                 .hash = arena_sv(&w->arena, r->hash) };
    }
    return w->record.rights.items != NULL;
}

void image_wait_start(Container *c, ImageNeed need, const PullRecord *record)
{
    Puller *p = c->worker->k->puller;
    ImageWait *w = calloc(1, sizeof *w);
    Err err = { 0 };
    if (!w) {
        container_image_failed(c, "ErrImagePull", "out of memory");
        return;
    }
    *w = (ImageWait){ .p = p, .c = c, .id = ++p->next_id, .need = need, .missing = BUF_INIT };
    w->asked_ns = clock_mono_ns();
    arena_init(&w->arena, RIGHTS_ARENA);
    w->link = &p->waits;
    w->next = p->waits;
    if (w->next)
        w->next->link = &w->next;
    p->waits = w;
    c->image_wait = w;
    if (image_ref_parse(sv_cstr(image_of(w)), &w->ref, &err) < 0)
        end_failed(w, "InvalidImageName", err.msg);
    else if (!copy_record(w, record))
        end_failed(w, "ErrImagePull", "out of memory");
    else
        ask_secrets(w);
}
