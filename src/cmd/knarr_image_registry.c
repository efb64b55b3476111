/* knarr_image_registry.c - `knarr image pull` and `push`: one loop, one client, until it has said
 * how it ended. */
#include <stdio.h>
#include <string.h>

#include "cmd/image_progress.h"
#include "cmd/image_verbs.h"
#include "image/registry.h"

typedef struct Run {
    Loop *loop;
    Registry *registry;
    RegistryConfig *config;
    ImagePolicy *policy; /* NULL: there is none */
    Arena arena;
    RegistryOptions options;
    ImageProgress *progress;
    Digest digest; /* what the name now means */
    Err err;
} Run;

static void run_end(Run *run)
{
    registry_free(run->registry, NULL, NULL);
    loop_free(run->loop); /* waits for the pool, which uses the rest */
    registry_config_free(run->config);
    image_policy_free(run->policy);
    image_progress_free(run->progress);
    arena_free(&run->arena);
}

/* ---- flags ---- */

/* "linux/arm64/v8" */
static int read_platform(const char *text, RegistryOptions *o, Err *err)
{
    StrView rest = sv_cstr(text);

    if (!sv_cut(rest, '/', &o->os, &rest) || !o->os.len)
        return err_set(err, ERR_INVALID, 0, "--platform: '%s': expected OS/ARCHITECTURE[/VARIANT]",
                       text);
    sv_cut(rest, '/', &o->architecture, &o->variant);
    if (!o->architecture.len || sv_find_char(o->variant, '/') >= 0)
        return err_set(err, ERR_INVALID, 0, "--platform: '%s': expected OS/ARCHITECTURE[/VARIANT]",
                       text);
    return 0;
}

/* USER:PASSWORD, for the registry that the name is of. */
static int read_creds(Run *run, const char *text, const ImageRef *ref, Err *err)
{
    RegistryCredential *c = arena_new(&run->arena, RegistryCredential);

    if (!c)
        return err_nomem(err);
    c->pattern = arena_sv(&run->arena, sv_cstr(ref->domain));
    if (!sv_cut(sv_cstr(text), ':', &c->username, &c->password) || !c->username.len)
        return err_set(err, ERR_INVALID, 0, "--creds: expected USER:PASSWORD");
    run->options.credentials = c;
    run->options.n_credentials = 1;
    return 0;
}

static int read_flags(Run *run, const ImageArgs *args, const ImageRef *ref, Err *err)
{
    RegistryOptions *o = &run->options;
    const char **files;
    int r;

    if (args->creds && args->authfile)
        return err_set(err, ERR_INVALID, 0, "--creds and --authfile: one of them will do");
    if (args->platform && (r = read_platform(args->platform, o, err)) < 0)
        return r;
    o->insecure = !args->tls_verify;
    o->stall_ms = (uint32_t)MIN(args->stall_s, UINT64_C(86400)) * 1000;
    if (args->creds)
        return read_creds(run, args->creds, ref, err);
    if (args->authfile) {
        if (access(args->authfile, R_OK) < 0)
            return err_errno(err, "--authfile: '%s'", args->authfile);
        files = arena_array(&run->arena, const char *, 1);
        if (!files)
            return err_nomem(err);
        files[0] = args->authfile;
        o->auth_files = files;
        o->n_auth_files = 1;
        return 0;
    }
    if ((r = auth_files_default(&run->arena, &files, &o->n_auth_files, err)) < 0)
        return r;
    o->auth_files = files;
    return 0;
}

/* One that is named must be there. */
static int load_policy(Run *run, const ImageArgs *args, Err *err)
{
    int r = image_policy_load(args->policy ? args->policy : IMAGE_POLICY_FILE, &run->policy, err);

    if (r == -(int)ERR_NOT_FOUND && !args->policy) {
        err_clear(err);
        return 0;
    }
    return r;
}

static int run_begin(Run *run, ImageStore *s, const ImageArgs *args, const char *verb,
                     const ImageRef *ref, Err *err)
{
    const char *file = args->registries ? args->registries : REGISTRY_CONFIG_FILE;
    int r;

    arena_init(&run->arena, ARENA_DEFAULT_LIMIT);
    if (args->registries && access(file, R_OK) < 0)
        return err_errno(err, "--registries: '%s'", file);
    if ((r = read_flags(run, args, ref, err)) < 0 ||
        (r = registry_config_load(file, &run->config, err)) < 0 ||
        (r = load_policy(run, args, err)) < 0 || (r = loop_new(&run->loop, err)) < 0 ||
        (r = registry_new(run->loop, s, run->config, &run->registry, err)) < 0)
        return r;
    if (!args->quiet && !(run->progress = image_progress_new(stderr, verb)))
        return err_nomem(err);
    return 0;
}

static void on_progress(void *ctx, const RegistryProgress *now)
{
    Run *run = ctx;

    if (run->progress)
        image_progress_show(run->progress, now);
}

/* Until one of the two below. */
static int run_loop(Run *run)
{
    Err err = { 0 };

    if (loop_run(run->loop, &err) < 0 && !run->err.code)
        run->err = err;
    run->progress = image_progress_free(run->progress);
    return run->err.code ? -1 : 0;
}

/* ---- pull ---- */

static void on_pulled(void *ctx, const RegistryPulled *pulled, const Err *err)
{
    Run *run = ctx;

    if (err)
        run->err = *err;
    else
        run->digest = pulled->manifest;
    loop_stop(run->loop);
}

static int pull(Run *run, const ImageRef *ref)
{
    RegistryPullSpec spec = { .ref = *ref,
                              .options = run->options,
                              .policy = run->policy,
                              .progress = on_progress,
                              .done = on_pulled,
                              .ctx = run };
    RegistryPull *p;

    if (registry_pull(run->registry, &spec, &p, &run->err) < 0)
        return -1;
    return run_loop(run);
}

int image_pull_verb(ImageStore *s, const ImageArgs *args)
{
    int code = 0;

    for (int i = 0; i < args->n_rest; i++) {
        Run run = { 0 };
        ImageRef ref;
        char name[IMAGE_REF_SIZE];

        if (image_ref_parse(sv_cstr(args->rest[i]), &ref, &run.err) < 0) {
            code = image_fail(&run.err);
            continue;
        }
        if (run_begin(&run, s, args, "Downloading", &ref, &run.err) < 0 || pull(&run, &ref) < 0)
            code = image_fail(&run.err);
        else
            printf("%s %s\n", image_ref_format(&ref, name), run.digest.text);
        fflush(stdout);
        run_end(&run);
    }
    return code;
}

/* ---- push ---- */

static void on_pushed(void *ctx, const Digest *manifest, const Err *err)
{
    Run *run = ctx;

    if (err)
        run->err = *err;
    else
        run->digest = *manifest;
    loop_stop(run->loop);
}

static int push(Run *run, const Digest *manifest, const ImageRef *to)
{
    RegistryPushSpec spec = { .manifest = *manifest,
                              .to = *to,
                              .options = run->options,
                              .progress = on_progress,
                              .done = on_pushed,
                              .ctx = run };
    RegistryPush *p;

    if (registry_push(run->registry, &spec, &p, &run->err) < 0)
        return -1;
    return run_loop(run);
}

/* IMAGE, or IMAGE and what it is to be called there. */
int image_push_verb(ImageStore *s, const ImageArgs *args)
{
    const char *to = args->rest[args->n_rest - 1];
    Run run = { 0 };
    ImageInfo info;
    ImageRef ref;
    char name[IMAGE_REF_SIZE];
    int code = 0;

    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    if (image_ref_parse(sv_cstr(to), &ref, &run.err) < 0 ||
        image_get(s, sv_cstr(args->rest[0]), &a, &info, &run.err) < 0)
        return image_fail(&run.err);
    if (run_begin(&run, s, args, "Uploading", &ref, &run.err) < 0 ||
        push(&run, &info.manifest, &ref) < 0)
        code = image_fail(&run.err);
    else
        printf("%s %s\n", image_ref_format(&ref, name), run.digest.text);
    run_end(&run);
    return code;
}
