/* volumes.c - contents of volumes, on pool threads.
 *
 * ConfigMaps, Secrets, projected and downwardAPI volumes are folders that change in one step: files
 * are written to a new folder ..TIME, the link ..data is renamed onto it, and names in the volume
 * are links through ..data (Kubernetes' atomic writer). Containers see the old state or the new
 * one, never a mixture. */
#include <errno.h>
#include <stdio.h>
#include <sys/mount.h>

#include "api/quantity.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/log.h"
#include "kubelet/internal.h"

typedef struct File {
    StrView path; /* relative, may have folders */
    StrView data;
    mode_t mode;
    int64_t owner; /* -1: root */
} File;

typedef struct Payload {
    SetupJob *job;
    VEC(File) files;
    Map paths, names; /* of `files`, and the first parts of those */
    mode_t default_mode;
} Payload;

/* What may hold secrets is never written to a disk: it lies in the node's own tmpfs, which is gone
 * after a reboot as the pods are. A volume that an earlier program made stays where it is. */
static char *volume_dir(const SetupJob *job, const Value *volume, char buf[static PATH_SIZE])
{
    StrView name = value_str(value_get(volume, SV("name")));
    bool memory = value_get(volume, SV("secret")) || value_get(volume, SV("projected")) ||
                  value_get(volume, SV("downwardAPI"));
    snprintf(buf, PATH_SIZE, "%s/node/pods/%s/volumes/%.*s", job->k->cfg.data_dir, job->uid,
             SV_FMT(name));
    if (memory && !path_exists(AT_FDCWD, buf))
        snprintf(buf, PATH_SIZE, "%s/node/" MEMORY_DIR "/%s/%.*s", job->k->cfg.data_dir, job->uid,
                 SV_FMT(name));
    return buf;
}

/* A path inside a volume: relative, no "..", as the API server has checked already. */
static bool is_safe_path(StrView path)
{
    StrView rest = path, part;
    if (!path.len || path.ptr[0] == '/')
        return false;
    while (sv_next(&rest, '/', &part))
        if (sv_eq(part, SV("..")) || sv_eq(part, SV(".")) || !part.len)
            return false;
    return path.len < 512;
}

static int add_file(Payload *p, StrView path, StrView data, int64_t mode, Err *err)
{
    File f = { path, data, mode >= 0 ? (mode_t)mode : p->default_mode, -1 };
    if (!is_safe_path(path))
        return err_set(err, ERR_INVALID, 0,
                       "volume path '%.*s' is not a relative path inside the volume", SV_FMT(path));
    return vec_push(&p->files, f) ? 0 : err_nomem(err);
}

static StrView decode_base64(Arena *a, StrView text)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    return base64_decode(BASE64_STD, text, &raw) < 0 ? SV("") : arena_sv(a, buf_view(&raw));
}

/* One key of a ConfigMap or Secret; false when it has none of that name. */
static bool object_key(Arena *a, const Value *obj, bool secret, StrView key, StrView *ret)
{
    const Value *plain = value_get(value_get(obj, SV("data")), key);
    const Value *binary = value_get(value_get(obj, SV("binaryData")), key);
    if (!plain && !binary)
        return false;
    *ret =
        secret || !plain ? decode_base64(a, value_str(plain ? plain : binary)) : value_str(plain);
    return true;
}

static int add_items(Payload *p, const Value *obj, const Value *items, bool secret, bool optional,
                     const char *what, Err *err)
{
    Arena *a = &p->job->arena;
    static const StrView maps[] = { SV_INIT("data"), SV_INIT("binaryData") };
    int r = 0;
    value_list_foreach (item, items) {
        StrView key = value_str(value_get(item, SV("key"))), data;
        if (object_key(a, obj, secret, key, &data))
            r = add_file(p, value_str(value_get(item, SV("path"))), data,
                         value_int_or(value_get(item, SV("mode")), -1), err);
        else if (!optional)
            r = err_set(err, ERR_NOT_FOUND, 0, "%s references non-existent key: %.*s", what,
                        SV_FMT(key));
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < ARRAY_SIZE(maps) && !value_len(items); i++) {
        value_map_foreach (m, value_get(obj, maps[i])) {
            StrView data;
            if (object_key(a, obj, secret, m->key, &data) &&
                (r = add_file(p, m->key, data, -1, err)) < 0)
                return r;
        }
    }
    return r;
}

static int add_object(Payload *p, const char *kind, const Value *src, StrView name, Err *err)
{
    Value obj;
    bool optional = value_bool_or(value_get(src, SV("optional")), false);
    if (!resource_get(&p->job->resources, kind, name, &p->job->arena, &obj))
        return optional
                   ? 0
                   : err_set(err, ERR_NOT_FOUND, 0, "%s \"%.*s\" not found", kind, SV_FMT(name));
    return add_items(p, &obj, value_get(src, SV("items")), strcmp(kind, "secret") == 0, optional,
                     kind, err);
}

static const Value *container_named(const Value *pod, StrView name)
{
    value_list_foreach (c, value_path(pod, "spec.containers")) {
        if (sv_eq(value_str(value_get(c, SV("name"))), name))
            return c;
    }
    return NULL;
}

static int add_downward(Payload *p, const Value *items, Err *err)
{
    int r = 0;
    value_list_foreach (item, items) {
        const Value *field = value_get(item, SV("fieldRef")),
                    *res = value_get(item, SV("resourceFieldRef"));
        StrView text = SV("");
        if (field)
            r = field_ref_value(p->job, value_str(value_get(field, SV("fieldPath"))), &text, err);
        else if (res)
            r = resource_field_value(
                &p->job->pod, res,
                container_named(&p->job->pod, value_str(value_get(res, SV("containerName")))),
                &p->job->arena, &text, err);
        if (r < 0 || (r = add_file(p, value_str(value_get(item, SV("path"))), text,
                                   value_int_or(value_get(item, SV("mode")), -1), err)) < 0)
            return r;
    }
    return r;
}

static int64_t fs_group(const SetupJob *job)
{
    return value_int_or(value_path(&job->pod, "spec.securityContext.fsGroup"), -1);
}

/* The user that all containers run as, by the container's own field or the pod's; -1: one of them
 * does not say it, or they differ. */
static int64_t common_user(const Value *pod)
{
    static const char *const lists[] = { "spec.initContainers", "spec.containers" };
    int64_t of_pod = value_int_or(value_path(pod, "spec.securityContext.runAsUser"), -1), all = -1;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        value_list_foreach (c, value_path(pod, lists[i])) {
            int64_t user = value_int_or(value_path(c, "securityContext.runAsUser"), of_pod);
            if (user < 0 || (all >= 0 && user != all))
                return -1;
            all = user;
        }
    }
    return all;
}

/* A token is for its pod's user or group alone where the pod names one; else whoever the image
 * runs as has to be able to read it. */
static int add_token(Payload *p, StrView path, StrView token, Err *err)
{
    int64_t user = common_user(&p->job->pod);
    int r = add_file(p, path, token, user >= 0 || fs_group(p->job) >= 0 ? 0600 : -1, err);
    if (r == 0)
        p->files.items[p->files.len - 1].owner = user;
    return r;
}

static int add_projected(Payload *p, const Value *volume, Err *err)
{
    int r = 0;
    unsigned i = 0;
    value_list_foreach (src, value_path(volume, "projected.sources")) {
        const Value *cm = value_get(src, SV("configMap")), *secret = value_get(src, SV("secret"));
        const Value *token = value_get(src, SV("serviceAccountToken")),
                    *down = value_get(src, SV("downwardAPI"));
        if (cm)
            r = add_object(p, "configmap", cm, value_str(value_get(cm, SV("name"))), err);
        else if (secret)
            r = add_object(p, "secret", secret, value_str(value_get(secret, SV("name"))), err);
        else if (down)
            r = add_downward(p, value_get(down, SV("items")), err);
        else if (token)
            r = add_token(p, value_str(value_get(token, SV("path"))),
                          resource_token(&p->job->resources,
                                         value_str(value_get(volume, SV("name"))), i),
                          err);
        if (r < 0)
            return r;
        i++;
    }
    return r;
}

/* ---- the atomic writer ---- */

static mode_t mode_of(const SetupJob *job, const File *f)
{
    return (fs_group(job) >= 0 ? f->mode | ((f->mode & 0400) >> 3) : f->mode) & 07777;
}

static int write_one(const SetupJob *job, const char *dir, const File *f, Err *err)
{
    char path[2 * PATH_SIZE], parent[2 * PATH_SIZE];
    int64_t gid = fs_group(job);
    mode_t mode = mode_of(job, f);
    snprintf(path, sizeof path, "%s/%.*s", dir, SV_FMT(f->path));
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    int r = mkdir_p(AT_FDCWD, parent, 0755);
    if (r == 0)
        r = file_write(AT_FDCWD, path, f->data, 0600);
    if (r == 0 &&
        ((gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid) < 0) ||
         (f->owner >= 0 && chown(path, (uid_t)f->owner, (gid_t)-1) < 0) || chmod(path, mode) < 0))
        r = -errno;
    return r < 0 ? err_neg(err, r, "write '%s'", path) : 0;
}

static StrView first_part(StrView path)
{
    StrView head, tail;
    sv_cut(path, '/', &head, &tail);
    return head;
}

/* Regular files below a folder. */
static size_t count_files(int dir_fd, const char *path)
{
    struct dirent *e;
    DIR *d;
    size_t n = 0;
    if (dir_list(dir_fd, path, &d) < 0)
        return 0;
    while (dir_next(d, &e) > 0)
        n += e->d_type == DT_DIR ? count_files(dirfd(d), e->d_name) : 1;
    closedir(d);
    return n;
}

/* The same files, contents and modes, and no others. */
static bool same_as_now(const char *dir, const Payload *p)
{
    char path[2 * PATH_SIZE];
    for (size_t i = 0; i < p->files.len; i++) {
        const File *f = &p->files.items[i];
        _cleanup_buf_ Buf now = BUF_INIT;
        struct stat st;
        if (map_get(&p->paths, f->path) != f)
            continue; /* a later source wrote over it */
        snprintf(path, sizeof path, "%s/..data/%.*s", dir, SV_FMT(f->path));
        if (stat(path, &st) < 0 || (st.st_mode & 07777) != mode_of(p->job, f) ||
            file_read(AT_FDCWD, path, VOLUME_FILE_MAX, &now) < 0 || !sv_eq(buf_view(&now), f->data))
            return false;
    }
    snprintf(path, sizeof path, "%s/..data", dir);
    return count_files(AT_FDCWD, path) == p->paths.len;
}

static int index_names(Payload *p, Err *err)
{
    for (size_t i = 0; i < p->files.len; i++) {
        File *f = &p->files.items[i];
        if (!map_set(&p->paths, f->path, f, NULL) ||
            !map_set(&p->names, first_part(f->path), f, NULL))
            return err_nomem(err);
    }
    return 0;
}

static int link_names(const char *dir, const Payload *p, Err *err)
{
    char path[2 * PATH_SIZE], to[PATH_SIZE];
    for (size_t i = 0; i < p->files.len; i++) {
        StrView name = first_part(p->files.items[i].path);
        snprintf(path, sizeof path, "%s/%.*s", dir, SV_FMT(name));
        snprintf(to, sizeof to, "..data/%.*s", SV_FMT(name));
        if (symlink(to, path) < 0 && errno != EEXIST)
            return err_errno(err, "link '%s'", path);
    }
    return 0;
}

/* Names that are not in the payload any more, and folders of earlier times. */
static void remove_old(const char *dir, const Payload *p, const char *keep)
{
    struct dirent *e;
    DIR *d;
    if (dir_list(AT_FDCWD, dir, &d) < 0)
        return;
    while (dir_next(d, &e) > 0) {
        StrView name = sv_cstr(e->d_name);
        bool wanted = sv_eq(name, SV("..data")) || sv_eq(name, sv_cstr(keep));
        if (!wanted && !map_has(&p->names, name))
            rm_rf(dirfd(d), e->d_name);
    }
    closedir(d);
}

static int write_payload(const char *dir, Payload *p, Err *err)
{
    char stamp[48], fresh[PATH_SIZE + 64], link[PATH_SIZE + 64], data[PATH_SIZE + 64];
    int r = mkdir_p(AT_FDCWD, dir, 0755);
    if (r < 0)
        return err_neg(err, r, "make '%s'", dir);
    if ((r = index_names(p, err)) < 0)
        return r;
    snprintf(data, sizeof data, "%s/..data", dir);
    if (path_exists(AT_FDCWD, data) && same_as_now(dir, p))
        return 0;
    snprintf(stamp, sizeof stamp, "..%lld", (long long)clock_real_ns());
    snprintf(fresh, sizeof fresh, "%s/%s", dir, stamp);
    snprintf(link, sizeof link, "%s/..data_tmp", dir);
    if ((r = mkdir_p(AT_FDCWD, fresh, 0755)) < 0)
        return err_neg(err, r, "make '%s'", fresh);
    for (size_t i = 0; i < p->files.len; i++)
        if ((r = write_one(p->job, fresh, &p->files.items[i], err)) < 0) {
            rm_rf(AT_FDCWD, fresh);
            return r;
        }
    unlink(link);
    if (symlink(stamp, link) < 0 || rename(link, data) < 0) {
        r = err_errno(err, "put new contents into '%s'", dir);
        rm_rf(AT_FDCWD, fresh);
        return r;
    }
    if ((r = link_names(dir, p, err)) < 0)
        return r;
    remove_old(dir, p, stamp);
    return 0;
}

/* ---- the kinds ---- */

static bool is_mount_point(const char *dir)
{
    char above[PATH_SIZE + 4];
    struct stat st, up;
    snprintf(above, sizeof above, "%s/..", dir);
    return stat(dir, &st) == 0 && stat(above, &up) == 0 && st.st_dev != up.st_dev;
}

int volumes_open_memory(Kubelet *k, Err *err)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/node/" MEMORY_DIR, k->cfg.data_dir);
    int r = mkdir_p(AT_FDCWD, path, 0700);
    if (r < 0)
        return err_neg(err, r, "make folder '%s'", path);
    if (!is_mount_point(path) &&
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") < 0)
        return err_errno(err, "mount a tmpfs on '%s'", path);
    return 0;
}

void volumes_close_memory(Kubelet *k)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/node/" MEMORY_DIR, k->cfg.data_dir);
    if (is_mount_point(path) && umount2(path, MNT_DETACH) < 0)
        log_warn("unmount '%s': %m", path);
    rmdir(path);
}

static int make_empty_dir(SetupJob *job, const Value *src, const char *dir, Err *err)
{
    int64_t gid = fs_group(job);
    bool memory = sv_eq(value_str(value_get(src, SV("medium"))), SV("Memory"));
    /* After a reboot the folder is there, and its memory is not. */
    if (memory ? is_mount_point(dir) : path_exists(AT_FDCWD, dir))
        return 0;
    int r = mkdir_p(AT_FDCWD, dir, 0777);
    if (r < 0)
        return err_neg(err, r, "make '%s'", dir);
    if (memory) {
        char options[64] = "mode=1777"; /* the kernel's own; Kubernetes leaves it */
        ApiQuantity size;
        const Value *limit = value_get(src, SV("sizeLimit"));
        if (limit && api_quantity_from(limit, &size, NULL) == 0)
            snprintf(options, sizeof options, "mode=1777,size=%lld",
                     (long long)api_quantity_value(&size));
        if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
            return err_errno(err, "mount a tmpfs on '%s'", dir);
    }
    mode_t sticky = memory ? S_ISVTX : 0;
    if (chmod(dir, (gid >= 0 ? 02777 : 0777) | sticky) < 0 ||
        (gid >= 0 && chown(dir, (uid_t)-1, (gid_t)gid) < 0))
        return err_errno(err, "set rights of '%s'", dir);
    return 0;
}

/* What hostPath.type demands of the host (v1.HostPathType). */
static int check_host_path(const Value *src, Err *err)
{
    char path[PATH_SIZE];
    struct stat st;
    StrView type = value_str(value_get(src, SV("type"))),
            text = value_str(value_get(src, SV("path")));
    if (!sv_copy_cstr(text, path, sizeof path))
        return err_set(err, ERR_INVALID, 0, "hostPath.path '%.*s' is too long",
                       SV_FMT(sv_head(text, 200)));
    bool is_there = stat(path, &st) == 0;
    int r = 0;
    if (sv_eq(type, SV("DirectoryOrCreate")) && !is_there)
        r = mkdir_p(AT_FDCWD, path, 0755);
    else if (sv_eq(type, SV("FileOrCreate")) && !is_there)
        r = file_write(AT_FDCWD, path, SV(""), 0644);
    if (r < 0)
        return err_neg(err, r, "make hostPath '%s'", path);
    if (stat(path, &st) < 0 && type.len)
        return err_set(err, ERR_NOT_FOUND, 0, "hostPath type check failed: %s is not there", path);
    static const struct {
        StrView type;
        mode_t mode;
        const char *what;
    } kinds[] = {
        { SV_INIT("Directory"), S_IFDIR, "a directory" },
        { SV_INIT("DirectoryOrCreate"), S_IFDIR, "a directory" },
        { SV_INIT("File"), S_IFREG, "a file" },
        { SV_INIT("FileOrCreate"), S_IFREG, "a file" },
        { SV_INIT("Socket"), S_IFSOCK, "a socket file" },
        { SV_INIT("CharDevice"), S_IFCHR, "a character device" },
        { SV_INIT("BlockDevice"), S_IFBLK, "a block device" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (sv_eq(kinds[i].type, type) && (st.st_mode & S_IFMT) != kinds[i].mode)
            return err_set(err, ERR_INVALID, 0, "hostPath type check failed: %s is not %s", path,
                           kinds[i].what);
    return 0;
}

static int write_volume(SetupJob *job, const Value *volume, Err *err)
{
    char dir[PATH_SIZE];
    const Value *empty = value_get(volume, SV("emptyDir")),
                *host = value_get(volume, SV("hostPath"));
    const Value *cm = value_get(volume, SV("configMap")), *secret = value_get(volume, SV("secret"));
    const Value *projected = value_get(volume, SV("projected")),
                *down = value_get(volume, SV("downwardAPI"));
    volume_dir(job, volume, dir);
    if (empty)
        return make_empty_dir(job, empty, dir, err);
    if (host)
        return check_host_path(host, err);
    Payload p = { .job = job, .default_mode = 0644 };
    const Value *src = cm ? cm : secret ? secret : projected ? projected : down;
    p.default_mode = (mode_t)value_int_or(value_get(src, SV("defaultMode")), 0644);
    int r = 0;
    if (cm)
        r = add_object(&p, "configmap", cm, value_str(value_get(cm, SV("name"))), err);
    else if (secret)
        r = add_object(&p, "secret", secret, value_str(value_get(secret, SV("secretName"))), err);
    else if (projected)
        r = add_projected(&p, volume, err);
    else if (down)
        r = add_downward(&p, value_get(down, SV("items")), err);
    if (r == 0)
        r = write_payload(dir, &p, err);
    vec_free(&p.files);
    map_free(&p.paths);
    map_free(&p.names);
    return r;
}

/* One that fails does not keep the others from being brought up to date; the first error is told.
 */
int volumes_write(SetupJob *job, Err *err)
{
    int first = 0;
    value_list_foreach (volume, value_path(&job->pod, "spec.volumes")) {
        Err own = { 0 };
        int r = write_volume(job, volume, &own);
        if (r == 0 || first < 0)
            continue;
        first = r;
        if (err)
            *err = own;
        err_wrap(err, "MountVolume.SetUp failed for volume \"%.*s\"",
                 SV_FMT(value_str(value_get(volume, SV("name")))));
    }
    return first;
}

static const Value *volume_named(const Value *pod, StrView name)
{
    value_list_foreach (v, value_path(pod, "spec.volumes")) {
        if (sv_eq(value_str(value_get(v, SV("name"))), name))
            return v;
    }
    return NULL;
}

/* What a subPath names is there when this is done: a missing one becomes a folder with the rights
 * of its volume. Nothing that is found here is handed on, because a pod may change it at once: the
 * supervisor resolves the path again, and mounts the descriptor that it gets. */
static int prepare_sub_path(const char *root, const char *path, Err *err)
{
    char proc[64];
    struct stat st;
    _cleanup_close_ int made = -1, root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || fstat(root_fd, &st) < 0)
        return err_errno(err, "open volume '%s'", root);
    _cleanup_close_ int fd = rootfs_open(root_fd, path, O_PATH, 0);
    if (fd >= 0)
        return 0;
    if (fd != -ENOENT)
        return err_neg(err, fd, "open subPath '%s' in '%s'", path, root);
    int r = rootfs_make(root_fd, path, true, &made, err);
    if (r < 0)
        return r;
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", made);
    return chmod(proc, st.st_mode & (0777 | S_ISGID | S_ISVTX)) < 0
               ? err_errno(err, "set rights of subPath '%s'", path)
               : 0;
}

int volume_source(SetupJob *job, const Value *mount, VolumeSource *ret, Err *err)
{
    char dir[PATH_SIZE];
    StrView name = value_str(value_get(mount, SV("name"))),
            sub = value_str(value_get(mount, SV("subPath")));
    const Value *volume = volume_named(&job->pod, name);
    if (!volume)
        return err_set(err, ERR_NOT_FOUND, 0, "volumeMounts: no volume \"%.*s\"", SV_FMT(name));
    const Value *host = value_get(volume, SV("hostPath"));
    *ret = (VolumeSource){
        .readonly = value_get(volume, SV("configMap")) || value_get(volume, SV("secret")) ||
                    value_get(volume, SV("projected")) || value_get(volume, SV("downwardAPI")),
        .root = "",
        .path = host ? arena_cstr(&job->arena, value_str(value_get(host, SV("path"))))
                     : arena_cstr(&job->arena, sv_cstr(volume_dir(job, volume, dir))),
    };
    if (!ret->path)
        return err_nomem(err);
    if (!sub.len)
        return 0;
    if (!is_safe_path(sub))
        return err_set(err, ERR_INVALID, 0,
                       "subPath '%.*s' is not a relative path inside its volume", SV_FMT(sub));
    ret->root = ret->path;
    ret->path = arena_cstr(&job->arena, sub);
    if (!ret->path)
        return err_nomem(err);
    int r = prepare_sub_path(ret->root, ret->path, err);
    return r < 0 ? err_wrap(err, "failed to prepare subPath for volumeMount \"%.*s\"", SV_FMT(name))
                 : 0;
}
