/* caps.c - names and sets of capabilities, and the careful order in which a process becomes a user.
 */
#include "oci/caps.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *const cap_names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

#define BIT(cap) (UINT64_C(1) << (cap))

uint64_t caps_default(void)
{
    return BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) |
           BIT(CAP_MKNOD) | BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) |
           BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) |
           BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE);
}

uint64_t caps_all(void)
{
    uint64_t all = 0;

    for (unsigned cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        all |= BIT(cap);
    return all;
}

uint64_t caps_held(void)
{
    struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    uint64_t held = 0;

    if (syscall(SYS_capget, &hdr, data) < 0)
        return 0;
    for (unsigned cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            held |= BIT(cap);
    return held & (data[0].permitted | (uint64_t)data[1].permitted << 32);
}

const char *caps_name(unsigned cap)
{
    return cap < ARRAY_SIZE(cap_names) ? cap_names[cap] : NULL;
}

int caps_parse(StrView name, uint64_t *ret_mask, Err *err)
{
    StrView given = name;

    if (sv_eq_nocase(name, SV("ALL"))) {
        *ret_mask = caps_held();
        return 0;
    }
    if (name.len > 4 && sv_eq_nocase(sv_head(name, 4), SV("CAP_")))
        name = sv_skip(name, 4);
    for (unsigned cap = 0; cap < ARRAY_SIZE(cap_names); cap++)
        if (sv_eq_nocase(name, sv_cstr(cap_names[cap] + 4))) {
            *ret_mask = BIT(cap);
            return 0;
        }
    return err_set(err, ERR_INVALID, 0, "unknown capability '%.*s'", SV_FMT(sv_head(given, 64)));
}

static int caps_union(const char *const *list, uint32_t len, uint64_t *ret, Err *err)
{
    *ret = 0;
    for (uint32_t i = 0; i < len; i++) {
        uint64_t one;
        int r = caps_parse(sv_cstr(list[i]), &one, err);

        if (r < 0)
            return r;
        *ret |= one;
    }
    return 0;
}

int caps_adjust(uint64_t base, const char *const *add, uint32_t add_len, const char *const *drop,
                uint32_t drop_len, uint64_t *ret_mask, Err *err)
{
    uint64_t plus, minus, named_add = 0;
    bool drop_all = false;
    int r;

    if ((r = caps_union(add, add_len, &plus, err)) < 0 ||
        (r = caps_union(drop, drop_len, &minus, err)) < 0)
        return r;
    for (uint32_t i = 0; i < drop_len; i++)
        drop_all = drop_all || sv_eq_nocase(sv_cstr(drop[i]), SV("ALL"));
    for (uint32_t i = 0; i < add_len; i++) {
        uint64_t one;

        if (!sv_eq_nocase(sv_cstr(add[i]), SV("ALL")) &&
            caps_parse(sv_cstr(add[i]), &one, NULL) >= 0)
            named_add |= one;
    }
    /* "drop: [ALL], add: [NET_ADMIN]" means exactly NET_ADMIN. */
    *ret_mask = drop_all ? named_add : (base | plus) & ~minus;
    return 0;
}

static int caps_set(uint64_t effective, uint64_t permitted, uint64_t inheritable, Err *err)
{
    struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    for (int i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(effective >> (32 * i));
        data[i].permitted = (uint32_t)(permitted >> (32 * i));
        data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
    }
    if (syscall(SYS_capset, &hdr, data) < 0)
        return err_errno(err, "set capabilities");
    return 0;
}

static int become_ids(const OciUser *user, Err *err)
{
    gid_t *groups = NULL;

    /* To the kernel these mean that the present ones, root's, stay. */
    if (user->uid == UINT32_MAX || user->gid == UINT32_MAX)
        return err_set(err, ERR_INVALID, 0, "%u is no number of a user or group", UINT32_MAX);
    if (user->groups_len) {
        groups = calloc(user->groups_len, sizeof *groups);
        if (!groups)
            return err_nomem(err);
        for (uint32_t i = 0; i < user->groups_len; i++)
            groups[i] = user->groups[i];
    }
    /* Raw calls: this process has one thread, and the C library's would look for others. */
    if ((!user->keep_groups && syscall(SYS_setgroups, (long)user->groups_len, groups) < 0) ||
        syscall(SYS_setresgid, (long)user->gid, (long)user->gid, (long)user->gid) < 0 ||
        syscall(SYS_setresuid, (long)user->uid, (long)user->uid, (long)user->uid) < 0) {
        int r = err_errno(err, "become user %u group %u", user->uid, user->gid);

        free(groups);
        return r;
    }
    free(groups);
    return 0;
}

/* The kernel would only say that something is not permitted. */
static int check_held(uint64_t wanted, Err *err)
{
    uint64_t missing = wanted & ~caps_held();

    for (unsigned cap = 0; cap < 64; cap++)
        if (missing & BIT(cap))
            return err_set(err, ERR_DENIED, 0,
                           "%s cannot be given: this machine's root does not have it",
                           caps_name(cap) ? caps_name(cap) : "a capability");
    return 0;
}

int caps_become(const OciUser *user, const OciCaps *caps, Err *err)
{
    uint64_t all = caps_all();
    uint64_t ambient = caps->ambient & caps->permitted & all;
    uint64_t inheritable = (caps->inheritable | ambient) & all;
    int r = check_held(caps->permitted & all, err);

    if (r < 0)
        return r;
    for (unsigned cap = 0; cap < 64; cap++)
        if ((all & BIT(cap)) && !(caps->bounding & BIT(cap)) &&
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_errno(err, "drop capability %u", cap);
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return err_errno(err, "keep capabilities");
    if (user->umask != UINT32_MAX)
        umask((mode_t)user->umask & 0777);
    if ((r = become_ids(user, err)) < 0 ||
        (r = caps_set(caps->effective & all, caps->permitted & all, inheritable, err)) < 0)
        return r;
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return err_errno(err, "keep capabilities no longer");
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned cap = 0; cap < 64; cap++)
        if ((ambient & BIT(cap)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return err_errno(err, "ambient capability %u", cap);
    return 0;
}
