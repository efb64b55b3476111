/* spec.c - config.json as a whole. What can be told of one field by itself is checked here and in
 * the other tables, what one asks of another in spec_check.c.
 *
 * To add a field: a row in the table of its object, and where its kind is new a reader (see
 * spec_internal.h). */
#include <sys/personality.h>
#include <sys/stat.h>

#include "oci/runtime/spec_internal.h"

static const char *const no_texts[1];

static OciTexts texts_none(void)
{
    return (OciTexts){ (const char **)no_texts, 0 };
}

/* --- mounts and hooks --- */

static const Field id_map_fields[] = {
    BIND(OciIdMap, "containerID", OCI_U32, container),
    BIND(OciIdMap, "hostID", OCI_U32, host),
    BIND(OciIdMap, "size", OCI_U32, size),
};
static const Type id_map_type = { "mapping", sizeof(OciIdMap), id_map_fields,
                                  ARRAY_SIZE(id_map_fields) };

static void mount_init(void *obj)
{
    ((OciSpecMount *)obj)->options = texts_none();
}

static int mount_check(Binder *b, void *obj, const Value *v)
{
    const OciSpecMount *m = obj;
    int r;

    if (!m->destination)
        return bind_fail_key(b, v, "destination", "an absolute path is expected");
    if (m->destination[0] != '/')
        spec_warn(b,
                  "mount destination %s is not absolute. Support for non-absolute mount "
                  "destinations will be removed in a future release.",
                  m->destination);
    if (!m->uid_maps.len != !m->gid_maps.len)
        return bind_fail(b, v, "uidMappings and gidMappings are expected together");
    if ((r = spec_check_id_maps(b, &m->uid_maps, v, "uidMappings")) < 0)
        return r;
    return spec_check_id_maps(b, &m->gid_maps, v, "gidMappings");
}

static const Field mount_fields[] = {
    BIND(OciSpecMount, "destination", OCI_TEXT, destination),
    BIND(OciSpecMount, "type", OCI_TEXT, type),
    BIND(OciSpecMount, "source", OCI_TEXT, source),
    BIND(OciSpecMount, "options", OCI_TEXTS, options),
    BIND_SUB(OciSpecMount, "uidMappings", LIST, uid_maps, id_map_type),
    BIND_SUB(OciSpecMount, "gidMappings", LIST, gid_maps, id_map_type),
};
static const Type mount_type = { "mounts",     sizeof(OciSpecMount),
                                 mount_fields, ARRAY_SIZE(mount_fields),
                                 mount_init,   mount_check };

static void hook_init(void *obj)
{
    OciHook *h = obj;

    h->args = h->env = texts_none();
}

static int hook_check(Binder *b, void *obj, const Value *v)
{
    const OciHook *h = obj;

    if (!h->path || h->path[0] != '/')
        return bind_fail_key(b, v, "path", "an absolute path is expected");
    if (value_is(value_get(v, SV("timeout")), VALUE_INT) && !h->timeout_s)
        return bind_fail_key(b, v, "timeout", "a number of seconds above 0 is expected");
    return 0;
}

static const Field hook_fields[] = {
    BIND(OciHook, "path", OCI_TEXT, path),
    BIND(OciHook, "args", OCI_TEXTS, args),
    BIND(OciHook, "env", OCI_TEXTS, env),
    BIND(OciHook, "timeout", OCI_U32, timeout_s),
};
static const Type hook_type = { "hook",    sizeof(OciHook), hook_fields, ARRAY_SIZE(hook_fields),
                                hook_init, hook_check };

static const Field hooks_fields[] = {
    BIND_SUB(OciSpec, "prestart", LIST, hooks.prestart, hook_type),
    BIND_SUB(OciSpec, "createRuntime", LIST, hooks.create_runtime, hook_type),
    BIND_SUB(OciSpec, "createContainer", LIST, hooks.create_container, hook_type),
    BIND_SUB(OciSpec, "startContainer", LIST, hooks.start_container, hook_type),
    BIND_SUB(OciSpec, "poststart", LIST, hooks.poststart, hook_type),
    BIND_SUB(OciSpec, "poststop", LIST, hooks.poststop, hook_type),
};
static const Type hooks_type = { "hooks", 0, hooks_fields, ARRAY_SIZE(hooks_fields) };

/* --- linux --- */

static int take_namespace(Binder *b, void *ctx, unsigned index, const Value *v)
{
    static const SpecName types[] = {
        { "pid", OCI_NS_PID },   { "network", OCI_NS_NETWORK }, { "mount", OCI_NS_MOUNT },
        { "ipc", OCI_NS_IPC },   { "uts", OCI_NS_UTS },         { "user", OCI_NS_USER },
        { "time", OCI_NS_TIME }, { "cgroup", OCI_NS_CGROUP },
    };
    const Value *type = value_get(v, SV("type")), *path = value_get(v, SV("path"));
    const char *joined = NULL;
    BindFrame f = { .up = b->frame, .key = SV("type") };
    OciSpec *s = ctx;
    int64_t ns;
    int r;

    (void)index;
    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "namespaces");
    b->frame = &f;
    if (!type)
        return bind_fail(b, v, "the type of a namespace is expected");
    if ((r = spec_read_name(b, type, types, ARRAY_SIZE(types), "namespace", &ns)) < 0)
        return r;
    if (s->ns_new[ns] || s->ns_path[ns])
        return bind_fail(b, type, "malformed spec file: duplicated ns \"%s\"",
                         arena_cstr(b->arena, value_str(type)));
    f.key = SV("path");
    if (path && path->kind != VALUE_NULL && (r = spec_read_text(b, &joined, path)) < 0)
        return r;
    if (joined && joined[0] != '/')
        return bind_fail(b, path, "namespace path \"%s\" is not an absolute path", joined);
    b->frame = f.up;
    s->ns_path[ns] = joined;
    s->ns_new[ns] = !joined;
    return 0;
}

int spec_read_namespaces(Binder *b, void *at, const Value *v)
{
    return bind_each(b, v, "namespaces", take_namespace, at);
}

int spec_read_propagation(Binder *b, void *at, const Value *v)
{
    static const SpecName names[] = {
        { "shared", 0 },  { "slave", 0 },  { "private", 0 },  { "unbindable", 0 },
        { "rshared", 0 }, { "rslave", 0 }, { "rprivate", 0 }, { "runbindable", 0 },
    };
    int64_t any;
    int r;

    if (value_is(v, VALUE_STRING) && !value_str(v).len)
        return 0;
    r = spec_read_name(b, v, names, ARRAY_SIZE(names), "propagation of mounts", &any);
    return r < 0 ? r : spec_read_text(b, at, v);
}

int spec_read_personality(Binder *b, void *at, const Value *v)
{
    static const SpecName domains[] = { { "LINUX", PER_LINUX }, { "LINUX32", PER_LINUX32 } };
    const Value *domain = value_get(v, SV("domain")), *flags = value_get(v, SV("flags"));
    BindFrame f = { .up = b->frame, .key = SV("domain") };
    OciSpec *s = at;
    int64_t n;
    int r;

    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "personality");
    if (value_len(flags))
        return bind_fail_key(b, v, "flags", "no flags are known");
    b->frame = &f;
    if (!domain)
        return bind_fail(b, v, "LINUX or LINUX32 is expected");
    if ((r = spec_read_name(b, domain, domains, ARRAY_SIZE(domains), "personality", &n)) < 0)
        return r;
    b->frame = f.up;
    s->has_personality = true;
    s->personality = (unsigned long)n;
    return 0;
}

int spec_read_device_type(Binder *b, void *at, const Value *v)
{
    static const SpecName types[] = {
        { "c", S_IFCHR }, { "u", S_IFCHR }, { "b", S_IFBLK }, { "p", S_IFIFO }
    };
    int64_t type;
    int r = spec_read_name(b, v, types, ARRAY_SIZE(types), "type of device", &type);

    if (r >= 0)
        *(mode_t *)at = (mode_t)type;
    return r;
}

static int device_check(Binder *b, void *obj, const Value *v)
{
    OciSpecDevice *d = obj;

    if (!d->path || d->path[0] != '/')
        return bind_fail_key(b, v, "path", "an absolute path is expected");
    if (!d->type)
        return bind_fail_key(b, v, "type", "one of c, u, b, p is expected");
    if (d->mode.set) /* some give the type of the file again */
        d->mode.n &= ~(int64_t)S_IFMT;
    if (d->mode.set && d->mode.n > 07777)
        return bind_fail_key(b, v, "fileMode", "a file mode is expected");
    return 0;
}

static const Field device_fields[] = {
    BIND(OciSpecDevice, "path", OCI_TEXT, path),
    BIND(OciSpecDevice, "type", OCI_DEVICE_TYPE, type),
    BIND(OciSpecDevice, "major", OCI_U32, major),
    BIND(OciSpecDevice, "minor", OCI_U32, minor),
    BIND(OciSpecDevice, "fileMode", OCI_N32, mode),
    BIND(OciSpecDevice, "uid", OCI_N32, uid),
    BIND(OciSpecDevice, "gid", OCI_N32, gid),
};
static const Type device_type = { "devices", sizeof(OciSpecDevice), device_fields,
                                  ARRAY_SIZE(device_fields), .check = device_check };

static const Field seccomp_fields[] = {
    BIND(OciSpec, "listenerPath", OCI_TEXT, seccomp_listener),
    BIND(OciSpec, "listenerMetadata", OCI_TEXT, seccomp_metadata),
};

static int seccomp_check(Binder *b, void *obj, const Value *v)
{
    OciSpec *s = obj;

    /* Without an action and calls it is off, as in runc. */
    if (value_str(value_get(v, SV("defaultAction"))).len || value_len(value_get(v, SV("syscalls"))))
        s->seccomp = v;
    return 0;
}
static const Type seccomp_type = { "seccomp", 0, seccomp_fields, ARRAY_SIZE(seccomp_fields),
                                   .check = seccomp_check };

static int offset_check(Binder *b, const Value *v, uint32_t nanosecs)
{
    if (nanosecs >= 1000000000)
        return bind_fail_key(b, v, "nanosecs", "a number below 1000000000 is expected");
    return 0;
}
static int monotonic_check(Binder *b, void *obj, const Value *v)
{
    OciSpec *s = obj;

    s->time_monotonic.set = true;
    return offset_check(b, v, s->time_monotonic.nanosecs);
}
static int boottime_check(Binder *b, void *obj, const Value *v)
{
    OciSpec *s = obj;

    s->time_boottime.set = true;
    return offset_check(b, v, s->time_boottime.nanosecs);
}

static const Field monotonic_fields[] = {
    BIND(OciSpec, "secs", OCI_I64, time_monotonic.secs),
    BIND(OciSpec, "nanosecs", OCI_U32, time_monotonic.nanosecs),
};
static const Field boottime_fields[] = {
    BIND(OciSpec, "secs", OCI_I64, time_boottime.secs),
    BIND(OciSpec, "nanosecs", OCI_U32, time_boottime.nanosecs),
};
static const Type monotonic_type = { "monotonic", 0, monotonic_fields, ARRAY_SIZE(monotonic_fields),
                                     .check = monotonic_check };
static const Type boottime_type = { "boottime", 0, boottime_fields, ARRAY_SIZE(boottime_fields),
                                    .check = boottime_check };
static const Field offsets_fields[] = {
    { "monotonic", FIELD_STRUCT, false, 0, &monotonic_type },
    { "boottime", FIELD_STRUCT, false, 0, &boottime_type },
};
static const Type offsets_type = { "timeOffsets", 0, offsets_fields, ARRAY_SIZE(offsets_fields) };

static const Field linux_fields[] = {
    BIND_SUB(OciSpec, "uidMappings", LIST, uid_maps, id_map_type),
    BIND_SUB(OciSpec, "gidMappings", LIST, gid_maps, id_map_type),
    BIND(OciSpec, "sysctl", OCI_PAIRS, sysctl),
    BIND_SUB(OciSpec, "resources", STRUCT, resources, spec_resources_type),
    BIND(OciSpec, "cgroupsPath", OCI_TEXT, cgroups_path),
    { "namespaces", FIELD_OCI_NAMESPACES, false, 0, NULL },
    BIND_SUB(OciSpec, "devices", LIST, devices, device_type),
    { "seccomp", FIELD_STRUCT, false, 0, &seccomp_type },
    BIND(OciSpec, "rootfsPropagation", OCI_PROPAGATION, rootfs_propagation),
    BIND(OciSpec, "maskedPaths", OCI_TEXTS, masked),
    BIND(OciSpec, "readonlyPaths", OCI_TEXTS, readonly_paths),
    BIND(OciSpec, "mountLabel", OCI_TEXT, mount_label),
    { "personality", FIELD_OCI_PERSONALITY, false, 0, NULL },
    { "timeOffsets", FIELD_STRUCT, false, 0, &offsets_type },
};

static int linux_check(Binder *b, void *obj, const Value *v)
{
    OciSpec *s = obj;

    s->has_resources = value_is(value_get(v, SV("resources")), VALUE_MAP);
    s->intel_rdt = value_is(value_get(v, SV("intelRdt")), VALUE_MAP);
    return 0;
}
static const Type linux_type = { "linux", 0, linux_fields, ARRAY_SIZE(linux_fields),
                                 .check = linux_check };

/* --- the document --- */

static const Field root_fields[] = {
    BIND(OciSpec, "path", OCI_TEXT, root),
    BIND(OciSpec, "readonly", BOOL, root_readonly),
};
static const Type root_type = { "root", 0, root_fields, ARRAY_SIZE(root_fields) };

static const Field spec_fields[] = {
    BIND(OciSpec, "ociVersion", OCI_TEXT, version),
    BIND_SUB(OciSpec, "process", POINTER, process, spec_process_type),
    { "root", FIELD_STRUCT, false, 0, &root_type },
    BIND(OciSpec, "hostname", OCI_TEXT, hostname),
    BIND(OciSpec, "domainname", OCI_TEXT, domainname),
    BIND_SUB(OciSpec, "mounts", LIST, mounts, mount_type),
    { "hooks", FIELD_STRUCT, false, 0, &hooks_type },
    BIND(OciSpec, "annotations", OCI_PAIRS, annotations),
    { "linux", FIELD_STRUCT, false, 0, &linux_type },
};

static void spec_init(void *obj)
{
    OciSpec *s = obj;

    s->masked = s->readonly_paths = texts_none();
}

static int spec_check_all(Binder *b, void *obj, const Value *v)
{
    return spec_check(b, obj, v);
}

static const Type spec_type = { "config.json",           sizeof(OciSpec), spec_fields,
                                ARRAY_SIZE(spec_fields), spec_init,       spec_check_all };

int oci_spec_parse(StrView text, const char *name, Arena *a, OciSpec **ret, Err *err)
{
    OciSpec *s = arena_new(a, OciSpec);
    Value *doc = arena_new(a, Value);
    SpecReader reader;
    int r;

    if (!s || !doc)
        return err_nomem(err);
    if ((r = spec_open(&reader, text, name, a, doc, err)) < 0 ||
        (r = bind_struct(&reader.b, &spec_type, s, doc)) < 0)
        return r;
    s->document = doc;
    s->warnings = spec_warnings(&reader);
    if (!spec_add_devices(a, s) || a->failed)
        return err_nomem(err);
    *ret = s;
    return 0;
}
