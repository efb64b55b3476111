/* knarr_oci.c - main() of knarr-oci, an OCI runtime with runc's command line.
 *
 * A container can name the program that made it: "#!/proc/self/exe" as its entry point, or a link
 * to it as a library, runs this file with the container's rights, and whoever runs it may write to
 * it (CVE-2019-5736). So those verbs that end up inside a container run from where the file cannot
 * be written: a detached, read-only mount of it, which costs one more execve, or a sealed copy
 * where mounts are not allowed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "cmd/oci/verbs.h"
#include "oci/mount_fd.h"
#include "oci/runtime/container_run.h"
#include "oci/seccomp_profile.h"

static const struct {
    const char *name;
    int (*run)(const OciGlobal *g, int argc, char **argv);
    bool enters; /* a process of ours becomes the container's */
    const char *usage;
} verbs[] = {
    { "checkpoint", verb_checkpoint, false, "refused: there is no support for criu" },
    { "create", verb_create, true, "create a container" },
    { "delete", verb_delete, false, "delete what a container holds" },
    { "events", verb_events, false, "display what a container uses, and when it lacks memory" },
    { "exec", verb_exec, true, "execute a new process in a container" },
    { "features", verb_features, false, "show what this runtime can do" },
    { "kill", verb_kill, false, "send a signal to a container's first process" },
    { "list", verb_list, false, "list the containers of the given root" },
    { "pause", verb_pause, false, "suspend all processes of a container" },
    { "ps", verb_ps, false, "display the processes of a container" },
    { "restore", verb_restore, false, "refused: there is no support for criu" },
    { "resume", verb_resume, false, "let the processes of a paused container go on" },
    { "run", verb_run, true, "create and run a container" },
    { "spec", verb_spec, false, "create a new specification file" },
    { "start", verb_start, false, "let a created container run" },
    { "state", verb_state, false, "output the state of a container" },
    { "update", verb_update, false, "change the limits of a container" },
};

/* --- the program file --- */

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

static int sealed_copy(int self)
{
    int fd = memfd_create("knarr-oci", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    _cleanup_close_ int from = -1;
    char path[32];
    struct stat st;
    off_t left;

    mount_fd_path(self, path);
    from = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || from < 0 || fstat(from, &st) < 0)
        return -errno;
    for (left = st.st_size; left > 0;) {
        ssize_t n = sendfile(fd, from, NULL, (size_t)left);

        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        left -= n;
    }
    return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : fd;
}

static bool is_protected(int self)
{
    _cleanup_close_ int fd = -1;
    struct statvfs fs;
    char path[32];

    if (fstatvfs(self, &fs) == 0 && (fs.f_flag & ST_RDONLY))
        return true;
    mount_fd_path(self, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && fcntl(fd, F_GET_SEALS) == SEALS;
}

/* A protected copy has no place among our files: this says it, to us alone. */
static const char own_path[] = "KNARR_OCI_PROGRAM";

static void keep_own_path(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    if (n <= 0)
        return;
    path[n] = 0;
    setenv(own_path, path, 1);
}

static int protect_program(char **argv, Err *err)
{
    _cleanup_close_ int self = open("/proc/self/exe", O_PATH | O_CLOEXEC), copy = -1;
    int r;

    if (self < 0)
        return err_errno(err, "open our own program");
    if (is_protected(self))
        return 0;
    copy = mount_tree_clone(self, "", false);
    r = copy < 0 ? copy : mount_tree_set(copy, MOUNT_ATTR_RDONLY, 0, 0, false);
    if (r < 0) {
        closep(&copy);
        copy = sealed_copy(self);
    }
    if (copy < 0)
        return err_neg(err, copy, "copy our own program");
    keep_own_path();
    syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
    return err_errno(err, "run the protected copy of our own program");
}

/* --- the command line --- */

static void print_help(void)
{
    printf(
        "NAME:\n   knarr-oci, in the place of runc - Open Container Initiative runtime\n\nUSAGE:\n   knarr-oci [global options] command "
        "[command options] [arguments...]\n\nVERSION:\n   %s\n\nCOMMANDS:\n",
        KNARR_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        printf("   %-11s %s\n", verbs[i].name, verbs[i].usage);
    printf("\nGLOBAL OPTIONS:\n"
           "   --debug                 log what is done\n"
           "   --log FILE              where to log (standard error)\n"
           "   --log-format FORMAT     text or json (text)\n"
           "   --root DIR              where the state of containers is kept (/run/knarr-oci)\n"
           "   --systemd-cgroup        control groups by systemd: cgroupsPath is "
           "slice:prefix:name\n"
           "   --cgroup-manager NAME   cgroupfs, systemd or disabled, as crun has it\n"
           "   --rootless VALUE        true, false or auto: no rights over control groups (auto)\n"
           "   --criu FILE             accepted, without effect\n"
           "   --help, -h              this\n"
           "   --version, -v           the version\n");
}

/* Callers look for runc's words; the release is the one whose command line this is. */
static void print_version(void)
{
    char seccomp[32];

    seccomp_library_version(seccomp);
    printf("knarr-oci version %s, for runc version 1.1.5\ncommit: v%s\nspec: %s\nlibseccomp: %s\n",
           KNARR_VERSION, KNARR_VERSION, OCI_VERSION, seccomp);
}

/* As runc has it: a user's own folder unless we are the real root. */
static const char *default_root(char buf[static PATH_MAX])
{
    const char *xdg = getenv("XDG_RUNTIME_DIR"), *user = getenv("USER");
    const OciGlobal automatic = { .rootless = -1 };

    if (!xdg || !*xdg || !oci_is_rootless(&automatic) ||
        (geteuid() == 0 && user && !strcmp(user, "root")))
        return "/run/knarr-oci";
    snprintf(buf, PATH_MAX, "%s/knarr-oci", xdg);
    return buf;
}

typedef struct GlobalFlags {
    const char *rootless, *format, *manager, *criu;
    bool version, help;
} GlobalFlags;

static int apply_flags(const GlobalFlags *f, OciGlobal *g, Err *err)
{
    if (f->format && strcmp(f->format, "text") != 0 && strcmp(f->format, "json") != 0 && *f->format)
        return err_set(err, ERR_INVALID, 0, "invalid log-format: %s", f->format);
    g->log_json = f->format && !strcmp(f->format, "json");
    if (f->rootless && strcmp(f->rootless, "auto") != 0 && *f->rootless) {
        g->rootless = !strcmp(f->rootless, "true") || !strcmp(f->rootless, "1");
        if (!g->rootless && strcmp(f->rootless, "false") != 0 && strcmp(f->rootless, "0") != 0)
            return err_set(err, ERR_INVALID, 0, "--rootless: '%s' is neither true, false nor auto",
                           f->rootless);
    }
    if (!f->manager || !strcmp(f->manager, "cgroupfs"))
        return 0;
    if (!strcmp(f->manager, "systemd"))
        g->systemd_cgroup = true;
    else
        return err_set(err, ERR_INVALID, 0,
                       "--cgroup-manager: '%s' is neither cgroupfs nor systemd", f->manager);
    return 0;
}

static int run_verb(const OciGlobal *g, int argc, char **argv, char **whole)
{
    Err err = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (strcmp(argv[0], verbs[i].name) != 0)
            continue;
        if (verbs[i].enters && protect_program(whole, &err) < 0)
            return oci_fail(g, 1, &err);
        return verbs[i].run(g, argc, argv);
    }
    err_set(&err, ERR_INVALID, 0, "No help topic for '%s'", argv[0]);
    return oci_fail(g, 3, &err);
}

/* A file that cannot be written is said at once, and not when the first error is lost. As runc: it
 * is made, and an empty name is none. */
static int open_log(OciGlobal *g, char path[static PATH_MAX], Err *err)
{
    const char *name = g->log;
    int fd, r;

    g->log = NULL;
    if (!name || !*name)
        return 0;
    if ((r = absolute_path(name, path, err)) < 0)
        return r;
    if ((fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) < 0)
        return err_errno(err, "open %s", path);
    close(fd);
    g->log = path;
    return 0;
}

int main(int argc, char **argv)
{
    char root[PATH_MAX], root_abs[PATH_MAX], log_abs[PATH_MAX];
    OciGlobal g = { .rootless = -1, .say = oci_log, .program = getenv(own_path) };
    GlobalFlags f = { 0 };
    const OciFlag flags[] = {
        { "debug", 0, OCI_FLAG_ON, &g.debug, NULL, NULL },
        { "log", 0, OCI_FLAG_TEXT, &g.log, NULL, NULL },
        { "log-format", 0, OCI_FLAG_TEXT, &f.format, NULL, NULL },
        { "root", 0, OCI_FLAG_TEXT, &g.root, NULL, NULL },
        { "criu", 0, OCI_FLAG_TEXT, &f.criu, NULL, NULL },
        { "systemd-cgroup", 0, OCI_FLAG_ON, &g.systemd_cgroup, NULL, NULL },
        { "cgroup-manager", 0, OCI_FLAG_TEXT, &f.manager, NULL, NULL },
        { "rootless", 0, OCI_FLAG_TEXT, &f.rootless, NULL, NULL },
        { "version", 'v', OCI_FLAG_ON, &f.version, NULL, NULL },
        { "help", 'h', OCI_FLAG_ON, &f.help, NULL, NULL },
    };
    const OciVerb self = {
        .name = "", .usage = "", .args = "", .flags = flags, .flags_len = ARRAY_SIZE(flags)
    };
    Err err = { 0 };
    int at = oci_globals_parse(&self, argc, argv, &err);

    unsetenv(own_path); /* no hook gets it */
    if (at < 0 || apply_flags(&f, &g, &err) < 0) {
        if (at < 0)
            print_help();
        return oci_fail(&g, 1, &err);
    }
    if (f.version || f.help || at == argc) {
        f.version ? print_version() : print_help();
        return 0;
    }
    if (!g.root)
        g.root = default_root(root);
    if (open_log(&g, log_abs, &err) < 0 || absolute_path(g.root, root_abs, &err) < 0)
        return oci_fail(&g, 1, &err);
    g.root = root_abs;
    return run_verb(&g, argc - at, argv + at, argv);
}
