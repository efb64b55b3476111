/* host_local.c - addresses from ranges, leased in files.
 *
 * Layout as the reference plugin's: DIR/NETWORK/ADDRESS holds "CONTAINER\r\nIFNAME",
 * last_reserved_ip.N the last address given out of range set N, `lock` is held (flock) during every
 * change. A lease is a file made with O_EXCL: it survives a reboot and can be given back by anyone
 * who knows the container. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/file.h"
#include "cni/plugin.h"

#define DEFAULT_DIR "/var/lib/cni/networks"

enum { LEASE_MAX = 4096, SETS_MAX = 8, RANGES_MAX = 8 };

typedef struct Range {
    IpPrefix subnet;
    uint8_t first[16], last[16], gateway[16];
} Range;

typedef struct RangeSet {
    Range ranges[RANGES_MAX];
    unsigned n;
} RangeSet;

typedef struct Pool {
    RangeSet sets[SETS_MAX];
    unsigned n_sets;
    int dir_fd, lock_fd;
} Pool;

static size_t width(const Range *r)
{
    return r->subnet.family == AF_INET6 ? 16 : 4;
}

/* Adds one; false when it wraps around. */
static bool next_address(uint8_t *addr, size_t n)
{
    while (n--)
        if (++addr[n])
            return true;
    return false;
}

static void mask(uint8_t *addr, size_t n, unsigned bits, bool ones)
{
    for (size_t i = 0; i < n; i++) {
        unsigned keep = bits > 8 * i ? MIN(bits - 8 * (unsigned)i, 8) : 0;
        uint8_t host = (uint8_t)(0xff >> keep);
        addr[i] = ones ? (uint8_t)(addr[i] | host) : (uint8_t)(addr[i] & ~host);
    }
}

static int read_address(CniCall *c, const Value *v, const char *key, const Range *range,
                        uint8_t *ret, Err *err)
{
    StrView text = value_str(value_get(v, sv_cstr(key)));
    IpPrefix p;
    if (!text.len)
        return 0;
    if (ip_prefix_parse(text, &p) < 0 || p.family != range->subnet.family)
        return cni_fail(c, CNI_ERR_CONFIG, err,
                        "ipam.ranges: %s '%.*s' is no address of the subnet's family", key,
                        SV_FMT(text));
    uint8_t net[16], own[16];
    memcpy(net, p.addr, 16);
    memcpy(own, range->subnet.addr, 16);
    mask(net, width(range), range->subnet.bits, false);
    mask(own, width(range), range->subnet.bits, false);
    if (memcmp(net, own, width(range)) != 0)
        return cni_fail(c, CNI_ERR_CONFIG, err, "ipam.ranges: %s '%.*s' is outside its subnet", key,
                        SV_FMT(text));
    memcpy(ret, p.addr, 16);
    return 0;
}

static int parse_range(CniCall *c, const Value *v, Range *r, Err *err)
{
    StrView subnet = value_str(value_get(v, SV("subnet")));
    if (sv_find_char(subnet, '/') < 0 || ip_prefix_parse(subnet, &r->subnet) < 0)
        return cni_fail(c, CNI_ERR_CONFIG, err,
                        "ipam.ranges: subnet '%.*s': expected an address range like 10.1.0.0/16",
                        SV_FMT(sv_head(subnet, 60)));
    size_t n = width(r);
    if (8 * n - r->subnet.bits < 2)
        return cni_fail(c, CNI_ERR_CONFIG, err,
                        "ipam.ranges: subnet '%.*s' is too small to allocate from", SV_FMT(subnet));
    mask(r->subnet.addr, n, r->subnet.bits, false);
    memcpy(r->first, r->subnet.addr, 16);
    next_address(r->first, n);
    memcpy(r->gateway, r->first, 16);
    memcpy(r->last, r->subnet.addr, 16);
    mask(r->last, n, r->subnet.bits, true);
    if (n == 4)
        r->last[3]--; /* not the broadcast address */
    int e;
    if ((e = read_address(c, v, "rangeStart", r, r->first, err)) < 0 ||
        (e = read_address(c, v, "rangeEnd", r, r->last, err)) < 0)
        return e;
    return read_address(c, v, "gateway", r, r->gateway, err);
}

static int parse_set(CniCall *c, const Value *v, Pool *p, Err *err)
{
    if (p->n_sets == SETS_MAX || value_len(v) > RANGES_MAX)
        return cni_fail(c, CNI_ERR_CONFIG, err, "ipam.ranges: more than %d sets of %d ranges",
                        SETS_MAX, RANGES_MAX);
    if (value_len(v) == 0)
        return cni_fail(c, CNI_ERR_CONFIG, err,
                        "ipam.ranges: set %u is empty: expected at least one range with a subnet",
                        p->n_sets);
    RangeSet *set = &p->sets[p->n_sets++];
    int r = 0;
    value_list_foreach (range, v) {
        if (r == 0)
            r = parse_range(c, range, &set->ranges[set->n++], err);
    }
    return r;
}

static int parse_pool(CniCall *c, Pool *p, Err *err)
{
    const Value *ipam = value_get(&c->config, SV("ipam"));
    int r = 0;
    *p = (Pool){ .dir_fd = -1, .lock_fd = -1 };
    if (value_get(ipam, SV("subnet"))) { /* the old form: one range, unpacked */
        p->n_sets = p->sets[0].n = 1;
        r = parse_range(c, ipam, &p->sets[0].ranges[0], err);
    }
    value_list_foreach (set, value_get(ipam, SV("ranges"))) {
        if (r == 0)
            r = parse_set(c, set, p, err);
    }
    if (r == 0 && p->n_sets == 0)
        r = cni_fail(c, CNI_ERR_CONFIG, err, "ipam: no IP ranges specified");
    return r;
}

static int open_pool(CniCall *c, Pool *p, Err *err)
{
    StrView base = value_path_str(&c->config, "ipam.dataDir"),
            name = value_str(value_get(&c->config, SV("name")));
    char path[PATH_MAX];
    if (!base.len)
        base = SV(DEFAULT_DIR);
    snprintf(path, sizeof path, "%.*s/%.*s", SV_FMT(base), SV_FMT(name));
    int r = mkdir_p(AT_FDCWD, path, 0755);
    if (r < 0)
        return err_neg(err, r, "make lease folder '%s'", path);
    p->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->lock_fd = p->dir_fd < 0 ? -1 : openat(p->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (p->lock_fd < 0 || flock(p->lock_fd, LOCK_EX) < 0)
        return err_errno(err, "lock leases in '%s'", path);
    return 0;
}

static void close_pool(Pool *p)
{
    closep(&p->lock_fd);
    closep(&p->dir_fd);
}

/* ---- leases ---- */

static StrView owner_text(CniCall *c, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s\r\n%s", c->container_id, c->ifname);
    return sv_n(buf, MIN((size_t)n, size - 1));
}

/* 1: taken by us now, 0: somebody has it, or negative errno. */
static int take(Pool *p, const char *name, StrView owner)
{
    _cleanup_close_ int fd = openat(p->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno == EEXIST ? 0 : -errno;
    int r = fd_write_full(fd, owner.ptr, owner.len);
    if (r < 0) {
        unlinkat(p->dir_fd, name, 0);
        return r;
    }
    return 1;
}

static bool in_range(const Range *r, const uint8_t *addr)
{
    return memcmp(addr, r->first, width(r)) >= 0 && memcmp(addr, r->last, width(r)) <= 0;
}

/* Where the search starts: behind the address that was given last. */
static void start_of(Pool *p, unsigned set, unsigned *ret_range, uint8_t addr[16])
{
    char name[40];
    IpPrefix last;
    RangeSet *s = &p->sets[set];
    *ret_range = 0;
    memcpy(addr, s->ranges[0].first, 16);
    snprintf(name, sizeof name, "last_reserved_ip.%u", set);
    _cleanup_buf_ Buf text = BUF_INIT;
    if (file_read(p->dir_fd, name, 100, &text) < 0 ||
        ip_prefix_parse(sv_trim(buf_view(&text)), &last) < 0)
        return;
    for (unsigned i = 0; i < s->n; i++) {
        if (last.family != s->ranges[i].subnet.family || !in_range(&s->ranges[i], last.addr))
            continue;
        *ret_range = i;
        memcpy(addr, last.addr, 16);
        if (!next_address(addr, width(&s->ranges[i])) || !in_range(&s->ranges[i], addr)) {
            *ret_range = (i + 1) % s->n;
            memcpy(addr, s->ranges[*ret_range].first, 16);
        }
        return;
    }
}

static int take_next(CniCall *c, Pool *p, unsigned set, CniIp *ret, Err *err)
{
    RangeSet *s = &p->sets[set];
    unsigned at;
    uint8_t addr[16], begin[16];
    char owner[512], name[IP_TEXT_SIZE], last[40];
    StrView who = owner_text(c, owner, sizeof owner);
    start_of(p, set, &at, addr);
    memcpy(begin, addr, 16);
    unsigned begin_range = at;
    do {
        const Range *r = &s->ranges[at];
        IpPrefix ip = r->subnet;
        memcpy(ip.addr, addr, 16);
        ip_text(&ip, false, name);
        int got = memcmp(addr, r->gateway, width(r)) == 0 ? 0 : take(p, name, who);
        if (got < 0)
            return err_neg(err, got, "write lease '%s'", name);
        if (got) {
            snprintf(last, sizeof last, "last_reserved_ip.%u", set);
            file_write_atomic(p->dir_fd, last, sv_cstr(name), 0644, false);
            *ret = (CniIp){
                .address = ip, .has_gateway = true, .gateway = r->subnet, .interface = -1
            };
            memcpy(ret->gateway.addr, r->gateway, 16);
            return 0;
        }
        if (!next_address(addr, width(r)) || !in_range(r, addr)) {
            at = (at + 1) % s->n;
            memcpy(addr, s->ranges[at].first, 16);
        }
    } while (at != begin_range || memcmp(addr, begin, 16) != 0);
    return err_set(err, ERR_LIMIT, 0, "no IP addresses available in range set %u of network '%.*s'",
                   set, SV_FMT(value_str(value_get(&c->config, SV("name")))));
}

typedef struct Lease {
    const char *name; /* of its file: the address */
    StrView id, ifname;
    bool has_ifname;
} Lease;

/* 0, or negative errno, which ends the walk. */
typedef int LeaseFn(void *ctx, Pool *p, const Lease *l);

/* Calls fn for every lease file. One that cannot be read may be anybody's, also the one that is
 * looked for: that is an error. */
static int each_lease(Pool *p, LeaseFn *fn, void *ctx, Err *err)
{
    struct dirent *e;
    DIR *d;
    int more = 0, r = dir_list(p->dir_fd, ".", &d);
    if (r < 0)
        return err_neg(err, r, "list leases");
    while (r == 0 && (more = dir_next(d, &e)) > 0) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Lease l = { .name = e->d_name };
        IpPrefix ip;
        if (ip_prefix_parse(sv_cstr(e->d_name), &ip) < 0)
            continue;
        if ((r = file_read(p->dir_fd, e->d_name, LEASE_MAX, &text)) < 0) {
            err_neg(err, r, "read lease '%s'", e->d_name);
            break;
        }
        l.has_ifname = sv_cut(sv_trim(buf_view(&text)), '\n', &l.id, &l.ifname);
        l.id = sv_trim(l.id);
        l.ifname = sv_trim(l.ifname);
        if ((r = fn(ctx, p, &l)) < 0)
            err_neg(err, r, "remove lease '%s'", e->d_name);
    }
    closedir(d);
    if (r < 0)
        return -ERR_SYS;
    return more < 0 ? err_neg(err, more, "list leases") : 0;
}

static int drop(Pool *p, const char *name)
{
    return unlinkat(p->dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Those of a container's interface. */
typedef struct Owned {
    CniCall *c;
    bool drop;
    unsigned n;
} Owned;

static int on_owned(void *ctx, Pool *p, const Lease *l)
{
    Owned *o = ctx;
    if (!sv_eq(l->id, sv_cstr(o->c->container_id)) ||
        (l->has_ifname && !sv_eq(l->ifname, sv_cstr(o->c->ifname))))
        return 0;
    o->n++;
    return o->drop ? drop(p, l->name) : 0;
}

/* A lease that names nobody, as a power cut may leave it, is the container's that was given its
 * address: else the address were lost for good. */
static int drop_damaged(CniCall *c, Pool *p, Err *err)
{
    value_list_foreach (ip, value_path(&c->config, "prevResult.ips")) {
        IpPrefix prefix;
        char name[IP_TEXT_SIZE];
        _cleanup_buf_ Buf text = BUF_INIT;
        if (ip_prefix_parse(value_str(value_get(ip, SV("address"))), &prefix) < 0)
            continue;
        int r = file_read(p->dir_fd, ip_text(&prefix, false, name), LEASE_MAX, &text);
        if (r == 0 && sv_trim(buf_view(&text)).len == 0)
            r = drop(p, name);
        if (r < 0 && r != -ENOENT)
            return err_neg(err, r, "give back lease '%s'", name);
    }
    return 0;
}

/* ---- the commands ---- */

static int host_local_add(CniCall *c, CniResult *ret, Err *err)
{
    Pool p;
    Owned held = { .c = c };
    int r = parse_pool(c, &p, err);
    if (r < 0 || (r = open_pool(c, &p, err)) < 0)
        goto out;
    if ((r = each_lease(&p, on_owned, &held, err)) < 0)
        goto out;
    if (held.n) {
        r = err_set(err, ERR_EXISTS, 0, "container '%s' has an address for %s already",
                    c->container_id, c->ifname);
        goto out;
    }
    for (unsigned i = 0; i < p.n_sets && r == 0; i++)
        if ((r = take_next(c, &p, i, &ret->ips[ret->n_ips], err)) == 0)
            ret->n_ips++;
    held.drop = true;
    if (r < 0 && each_lease(&p, on_owned, &held, NULL) < 0)
        goto out; /* the first failure is the one to tell */
    const Value *routes = value_path(&c->config, "ipam.routes");
    if (r == 0 && value_is(routes, VALUE_LIST))
        ret->routes = *routes;
out:
    close_pool(&p);
    return r;
}

static int host_local_del(CniCall *c, Err *err)
{
    Pool p = { .dir_fd = -1, .lock_fd = -1 };
    Owned held = { .c = c, .drop = true };
    int r = open_pool(c, &p, err);
    if (r == 0)
        r = drop_damaged(c, &p, err);
    if (r == 0)
        r = each_lease(&p, on_owned, &held, err);
    close_pool(&p);
    return r;
}

static int host_local_check(CniCall *c, Err *err)
{
    Pool p = { .dir_fd = -1, .lock_fd = -1 };
    Owned held = { .c = c };
    int r = open_pool(c, &p, err);
    if (r == 0 && (r = each_lease(&p, on_owned, &held, err)) == 0 && held.n == 0)
        r = err_set(err, ERR_NOT_FOUND, 0, "host-local: no address leased to container '%s'",
                    c->container_id);
    close_pool(&p);
    return r;
}

static bool is_valid_attachment(const Value *valid, StrView id, StrView ifname)
{
    value_list_foreach (v, valid) {
        if (sv_eq(value_str(value_get(v, SV("containerID"))), id) &&
            (!ifname.len || sv_eq(value_str(value_get(v, SV("ifname"))), ifname)))
            return true;
    }
    return false;
}

static int drop_invalid(void *ctx, Pool *p, const Lease *l)
{
    return is_valid_attachment(ctx, l->id, l->ifname) ? 0 : drop(p, l->name);
}

/* Gives back the leases of everything that is not listed as valid. */
static int host_local_gc(CniCall *c, Err *err)
{
    Value *valid = value_get(&c->config, SV("cni.dev/valid-attachments"));
    Pool p = { .dir_fd = -1, .lock_fd = -1 };
    int r = open_pool(c, &p, err);
    if (r == 0)
        r = each_lease(&p, drop_invalid, valid, err);
    close_pool(&p);
    return r;
}

const CniPlugin cni_host_local = { "host-local",     host_local_add, host_local_del,
                                   host_local_check, host_local_gc,  NULL };
