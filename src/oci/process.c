/* process.c - see process.h. */
#include "oci/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/file.h"

static const struct {
    const char *name;
    uint32_t resource;
} rlimit_names[] = {
    { "AS", RLIMIT_AS },
    { "CORE", RLIMIT_CORE },
    { "CPU", RLIMIT_CPU },
    { "DATA", RLIMIT_DATA },
    { "FSIZE", RLIMIT_FSIZE },
    { "LOCKS", RLIMIT_LOCKS },
    { "MEMLOCK", RLIMIT_MEMLOCK },
    { "MSGQUEUE", RLIMIT_MSGQUEUE },
    { "NICE", RLIMIT_NICE },
    { "NOFILE", RLIMIT_NOFILE },
    { "NPROC", RLIMIT_NPROC },
    { "RSS", RLIMIT_RSS },
    { "RTPRIO", RLIMIT_RTPRIO },
    { "RTTIME", RLIMIT_RTTIME },
    { "SIGPENDING", RLIMIT_SIGPENDING },
    { "STACK", RLIMIT_STACK },
};

int rlimit_parse(StrView name, uint32_t *ret_resource, Err *err)
{
    StrView bare = name;

    if (name.len > 7 && sv_eq_nocase(sv_head(name, 7), SV("RLIMIT_")))
        bare = sv_skip(name, 7);
    for (size_t i = 0; i < ARRAY_SIZE(rlimit_names); i++)
        if (sv_eq_nocase(bare, sv_cstr(rlimit_names[i].name))) {
            *ret_resource = rlimit_names[i].resource;
            return 0;
        }
    return err_set(err, ERR_INVALID, 0, "unknown resource limit '%.*s'", SV_FMT(sv_head(name, 64)));
}

int rlimits_set(const OciRlimit *list, uint32_t len, Err *err)
{
    for (uint32_t i = 0; i < len; i++) {
        struct rlimit l = { .rlim_cur = list[i].soft, .rlim_max = list[i].hard };

        if (setrlimit((__rlimit_resource_t)list[i].resource, &l) < 0)
            return err_errno(err, "set resource limit %u", list[i].resource);
    }
    return 0;
}

bool sysctl_is_namespaced(const char *key, bool own_net, bool own_ipc, bool own_uts)
{
    static const char *const ipc[] = {
        "kernel.msgmax",      "kernel.msgmnb",      "kernel.msgmni",     "kernel.sem",
        "kernel.shmall",      "kernel.shmmax",      "kernel.shmmni",     "kernel.shm_rmid_forced",
        "kernel.msg_next_id", "kernel.sem_next_id", "kernel.shm_next_id"
    };

    if (!strncmp(key, "net.", 4))
        return own_net;
    if (!strncmp(key, "fs.mqueue.", 10))
        return own_ipc;
    if (!strcmp(key, "kernel.domainname") || !strcmp(key, "kernel.hostname"))
        return own_uts;
    for (size_t i = 0; i < ARRAY_SIZE(ipc); i++)
        if (!strcmp(key, ipc[i]))
            return own_ipc;
    return false;
}

int sysctl_set(int proc_fd, const OciSysctl *s, bool own_net, bool own_ipc, bool own_uts, Err *err)
{
    char path[512];
    int n, r;

    if (strstr(s->key, "..") || strchr(s->key, '/'))
        return err_set(err, ERR_INVALID, 0, "'%.100s' is no sysctl", s->key);
    if (!sysctl_is_namespaced(s->key, own_net, own_ipc, own_uts))
        return err_set(err, ERR_DENIED, 0, "sysctl '%.100s' belongs to the host, not to the pod",
                       s->key);
    n = snprintf(path, sizeof path, "sys/%s", s->key);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(err, ERR_INVALID, 0, "the name of a sysctl is too long");
    for (char *c = path; *c; c++)
        if (*c == '.')
            *c = '/';
    r = file_write(proc_fd, path, sv_cstr(s->value), 0);
    return r < 0 ? err_neg(err, r, "set sysctl %s", s->key) : 0;
}

enum { OOM_SCORE_ADJ_MAX = 1000 };

static int oom_write(int proc_fd, int value)
{
    char text[16];

    snprintf(text, sizeof text, "%d", value);
    return file_write(proc_fd, "self/oom_score_adj", sv_cstr(text), 0);
}

int oom_score_adj_set(int proc_fd, int value, Err *err)
{
    _cleanup_buf_ Buf now = BUF_INIT;
    int64_t have = 0;
    int r = oom_write(proc_fd, value);

    if (r != -EACCES)
        return r < 0 ? err_neg(err, r, "set oom_score_adj to %d", value) : 0;
    if (file_read(proc_fd, "self/oom_score_adj", 32, &now) == 0)
        (void)!sv_to_i64(sv_trim(buf_view(&now)), &have);
    value = (int)MIN(have + 1, OOM_SCORE_ADJ_MAX);
    r = oom_write(proc_fd, value);
    return r < 0 ? err_neg(err, r, "set oom_score_adj to %d", value) : 0;
}

static const char *env_path(const char *const *env)
{
    for (; env && *env; env++)
        if (!strncmp(*env, "PATH=", 5))
            return *env + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* 0 if `path` can be executed; else the errno. */
static int executable(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? errno : 0;
}

int exec_find(const char *name, const char *const *env, char *ret_path, size_t size, Err *err)
{
    StrView rest = sv_cstr(env_path(env)), dir;
    bool denied = false;
    int e;

    if (strchr(name, '/')) {
        e = executable(name);
        if (e == ENOENT || e == ENOTDIR)
            return err_set(err, ERR_NOT_FOUND, 0,
                           "exec: \"%.300s\": stat %.100s: no such file or directory", name, name);
        if (e == EISDIR)
            return err_set(err, ERR_DENIED, 0, "exec: \"%.300s\": is a directory", name);
        if (e)
            return err_set(err, ERR_DENIED, 0, "exec: \"%.300s\": permission denied", name);
        if (!sv_copy_cstr(sv_cstr(name), ret_path, size))
            return err_set(err, ERR_INVALID, 0, "exec: the path is too long");
        return 0;
    }
    while (*name && sv_next(&rest, ':', &dir)) {
        int n = snprintf(ret_path, size, "%.*s/%s", SV_FMT(sv_empty(dir) ? SV(".") : dir), name);

        if (n < 0 || (size_t)n >= size)
            continue;
        e = executable(ret_path);
        if (e == 0)
            return 0;
        denied = denied || e == EACCES;
    }
    if (denied)
        return err_set(err, ERR_DENIED, 0, "exec: \"%.300s\": permission denied", name);
    return err_set(err, ERR_NOT_FOUND, 0, "exec: \"%.300s\": executable file not found in $PATH",
                   name);
}
