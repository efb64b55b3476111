/* knarr_image.c - main() of knarr-image: the images of a node, by hand.
 *
 *   knarr image import FILE|DIR [--name REF]   from a docker or OCI archive, or an OCI layout
 *   knarr image list                           a table like that of `crictl images`
 *   knarr image rm REF...                      by name, ID or digest
 *
 * All work is done by src/image; the store may be in use by the kubelet meanwhile. A new sub-verb
 * is a row of `verbs`. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/flags.h"
#include "cmd/output.h"
#include "image/image.h"

enum { ID_DIGITS = 13, SIZE_TEXT = 24 };

typedef struct Args {
    const char *data_dir, *name;
    char **rest;
    int n_rest;
} Args;

static int fail(const Err *err)
{
    fprintf(stderr, "knarr image: %s\n", err->msg);
    return 1;
}

/* "31.5MB": decimal units and three digits, as crictl shows sizes. */
static const char *size_text(uint64_t bytes, char buf[static SIZE_TEXT])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
    double n = (double)bytes;
    size_t u = 0;
    while (n >= 1000 && u + 1 < ARRAY_SIZE(units)) {
        n /= 1000;
        u++;
    }
    snprintf(buf, SIZE_TEXT, "%.3g%s", n, units[u]);
    return buf;
}

static const char *short_id(const ImageInfo *info, char buf[static ID_DIGITS + 1])
{
    snprintf(buf, ID_DIGITS + 1, "%s", digest_hex(&info->config));
    return buf;
}

/* ---- import ---- */

static int do_import(ImageStore *s, const Args *args)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    ImageInfo info;
    Err err = { 0 };
    char id[ID_DIGITS + 1];
    if (image_import(s, args->rest[0], sv_cstr(args->name), &a, &info, &err) < 0)
        return fail(&err);
    for (uint32_t i = 0; i < info.names_len; i++)
        printf("%s %s\n", info.names[i], short_id(&info, id));
    return 0;
}

/* ---- list ---- */

typedef struct Row {
    char repository[IMAGE_REF_SIZE], tag[IMAGE_REF_TAG_MAX + 1];
} Row;

static void split_name(const char *name, Row *row)
{
    ImageRef ref;
    snprintf(row->repository, sizeof row->repository, "%s", name ? name : "<none>");
    snprintf(row->tag, sizeof row->tag, "<none>");
    if (!name || image_ref_parse(sv_cstr(name), &ref, NULL) < 0)
        return;
    image_ref_repository(&ref, row->repository);
    if (ref.tag[0])
        snprintf(row->tag, sizeof row->tag, "%s", ref.tag);
}

static uint32_t row_count(const ImageInfo *info)
{
    return MAX(info->names_len, 1u); /* one without a name is shown as well */
}

/* On standard error, after the table. */
static int tell_damaged(const ImageInfo *list, size_t n)
{
    int code = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i].damage) {
            fprintf(stderr, "knarr image: '%s' is damaged, import it again: %s\n",
                    list[i].names_len ? list[i].names[0] : list[i].manifest.text, list[i].damage);
            code = 1;
        }
    return code;
}

static int do_list(ImageStore *s, const Args *args)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    ImageInfo *list;
    size_t n;
    Err err = { 0 };
    int wide = (int)strlen("IMAGE"), tag_wide = (int)strlen("TAG");
    Row row;
    if (image_list(s, &a, &list, &n, &err) < 0)
        return fail(&err);
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < row_count(&list[i]); k++) {
            split_name(list[i].names_len ? list[i].names[k] : NULL, &row);
            wide = MAX(wide, (int)strlen(row.repository));
            tag_wide = MAX(tag_wide, (int)strlen(row.tag));
        }
    printf("%-*s %-*s %-*s %s\n", wide + 4, "IMAGE", tag_wide + 4, "TAG", ID_DIGITS + 4, "IMAGE ID",
           "SIZE");
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < row_count(&list[i]); k++) {
            char id[ID_DIGITS + 1], size[SIZE_TEXT];
            split_name(list[i].names_len ? list[i].names[k] : NULL, &row);
            printf("%-*s %-*s %-*s %s\n", wide + 4, row.repository, tag_wide + 4, row.tag,
                   ID_DIGITS + 4, list[i].damage ? "<damaged>" : short_id(&list[i], id),
                   size_text(list[i].size, size));
        }
    return tell_damaged(list, n);
}

/* ---- rm ---- */

/* Goes on after a name that is not there; the exit code tells. */
static int do_rm(ImageStore *s, const Args *args)
{
    int code = 0;
    for (int i = 0; i < args->n_rest; i++) {
        Err err = { 0 };
        if (image_rm(s, sv_cstr(args->rest[i]), &err) < 0)
            code = fail(&err);
        else
            printf("Deleted: %s\n", args->rest[i]);
    }
    return code;
}

static const struct Verb {
    const char *name;
    int (*run)(ImageStore *s, const Args *args);
    int min, max; /* arguments */
    bool takes_name;
} verbs[] = {
    { "import", do_import, 1, 1, true },
    { "list", do_list, 0, 0, false },
    { "ls", do_list, 0, 0, false },
    { "rm", do_rm, 1, INT_MAX, false },
};

static int parse(int argc, char **argv, Args *args)
{
    const Flag flags[] = {
        { "name", FLAG_TEXT, &args->name, "REF",
          "import: the name to give, instead of those that the archive carries" },
        { "data-dir", FLAG_TEXT, &args->data_dir, "DIR",
          "the node's data (/var/lib/knarr); images lie in DIR/images" },
    };
    const FlagSet set = {
        .program = "knarr image",
        .args = "import FILE|DIR | list | rm REF…",
        .about =
            "  import   takes an archive of `docker save`, an OCI archive or an OCI layout folder; layers are verified\n"
            "  list     shows the images of this node\n"
            "  rm       removes images by name, by ID or by digest",
        .flags = flags,
        .len = ARRAY_SIZE(flags)
    };
    args->rest = argv + 1;
    return flags_parse(&set, argc, argv, &args->n_rest);
}

static const struct Verb *choose(Args *args)
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
        if (args->name && !v->takes_name) {
            fprintf(stderr, "knarr image %s: --name is for import only\n", v->name);
            return NULL;
        }
        args->rest++;
        args->n_rest--;
        return v;
    }
    if (args->n_rest)
        fprintf(stderr, "knarr image: unknown command '%s'; expected import, list or rm\n",
                args->rest[0]);
    else
        fputs("knarr image: import, list or rm? see `knarr image --help`\n", stderr);
    return NULL;
}

int main(int argc, char **argv)
{
    Args args = { .data_dir = "/var/lib/knarr" };
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
        return fail(&err);
    int code = verb->run(s, &args);
    image_store_free(s);
    return output_end("knarr image", code);
}
