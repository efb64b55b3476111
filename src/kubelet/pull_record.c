/* pull_record.c - see pull_record.h. */
#include "kubelet/pull_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/map.h"
#include "codec/json.h"
#include "image/image_blob.h"

enum { RECORD_MAX = 4 * 1024 * 1024, RIGHTS_MAX = 10000, PATH_SIZE = 1024 };

char *pull_record_dir(const char *data_dir, char buf[static PULL_DIR_SIZE])
{
    snprintf(buf, PULL_DIR_SIZE, "%s/node/pulled", data_dir);
    return buf;
}

static char *record_path(const char *dir, const Digest *image, char buf[static PATH_SIZE])
{
    snprintf(buf, PATH_SIZE, "%s/%s", dir, digest_hex(image));
    return buf;
}

static PullRight right_of(const Value *v)
{
    return (PullRight){ .uid = value_str(value_get(v, SV("uid"))),
                        .ns = value_str(value_get(v, SV("namespace"))),
                        .name = value_str(value_get(v, SV("name"))),
                        .hash = value_str(value_get(v, SV("credentialHash"))) };
}

int pull_record_read(const char *dir, const Digest *image, Arena *a, PullRecord *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    char path[PATH_SIZE];
    Value v;
    *ret = (PullRecord){ 0 };
    int r = file_read(AT_FDCWD, record_path(dir, image, path), RECORD_MAX, &text);
    if (r == -ENOENT)
        return 0;
    ret->exists = true;
    StrView kept = r < 0 ? SV_NULL : arena_sv(a, buf_view(&text));
    if (r >= 0 && !kept.ptr)
        return err_nomem(err);
    if (r < 0 || json_decode(kept, a, NULL, &v, NULL) < 0)
        return 0;
    const Value *rights = value_get(&v, SV("kubernetesSecrets"));
    ret->everyone = value_bool_or(value_get(&v, SV("nodePodsAccessible")), false);
    ret->rights.items = arena_array(a, PullRight, value_len(rights) + 1);
    if (!ret->rights.items)
        return err_nomem(err);
    value_list_foreach (it, rights)
        ret->rights.items[ret->rights.len++] = right_of(it);
    return 0;
}

static bool same_secret(const PullRight *a, const PullRight *b)
{
    return sv_eq(a->uid, b->uid) && sv_eq(a->ns, b->ns) && sv_eq(a->name, b->name);
}

bool pull_record_allows(const PullRecord *r, const PullRight *right)
{
    for (unsigned i = 0; i < r->rights.len; i++)
        if (same_secret(&r->rights.items[i], right) ||
            (right->hash.len && sv_eq(r->rights.items[i].hash, right->hash)))
            return true;
    return false;
}

static void put_right(Value *list, const PullRight *right, Arena *a)
{
    Value v = value_map();
    value_set(a, &v, SV("uid"), value_sv(right->uid));
    value_set(a, &v, SV("namespace"), value_sv(right->ns));
    value_set(a, &v, SV("name"), value_sv(right->name));
    value_set(a, &v, SV("credentialHash"), value_sv(right->hash));
    value_push(a, list, v);
}

/* The newest rights, each Secret once: what it held before is no right any more. */
static Value merge(const PullRecord *old, const PullRight *right, Arena *a)
{
    Value v = value_map(), list = value_list();
    value_set(a, &v, SV("nodePodsAccessible"), value_bool(!right || old->everyone));
    if (right)
        put_right(&list, right, a);
    for (unsigned i = 0; i < old->rights.len && i < RIGHTS_MAX; i++)
        if (!right || !same_secret(&old->rights.items[i], right))
            put_right(&list, &old->rights.items[i], a);
    value_set(a, &v, SV("kubernetesSecrets"), list);
    return v;
}

/* So that of two who add to one record neither takes away what the other one has added. */
static int lock_records(const char *dir, int *ret_fd, Err *err)
{
    _cleanup_close_ int fd = -1;
    int r;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, "make '%s'", dir);
    if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return err_errno(err, "open '%s'", dir);
    do
        r = flock(fd, LOCK_EX);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return err_errno(err, "lock '%s'", dir);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int pull_record_add(const char *dir, const Digest *image, const PullRight *right, Err *err)
{
    _cleanup_arena_ Arena a;
    _cleanup_close_ int lock = -1;
    _cleanup_buf_ Buf text = BUF_INIT;
    char path[PATH_SIZE];
    PullRecord old;
    arena_init(&a, 0);
    int r = lock_records(dir, &lock, err);
    if (r < 0 || (r = pull_record_read(dir, image, &a, &old, err)) < 0)
        return r;
    if (old.everyone && !right)
        return 0;
    Value v = merge(&old, right, &a);
    json_encode(&v, &text);
    if (text.failed)
        return err_nomem(err);
    r = file_write_atomic(AT_FDCWD, record_path(dir, image, path), buf_view(&text), 0600, true);
    return r < 0 ? err_neg(err, r, "write '%s'", path) : 0;
}

void pull_record_touch(const char *dir, const Digest *image)
{
    char path[PATH_SIZE];
    (void)!utimensat(AT_FDCWD, record_path(dir, image, path), NULL, 0);
}

int pull_record_sweep(const char *dir, ImageStore *s, Err *err)
{
    _cleanup_arena_ Arena a;
    _cleanup_close_ int alone = -1;
    arena_init(&a, 0);
    ImageInfo *list;
    size_t n;
    /* A pull writes its record before its image has a name. */
    if (image_store_hold_alone(s, &alone, NULL) < 0)
        return 0;
    int r = image_list(s, &a, &list, &n, err);
    if (r < 0)
        return r;
    Map known = { 0 };
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        ok = ok && !list[i].damage &&
             map_set(&known, sv_cstr(digest_hex(&list[i].config)), &a, NULL);
    DIR *d = NULL;
    struct dirent *e;
    /* Of a damaged image it is not known which record is its. */
    if (ok && (r = dir_list(AT_FDCWD, dir, &d)) < 0)
        r = r == -ENOENT ? 0 : err_neg(err, r, "read '%s'", dir);
    while (d && (r = dir_next(d, &e)) > 0)
        if (!map_get(&known, sv_cstr(e->d_name)))
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    map_free(&known);
    return r;
}
