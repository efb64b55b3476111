/* verb_spec.c - spec and features. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cmd/oci/verbs.h"
#include "codec/json.h"
#include "oci/caps.h"
#include "oci/runtime/mount_options.h"
#include "oci/seccomp_profile.h"

/* --- spec --- */

static int write_spec(const char *bundle, bool rootless, Err *err)
{
    _cleanup_close_ int dir = open(bundle ? bundle : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_buf_ Buf text = BUF_INIT;
    int r;

    if (dir < 0)
        return err_errno(err, "chdir %s", bundle);
    if ((r = oci_spec_default(rootless, geteuid(), getegid(), &text, err)) < 0)
        return r;
    _cleanup_close_ int fd =
        openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return err_set(err, ERR_EXISTS, 0, "File config.json exists. Remove it first");
    if (fd < 0)
        return err_errno(err, "open config.json");
    r = fd_write_full(fd, text.ptr, text.len);
    return r < 0 ? err_neg(err, r, "write config.json") : 0;
}

int verb_spec(const OciGlobal *g, int argc, char **argv)
{
    const char *bundle = NULL;
    bool rootless = false;
    const OciFlag flags[] = {
        { "bundle", 'b', OCI_FLAG_TEXT, &bundle, NULL,
          "folder of the bundle; the current one unless given" },
        { "rootless", 0, OCI_FLAG_ON, &rootless, NULL,
          "a configuration for a container of a user without rights" },
    };
    const OciVerb verb = { .name = "spec",
                           .usage = "create a new specification file",
                           .args = "",
                           .flags = flags,
                           .flags_len = ARRAY_SIZE(flags) };
    Err err = { 0 };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    return write_spec(bundle, rootless, &err) < 0 ? oci_fail(g, 1, &err) : 0;
}

/* --- features --- */

/* The document is built as text, by depth; runc indents by four blanks. */
typedef struct Doc {
    Buf *out;
    unsigned depth;
    bool more; /* something stands before, on this level */
} Doc;

static void begin_line(Doc *d)
{
    buf_printf(d->out, "%s\n%*s", d->more ? "," : "", (int)d->depth * 4, "");
    d->more = true;
}

static void open_list(Doc *d, const char *key, char bracket)
{
    if (key) {
        begin_line(d);
        buf_printf(d->out, "\"%s\": ", key);
    }
    buf_putc(d->out, bracket);
    d->depth++;
    d->more = false;
}

static void close_list(Doc *d, char bracket)
{
    d->depth--;
    buf_printf(d->out, "\n%*s%c", (int)d->depth * 4, "", bracket);
    d->more = true;
}

static void put_text(Doc *d, const char *key, const char *text)
{
    begin_line(d);
    if (key)
        buf_printf(d->out, "\"%s\": ", key);
    json_encode_string(sv_cstr(text), d->out);
}

static void put_bool(Doc *d, const char *key, bool on)
{
    begin_line(d);
    buf_printf(d->out, "\"%s\": %s", key, on ? "true" : "false");
}

static void put_names(Doc *d, const char *key, const char *const *names)
{
    open_list(d, key, '[');
    for (size_t i = 0; names[i]; i++)
        put_text(d, NULL, names[i]);
    close_list(d, ']');
}

static void put_enabled(Doc *d, const char *key, bool on)
{
    open_list(d, key, '{');
    put_bool(d, "enabled", on);
    close_list(d, '}');
}

static void put_cgroup(Doc *d)
{
    open_list(d, "cgroup", '{');
    put_bool(d, "v1", true);
    put_bool(d, "v2", true);
    put_bool(d, "systemd", true);
    put_bool(d, "systemdUser", true);
    put_bool(d, "rdma", true);
    close_list(d, '}');
}

static void put_seccomp(Doc *d)
{
    open_list(d, "seccomp", '{');
    put_bool(d, "enabled", true);
    put_names(d, "actions", seccomp_action_names());
    put_names(d, "operators", seccomp_operator_names());
    put_names(d, "archs", seccomp_arch_names());
    put_names(d, "knownFlags", seccomp_flag_names());
    put_names(d, "supportedFlags", seccomp_flag_names());
    close_list(d, '}');
}

static void put_linux(Doc *d)
{
    static const char *const namespaces[] = { "cgroup", "ipc",  "mount", "network", "pid",
                                              "time",   "user", "uts",   NULL };

    open_list(d, "linux", '{');
    put_names(d, "namespaces", namespaces);
    open_list(d, "capabilities", '[');
    for (unsigned cap = 0; caps_name(cap); cap++)
        put_text(d, NULL, caps_name(cap));
    close_list(d, ']');
    put_cgroup(d);
    put_seccomp(d);
    put_enabled(d, "apparmor", true);
    put_enabled(d, "selinux", true);
    put_enabled(d, "intelRdt", false);
    open_list(d, "mountExtensions", '{');
    put_enabled(d, "idmap", true);
    close_list(d, '}');
    close_list(d, '}');
}

static void put_features(Doc *d)
{
    static const char *const hooks[] = {
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
        NULL
    };
    char seccomp[32];

    seccomp_library_version(seccomp);
    open_list(d, NULL, '{');
    put_text(d, "ociVersionMin", "1.0.0");
    put_text(d, "ociVersionMax", OCI_VERSION);
    put_names(d, "hooks", hooks);
    open_list(d, "mountOptions", '[');
    for (unsigned i = 0; mount_option_known(i); i++)
        put_text(d, NULL, mount_option_known(i));
    close_list(d, ']');
    put_linux(d);
    open_list(d, "annotations", '{');
    put_text(d, "io.github.seccomp.libseccomp.version", seccomp);
    put_text(d, "org.opencontainers.runc.checkpoint.enabled", "false");
    close_list(d, '}');
    close_list(d, '}');
    buf_putc(d->out, '\n');
}

int verb_features(const OciGlobal *g, int argc, char **argv)
{
    static const OciVerb verb = { .name = "features",
                                  .usage = "show the enabled features",
                                  .args = "" };
    _cleanup_buf_ Buf out = BUF_INIT;
    Doc d = { .out = &out };
    Err err = { 0 };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    put_features(&d);
    if (out.failed) {
        err_nomem(&err);
        return oci_fail(g, 1, &err);
    }
    return fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0 ? 0 : 1;
}
