/* mount_options.c - see mount_options.h. What an option means: mount(8), mount_setattr(2),
 * config.md ("Linux mount options"). A row is all there is to add for a new one. */
#include "oci/runtime/mount_options.h"

#include <linux/mount.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

typedef enum OptionKind {
    OPT_BIND,      /* flag: MS_REC or nothing */
    OPT_SET,       /* flag, and attr of a bind mount, are set */
    OPT_CLEAR,     /* or cleared */
    OPT_PROPAGATE, /* flag is the propagation */
    OPT_REC_SET,   /* attr, for all below too */
    OPT_REC_CLEAR,
    OPT_COPY_UP,
    OPT_IDMAP, /* flag: MS_REC or nothing */
    OPT_NOTHING,
} OptionKind;

/* In the order of the names, as mount_options_known() lists them. */
static const struct Option {
    const char *name;
    OptionKind kind;
    unsigned long flag;
    uint64_t attr; /* 0: mounts have no such, only file systems */
} options[] = {
    { "acl", OPT_SET, MS_POSIXACL, 0 },
    { "async", OPT_CLEAR, MS_SYNCHRONOUS, 0 },
    { "atime", OPT_CLEAR, MS_NOATIME, MOUNT_ATTR_NOATIME },
    { "bind", OPT_BIND, 0, 0 },
    { "defaults", OPT_NOTHING, 0, 0 },
    { "dev", OPT_CLEAR, MS_NODEV, MOUNT_ATTR_NODEV },
    { "diratime", OPT_CLEAR, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
    { "dirsync", OPT_SET, MS_DIRSYNC, 0 },
    { "exec", OPT_CLEAR, MS_NOEXEC, MOUNT_ATTR_NOEXEC },
    { "idmap", OPT_IDMAP, 0, 0 },
    { "iversion", OPT_SET, MS_I_VERSION, 0 },
    { "lazytime", OPT_SET, MS_LAZYTIME, 0 },
    { "loud", OPT_CLEAR, MS_SILENT, 0 },
    { "mand", OPT_SET, MS_MANDLOCK, 0 },
    { "noacl", OPT_CLEAR, MS_POSIXACL, 0 },
    { "noatime", OPT_SET, MS_NOATIME, MOUNT_ATTR_NOATIME },
    { "nodev", OPT_SET, MS_NODEV, MOUNT_ATTR_NODEV },
    { "nodiratime", OPT_SET, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
    { "noexec", OPT_SET, MS_NOEXEC, MOUNT_ATTR_NOEXEC },
    { "noiversion", OPT_CLEAR, MS_I_VERSION, 0 },
    { "nolazytime", OPT_CLEAR, MS_LAZYTIME, 0 },
    { "nomand", OPT_CLEAR, MS_MANDLOCK, 0 },
    { "norelatime", OPT_CLEAR, MS_RELATIME, 0 },
    { "nostrictatime", OPT_CLEAR, MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
    { "nosuid", OPT_SET, MS_NOSUID, MOUNT_ATTR_NOSUID },
    { "nosymfollow", OPT_SET, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
    { "private", OPT_PROPAGATE, MS_PRIVATE, 0 },
    { "ratime", OPT_REC_CLEAR, 0, MOUNT_ATTR_NOATIME },
    { "rbind", OPT_BIND, MS_REC, 0 },
    { "rdev", OPT_REC_CLEAR, 0, MOUNT_ATTR_NODEV },
    { "rdiratime", OPT_REC_CLEAR, 0, MOUNT_ATTR_NODIRATIME },
    { "relatime", OPT_SET, MS_RELATIME, 0 },
    { "remount", OPT_SET, MS_REMOUNT, 0 },
    { "rexec", OPT_REC_CLEAR, 0, MOUNT_ATTR_NOEXEC },
    { "ridmap", OPT_IDMAP, MS_REC, 0 },
    { "rnoatime", OPT_REC_SET, 0, MOUNT_ATTR_NOATIME },
    { "rnodev", OPT_REC_SET, 0, MOUNT_ATTR_NODEV },
    { "rnodiratime", OPT_REC_SET, 0, MOUNT_ATTR_NODIRATIME },
    { "rnoexec", OPT_REC_SET, 0, MOUNT_ATTR_NOEXEC },
    { "rnorelatime", OPT_REC_CLEAR, 0, MOUNT_ATTR_RELATIME },
    { "rnostrictatime", OPT_REC_CLEAR, 0, MOUNT_ATTR_STRICTATIME },
    { "rnosuid", OPT_REC_SET, 0, MOUNT_ATTR_NOSUID },
    { "rnosymfollow", OPT_REC_SET, 0, MOUNT_ATTR_NOSYMFOLLOW },
    { "ro", OPT_SET, MS_RDONLY, MOUNT_ATTR_RDONLY },
    { "rprivate", OPT_PROPAGATE, MS_PRIVATE | MS_REC, 0 },
    { "rrelatime", OPT_REC_SET, 0, MOUNT_ATTR_RELATIME },
    { "rro", OPT_REC_SET, 0, MOUNT_ATTR_RDONLY },
    { "rrw", OPT_REC_CLEAR, 0, MOUNT_ATTR_RDONLY },
    { "rshared", OPT_PROPAGATE, MS_SHARED | MS_REC, 0 },
    { "rslave", OPT_PROPAGATE, MS_SLAVE | MS_REC, 0 },
    { "rstrictatime", OPT_REC_SET, 0, MOUNT_ATTR_STRICTATIME },
    { "rsuid", OPT_REC_CLEAR, 0, MOUNT_ATTR_NOSUID },
    { "rsymfollow", OPT_REC_CLEAR, 0, MOUNT_ATTR_NOSYMFOLLOW },
    { "runbindable", OPT_PROPAGATE, MS_UNBINDABLE | MS_REC, 0 },
    { "rw", OPT_CLEAR, MS_RDONLY, MOUNT_ATTR_RDONLY },
    { "shared", OPT_PROPAGATE, MS_SHARED, 0 },
    { "silent", OPT_SET, MS_SILENT, 0 },
    { "slave", OPT_PROPAGATE, MS_SLAVE, 0 },
    { "strictatime", OPT_SET, MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
    { "suid", OPT_CLEAR, MS_NOSUID, MOUNT_ATTR_NOSUID },
    { "symfollow", OPT_CLEAR, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
    { "sync", OPT_SET, MS_SYNCHRONOUS, 0 },
    { "tmpcopyup", OPT_COPY_UP, 0, 0 },
    { "unbindable", OPT_PROPAGATE, MS_UNBINDABLE, 0 },
};

const char *mount_option_known(unsigned i)
{
    return i < ARRAY_SIZE(options) ? options[i].name : NULL;
}

/* Modes of access times are a field, not bits of their own: to set one the field is cleared. */
static bool is_atime(uint64_t attr)
{
    return attr == MOUNT_ATTR_NOATIME || attr == MOUNT_ATTR_STRICTATIME ||
           attr == MOUNT_ATTR_RELATIME;
}

static void change(uint64_t *set, uint64_t *clr, uint64_t attr, bool on)
{
    if (is_atime(attr)) {
        *set &= ~(uint64_t)MOUNT_ATTR__ATIME;
        *clr |= MOUNT_ATTR__ATIME;
    }
    if (on) {
        *set |= attr;
        if (!is_atime(attr))
            *clr &= ~attr;
    } else {
        *set &= ~attr;
        *clr |= is_atime(attr) ? MOUNT_ATTR__ATIME : attr;
    }
}

static int apply(const struct Option *o, MountPlan *p, Err *err)
{
    switch (o->kind) {
    case OPT_BIND:
        p->bind = true;
        p->recursive = p->recursive || o->flag;
        break;
    case OPT_SET:
        p->flags |= o->flag;
        change(&p->attr_set, &p->attr_clr, o->attr, true);
        break;
    case OPT_CLEAR:
        p->flags &= ~o->flag;
        change(&p->attr_set, &p->attr_clr, o->attr, false);
        break;
    case OPT_PROPAGATE:
        if (p->propagation_len == ARRAY_SIZE(p->propagation))
            return err_set(err, ERR_LIMIT, 0, "more than %zu propagation options",
                           ARRAY_SIZE(p->propagation));
        p->propagation[p->propagation_len++] = o->flag;
        break;
    case OPT_REC_SET:
    case OPT_REC_CLEAR:
        change(&p->rec_set, &p->rec_clr, o->attr, o->kind == OPT_REC_SET);
        break;
    case OPT_COPY_UP:
        p->copy_up = true;
        break;
    case OPT_IDMAP:
        p->idmap = true;
        p->idmap_rec = p->idmap_rec || o->flag;
        break;
    case OPT_NOTHING:
        break;
    }
    return 0;
}

int mount_plan(const OciSpecMount *m, Arena *a, MountPlan *ret, Err *err)
{
    MountPlan p = { .bind = m->type && !strcmp(m->type, "bind"), .idmap = m->uid_maps.len > 0 };
    StrView data = SV_NULL;

    for (unsigned i = 0; i < m->options.len; i++) {
        const struct Option *o = options;
        int r;

        while (o < options + ARRAY_SIZE(options) && strcmp(o->name, m->options.items[i]))
            o++;
        if (o == options + ARRAY_SIZE(options)) {
            data = data.ptr ? arena_printf(a, "%s,%s", data.ptr, m->options.items[i])
                            : arena_sv(a, sv_cstr(m->options.items[i]));
            if (data.ptr)
                data.ptr = arena_cstr(a, data);
            if (!data.ptr)
                return err_nomem(err);
        } else if ((r = apply(o, &p, err)) < 0) {
            return err_wrap(err, "mount '%s'", m->destination);
        }
    }
    p.data = data.ptr && *data.ptr ? data.ptr : NULL;
    *ret = p;
    return 0;
}
