/* spec.c - the tables of PodSpec and AppSpec. Tags are part of the contract: they are never reused.
 */
#include "pod/spec.h"

static const WireField limits_table[] = {
    WIRE(1, WIRE_U64, CgroupLimits, cpu_shares),    WIRE(2, WIRE_U64, CgroupLimits, cpu_quota_us),
    WIRE(3, WIRE_U64, CgroupLimits, cpu_period_us), WIRE(4, WIRE_U64, CgroupLimits, memory_max),
    WIRE(5, WIRE_U64, CgroupLimits, memory_low),    WIRE(6, WIRE_U64, CgroupLimits, pids_max),
    WIRE(7, WIRE_TEXT, CgroupLimits, cpuset_cpus),  WIRE(8, WIRE_TEXT, CgroupLimits, cpuset_mems),
    WIRE(9, WIRE_BOOL, CgroupLimits, oom_group),    { 0 },
};

static const WireField sysctl_table[] = {
    WIRE(1, WIRE_TEXT, OciSysctl, key),
    WIRE(2, WIRE_TEXT, OciSysctl, value),
    { 0 },
};

static const WireField rlimit_table[] = {
    WIRE(1, WIRE_U32, OciRlimit, resource),
    WIRE(2, WIRE_U64, OciRlimit, soft),
    WIRE(3, WIRE_U64, OciRlimit, hard),
    { 0 },
};

static const WireField mount_table[] = {
    WIRE(1, WIRE_TEXT, OciMount, target),
    WIRE(2, WIRE_TEXT, OciMount, source),
    WIRE(3, WIRE_TEXT, OciMount, fstype),
    WIRE(4, WIRE_TEXT, OciMount, data),
    WIRE(5, WIRE_U32, OciMount, flags),
    WIRE(6, WIRE_U32, OciMount, propagation),
    WIRE(7, WIRE_TEXT, OciMount,
         root), /* with it `source` is relative: who does not know it fails */
    { 0 },
};

static const WireField device_table[] = {
    WIRE(1, WIRE_TEXT, OciDevice, path), WIRE(2, WIRE_U32, OciDevice, type),
    WIRE(3, WIRE_U32, OciDevice, major), WIRE(4, WIRE_U32, OciDevice, minor),
    WIRE(5, WIRE_U32, OciDevice, mode),  WIRE(6, WIRE_U32, OciDevice, uid),
    WIRE(7, WIRE_U32, OciDevice, gid),   { 0 },
};

static const WireField pod_table[] = {
    WIRE(1, WIRE_TEXT, PodSpec, id),
    WIRE(2, WIRE_TEXT, PodSpec, cgroup),
    WIRE(3, WIRE_TEXT, PodSpec, netns),
    WIRE(4, WIRE_TEXT, PodSpec, hostname),
    WIRE(5, WIRE_BOOL, PodSpec, host_ipc),
    WIRE(6, WIRE_BOOL, PodSpec, host_uts),
    WIRE(7, WIRE_BOOL, PodSpec, host_pid),
    WIRE(8, WIRE_BOOL, PodSpec, shared_pid),
    WIRE(9, WIRE_U64, PodSpec, oom_score_adj),
    WIRE_SUB(10, WIRE_STRUCT, PodSpec, limits, CgroupLimits, limits_table),
    WIRE_SUB(11, WIRE_STRUCTS, PodSpec, sysctls, OciSysctl, sysctl_table),
    WIRE(12, WIRE_TEXT, PodSpec, domainname),
    { 0 },
};

static const WireField app_table[] = {
    WIRE(1, WIRE_TEXT, AppSpec, id),
    WIRE(2, WIRE_TEXTS, AppSpec, lower),
    WIRE(3, WIRE_TEXT, AppSpec, upper),
    WIRE(4, WIRE_TEXT, AppSpec, work),
    WIRE(5, WIRE_BOOL, AppSpec, readonly_rootfs),
    WIRE(6, WIRE_TEXTS, AppSpec, argv),
    WIRE(7, WIRE_TEXTS, AppSpec, env),
    WIRE(8, WIRE_TEXT, AppSpec, cwd),
    WIRE(9, WIRE_TEXT, AppSpec, user),
    WIRE(10, WIRE_U32S, AppSpec, groups),
    WIRE(11, WIRE_BOOL, AppSpec, no_image_groups),
    WIRE(12, WIRE_U64, AppSpec, caps),
    WIRE(13, WIRE_U64, AppSpec, caps_ambient),
    WIRE(14, WIRE_BOOL, AppSpec, no_new_privs),
    WIRE(15, WIRE_BOOL, AppSpec, privileged),
    WIRE(16, WIRE_BYTES, AppSpec, seccomp),
    WIRE_SUB(17, WIRE_STRUCTS, AppSpec, rlimits, OciRlimit, rlimit_table),
    WIRE_SUB(18, WIRE_STRUCTS, AppSpec, mounts, OciMount, mount_table),
    WIRE_SUB(19, WIRE_STRUCTS, AppSpec, devices, OciDevice, device_table),
    WIRE(20, WIRE_TEXTS, AppSpec, device_rules),
    WIRE(21, WIRE_TEXTS, AppSpec, masked),
    WIRE(22, WIRE_TEXTS, AppSpec, readonly_paths),
    WIRE_SUB(23, WIRE_STRUCT, AppSpec, limits, CgroupLimits, limits_table),
    WIRE(24, WIRE_U64, AppSpec, oom_score_adj),
    WIRE(25, WIRE_BOOL, AppSpec, tty),
    WIRE(26, WIRE_BOOL, AppSpec, use_stdin),
    WIRE(27, WIRE_BOOL, AppSpec, stdin_once),
    WIRE(28, WIRE_TEXT, AppSpec, log_path),
    WIRE(29, WIRE_TEXT, AppSpec, shm_source),
    WIRE(30, WIRE_U32, AppSpec, stop_signal),
    WIRE(31, WIRE_BOOL, AppSpec, host_cgroupns),
    WIRE(32, WIRE_U64, AppSpec, log_max_bytes),
    WIRE(33, WIRE_U32, AppSpec, log_max_files),
    { 0 },
};

bool pod_id_is_valid(const char *id, size_t max)
{
    size_t n = id ? strlen(id) : 0;

    if (n == 0 || n > max || id[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((id[i] >= 'a' && id[i] <= 'z') || (id[i] >= 'A' && id[i] <= 'Z') ||
              (id[i] >= '0' && id[i] <= '9') || id[i] == '-' || id[i] == '_' || id[i] == '.'))
            return false;
    return true;
}

void pod_spec_encode(const PodSpec *s, Buf *out)
{
    wire_encode(pod_table, s, out);
}

void app_spec_encode(const AppSpec *s, Buf *out)
{
    wire_encode(app_table, s, out);
}

int pod_spec_decode(StrView bytes, Arena *a, PodSpec *ret, Err *err)
{
    int r;

    memset(ret, 0, sizeof *ret);
    r = wire_decode(pod_table, bytes, a, ret, err);
    if (r < 0)
        return err_wrap(err, "pod spec");
    if (!pod_id_is_valid(ret->id, POD_ID_MAX))
        return err_set(err, ERR_INVALID, 0, "'%.100s' is no pod id", ret->id);
    return 0;
}

int app_spec_decode(StrView bytes, Arena *a, AppSpec *ret, Err *err)
{
    int r;

    memset(ret, 0, sizeof *ret);
    r = wire_decode(app_table, bytes, a, ret, err);
    if (r < 0)
        return err_wrap(err, "app spec");
    if (!pod_id_is_valid(ret->id, APP_ID_MAX))
        return err_set(err, ERR_INVALID, 0, "'%.200s' is no app id", ret->id);
    if (ret->argv.len == 0)
        return err_set(err, ERR_INVALID, 0, "app '%s' has no command", ret->id);
    return 0;
}
