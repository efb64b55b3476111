/* container_create.c - `create` and `run`: from a bundle to a container that waits, or has run. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "oci/runtime/container_internal.h"
#include "oci/runtime/container_run.h"

typedef struct Making {
    const OciGlobal *g;
    const OciRunArgs *args;
    bool detach;
    char pid_file[PATH_MAX], console_socket[PATH_MAX], bundle[PATH_MAX];
    unsigned listen_fds, passed_fds;
    Launch l;
    Foreground *fg;
} Making;

/* --- paths, before the bundle becomes the working directory --- */

static int resolve_paths(Making *m, Err *err)
{
    const OciRunArgs *a = m->args;
    int r;

    if ((a->pid_file && (r = absolute_path(a->pid_file, m->pid_file, err)) < 0) ||
        (a->console_socket && (r = absolute_path(a->console_socket, m->console_socket, err)) < 0))
        return r;
    if (a->bundle && *a->bundle && chdir(a->bundle) < 0)
        return err_errno(err, "chdir %s", a->bundle);
    return getcwd(m->bundle, sizeof m->bundle) ? 0 : err_errno(err, "find the bundle");
}

static int read_config(const Making *m, Buf *ret, Err *err)
{
    const char *name = m->args->config ? m->args->config : "config.json";
    int r = file_read(AT_FDCWD, name, OCI_CONFIG_MAX, ret);

    if (r == -ENOENT)
        return err_set(err, ERR_NOT_FOUND, 0, "JSON specification file %s not found", name);
    return r < 0 ? err_neg(err, r, "open %s", name) : 0;
}

/* --- what has to fit together --- */

static int check_root(const OciState *s, Err *err)
{
    char real[PATH_MAX];
    struct stat st;

    if (stat(s->rootfs, &st) < 0)
        return err_errno(err, "invalid rootfs: stat %s", s->rootfs);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, 0, "invalid rootfs: %s is not a directory", s->rootfs);
    if (!realpath(s->rootfs, real))
        return err_errno(err, "invalid rootfs: %s", s->rootfs);
    return 0;
}

static int check_spec(const Making *m, const OciState *s, Err *err)
{
    const OciSpec *spec = s->spec;
    bool mounts_ns = spec->ns_new[OCI_NS_MOUNT] || spec->ns_path[OCI_NS_MOUNT];
    int r;

    if (!spec->process)
        return err_set(err, ERR_INVALID, 0, "process property must not be empty");
    if (geteuid() != 0 && (r = oci_spec_check_rootless(spec, err)) < 0)
        return r;
    if ((r = check_root(s, err)) < 0 || (r = check_labels(spec->process, err)) < 0)
        return r;
    if (!mounts_ns && spec->mounts.len)
        return err_set(err, ERR_INVALID, 0,
                       "config.json: mounts: a mount namespace is needed, else they would be the "
                       "host's");
    if (m->args->no_pivot && spec->rootfs_propagation &&
        strstr(spec->rootfs_propagation, "private"))
        return err_set(err, ERR_INVALID, 0,
                       "rootfsPropagation of [r]private is not safe without pivot_root");
    return check_terminal(spec->process->terminal, m->detach, m->args->console_socket, err);
}

/* --- the steps --- */

static int make_fifo(Launch *l, Err *err)
{
    mode_t mask = umask(0);
    int r = mkfifoat(l->s->dir_fd, "exec.fifo", 0622);
    uid_t uid = 0;
    gid_t gid = 0;

    umask(mask);
    if (r < 0)
        return err_errno(err, "make exec.fifo");
    l->fifo_fd = openat(l->s->dir_fd, "exec.fifo", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (l->fifo_fd < 0)
        return err_errno(err, "open exec.fifo");
    for (unsigned i = 0; i < l->spec->uid_maps.len; i++)
        if (l->spec->uid_maps.items[i].container == 0)
            uid = l->spec->uid_maps.items[i].host;
    for (unsigned i = 0; i < l->spec->gid_maps.len; i++)
        if (l->spec->gid_maps.items[i].container == 0)
            gid = l->spec->gid_maps.items[i].host;
    if ((uid || gid) && !l->rootless && fchownat(l->fifo_fd, "", uid, gid, AT_EMPTY_PATH) < 0)
        return err_errno(err, "owner of exec.fifo");
    return 0;
}

/* Where the groups will be is on the disk before they are: a killed `create` can be cleaned up. */
static int place_groups(Making *m, OciState *s, Err *err)
{
    const OciGroupsWant want = { .id = s->id,
                                 .cgroups_path = s->spec->cgroups_path,
                                 .systemd = m->g->systemd_cgroup,
                                 .rootless = s->rootless,
                                 .program = m->g->program };
    int r = oci_groups_new(&want, &s->groups, err);

    s->systemd = m->g->systemd_cgroup;
    s->no_new_keyring = m->args->no_new_keyring;
    s->intel_rdt = s->spec->intel_rdt;
    s->status = OCI_CREATING;
    return r < 0 ? r : oci_state_save(s, err);
}

int launch_make_groups(const OciGlobal *g, OciState *s, pid_t pid, Err *err)
{
    int r = oci_groups_create(s->groups, &s->spec->resources, &s->spec->annotations, pid, err);
    uint32_t found;

    if (r < 0) /* it took away what it had made; the rest is not ours */
        s->groups = oci_groups_free(s->groups);
    found = r < 0 ? 0 : oci_groups_found(s->groups);
    if (found)
        oci_say(g, OCI_LEVEL_WARNING, "container's cgroup is not empty: %u process(es) found",
                found);
    return r;
}

static int launch(Making *m, Err *err)
{
    Launch *l = &m->l;
    int r;

    l->no_pivot = m->args->no_pivot;
    l->no_new_keyring = m->args->no_new_keyring;
    l->process = l->spec->process;
    l->passed_fds = m->passed_fds;
    if ((r = make_env(l, m->listen_fds, err)) < 0 || (r = launch_compile_seccomp(l, err)) < 0 ||
        (r = make_fifo(l, err)) < 0 ||
        (r = launch_io(l, m->detach, m->args->console_socket ? m->console_socket : NULL,
                       !m->args->no_subreaper, &m->fg, err)) < 0 ||
        /* systemd wants to know the first process: then it is asked when there is one. */
        (!l->s->systemd && (r = launch_make_groups(l->g, l->s, 0, err)) < 0))
        return r;
    if ((r = launch_run(l, err)) < 0)
        return err_wrap(err, "unable to start container process");
    return m->args->pid_file ? write_pid_file(m->pid_file, l->pid, err) : 0;
}

static int make(Making *m, OciState **ret, Err *err)
{
    _cleanup_buf_ Buf config = BUF_INIT;
    OciState *s = NULL;
    int r;

    m->listen_fds = listen_fds_given();
    if ((r = take_passed_fds(m->listen_fds + m->args->preserve_fds, &m->passed_fds, err)) < 0 ||
        (r = resolve_paths(m, err)) < 0 || (r = read_config(m, &config, err)) < 0 ||
        (r = oci_state_new(m->g->root, m->args->id, m->bundle, buf_view(&config), &s, err)) < 0)
        return r;
    s->rootless = oci_is_rootless(m->g);
    launch_init(&m->l, m->g, s);
    for (uint32_t i = 0; i < s->spec->warnings.len; i++)
        oci_say(m->g, OCI_LEVEL_WARNING, "%s", s->spec->warnings.items[i]);
    if ((r = check_spec(m, s, err)) < 0 || (r = place_groups(m, s, err)) < 0 ||
        (r = launch(m, err)) < 0) {
        Err more;

        if (m->l.pid > 0)
            launch_kill(&m->l);
        launch_end(&m->l);
        m->fg = foreground_free(m->fg);
        if (container_destroy(s, &more) < 0)
            oci_say(m->g, OCI_LEVEL_WARNING, "%s", more.msg);
        oci_state_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int oci_create(const OciGlobal *g, const OciRunArgs *args, Err *err)
{
    Making *m = calloc(1, sizeof *m);
    OciState *s;
    int r;

    if (!m)
        return err_nomem(err);
    *m = (Making){ .g = g, .args = args, .detach = true };
    r = make(m, &s, err);
    if (r >= 0) {
        launch_end(&m->l);
        oci_state_free(s);
    }
    free(m);
    return r;
}

/* --- run --- */

static int wait_for_end(Making *m, OciState *s, int *ret_code, Err *err)
{
    int r;

    flock(s->lock_fd, LOCK_UN); /* others may stop, kill and pause it meanwhile */
    r = foreground_wait(m->fg, m->l.pid, ret_code, err);
    m->fg = foreground_free(m->fg);
    if (m->args->keep && r >= 0)
        return 0;
    if (r < 0)
        launch_kill(&m->l);
    flock(s->lock_fd, LOCK_EX);
    if (!path_exists(s->dir_fd, "state.json")) /* deleted by somebody else */
        return r;
    oci_state_refresh(s);
    return r < 0 ? r : container_destroy(s, err);
}

int oci_run(const OciGlobal *g, const OciRunArgs *args, int *ret_code, Err *err)
{
    Making *m = calloc(1, sizeof *m);
    OciState *s;
    int r;

    if (!m)
        return err_nomem(err);
    *m = (Making){ .g = g, .args = args, .detach = args->detach };
    *ret_code = 0;
    r = make(m, &s, err);
    if (r >= 0) {
        r = container_start(s, err);
        if (r < 0) {
            launch_kill(&m->l);
            m->fg = foreground_free(m->fg);
            (void)!container_destroy(s, NULL);
        } else if (!args->detach) {
            r = wait_for_end(m, s, ret_code, err);
        }
        launch_end(&m->l);
        oci_state_free(s);
    }
    free(m);
    return r;
}
