/* knarr_image.c - main() of knarr-image: the images of a node, by hand.
 *
 *   knarr image import FILE|DIR [--name REF]   from a docker or OCI archive, or an OCI layout
 *   knarr image list                           a table like that of `crictl images`
 *   knarr image rm REF...                      by name, ID or digest
 *
 * All work is done by src/image; the store may be in use by the kubelet meanwhile. A new sub-verb
 * is a row of `verbs`. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "base/buf.h"
#include "image/image.h"

enum { ID_DIGITS = 13, SIZE_TEXT = 24 };

typedef struct Args {
    const char *data_dir, *name;
    char **rest;
    int n_rest;
} Args;

static int usage(FILE *out)
{
    fputs(
        "usage: knarr image import FILE|DIR [--name REF] [--data-dir DIR]\n"
        "       knarr image list [--data-dir DIR]\n"
        "       knarr image rm REF... [--data-dir DIR]\n"
        "\n"
        "  import   takes an archive of `docker save`, an OCI archive or an OCI layout folder; layers are verified\n"
        "  list     shows the images of this node\n"
        "  rm       removes images by name, by ID or by digest\n"
        "\n"
        "  --name REF      the name to give, instead of the names that the archive carries\n"
        "  --data-dir DIR  the node's data (default /var/lib/knarr); images lie in DIR/images\n",
        out);
    return out == stdout ? 0 : 2;
}

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
                   ID_DIGITS + 4, short_id(&list[i], id), size_text(list[i].size, size));
        }
    return 0;
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

/* 0: go on; else exit with *ret_code. */
static int parse(int argc, char **argv, Args *args, int *ret_code)
{
    static const struct option options[] = {
        { "name", required_argument, NULL, 'n' },
        { "data-dir", required_argument, NULL, 'd' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    *args = (Args){ .data_dir = "/var/lib/knarr" };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'n')
            args->name = optarg;
        else if (c == 'd')
            args->data_dir = optarg;
        else {
            *ret_code = usage(c == 'h' ? stdout : stderr);
            return -1;
        }
    }
    args->rest = argv + optind;
    args->n_rest = argc - optind;
    return 0;
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
        fprintf(stderr, "knarr image: unknown command '%s'\n", args->rest[0]);
    return NULL;
}

int main(int argc, char **argv)
{
    Args args;
    int code;
    char dir[PATH_MAX];
    if (parse(argc, argv, &args, &code) < 0)
        return code;
    const struct Verb *verb = choose(&args);
    if (!verb)
        return usage(stderr);
    ImageStore *s;
    Err err = { 0 };
    ImageStoreOptions opt = { .dir = dir };
    if (snprintf(dir, sizeof dir, "%s/images", args.data_dir) >= (int)sizeof dir) {
        fputs("knarr image: --data-dir: the path is too long\n", stderr);
        return 2;
    }
    if (image_store_open(&opt, &s, &err) < 0)
        return fail(&err);
    code = verb->run(s, &args);
    image_store_free(s);
    return code;
}
