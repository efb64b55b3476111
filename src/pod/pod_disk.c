/* pod_disk.c - what a pod's directory says without its stage1, and cleaning up after one that died.
 */
#include <errno.h>
#include <stdio.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"
#include "pod/pod_internal.h"

enum { EXIT_FILE_MAX = 64 * 1024 };

int pod_dir_open(const char *dir, int *ret_fd, Err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, "open pod directory '%s'", dir);
    *ret_fd = fd;
    return 0;
}

/* Does somebody listen on the socket? */
static bool is_reachable(int dir_fd)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un addr;

    proto_address(dir_fd, PROTO_SOCKET, &addr);
    return fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
}

bool pod_dir_is_locked(int dir_fd)
{
    /* To look needs no right to write: the file system may be read-only by now. */
    _cleanup_close_ int fd = openat(dir_fd, "lock", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct stat st;

    /* Who cannot look must not say that it is dead: its apps would be killed, or run twice. */
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return true;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) /* lost, and held by one that lives */
        return is_reachable(dir_fd);
    return fcntl(fd, F_OFD_GETLK, &whole) < 0 || whole.l_type != F_UNLCK;
}

bool pod_is_alive(const char *dir)
{
    _cleanup_close_ int fd = -1;

    int r = pod_dir_open(dir, &fd, NULL);

    return r < 0 ? r != -ERR_NOT_FOUND : pod_dir_is_locked(fd);
}

int pod_spec_read(const char *dir, Arena *a, PodSpec *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_close_ int fd = -1;
    int r = pod_dir_open(dir, &fd, err);

    if (r < 0)
        return r;
    r = file_read(fd, "pod", POD_SPEC_MAX, &text);
    if (r < 0)
        return err_neg(err, r, "read '%s/pod'", dir);
    return pod_spec_decode(buf_view(&text), a, ret, err);
}

static int64_t time_of(const Value *doc, StrView key)
{
    int64_t ns = 0;

    return rfc3339_parse(value_str(value_get(doc, key)), &ns) < 0 ? 0 : ns;
}

static int read_exit(int fd, const char *path, AppStatus *st, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_arena_ Arena a;
    Value doc;
    int r = file_read(fd, path, EXIT_FILE_MAX, &text);

    arena_init(&a, 16 * EXIT_FILE_MAX);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_neg(err, r, "read %s", path);
    r = json_decode(buf_view(&text), &a, NULL, &doc, err);
    if (r < 0)
        return err_wrap(err, "%s", path);
    st->state = APP_EXITED;
    st->exit_code = (int)value_int_or(value_get(&doc, SV("exitCode")), 0);
    st->signal = (int)value_int_or(value_get(&doc, SV("signal")), 0);
    st->oom_killed = value_bool_or(value_get(&doc, SV("oomKilled")), false);
    st->started_ns = time_of(&doc, SV("startedAt"));
    st->finished_ns = time_of(&doc, SV("finishedAt"));
    snprintf(st->reason, sizeof st->reason, "%.*s",
             SV_FMT(value_str(value_get(&doc, SV("reason")))));
    snprintf(st->message, sizeof st->message, "%.*s",
             SV_FMT(value_str(value_get(&doc, SV("message")))));
    return 1;
}

static void read_started(int fd, const char *app, AppStatus *st)
{
    _cleanup_buf_ Buf text = BUF_INIT, pid = BUF_INIT;
    char path[APP_ID_MAX + 32];
    int64_t n;

    snprintf(path, sizeof path, "apps/%s/started", app);
    if (file_read(fd, path, 256, &text) < 0)
        return;
    if (rfc3339_parse(sv_trim(buf_view(&text)), &st->started_ns) < 0)
        st->started_ns = 0; /* emptied by a power cut: when is not known any more */
    st->state = APP_RUNNING;
    snprintf(path, sizeof path, "apps/%s/pid", app);
    if (file_read(fd, path, 256, &pid) >= 0 && sv_to_i64(sv_trim(buf_view(&pid)), &n) == 0)
        st->pid = (pid_t)n;
    if (pod_dir_is_locked(fd))
        return;
    st->state = APP_EXITED;
    st->pid = 0;
    st->exit_code = 137;
    st->signal = SIGKILL;
    snprintf(st->reason, sizeof st->reason, "Stage1Died");
    snprintf(st->message, sizeof st->message, "the pod's supervisor ended, and its apps with it");
}

int pod_app_read(const char *dir, const char *app, AppStatus *ret, Err *err)
{
    _cleanup_close_ int fd = -1;
    char path[APP_ID_MAX + 32];
    AppStatus st = { .state = APP_CREATED };
    int r;

    if (!pod_id_is_valid(app, APP_ID_MAX))
        return err_set(err, ERR_INVALID, 0, "'%.200s' is no app id", app);
    r = pod_dir_open(dir, &fd, err);
    if (r < 0)
        return r;
    snprintf(path, sizeof path, "apps/%s", app);
    if (!path_exists(fd, path))
        return err_set(err, ERR_NOT_FOUND, 0, "pod '%s' has no app '%s'", dir, app);
    snprintf(st.id, sizeof st.id, "%s", app);
    snprintf(path, sizeof path, "apps/%s/exit", app);
    r = read_exit(fd, path, &st, err);
    if (r < 0)
        return r;
    if (r == 0)
        read_started(fd, app, &st);
    *ret = st;
    return 0;
}

static int name_cmp(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

int pod_app_list(const char *dir, Arena *a, WireStrings *ret, Err *err)
{
    _cleanup_close_ int pod = -1;
    WireStrings list = { 0 };
    struct dirent *e;
    uint32_t cap = 0;
    DIR *d = NULL;
    int more, r = pod_dir_open(dir, &pod, err);

    if (r < 0)
        return r;
    more = dir_list(pod, "apps", &d);
    if (more == -ENOENT)
        more = 0;
    while (r >= 0 && d && (more = dir_next(d, &e)) > 0) {
        if (!pod_id_is_valid(e->d_name, APP_ID_MAX))
            continue;
        if (list.len + 1 >= cap) {
            cap = cap ? cap * 2 : 16;
            list.items = arena_realloc(a, list.items, list.len * sizeof *list.items,
                                       cap * sizeof *list.items);
        }
        if (!list.items || !(list.items[list.len++] = arena_cstr(a, sv_cstr(e->d_name))))
            r = err_nomem(err);
    }
    if (d)
        closedir(d);
    if (more < 0)
        r = err_neg(err, more, "read '%s/apps'", dir);
    if (r >= 0 && list.len)
        qsort(list.items, list.len, sizeof *list.items, name_cmp);
    if (r >= 0)
        *ret = list;
    return r;
}

static void remove_scratch(const char *dir, int fd)
{
    _cleanup_arena_ Arena a;
    WireStrings apps = { 0 };

    arena_init(&a, 0);
    if (pod_app_list(dir, &a, &apps, NULL) < 0)
        return;
    for (uint32_t i = 0; i < apps.len; i++)
        pod_remove_scratch(fd, apps.items[i]);
}

int pod_cleanup(const char *dir, Err *err)
{
    _cleanup_close_ int fd = -1;
    _cleanup_arena_ Arena a;
    CgroupSystem sys;
    PodSpec spec;
    int r;

    arena_init(&a, 4 * POD_SPEC_MAX);
    r = pod_dir_open(dir, &fd, err);
    if (r < 0)
        return r;
    if (pod_dir_is_locked(fd))
        return err_set(err, ERR_BUSY, 0, "the stage1 of pod '%s' is alive", dir);
    /* The manifest is written before anything runs: without one nothing did. One that is damaged or
     * cannot be read tells no group, and keeps nobody from ending the pod. */
    r = pod_spec_read(dir, &a, &spec, err);
    if (r == -ERR_NOMEM)
        return r;
    if (r == 0 && *spec.cgroup && cgroup_system_find(&sys, NULL, NULL) >= 0 &&
        ((r = cgroup_kill(&sys, spec.cgroup, 10000, err)) < 0 ||
         (r = cgroup_remove(&sys, spec.cgroup, err)) < 0))
        return r;
    err_clear(err);
    if ((r = rm_rf(fd, PROTO_SOCKET)) < 0)
        return err_neg(err, r, "remove the socket of pod '%s'", dir);
    remove_scratch(dir, fd);
    return 0;
}
