/* spec_check.c - what one field of config.json asks of another: namespaces above all. The sentences
 * are runc's, so that who knows them finds them again. */
#include <ctype.h>
#include <stdio.h>
#include <sys/stat.h>

#include "oci/runtime/spec_internal.h"

static bool has_ns(const OciSpec *s, OciNs ns)
{
    return s->ns_new[ns] || s->ns_path[ns];
}

/* --- id mappings --- */

static bool overlap(uint32_t a, uint32_t a_len, uint32_t b, uint32_t b_len)
{
    return (uint64_t)a < (uint64_t)b + b_len && (uint64_t)b < (uint64_t)a + a_len;
}

int spec_check_id_maps(Binder *b, const OciIdMaps *maps, const Value *map, const char *key)
{
    if (maps->len > OCI_MAPPINGS_MAX)
        return bind_fail_key(b, map, key, "%u mappings, the kernel takes %d", maps->len,
                             OCI_MAPPINGS_MAX);
    for (unsigned i = 0; i < maps->len; i++) {
        const OciIdMap *m = &maps->items[i];

        if (!m->size || (uint64_t)m->container + m->size > (uint64_t)UINT32_MAX ||
            (uint64_t)m->host + m->size > (uint64_t)UINT32_MAX)
            return bind_fail_key(b, map, key, "item %u maps no ids, or some beyond %u", i,
                                 UINT32_MAX - 1);
        for (unsigned k = 0; k < i; k++)
            if (overlap(m->container, m->size, maps->items[k].container, maps->items[k].size) ||
                overlap(m->host, m->size, maps->items[k].host, maps->items[k].size))
                return bind_fail_key(b, map, key, "items %u and %u overlap", k, i);
    }
    return 0;
}

static int check_user(Binder *b, const OciSpec *s, const Value *linux_map)
{
    int r;

    if ((r = spec_check_id_maps(b, &s->uid_maps, linux_map, "uidMappings")) < 0 ||
        (r = spec_check_id_maps(b, &s->gid_maps, linux_map, "gidMappings")) < 0)
        return r;
    if (!has_ns(s, OCI_NS_USER) && (s->uid_maps.len || s->gid_maps.len))
        return bind_fail_key(b, linux_map, s->uid_maps.len ? "uidMappings" : "gidMappings",
                             "User namespace mappings specified, but USER namespace isn't enabled "
                             "in the config");
    if (s->ns_new[OCI_NS_USER] && !s->uid_maps.len)
        return bind_fail_key(b, linux_map, "uidMappings",
                             "User namespaces enabled, but no uid mappings found.");
    if (s->ns_new[OCI_NS_USER] && !s->gid_maps.len)
        return bind_fail_key(b, linux_map, "gidMappings",
                             "User namespaces enabled, but no gid mappings found.");
    return 0;
}

/* --- sysctls --- */

/* "net/ipv4/conf/eno2.100.rp_filter" is "net.ipv4.conf.eno2/100.rp_filter": the separator that
 * stands first separates. */
static const char *dotted(Arena *a, const char *key)
{
    char *copy, *first = strpbrk(key, "./");

    if (!first || *first == '.')
        return key;
    copy = arena_cstr(a, sv_cstr(key));
    for (char *c = copy; c && *c; c++)
        *c = (char)(*c == '.' ? '/' : *c == '/' ? '.' : *c);
    return copy ? copy : key;
}

/* The network of the caller, not of the machine. */
static int is_own_net(Binder *b, const OciSpec *s, const Value *linux_map, bool *ret)
{
    const char *path = s->ns_path[OCI_NS_NETWORK];
    struct stat own, other;

    *ret = !has_ns(s, OCI_NS_NETWORK);
    if (!path)
        return 0;
    if (stat("/proc/self/ns/net", &own) < 0 || stat(path, &other) < 0)
        return bind_fail_key(b, linux_map, "namespaces", "invalid netns path: %s", path);
    *ret = own.st_dev == other.st_dev && own.st_ino == other.st_ino;
    return 0;
}

static bool is_ipc(const char *key)
{
    static const char *const names[] = { "msgmax", "msgmnb", "msgmni", "sem",
                                         "shmall", "shmmax", "shmmni", "shm_rmid_forced" };

    for (size_t i = 0; !strncmp(key, "kernel.", 7) && i < ARRAY_SIZE(names); i++)
        if (!strcmp(key + 7, names[i]))
            return true;
    return !strncmp(key, "fs.mqueue.", 10);
}

static int check_sysctl(Binder *b, const OciSpec *s, const Value *linux_map, const char *key)
{
    const char *name = dotted(b->arena, key);
    bool own_net;
    int r;

    if (!strcmp(name, "..") || strstr(name, "./") || strstr(name, ".."))
        return bind_fail_key(b, linux_map, "sysctl", "\"%s\" is no name of a sysctl", key);
    if (is_ipc(name)) {
        if (has_ns(s, OCI_NS_IPC))
            return 0;
        return bind_fail_key(b, linux_map, "sysctl",
                             "sysctl \"%s\" is not allowed in the hosts ipc namespace", name);
    }
    if (!strncmp(name, "net.", 4)) {
        if ((r = is_own_net(b, s, linux_map, &own_net)) < 0 || !own_net)
            return r;
        return bind_fail_key(b, linux_map, "sysctl",
                             "sysctl \"%s\" not allowed in host network namespace", name);
    }
    if (has_ns(s, OCI_NS_UTS) && !strcmp(name, "kernel.domainname"))
        return 0;
    if (has_ns(s, OCI_NS_UTS) && !strcmp(name, "kernel.hostname"))
        return bind_fail_key(b, linux_map, "sysctl",
                             "sysctl \"%s\" is not allowed as it conflicts with the OCI "
                             "\"hostname\" field",
                             name);
    return bind_fail_key(b, linux_map, "sysctl",
                         "sysctl \"%s\" is not in a separate kernel namespace", name);
}

/* --- the rest --- */

/* 1.x.y, with what a development version has behind it. */
static int check_version(Binder *b, const OciSpec *s, const Value *doc)
{
    unsigned major, minor, patch;
    int end = 0;

    if (!s->version) /* runc takes it so */
        return 0;
    if (!isdigit((unsigned char)s->version[0]) ||
        sscanf(s->version, "%u.%u.%u%n", &major, &minor, &patch, &end) != 3 ||
        (s->version[end] && s->version[end] != '-' && s->version[end] != '+'))
        return bind_fail_key(b, doc, "ociVersion", "a version like %s is expected", OCI_VERSION);
    if (major != 1)
        return bind_fail_key(b, doc, "ociVersion", "version %s is not known; 1.0 to %s are",
                             s->version, OCI_VERSION);
    return 0;
}

static int check_names(Binder *b, const OciSpec *s, const Value *doc)
{
    if (s->hostname && !has_ns(s, OCI_NS_UTS))
        return bind_fail_key(b, doc, "hostname",
                             "unable to set hostname without a private UTS namespace");
    if (s->domainname && !has_ns(s, OCI_NS_UTS))
        return bind_fail_key(b, doc, "domainname",
                             "unable to set domainname without a private UTS namespace");
    if (s->hostname && strlen(s->hostname) > 64)
        return bind_fail_key(b, doc, "hostname", "at most 64 bytes are possible");
    if (s->domainname && strlen(s->domainname) > 64)
        return bind_fail_key(b, doc, "domainname", "at most 64 bytes are possible");
    return 0;
}

static int check_rdt(Binder *b, const Value *linux_map)
{
    const Value *rdt = value_get(linux_map, SV("intelRdt"));
    StrView id = value_str(value_get(rdt, SV("closID")));

    if (sv_eq(id, SV(".")) || sv_eq(id, SV("..")) || sv_find_char(id, '/') >= 0)
        return bind_fail_key(b, rdt, "closID", "invalid intelRdt.ClosID \"%.*s\"",
                             SV_FMT(sv_head(id, 64)));
    return 0;
}

static int check_linux(Binder *b, const OciSpec *s, const Value *map)
{
    const BindFrame *up = b->frame;
    BindFrame f = { .up = up, .key = SV("linux") };
    int r;

    b->frame = &f;
    if (!has_ns(s, OCI_NS_MOUNT) && (s->masked.len || s->readonly_paths.len))
        return bind_fail_key(b, map, s->masked.len ? "maskedPaths" : "readonlyPaths",
                             "unable to restrict sys entries without a private MNT namespace");
    if ((r = check_user(b, s, map)) < 0 || (r = check_rdt(b, map)) < 0)
        return r;
    for (unsigned i = 0; i < s->sysctl.len; i++)
        if ((r = check_sysctl(b, s, map, s->sysctl.items[i].name)) < 0)
            return r;
    if ((s->time_monotonic.set || s->time_boottime.set) && !s->ns_new[OCI_NS_TIME])
        return bind_fail_key(b, map, "timeOffsets",
                             "time namespace offsets are specified, but no new time namespace is");
    b->frame = up;
    return 0;
}

int spec_check(Binder *b, const OciSpec *s, const Value *doc)
{
    const Value *root = value_get(doc, SV("root"));
    int r;

    if (!value_is(root, VALUE_MAP))
        return bind_fail_key(b, doc, "root", "root must be specified");
    if (!s->root)
        return bind_fail(b, root, "root.path: the path of a folder is expected");
    if ((r = check_version(b, s, doc)) < 0 || (r = check_names(b, s, doc)) < 0)
        return r;
    return check_linux(b, s, value_get(doc, SV("linux")));
}

/* --- rootless --- */

static bool is_mapped(const OciIdMaps *maps, unsigned long id)
{
    for (unsigned i = 0; i < maps->len; i++)
        if (id >= maps->items[i].container && id - maps->items[i].container < maps->items[i].size)
            return true;
    return false;
}

static int check_mount_ids(const OciSpec *s, const char *option, unsigned at, Err *err)
{
    bool uid = !strncmp(option, "uid=", 4), gid = !strncmp(option, "gid=", 4);
    unsigned long id;

    if ((!uid && !gid) || sscanf(option + 4, "%lu", &id) != 1 ||
        is_mapped(uid ? &s->uid_maps : &s->gid_maps, id))
        return 0;
    return err_set(err, ERR_INVALID, 0,
                   "mounts[%u].options: cannot specify %.4s mount options for unmapped %.3s in "
                   "rootless containers",
                   at, option, option);
}

int oci_spec_check_rootless(const OciSpec *s, Err *err)
{
    int r;

    if (!has_ns(s, OCI_NS_USER))
        return err_set(err, ERR_INVALID, 0, "rootless container requires user namespaces");
    if (s->ns_path[OCI_NS_USER])
        return 0; /* its mappings are there already */
    for (unsigned i = 0; i < s->mounts.len; i++)
        for (unsigned k = 0; k < s->mounts.items[i].options.len; k++)
            if ((r = check_mount_ids(s, s->mounts.items[i].options.items[k], i, err)) < 0)
                return r;
    return 0;
}

/* --- devices that everybody has --- */

/* Of those without a path: making any node; pseudo-terminals; tun. */
static const struct {
    const char *path;
    OciDeviceRule rule;
} always[] = {
    { NULL, { true, 'c', -1, -1, false, false, true } },
    { NULL, { true, 'b', -1, -1, false, false, true } },
    { "/dev/null", { true, 'c', 1, 3, true, true, true } },
    { "/dev/random", { true, 'c', 1, 8, true, true, true } },
    { "/dev/full", { true, 'c', 1, 7, true, true, true } },
    { "/dev/tty", { true, 'c', 5, 0, true, true, true } },
    { "/dev/zero", { true, 'c', 1, 5, true, true, true } },
    { "/dev/urandom", { true, 'c', 1, 9, true, true, true } },
    { NULL, { true, 'c', 136, -1, true, true, true } },
    { NULL, { true, 'c', 5, 2, true, true, true } },
    { NULL, { true, 'c', 10, 200, true, true, true } },
};

static bool is_own_device(const OciSpec *s, const char *path)
{
    for (unsigned i = 0; path && i < s->devices.len; i++)
        if (!strcmp(s->devices.items[i].path, path))
            return true;
    return false;
}

bool spec_add_devices(Arena *a, OciSpec *s)
{
    const unsigned had = s->resources.devices.len;
    OciDeviceRule *all = arena_array(a, OciDeviceRule, had + ARRAY_SIZE(always));
    unsigned n = had;

    if (!all)
        return false;
    if (had)
        memcpy(all, s->resources.devices.items, had * sizeof *all);
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        if (!is_own_device(s, always[i].path))
            all[n++] = always[i].rule;
    s->resources.devices.items = all;
    s->resources.devices.len = n;
    return true;
}
