/* spec_default.c - the configuration that `spec` writes, which is runc's. */
#include <linux/magic.h>
#include <sys/vfs.h>

#include "oci/runtime/spec.h"

static const char head[] = "{\n"
                           "\t\"ociVersion\": \"" OCI_VERSION "\",\n"
                           "\t\"process\": {\n"
                           "\t\t\"terminal\": true,\n"
                           "\t\t\"user\": {\n"
                           "\t\t\t\"uid\": 0,\n"
                           "\t\t\t\"gid\": 0\n"
                           "\t\t},\n"
                           "\t\t\"args\": [\n"
                           "\t\t\t\"sh\"\n"
                           "\t\t],\n"
                           "\t\t\"env\": [\n"
                           "\t\t\t\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
                           "/bin\",\n"
                           "\t\t\t\"TERM=xterm\"\n"
                           "\t\t],\n"
                           "\t\t\"cwd\": \"/\",\n"
                           "\t\t\"capabilities\": {\n";

static const char limits[] = "\t\t},\n"
                             "\t\t\"rlimits\": [\n"
                             "\t\t\t{\n"
                             "\t\t\t\t\"type\": \"RLIMIT_NOFILE\",\n"
                             "\t\t\t\t\"hard\": 1024,\n"
                             "\t\t\t\t\"soft\": 1024\n"
                             "\t\t\t}\n"
                             "\t\t],\n"
                             "\t\t\"noNewPrivileges\": true\n"
                             "\t},\n"
                             "\t\"root\": {\n"
                             "\t\t\"path\": \"rootfs\",\n"
                             "\t\t\"readonly\": true\n"
                             "\t},\n"
                             "\t\"hostname\": \"runc\",\n"
                             "\t\"mounts\": [\n";

/* A list of texts, `deep` tabs deep, with `key` before it; empty ones are left out. */
static void put_list(Buf *out, unsigned deep, const char *key, StrView items, const char *after)
{
    static const char tabs[] = "\t\t\t\t\t\t";
    StrView one;

    buf_printf(out, "%.*s\"%s\": [", (int)deep, tabs, key);
    for (bool first = true; sv_next(&items, ' ', &one); first = false)
        buf_printf(out, "%s\n%.*s\"%.*s\"", first ? "" : ",", (int)deep + 1, tabs, SV_FMT(one));
    buf_printf(out, "\n%.*s]%s\n", (int)deep, tabs, after);
}

static void put_capabilities(Buf *out)
{
    static const char *const sets[] = { "bounding", "effective", "permitted", "ambient" };

    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        put_list(out, 3, sets[i], SV("CAP_AUDIT_WRITE CAP_KILL CAP_NET_BIND_SERVICE"),
                 i + 1 < ARRAY_SIZE(sets) ? "," : "");
}

static void put_mounts(Buf *out, bool rootless)
{
    static const struct {
        const char *destination, *type, *source;
        StrView options;
    } mounts[] = {
        { "/proc", "proc", "proc", SV_INIT("") },
        { "/dev", "tmpfs", "tmpfs", SV_INIT("nosuid strictatime mode=755 size=65536k") },
        { "/dev/pts", "devpts", "devpts",
          SV_INIT("nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5") },
        { "/dev/shm", "tmpfs", "shm", SV_INIT("nosuid noexec nodev mode=1777 size=65536k") },
        { "/dev/mqueue", "mqueue", "mqueue", SV_INIT("nosuid noexec nodev") },
        { "/sys", "sysfs", "sysfs", SV_INIT("nosuid noexec nodev ro") },
        { "/sys/fs/cgroup", "cgroup", "cgroup", SV_INIT("nosuid noexec nodev relatime ro") },
    };

    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        bool bind = rootless && !strcmp(mounts[i].destination, "/sys");
        StrView options = mounts[i].options;

        if (bind)
            options = SV("rbind nosuid noexec nodev ro");
        if (rootless && sv_ends(options, SV(" gid=5"))) /* nobody of that number is mapped */
            options.len -= 6;
        buf_printf(out,
                   "\t\t{\n\t\t\t\"destination\": \"%s\",\n\t\t\t\"type\": \"%s\",\n"
                   "\t\t\t\"source\": \"%s\"%s\n",
                   mounts[i].destination, bind ? "none" : mounts[i].type,
                   bind ? "/sys" : mounts[i].source, options.len ? "," : "");
        if (options.len)
            put_list(out, 3, "options", options, "");
        buf_printf(out, "\t\t}%s\n", i + 1 < ARRAY_SIZE(mounts) ? "," : "");
    }
}

static void put_namespaces(Buf *out, bool rootless)
{
    struct statfs fs;
    bool unified = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
    const char *const names[] = { "pid",
                                  rootless ? NULL : "network",
                                  "ipc",
                                  "uts",
                                  "mount",
                                  unified ? "cgroup" : NULL,
                                  rootless ? "user" : NULL };

    buf_sv(out, SV("\t\t\"namespaces\": ["));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i])
            buf_printf(out, "%s\n\t\t\t{\n\t\t\t\t\"type\": \"%s\"\n\t\t\t}", i ? "," : "",
                       names[i]);
    buf_sv(out, SV("\n\t\t],\n"));
}

static void put_mapping(Buf *out, const char *key, unsigned id)
{
    buf_printf(out,
               "\t\t\"%s\": [\n\t\t\t{\n\t\t\t\t\"containerID\": 0,\n\t\t\t\t\"hostID\": %u,\n"
               "\t\t\t\t\"size\": 1\n\t\t\t}\n\t\t],\n",
               key, id);
}

int oci_spec_default(bool rootless, uid_t uid, gid_t gid, Buf *out, Err *err)
{
    buf_sv(out, sv_cstr(head));
    put_capabilities(out);
    buf_sv(out, sv_cstr(limits));
    put_mounts(out, rootless);
    buf_sv(out, SV("\t],\n\t\"linux\": {\n"));
    if (rootless) {
        put_mapping(out, "uidMappings", uid);
        put_mapping(out, "gidMappings", gid);
    } else {
        buf_sv(out, SV("\t\t\"resources\": {\n\t\t\t\"devices\": [\n\t\t\t\t{\n"
                       "\t\t\t\t\t\"allow\": false,\n\t\t\t\t\t\"access\": \"rwm\"\n"
                       "\t\t\t\t}\n\t\t\t]\n\t\t},\n"));
    }
    put_namespaces(out, rootless);
    put_list(out, 2, "maskedPaths",
             SV("/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats "
                "/proc/timer_list /proc/timer_stats /proc/sched_debug /sys/firmware /proc/scsi"),
             ",");
    put_list(out, 2, "readonlyPaths",
             SV("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"), "");
    buf_sv(out, SV("\t}\n}"));
    return out->failed ? err_nomem(err) : 0;
}
