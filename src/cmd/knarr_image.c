/* knarr_image.c - main() of knarr-image: the images of a node, by hand. What each verb does is in
 * `verbs`, and to add one is a row there; the store may be in use by the kubelet meanwhile. All
 * work is done by src/image. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "cmd/image_verbs.h"
#include "cmd/output.h"
#include "image/image_export.h"

int image_fail(const Err *err)
{
    char text[4 * sizeof err->msg];

    log_plain(sv_cstr(err->msg), text, sizeof text); /* archives and registries have a part in it */
    fprintf(stderr, "knarr image: %s\n", text);
    return 1;
}

/* "31.5MB": decimal units and three digits, as crictl shows sizes. */
const char *image_size_text(uint64_t bytes, char buf[static IMAGE_SIZE_TEXT])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
    double n = (double)bytes;
    size_t u = 0;
    while (n >= 1000 && u + 1 < ARRAY_SIZE(units)) {
        n /= 1000;
        u++;
    }
    snprintf(buf, IMAGE_SIZE_TEXT, "%.3g%s", n, units[u]);
    return buf;
}

const char *image_short_id(const ImageInfo *info, char buf[static IMAGE_ID_DIGITS + 1])
{
    snprintf(buf, IMAGE_ID_DIGITS + 1, "%s", digest_hex(&info->config));
    return buf;
}

/* ---- files ---- */

static int do_import(ImageStore *s, const ImageArgs *args)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    ImageInfo info;
    Err err = { 0 };
    char id[IMAGE_ID_DIGITS + 1];
    if (image_import(s, args->rest[0], sv_cstr(args->name), &a, &info, &err) < 0)
        return image_fail(&err);
    for (uint32_t i = 0; i < info.names_len; i++)
        printf("%s %s\n", info.names[i], image_short_id(&info, id));
    return 0;
}

/* What an image is called in a file: the name it was asked for by, or one that it has. */
static const char *export_name(const ImageInfo *info, const char *asked, Arena *a)
{
    char *name = arena_alloc(a, IMAGE_REF_SIZE);
    ImageRef ref;
    if (name && image_ref_parse(sv_cstr(asked), &ref, NULL) >= 0) {
        image_ref_format(&ref, name);
        for (uint32_t i = 0; i < info->names_len; i++)
            if (!strcmp(info->names[i], name))
                return name;
    }
    return info->names_len ? info->names[0] : info->manifest.text;
}

static int do_export(ImageStore *s, const ImageArgs *args)
{
    size_t n = (size_t)args->n_rest - 1;
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    ImageInfo *infos = arena_array(&a, ImageInfo, n);
    const char **names = arena_array(&a, const char *, n);
    Err err = { 0 };
    if (!infos || !names) {
        err_nomem(&err);
        return image_fail(&err);
    }
    for (size_t i = 0; i < n; i++) {
        if (image_get(s, sv_cstr(args->rest[i]), &a, &infos[i], &err) < 0)
            return image_fail(&err);
        names[i] = export_name(&infos[i], args->rest[i], &a);
    }
    if (image_export(s, infos, names, n, args->rest[n], &err) < 0)
        return image_fail(&err);
    return 0;
}

/* ---- removing ---- */

/* Goes on after a name that is not there; the exit code tells. */
static int do_rm(ImageStore *s, const ImageArgs *args)
{
    int code = 0;
    for (int i = 0; i < args->n_rest; i++) {
        Err err = { 0 };
        if (image_rm(s, sv_cstr(args->rest[i]), &err) < 0)
            code = image_fail(&err);
        else
            printf("Deleted: %s\n", args->rest[i]);
    }
    return code;
}

static int do_gc(ImageStore *s, const ImageArgs *args)
{
    char text[IMAGE_SIZE_TEXT];
    uint64_t freed = 0;
    Err err = { 0 };
    if (image_gc(s, &freed, &err) < 0)
        return image_fail(&err);
    printf("Freed: %s\n", image_size_text(freed, text));
    return 0;
}

/* ---- the command line ---- */

enum { TAKES_NAME = 1, TAKES_REMOTE = 2, TAKES_PLATFORM = 4 };

static const struct Verb {
    const char *name;
    ImageVerbFn *run;
    int min, max; /* arguments */
    unsigned takes;
} verbs[] = {
    { "pull", image_pull_verb, 1, INT_MAX, TAKES_REMOTE | TAKES_PLATFORM },
    { "push", image_push_verb, 1, 2, TAKES_REMOTE },
    { "import", do_import, 1, 1, TAKES_NAME },
    { "export", do_export, 2, INT_MAX, 0 },
    { "list", image_list_verb, 0, 0, 0 },
    { "ls", image_list_verb, 0, 0, 0 },
    { "inspect", image_inspect_verb, 1, INT_MAX, 0 },
    { "rm", do_rm, 1, INT_MAX, 0 },
    { "gc", do_gc, 0, 0, 0 },
};

static int parse(int argc, char **argv, ImageArgs *args)
{
    const Flag flags[] = {
        { "name", FLAG_TEXT, &args->name, "REF",
          "import: the name to give, instead of those that the archive carries" },
        { "creds", FLAG_TEXT, &args->creds, "USER:PASSWORD", "pull, push: for the registry" },
        { "authfile", FLAG_TEXT, &args->authfile, "FILE",
          "pull, push: credentials, instead of containers/auth.json and ~/.docker/config.json" },
        { "platform", FLAG_TEXT, &args->platform, "OS/ARCH[/VARIANT]",
          "pull: of an image for several, instead of this machine's" },
        { "tls-verify", FLAG_ON, &args->tls_verify, NULL,
          "pull, push: false takes any certificate, and clear text where there is no TLS" },
        { "registries", FLAG_TEXT, &args->registries, "FILE",
          "pull, push: mirrors, certificates, credentials (/etc/knarr/registries.yaml)" },
        { "policy", FLAG_TEXT, &args->policy, "FILE",
          "pull: what may be pulled, and whose signatures it needs (/etc/containers/policy.json)" },
        { "stall-timeout", FLAG_NUMBER, &args->stall_s, "SECONDS",
          "pull, push: a connection without a byte for so long is broken (60)" },
        { "quiet", FLAG_ON, &args->quiet, NULL, "pull, push: no progress" },
        { "data-dir", FLAG_TEXT, &args->data_dir, "DIR",
          "the node's data (/var/lib/knarr); images lie in DIR/images" },
    };
    const FlagSet set = {
        .program = "knarr image",
        .args =
            "pull REF… | push IMAGE [REF] | list | inspect IMAGE… | rm IMAGE… | gc | import FILE|DIR | export IMAGE… DEST",
        .about =
            "  pull     gets images from their registries; push sends one, under another name where one is given\n"
            "  list     shows the images of this node, inspect all that is known of some\n"
            "  rm       removes images by name, by ID or by digest; gc what nothing refers to\n"
            "  import   takes an archive of `docker save`, an OCI archive or an OCI layout folder; layers are verified\n"
            "  export   writes images to docker-archive:FILE, oci-archive:FILE or oci:DIR",
        .flags = flags,
        .len = ARRAY_SIZE(flags)
    };
    args->rest = argv + 1;
    return flags_parse(&set, argc, argv, &args->n_rest);
}

static bool takes_all(const struct Verb *v, const ImageArgs *args)
{
    const char *wrong = NULL;
    if (args->name && !(v->takes & TAKES_NAME))
        wrong = "--name is for import only";
    else if (args->platform && !(v->takes & TAKES_PLATFORM))
        wrong = "--platform is for pull only";
    else if (args->policy && !(v->takes & TAKES_PLATFORM))
        wrong = "--policy is for pull only";
    else if ((args->creds || args->authfile || args->registries || args->stall_s || args->quiet ||
              !args->tls_verify) &&
             !(v->takes & TAKES_REMOTE))
        wrong = "--creds, --authfile, --tls-verify, --registries, --stall-timeout and --quiet are "
                "for pull and push only";
    if (wrong)
        fprintf(stderr, "knarr image %s: %s\n", v->name, wrong);
    return !wrong;
}

static const struct Verb *choose(ImageArgs *args)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs) && args->n_rest; i++) {
        const struct Verb *v = &verbs[i];
        int n = args->n_rest - 1;
        if (strcmp(v->name, args->rest[0]) != 0)
            continue;
        if (n < v->min || n > v->max) {
            fprintf(stderr, "knarr image %s: %s\n", v->name,
                    n < v->min ? "name what is meant" : "too many arguments");
            return NULL;
        }
        if (!takes_all(v, args))
            return NULL;
        args->rest++;
        args->n_rest--;
        return v;
    }
    static const char known[] = "pull, push, list, inspect, rm, gc, import or export";
    if (args->n_rest)
        fprintf(stderr, "knarr image: unknown command '%s'; expected %s\n", args->rest[0], known);
    else
        fprintf(stderr, "knarr image: %s? see `knarr image --help`\n", known);
    return NULL;
}

int main(int argc, char **argv)
{
    ImageArgs args = { .data_dir = "/var/lib/knarr", .tls_verify = true };
    char dir[PATH_MAX];
    int r = parse(argc, argv, &args);
    if (r != FLAGS_OK)
        return r;
    const struct Verb *verb = choose(&args);
    if (!verb)
        return 2;
    ImageStore *s;
    Err err = { 0 };
    ImageStoreOptions opt = { .dir = dir };
    if (snprintf(dir, sizeof dir, "%s/images", args.data_dir) >= (int)sizeof dir) {
        fputs("knarr image: --data-dir: the path is too long\n", stderr);
        return 2;
    }
    if (access(args.data_dir, F_OK) < 0 &&
        errno == ENOENT) { /* a slip of the pen begins no store */
        fprintf(
            stderr,
            "knarr image: --data-dir: there is no folder '%s'; start a cluster with `knarr up`, "
            "or name its folder\n",
            args.data_dir);
        return 1;
    }
    if (image_store_open(&opt, &s, &err) < 0)
        return image_fail(&err);
    int code = verb->run(s, &args);
    image_store_free(s);
    return output_end("knarr image", code);
}
