/* test_pod.c - whole pods, for real: stage1, namespaces, overlay, control groups. Needs root and a
 * static busybox. Every test ends by proving that nothing is left: no process, mount, control
 * group. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "oci/caps.h"
#include "oci/seccomp_profile.h"
#include "pod/pod.h"

enum { WAIT_MS = 20000 };

typedef struct Fixture {
    char dir[64], pod_dir[96], cgroup[96], log[96];
    const char *layer[2];
    char layer_path[96];
    PodSpec spec;
    Pod *pod;
    Err err;
    Buf seccomp;
} Fixture;

static bool run(const char *fmt, const char *arg)
{
    char script[512];
    const char *argv[] = { "sh", "-ec", script, NULL };
    int status = -1;

    snprintf(script, sizeof script, fmt, arg, arg, arg);
    return proc_run(argv, NULL, SV_NULL, 30000, NULL, NULL, &status) == 0 && status == 0;
}

static bool can_run(void)
{
    return geteuid() == 0 && run("file -L $(command -v busybox) | grep -q static%s", "");
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);

    *state = f;
    strcpy(f->dir, "/tmp/knarr-pod-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->pod_dir, sizeof f->pod_dir, "%s/pod", f->dir);
    snprintf(f->log, sizeof f->log, "%s/log", f->dir);
    snprintf(f->cgroup, sizeof f->cgroup, "/knarr-test-pod-%d/p", (int)getpid());
    snprintf(f->layer_path, sizeof f->layer_path, "%s/layer", f->dir);
    f->layer[0] = f->layer_path;
    f->spec = (PodSpec){
        .id = "test", .cgroup = f->cgroup, .hostname = "podhost", .netns = "", .domainname = ""
    };
    if (!can_run())
        return 0;
    if (!run("mkdir -p %s/bin %s/etc; cp $(command -v busybox) %s/bin/busybox", f->layer_path) ||
        !run(
            "for a in sh cat echo sleep id mount hostname ls ps kill tty stty head dd printf readlink sync touch; do"
            " ln -s busybox %s/bin/$a; done",
            f->layer_path) ||
        !run(
            "echo root:x:0:0::/root:/bin/sh >%s/etc/passwd; echo app:x:1000:1000::/home:/bin/sh >>%s/etc/passwd;"
            "echo web:x:33:app >%s/etc/group",
            f->layer_path) ||
        seccomp_profile_default(caps_default(), &f->seccomp, &f->err) < 0)
        return -1;
    return 0;
}

static bool cgroup_gone(Fixture *f)
{
    CgroupSystem sys;
    CgroupStat st;

    return cgroup_system_find(&sys, NULL, NULL) < 0 || cgroup_stat(&sys, f->cgroup, &st, NULL) < 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    CgroupSystem sys;
    int r = 0;

    if (f->pod && pod_stop(f->pod, 0, &f->err) < 0) {
        print_error("stop: %s\n", f->err.msg);
        r = -1;
    }
    pod_close(f->pod);
    if (!cgroup_gone(f)) {
        print_error("control group %s is left\n", f->cgroup);
        r = -1;
    }
    if (path_exists(AT_FDCWD, f->pod_dir) && pod_is_alive(f->pod_dir))
        r = -1;
    if (run("grep -q %s /proc/self/mountinfo", f->dir)) {
        print_error("mounts are left\n");
        r = -1;
    }
    if (cgroup_system_find(&sys, NULL, NULL) >= 0) {
        *strrchr(f->cgroup, '/') = 0;
        (void)!cgroup_remove(&sys, f->cgroup, NULL);
    }
    buf_free(&f->seccomp);
    if (rm_rf(AT_FDCWD, f->dir) < 0)
        r = -1;
    free(f);
    return r;
}

static void check(Fixture *f, int r, const char *what)
{
    if (r < 0)
        fail_msg("%s: %s", what, f->err.msg);
}

static void start_pod(Fixture *f)
{
    check(f, pod_start_supervisor(f->pod_dir, &f->spec, getenv("KNARR_STAGE1"), &f->pod, &f->err),
          "start pod");
}

/* An app that runs a shell script. */
static AppSpec script_app(Fixture *f, const char *id, const char **argv, const char *script)
{
    AppSpec a = { .id = id, .caps = caps_default(), .log_path = f->log, .no_new_privs = true };

    argv[0] = "sh";
    argv[1] = "-c";
    argv[2] = script;
    argv[3] = NULL;
    a.argv = (WireStrings){ argv, 3 };
    a.lower = (WireStrings){ f->layer, 1 };
    a.seccomp = buf_view(&f->seccomp);
    a.masked =
        (WireStrings){ (const char **)(uintptr_t)oci_masked_default, oci_masked_default_len };
    a.readonly_paths =
        (WireStrings){ (const char **)(uintptr_t)oci_readonly_default, oci_readonly_default_len };
    return a;
}

static void wait_state(Fixture *f, const char *id, AppState state, AppStatus *ret)
{
    int64_t end = clock_mono_ns() + WAIT_MS * NSEC_PER_MSEC;

    do {
        check(f, pod_status(f->pod, id, ret, &f->err), "status");
        if (ret->state == state)
            return;
        usleep(5000);
    } while (clock_mono_ns() < end);
    fail_msg("app %s does not reach state %d", id, state);
}

static char *read_log(Fixture *f, Buf *out)
{
    buf_clear(out);
    (void)!file_read(AT_FDCWD, f->log, 1 << 20, out);
    return buf_cstr(out);
}

static void assert_log_has(Fixture *f, const char *text)
{
    _cleanup_buf_ Buf log = BUF_INIT;
    int64_t end = clock_mono_ns() + WAIT_MS * NSEC_PER_MSEC;

    while (!strstr(read_log(f, &log), text)) {
        if (clock_mono_ns() > end)
            fail_msg("'%s' is not in the log:\n%s", text, log.ptr);
        usleep(5000);
    }
}

static void run_script(Fixture *f, const char *id, const char *script, AppStatus *ret)
{
    const char *argv[4];
    AppSpec a = script_app(f, id, argv, script);

    check(f, pod_add(f->pod, &a, &f->err), "add");
    check(f, pod_start(f->pod, id, NULL, &f->err), "start");
    wait_state(f, id, APP_EXITED, ret);
}

static void test_two_apps_share_a_pod(void **state)
{
    Fixture *f = *state;
    const char *argv[4];
    AppStatus st, disk;
    AppSpec a;

    if (!can_run())
        skip();
    start_pod(f);
    a = script_app(f, "one", argv,
                   "echo hello from $(hostname) $$; echo oops >&2; printf tail; sleep 1000");
    check(f, pod_add(f->pod, &a, &f->err), "add");
    check(f, pod_add(f->pod, &a, &f->err), "add again");
    check(f, pod_start(f->pod, "one", NULL, &f->err), "start");
    check(f, pod_start(f->pod, "one", NULL, &f->err), "start again");
    check(f, pod_status(f->pod, "one", &st, &f->err), "status");
    assert_int_equal(st.state, APP_RUNNING);
    assert_int_equal(kill(st.pid, 0), 0);
    assert_log_has(f, " stdout F hello from podhost 1\n");
    assert_log_has(f, " stderr F oops\n");
    run_script(f, "two", "ls /proc/2 >&2; exit 7", &st);
    assert_int_equal(st.exit_code, 7);
    assert_string_equal(st.reason, "Error");
    assert_true(st.finished_ns >= st.started_ns && st.started_ns > 0);
    assert_int_equal(pod_app_read(f->pod_dir, "two", &disk, &f->err), 0);
    assert_int_equal(disk.exit_code, 7);
    assert_true(disk.finished_ns == st.finished_ns);
    check(f, pod_signal(f->pod, "one", SIGKILL, &f->err), "signal");
    wait_state(f, "one", APP_EXITED, &st);
    assert_int_equal(st.exit_code, 137);
    assert_int_equal(st.signal, SIGKILL);
    assert_false(st.oom_killed);
    assert_log_has(f, " stdout P tail\n");
    check(f, pod_remove(f->pod, "one", &f->err), "remove");
    check(f, pod_remove(f->pod, "one", &f->err), "remove again");
    assert_int_equal(pod_status(f->pod, "one", &st, &f->err), -ERR_NOT_FOUND);
}

static void test_container_is_what_it_should_be(void **state)
{
    static OciRlimit limits[] = { { 7, 100, 200 } };
    static uint32_t groups[] = { 5000 };
    const char *argv[4], *env[] = { "A=b", NULL };
    Fixture *f = *state;
    OciMount mounts[3];
    AppStatus st;
    AppSpec a;

    if (!can_run())
        skip();
    start_pod(f);
    assert_true(run("mkdir %s/vol; echo data >%s/vol/f; echo hosts >%s/hosts", f->dir));
    {
        static char vol[96], hosts[96];

        snprintf(vol, sizeof vol, "%s/vol", f->dir);
        snprintf(hosts, sizeof hosts, "%s/hosts", f->dir);
        mounts[0] = (OciMount){ "/etc/hosts", hosts, NULL, NULL, OCI_MOUNT_RO, 0 };
        mounts[1] = (OciMount){ "/data/vol", vol, NULL, NULL, OCI_MOUNT_RECURSIVE, 0 };
        mounts[2] = (OciMount){ "/scratch", "tmpfs", "tmpfs", "size=64k", 0, 0 };
    }
    a = script_app(
        f, "x", argv,
        "id; echo $A $HOME $PWD $(ulimit -n); cat /etc/hosts /data/vol/f; echo y >/etc/hosts || echo ro;"
        "touch /nope || echo rootro; touch /scratch/ok && echo scratch;"
        "echo 1 >/proc/sys/kernel/panic || echo sysro; mount -t tmpfs x /scratch || echo nomount;"
        "ls /sys/fs/cgroup; cat /proc/self/status | head -60; exec 2>/dev/stderr; echo err >&2");
    a.user = "app";
    a.cwd = "/work/dir";
    a.env = (WireStrings){ env, 1 };
    a.readonly_rootfs = true;
    a.rlimits.items = limits;
    a.rlimits.len = 1;
    a.groups = (WireU32s){ groups, 1 };
    a.mounts.items = mounts;
    a.mounts.len = 3;
    a.limits = (CgroupLimits){ .memory_max = 64 << 20, .pids_max = 100, .cpu_shares = 100 };
    a.oom_score_adj = 500;
    check(f, pod_add(f->pod, &a, &f->err), "add");
    check(f, pod_start(f->pod, "x", NULL, &f->err), "start");
    wait_state(f, "x", APP_EXITED, &st);
    assert_log_has(f, "uid=1000(app) gid=1000 groups=33(web),5000");
    assert_log_has(f, " F b /home /work/dir 100\n");
    assert_log_has(f, " F hosts\n");
    assert_log_has(f, " F data\n");
    assert_log_has(f, " F ro\n");
    assert_log_has(f, " F rootro\n");
    assert_log_has(f, " F scratch\n");
    assert_log_has(f, " F sysro\n");
    assert_log_has(f, " F nomount\n");
    assert_log_has(f, "NoNewPrivs:\t1");
    assert_log_has(f, "CapEff:\t0000000000000000");
    assert_log_has(f, "CapBnd:\t00000000a80425fb");
    assert_log_has(f, "Seccomp:\t2");
    assert_log_has(f, " stderr F err\n");
    assert_int_equal(st.exit_code, 0);
    assert_string_equal(st.reason, "Completed");
}

static void start_fails(Fixture *f, AppSpec *a, int code, const char *message)
{
    AppStatus st;
    int exit_code;

    check(f, pod_add(f->pod, a, &f->err), "add");
    assert_true(pod_start(f->pod, a->id, &exit_code, &f->err) < 0);
    assert_non_null(strstr(f->err.msg, message));
    assert_int_equal(exit_code, code);
    assert_int_equal(pod_app_read(f->pod_dir, a->id, &st, &f->err), 0);
    assert_int_equal(st.state, APP_EXITED);
    assert_int_equal(st.exit_code, 128);
    assert_string_equal(st.reason, "StartError");
    assert_non_null(strstr(st.message, message));
}

static void test_start_errors_have_names(void **state)
{
    const OciMount missing = { "/x", "/no/such/source", NULL, NULL, 0, 0 };
    const char *argv[4], *foo[] = { "foo", NULL }, *path[] = { "/no/foo", NULL },
                         *dir[] = { "/etc/passwd", NULL };
    Fixture *f = *state;
    AppSpec a;

    if (!can_run())
        skip();
    start_pod(f);
    a = script_app(f, "a", argv, "");
    a.argv = (WireStrings){ foo, 1 };
    start_fails(f, &a, 127, "exec: \"foo\": executable file not found in $PATH");
    a.id = "b";
    a.argv = (WireStrings){ path, 1 };
    start_fails(f, &a, 127, "stat /no/foo: no such file or directory");
    a.id = "c";
    a.argv = (WireStrings){ dir, 1 };
    start_fails(f, &a, 126, "permission denied");
    a.id = "d";
    a.user = "nobody-here";
    start_fails(f, &a, 127, "unable to find user nobody-here");
    a = script_app(f, "e", argv, "");
    a.mounts.items = (OciMount *)(uintptr_t)&missing;
    a.mounts.len = 1;
    start_fails(f, &a, 127, "mount source '/no/such/source'");
    assert_true(pod_start(f->pod, "e", NULL, &f->err) < 0);
    assert_int_equal(pod_start(f->pod, "never-added", NULL, &f->err), -ERR_NOT_FOUND);
}

static void read_until_end(int fd, Buf *out)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char chunk[512];
    ssize_t n;

    while (poll(&p, 1, WAIT_MS) == 1 && (n = read(fd, chunk, sizeof chunk)) > 0)
        buf_append(out, chunk, (size_t)n);
}

static int wait_exec(Fixture *f, const char *id)
{
    PodMsg msg;

    while (pod_wait_any(f->pod, WAIT_MS, &msg, &f->err) == 1)
        if (msg.kind == POD_MSG_EXEC && !strcmp(msg.id, id))
            return msg.exit_code;
    fail_msg("exec %s does not end", id);
    return -1;
}

static void start_sleeper(Fixture *f, const char *id)
{
    const char *argv[4];
    AppSpec a = script_app(f, id, argv, "echo ready; exec sleep 1000");

    check(f, pod_add(f->pod, &a, &f->err), "add");
    check(f, pod_start(f->pod, id, NULL, &f->err), "start");
}

static void test_exec_with_pipes_and_terminal(void **state)
{
    const char *cat[] = { "sh", "-c", "cat; echo bad >&2; echo $B $PPID; exit 3", NULL },
               *env[] = { "B=c", NULL };
    const char *term[] = { "sh", "-c", "stty size; tty; sleep 1000", NULL },
               *no[] = { "no-such", NULL };
    Fixture *f = *state;
    _cleanup_buf_ Buf out = BUF_INIT, errs = BUF_INIT, tty = BUF_INIT;
    ExecSpec e = { .id = "e1",
                   .app = "s",
                   .argv = { cat, 3 },
                   .env = { env, 1 },
                   .use_stdin = true,
                   .use_stdout = true,
                   .use_stderr = true };
    int fds[3], code;

    if (!can_run())
        skip();
    start_pod(f);
    start_sleeper(f, "s");
    check(f, pod_exec(f->pod, &e, fds, NULL, &f->err), "exec");
    assert_int_equal(pod_exec(f->pod, &e, (int[3]){ -1, -1, -1 }, NULL, &f->err), -ERR_EXISTS);
    assert_int_equal(write(fds[0], "typed\n", 6), 6);
    close(fds[0]);
    read_until_end(fds[1], &out);
    read_until_end(fds[2], &errs);
    close(fds[1]);
    close(fds[2]);
    assert_string_equal(buf_cstr(&out), "typed\nc 0\n");
    assert_string_equal(buf_cstr(&errs), "bad\n");
    assert_int_equal(wait_exec(f, "e1"), 3);

    e = (ExecSpec){
        .id = "e2", .app = "s", .argv = { term, 3 }, .tty = true, .cols = 100, .rows = 40
    };
    check(f, pod_exec(f->pod, &e, fds, NULL, &f->err), "exec with a terminal");
    assert_int_equal(fds[1], -1);
    while (!buf_cstr(&tty) || !strstr(tty.ptr, "/dev/pts/")) {
        char chunk[256];
        ssize_t n = read(fds[0], chunk, sizeof chunk);

        assert_true(n > 0);
        buf_append(&tty, chunk, (size_t)n);
    }
    assert_non_null(strstr(tty.ptr, "40 100"));
    close(fds[0]); /* hangs up */
    assert_int_equal(wait_exec(f, "e2"), 128 + SIGHUP);

    e = (ExecSpec){ .id = "e3", .app = "s", .argv = { no, 1 } };
    assert_int_equal(pod_exec(f->pod, &e, fds, &code, &f->err), -ERR_NOT_FOUND);
    assert_int_equal(code, 127);
    assert_non_null(strstr(f->err.msg, "executable file not found in $PATH"));
}

static void test_attach_terminal_and_rotation(void **state)
{
    const char *argv[4];
    Fixture *f = *state;
    _cleanup_buf_ Buf got = BUF_INIT;
    char moved[128];
    AppSpec a;
    int fds[3];

    if (!can_run())
        skip();
    start_pod(f);
    a = script_app(f, "t", argv, "tty; while read l; do echo got $l; done");
    a.tty = a.use_stdin = true;
    check(f, pod_add(f->pod, &a, &f->err), "add");
    check(f, pod_start(f->pod, "t", NULL, &f->err), "start");
    assert_log_has(f, "/dev/pts/0");
    check(f, pod_resize(f->pod, "t", 80, 24, &f->err), "resize");
    check(f, pod_attach(f->pod, "t", fds, &f->err), "attach");
    assert_int_equal(write(fds[0], "hi\n", 3), 3);
    while (!buf_cstr(&got) || !strstr(got.ptr, "got hi")) {
        char chunk[256];
        ssize_t n = read(fds[1], chunk, sizeof chunk);

        assert_true(n > 0);
        buf_append(&got, chunk, (size_t)n);
    }
    assert_log_has(f, "got hi");
    snprintf(moved, sizeof moved, "%s.1", f->log);
    assert_int_equal(rename(f->log, moved), 0);
    check(f, pod_rotate_log(f->pod, "t", &f->err), "rotate");
    assert_int_equal(write(fds[0], "two\n", 4), 4);
    assert_log_has(f, "got two");
    close(fds[0]);
    close(fds[1]);
}

static void test_oom_is_told(void **state)
{
    const char *argv[4];
    Fixture *f = *state;
    AppStatus st;
    AppSpec a;

    if (!can_run())
        skip();
    start_pod(f);
    a = script_app(f, "big", argv, "exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    a.limits = (CgroupLimits){ .memory_max = 20 << 20 };
    check(f, pod_add(f->pod, &a, &f->err), "add");
    check(f, pod_start(f->pod, "big", NULL, &f->err), "start");
    wait_state(f, "big", APP_EXITED, &st);
    assert_int_equal(st.exit_code, 137);
    assert_true(st.oom_killed);
    assert_string_equal(st.reason, "OOMKilled");
}

static void test_pod_outlives_its_client(void **state)
{
    Fixture *f = *state;
    PodMsg msg;
    AppStatus st;
    pid_t pid;
    int status;

    if (!can_run())
        skip();
    pid = fork();
    if (pid == 0) { /* a kubelet that is killed with the pod half made */
        const char *argv[4];
        AppSpec a = script_app(f, "s", argv, "exec sleep 1000");

        if (pod_start_supervisor(f->pod_dir, &f->spec, getenv("KNARR_STAGE1"), &f->pod, &f->err) <
                0 ||
            pod_add(f->pod, &a, &f->err) < 0 || pod_start(f->pod, "s", NULL, &f->err) < 0)
            _exit(1);
        raise(SIGKILL);
    }
    proc_wait(pid, WAIT_MS, &status);
    assert_true(pod_is_alive(f->pod_dir));
    check(f, pod_connect(f->pod_dir, &f->pod, &f->err), "connect");
    check(f, pod_status(f->pod, "s", &st, &f->err), "status");
    assert_int_equal(st.state, APP_RUNNING);
    check(f, pod_signal(f->pod, "s", SIGKILL, &f->err), "signal");
    while (pod_wait_any(f->pod, WAIT_MS, &msg, &f->err) == 1)
        if (msg.kind == POD_MSG_APP && msg.status.state == APP_EXITED)
            return;
    fail_msg("no event");
}

static void empty_file(Fixture *f, const char *name)
{
    char path[192];

    snprintf(path, sizeof path, "%s/%s", f->pod_dir, name);
    assert_int_equal(file_write(AT_FDCWD, path, SV(""), 0600), 0);
}

/* What a power cut may leave of files that are not synced. */
static void test_emptied_files_are_known_for_what_they_are(void **state)
{
    Fixture *f = *state;
    const char *argv[4];
    AppStatus st;
    AppSpec a;

    if (!can_run())
        skip();
    start_pod(f);
    a = script_app(f, "s", argv, "exec sleep 1000");
    check(f, pod_add(f->pod, &a, &f->err), "add");
    check(f, pod_stop(f->pod, 0, &f->err), "stop");
    f->pod = pod_close(f->pod);
    assert_true(run("mkdir -p %s/apps/run.0 %s/apps/cut.0 %s/apps/new.0", f->pod_dir));
    empty_file(f, "apps/run.0/pid");
    empty_file(f, "apps/run.0/started");
    check(f, pod_app_read(f->pod_dir, "run.0", &st, &f->err), "read one that had run");
    assert_int_equal(st.state, APP_EXITED);
    assert_string_equal(st.reason, "Stage1Died");
    assert_int_equal(st.started_ns, 0);
    check(f, pod_app_read(f->pod_dir, "new.0", &st, &f->err), "read one that had not");
    assert_int_equal(st.state, APP_CREATED);
    empty_file(f, "apps/cut.0/spec");
    empty_file(f, "pod");
    start_pod(f);
    run_script(f, "cut.0", "exit 7", &st);
    assert_int_equal(st.exit_code, 7);
}

/* With a folder in memory an app's spec is there; it goes with the app. */
static void test_a_spec_lies_in_memory(void **state)
{
    Fixture *f = *state;
    const char *argv[4];
    AppStatus st;
    AppSpec a;

    if (!can_run())
        skip();
    assert_true(run("mkdir -p %s %s.memory", f->pod_dir));
    assert_true(run("ln -s %s.memory %s/memory", f->pod_dir));
    start_pod(f);
    a = script_app(f, "s", argv, "exit 3");
    check(f, pod_add(f->pod, &a, &f->err), "add");
    assert_true(run("test -s %s.memory/s.spec && test -L %s/apps/s/spec", f->pod_dir));
    check(f, pod_add(f->pod, &a, &f->err), "add again");
    check(f, pod_start(f->pod, "s", NULL, &f->err), "start");
    wait_state(f, "s", APP_EXITED, &st);
    assert_int_equal(st.exit_code, 3);
    check(f, pod_remove(f->pod, "s", &f->err), "remove");
    assert_true(
        run("test ! -e %s.memory/s.spec && test ! -L %s/apps/s/spec && test -s %s/apps/s/exit",
            f->pod_dir));
    /* After a boot the memory is empty, and the link leads nowhere: the app gets a new spec. */
    assert_true(run("mkdir -p %s/apps/t && ln -s ../../memory/t.spec %s/apps/t/spec", f->pod_dir));
    run_script(f, "t", "exit 4", &st);
    assert_int_equal(st.exit_code, 4);
}

static pid_t supervisor_pid(Fixture *f)
{
    char path[192];
    _cleanup_buf_ Buf text = BUF_INIT;
    int64_t pid = 0;

    snprintf(path, sizeof path, "/sys/fs/cgroup/memory%s/supervisor/cgroup.procs", f->cgroup);
    if (file_read(AT_FDCWD, path, 4096, &text) < 0) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/supervisor/cgroup.procs", f->cgroup);
        (void)!file_read(AT_FDCWD, path, 4096, &text);
    }
    (void)!sv_to_i64(sv_trim(buf_view(&text)), &pid);
    return (pid_t)pid;
}

static void kill_supervisor(Fixture *f)
{
    AppStatus st;
    PodMsg msg;
    pid_t app, sup;

    start_pod(f);
    start_sleeper(f, "s");
    check(f, pod_status(f->pod, "s", &st, &f->err), "status");
    app = st.pid;
    sup = supervisor_pid(f);
    assert_true(sup > 1 && app > 1);
    assert_int_equal(kill(sup, SIGKILL), 0);
    do
        assert_int_equal(pod_wait_any(f->pod, WAIT_MS, &msg, &f->err), 1);
    while (msg.kind != POD_MSG_CLOSED);
    for (int i = 0; i < WAIT_MS && kill(app, 0) == 0; i++)
        usleep(1000);
    assert_int_equal(kill(app, 0), -1);
    for (int i = 0; i < WAIT_MS && pod_is_alive(f->pod_dir); i++)
        usleep(1000);
    check(f, pod_app_read(f->pod_dir, "s", &st, &f->err), "read from disk");
    assert_int_equal(st.state, APP_EXITED);
    assert_string_equal(st.reason, "Stage1Died");
    assert_int_equal(st.exit_code, 137);
    check(f, pod_cleanup(f->pod_dir, &f->err), "clean up");
    check(f, pod_cleanup(f->pod_dir, &f->err), "clean up again");
    /* A directory in which nothing was started yet. */
    char manifest[512];
    snprintf(manifest, sizeof manifest, "%s/pod", f->pod_dir);
    assert_int_equal(unlink(manifest), 0);
    check(f, pod_cleanup(f->pod_dir, &f->err), "clean up without a manifest");
    f->pod = pod_close(f->pod);
}

static void test_apps_die_with_stage1(void **state)
{
    Fixture *f = *state;

    if (!can_run())
        skip();
    kill_supervisor(f);
}

static void test_apps_in_host_pids_die_with_stage1(void **state)
{
    Fixture *f = *state;

    if (!can_run())
        skip();
    f->spec.host_pid = true;
    kill_supervisor(f);
}

static void test_shared_pids(void **state)
{
    Fixture *f = *state;
    AppStatus st;

    if (!can_run())
        skip();
    f->spec.shared_pid = true;
    start_pod(f);
    start_sleeper(f, "s");
    run_script(
        f, "look",
        "ps; readlink /proc/1/exe || echo hidden; ls /proc/1/root/ || echo noroot; (sleep 1000 &);"
        "kill -9 1; exit 0",
        &st);
    assert_log_has(f, "knarr-init");
    assert_log_has(f, "sleep 1000");
    assert_int_equal(st.exit_code, 0);
    start_sleeper(f, "again"); /* the first process took no harm */
}

static void test_stop_gives_grace(void **state)
{
    const char *argv[4];
    Fixture *f = *state;
    int64_t begin;
    AppStatus st;
    AppSpec a;

    if (!can_run())
        skip();
    start_pod(f);
    a = script_app(f, "polite", argv,
                   "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.05; done");
    check(f, pod_add(f->pod, &a, &f->err), "add");
    check(f, pod_start(f->pod, "polite", NULL, &f->err), "start");
    start_sleeper(f, "deaf"); /* as the first process of its namespace it takes no SIGTERM */
    assert_log_has(f, "ready");
    begin = clock_mono_ns();
    check(f, pod_stop(f->pod, 300, &f->err), "stop");
    assert_true(clock_mono_ns() - begin < 5 * NSEC_PER_SEC);
    f->pod = pod_close(f->pod);
    assert_int_equal(pod_app_read(f->pod_dir, "polite", &st, &f->err), 0);
    assert_int_equal(st.exit_code, 4);
    assert_int_equal(pod_app_read(f->pod_dir, "deaf", &st, &f->err), 0);
    assert_int_equal(st.exit_code, 137);
    assert_int_equal(pod_connect(f->pod_dir, &f->pod, &f->err), -ERR_NOT_FOUND);
}

static void test_pod_joins_its_network_namespace(void **state)
{
    static OciSysctl forward[] = { { "net.ipv4.ip_forward", "1" } };
    Fixture *f = *state;
    char path[64], want[64];
    AppStatus st;
    ssize_t n;
    int p[2];
    pid_t pid;

    if (!can_run())
        skip();
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNET) == 0 && write(p[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(p[0], want, 1), 1);
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    n = readlink(path, want, sizeof want - 1);
    assert_true(n > 0);
    want[n] = 0;
    f->spec.netns = path;
    f->spec.sysctls.items = forward;
    f->spec.sysctls.len = 1;
    start_pod(f);
    (void)!proc_stop(pid, 0, NULL); /* the pod keeps the namespace */
    run_script(f, "net",
               "readlink /proc/self/ns/net; echo forward=$(cat /proc/sys/net/ipv4/ip_forward)",
               &st);
    assert_log_has(f, want);
    assert_log_has(f, "forward=1");
    close(p[0]);
    close(p[1]);
}

static void test_failed_setup_leaves_nothing(void **state)
{
    Fixture *f = *state;
    static OciSysctl bad[] = { { "kernel.panic", "1" } };

    if (!can_run())
        skip();
    f->spec.netns = "/no/such/netns";
    assert_int_equal(pod_start_supervisor(f->pod_dir, &f->spec, getenv("KNARR_STAGE1"), &f->pod,
                                          &f->err),
                     -ERR_NOT_FOUND);
    assert_non_null(strstr(f->err.msg, "/no/such/netns"));
    assert_true(cgroup_gone(f));
    f->spec.netns = "";
    f->spec.sysctls.items = bad;
    f->spec.sysctls.len = 1;
    assert_int_equal(pod_start_supervisor(f->pod_dir, &f->spec, getenv("KNARR_STAGE1"), &f->pod,
                                          &f->err),
                     -ERR_DENIED);
}

#define POD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POD_TEST(test_two_apps_share_a_pod),
        POD_TEST(test_container_is_what_it_should_be),
        POD_TEST(test_start_errors_have_names),
        POD_TEST(test_exec_with_pipes_and_terminal),
        POD_TEST(test_attach_terminal_and_rotation),
        POD_TEST(test_oom_is_told),
        POD_TEST(test_pod_outlives_its_client),
        POD_TEST(test_emptied_files_are_known_for_what_they_are),
        POD_TEST(test_a_spec_lies_in_memory),
        POD_TEST(test_apps_die_with_stage1),
        POD_TEST(test_apps_in_host_pids_die_with_stage1),
        POD_TEST(test_shared_pids),
        POD_TEST(test_stop_gives_grace),
        POD_TEST(test_pod_joins_its_network_namespace),
        POD_TEST(test_failed_setup_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
