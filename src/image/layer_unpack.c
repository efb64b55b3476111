/* layer_unpack.c - the parent's side of unpacking: starts knarr-unpack in a fresh directory, reads
 * what it reports, checks the diff-id, marks opaque directories and renames the result to
 * layers/HEX.
 *
 * The report on the child's standard output: any number of 'O' path NUL, then either 'K' digest
 * NUL, or 'E' and the bytes of an Err. The child is not trusted: lengths and paths are checked
 * here. */
#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/proc.h"
#include "image/image_internal.h"
#include "image/layer_path.h"

enum { REPORT_MAX = 64 * 1024 * 1024 };

static int mark_opaque(int dir_fd, const char *path, Err *err)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    _cleanup_close_ int fd =
        (int)syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof how);

    if (fd < 0 && errno == ENOENT)
        return 0; /* a later entry of the layer took its place */
    if (fd < 0 || fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
        return err_errno(err, "mark '%s' opaque", path);
    return 0;
}

static int report_error(StrView rest, Err *err)
{
    Err got;

    if (rest.len != sizeof got)
        return err_set(err, ERR_PROTO, 0, "the unpacker's report is cut short");
    memcpy(&got, rest.ptr, sizeof got);
    got.msg[sizeof got.msg - 1] = 0;
    if (got.code <= ERR_NONE || got.code >= ERR_MAX)
        got.code = ERR_PROTO;
    return err_set(err, got.code, 0, "%s", got.msg);
}

static int report_read(int dir_fd, StrView rest, const Digest *diff_id, Err *err)
{
    while (rest.len > 0) {
        char kind = rest.ptr[0];
        const char *text = rest.ptr + 1;
        const char *end;
        int r;

        rest = sv_skip(rest, 1);
        if (kind == 'E')
            return report_error(rest, err);
        end = memchr(rest.ptr, 0, rest.len);
        if (!end || (kind != 'O' && kind != 'K'))
            break;
        rest = sv_skip(rest, (size_t)(end - rest.ptr) + 1);
        if (kind == 'K' && strcmp(text, diff_id->text) != 0)
            return err_set(err, ERR_CORRUPT, 0, "its content is %.80s but the config says %s", text,
                           diff_id->text);
        if (kind == 'K')
            return 0;
        r = mark_opaque(dir_fd, text, err);
        if (r < 0)
            return r;
    }
    return err_set(err, ERR_PROTO, 0, "the unpacker ended without a result");
}

static int unpacker_run(ImageStore *s, int blob_fd, const char *dir, Buf *report, Err *err)
{
    char bytes[32], entries[32];
    const char *argv[] = { s->unpacker, bytes, entries, NULL };
    const char *envp[] = { NULL };
    _cleanup_close_ int out_r = -1, out_w = -1;
    int pipe_fds[2], status = 0, r;
    ProcSpec spec = { .argv = argv, .envp = envp, .cwd = dir, .die_with_parent = false };
    pid_t pid;

    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)s->layer_bytes_max);
    snprintf(entries, sizeof entries, "%u", s->layer_entries_max);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    out_r = pipe_fds[0];
    out_w = pipe_fds[1];
    spec.fds[0] = blob_fd;
    spec.fds[1] = out_w;
    spec.fds[2] = -1;
    r = proc_spawn(&spec, &pid);
    if (r < 0)
        return err_neg(err, r, "start '%s'", s->unpacker);
    closep(&out_w);
    r = fd_read_all(out_r, REPORT_MAX, report);
    if (r < 0)
        kill(pid, SIGKILL);
    proc_wait(pid, -1, &status);
    if (r < 0)
        return err_neg(err, r, "read the unpacker's report");
    if (WIFSIGNALED(status))
        return err_set(err, ERR_INVALID, 0, "the unpacker was killed by signal %d",
                       WTERMSIG(status));
    return 0;
}

static int unpack_into(ImageStore *s, const char *name, const Digest *blob, const Digest *diff_id,
                       Err *err)
{
    _cleanup_buf_ Buf report = BUF_INIT;
    _cleanup_close_ int blob_fd = -1, dir_fd = -1;
    char path[4096];
    int r;

    if (mkdirat(s->tmp_fd, name, 0755) < 0)
        return err_errno(err, "create tmp/%s", name);
    dir_fd = openat(s->tmp_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0)
        return err_errno(err, "open tmp/%s", name);
    if (fchmod(dir_fd, 0755) < 0) /* whatever our umask is */
        return err_errno(err, "mode of tmp/%s", name);
    if ((size_t)snprintf(path, sizeof path, "%s/tmp/%s", s->dir, name) >= sizeof path)
        return err_set(err, ERR_LIMIT, 0, "the store's path is too long");
    r = blob_open(s, blob, &blob_fd, err);
    if (r < 0 || (r = unpacker_run(s, blob_fd, path, &report, err)) < 0 ||
        (r = report_read(dir_fd, buf_view(&report), diff_id, err)) < 0)
        return r;
    if (syncfs(dir_fd) < 0)
        return err_errno(err, "sync layer %s", diff_id->text);
    if (renameat(s->tmp_fd, name, s->layers_fd, digest_hex(diff_id)) < 0) {
        if (errno == EEXIST || errno == ENOTEMPTY) /* someone else was faster with the same layer */
            return 0;
        return err_errno(err, "rename layer %s", diff_id->text);
    }
    fsync(s->layers_fd);
    return 0;
}

int layer_unpack(ImageStore *s, const Digest *blob, const Digest *diff_id, Err *err)
{
    char name[40] = "layer-";
    uint8_t id[12];
    int r = random_bytes(id, sizeof id);

    if (r < 0)
        return err_neg(err, r, "random name");
    hex_encode(id, sizeof id, name + 6);
    name[6 + 2 * sizeof id] = 0;
    r = unpack_into(s, name, blob, diff_id, err);
    rm_rf(s->tmp_fd, name); /* gone already after the rename */
    return r < 0 ? err_wrap(err, "unpack layer %s", blob->text) : 0;
}

int store_unpack(ImageStore *s, const Manifest *m, const ImageConfig *c, Err *err)
{
    if (m->layers_len != c->diff_ids_len)
        return err_set(err, ERR_INVALID, 0, "the manifest has %u layers, the config %u diff-ids",
                       m->layers_len, c->diff_ids_len);
    for (uint32_t i = 0; i < m->layers_len; i++) {
        int r;

        if (path_exists(s->layers_fd, digest_hex(&c->diff_ids[i])))
            continue;
        r = layer_unpack(s, &m->layers[i].digest, &c->diff_ids[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

int image_add(ImageStore *s, const Digest *manifest, const ImageRef *name, Err *err)
{
    _cleanup_arena_ Arena a;
    _cleanup_close_ int hold = -1;
    ImageConfig c;
    Manifest m;
    int r;

    arena_init(&a, 0);
    if ((r = image_store_hold(s, &hold, err)) < 0 ||
        (r = manifest_load(s, manifest, &a, &m, err)) < 0 ||
        (r = image_config(s, manifest, &a, &c, err)) < 0 || (r = store_unpack(s, &m, &c, err)) < 0)
        return r;
    return store_name_set(s, manifest, name, err);
}

int image_layers(ImageStore *s, const Digest *manifest, Arena *a, ImageStrings *ret_dirs, Err *err)
{
    _cleanup_close_ int hold = -1;
    ImageStrings dirs = { 0 };
    ImageConfig c;
    Manifest m;
    int r;

    if ((r = image_store_hold(s, &hold, err)) < 0 ||
        (r = manifest_load(s, manifest, a, &m, err)) < 0 ||
        (r = image_config(s, manifest, a, &c, err)) < 0 || (r = store_unpack(s, &m, &c, err)) < 0)
        return r;
    dirs.items = arena_array(a, const char *, (size_t)c.diff_ids_len + 1);
    if (!dirs.items)
        return err_nomem(err);
    for (uint32_t i = 0; i < c.diff_ids_len; i++) {
        StrView p = arena_printf(a, "%s/layers/%s", s->dir, digest_hex(&c.diff_ids[i]));

        if (!p.ptr)
            return err_nomem(err);
        dirs.items[dirs.len++] = p.ptr;
    }
    *ret_dirs = dirs;
    return 0;
}
