/* hosts.c - names: the pod's host name, and the files by which its containers look names up. */
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "kubelet/internal.h"

enum { HOSTNAME_MAX = 64, LABEL_MAX = 63, HOSTS_MAX = 1024 * 1024 };

static StrView short_hostname(const Value *pod)
{
    StrView override = value_path_str(pod, "spec.hostnameOverride");
    StrView own = value_path_str(pod, "spec.hostname");
    if (override.len)
        return sv_head(override, HOSTNAME_MAX);
    StrView name = sv_head(own.len ? own : value_path_str(pod, "metadata.name"), LABEL_MAX);
    while (name.len && (name.ptr[name.len - 1] == '-' || name.ptr[name.len - 1] == '.'))
        name.len--;
    return name;
}

/* "web.db.prod.svc.cluster.local" for a pod with a subdomain; empty without one. */
static StrView full_hostname(SetupJob *job)
{
    const Value *pod = &job->pod;
    StrView sub = value_path_str(pod, "spec.subdomain");
    if (!sub.len || value_path_str(pod, "spec.hostnameOverride").len)
        return SV("");
    return arena_printf(&job->arena, "%.*s.%.*s.%.*s.svc.%s", SV_FMT(short_hostname(pod)),
                        SV_FMT(sub), SV_FMT(value_path_str(pod, "metadata.namespace")),
                        job->k->cfg.cluster_domain);
}

int pod_hostname(SetupJob *job, const char **ret, Err *err)
{
    StrView name = short_hostname(&job->pod), full = full_hostname(job);
    if (value_bool_or(value_path(&job->pod, "spec.setHostnameAsFQDN"), false) && full.len) {
        if (full.len > HOSTNAME_MAX)
            return err_set(err, ERR_LIMIT, 0,
                           "failed to construct FQDN from pod hostname and cluster domain, FQDN "
                           "%.*s is too long (%d characters is the max, %zu characters requested)",
                           SV_FMT(sv_head(full, 200)), HOSTNAME_MAX, full.len);
        name = full;
    }
    const char *text = arena_cstr(&job->arena, name);
    if (!text)
        return err_nomem(err);
    *ret = text;
    return 0;
}

static int write_file(const char *dir, const char *name, const Buf *text, Err *err)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int r = text->failed ? -ENOMEM : file_write(AT_FDCWD, path, buf_view(text), 0644);
    return r < 0 ? err_neg(err, r, "write '%s'", path) : 0;
}

static void own_hosts(SetupJob *job, Buf *out)
{
    StrView full = full_hostname(job);
    buf_sv(out, SV("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"
                   "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
                   "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"));
    if (job->pod_ip[0])
        buf_printf(out, "%s\t%.*s%s%.*s\n", job->pod_ip, SV_FMT(full), full.len ? "\t" : "",
                   SV_FMT(short_hostname(&job->pod)));
}

static int write_hosts(SetupJob *job, const char *dir, Err *err)
{
    _cleanup_buf_ Buf hosts = BUF_INIT, node = BUF_INIT;
    const Value *aliases = value_path(&job->pod, "spec.hostAliases");
    if (!pod_is_host_network(&job->pod))
        own_hosts(job, &hosts);
    else {
        buf_sv(&hosts, SV("# Kubernetes-managed hosts file (host network).\n"));
        if (file_read(AT_FDCWD, "/etc/hosts", HOSTS_MAX, &node) == 0)
            buf_sv(&hosts, buf_view(&node));
    }
    if (value_len(aliases))
        buf_sv(&hosts, SV("\n# Entries added by HostAliases.\n"));
    value_list_foreach (alias, aliases) {
        buf_sv(&hosts, value_str(value_get(alias, SV("ip"))));
        value_list_foreach (name, value_get(alias, SV("hostnames")))
            buf_printf(&hosts, "\t%.*s", SV_FMT(value_str(name)));
        buf_putc(&hosts, '\n');
    }
    return write_file(dir, "hosts", &hosts, err);
}

static int write_hostname(SetupJob *job, const char *dir, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    struct utsname u;
    uname(&u);
    const char *name = u.nodename;
    int r = pod_is_host_network(&job->pod) ? 0 : pod_hostname(job, &name, err);
    if (r < 0)
        return r;
    buf_printf(&text, "%s\n", name);
    return write_file(dir, "hostname", &text, err);
}

/* resolv.conf in parts: lists of texts, in the arena of the job. */
typedef struct Resolver {
    Arena *a;
    Value servers, searches, options;
    bool failed; /* out of memory */
} Resolver;

static void add(Resolver *r, Value *list, StrView what)
{
    StrView copy = arena_sv(r->a, what);
    r->failed |= !copy.ptr || !value_push(r->a, list, value_sv(copy));
}

enum { NAMESERVERS_MAX = 3 }; /* resolv.conf(5): MAXNS; further ones are never asked */

static void add_once(Resolver *r, Value *list, StrView what)
{
    value_list_foreach (v, list) {
        if (sv_eq(value_str(v), what))
            return;
    }
    if (what.len)
        add(r, list, what);
}

static StrView option_name(StrView option)
{
    StrView name, rest;
    return sv_cut(option, ':', &name, &rest) ? name : option;
}

/* One of the same name is replaced: resolvers differ in which of two they heed. */
static void set_option(Resolver *r, StrView option)
{
    Value kept = value_list();
    value_list_foreach (v, &r->options)
        if (!sv_eq(option_name(value_str(v)), option_name(option)))
            r->failed |= !value_push(r->a, &kept, *v);
    r->options = kept;
    add(r, &r->options, option);
}

static bool next_word(StrView *rest, StrView *ret)
{
    size_t n = 0;
    *rest = sv_trim(*rest);
    while (n < rest->len && rest->ptr[n] != ' ' && rest->ptr[n] != '\t')
        n++;
    *ret = sv_head(*rest, n);
    *rest = sv_skip(*rest, n);
    return n > 0;
}

static void read_line(Resolver *r, StrView line)
{
    StrView keyword = SV_NULL, word;
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] == '#' || line.ptr[i] == ';')
            line = sv_head(line, i);
    while (next_word(&line, &word))
        if (!keyword.len) {
            keyword = word;
            if (sv_eq(keyword, SV("search"))) /* the last such line counts */
                r->searches = value_list();
        } else if (sv_eq(keyword, SV("nameserver")))
            add_once(r, &r->servers, word);
        else if (sv_eq(keyword, SV("search")))
            add_once(r, &r->searches, word);
        else if (sv_eq(keyword, SV("options")))
            set_option(r, word);
}

static void read_host(Resolver *r)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    if (file_read(AT_FDCWD, "/etc/resolv.conf", 65536, &text) < 0)
        return;
    StrView rest = buf_view(&text), line;
    while (sv_next(&rest, '\n', &line))
        read_line(r, line);
}

/* The cluster's names first; the machine's own are tried after them. */
static void use_cluster(Resolver *r, const KubeletConfig *cfg, StrView ns)
{
    Value own = r->searches;
    const char *zone = cfg->cluster_domain;
    r->servers = r->searches = r->options = value_list();
    add_once(r, &r->servers, sv_cstr(cfg->cluster_dns));
    add_once(r, &r->searches, arena_printf(r->a, "%.*s.svc.%s", SV_FMT(ns), zone));
    add_once(r, &r->searches, arena_printf(r->a, "svc.%s", zone));
    add_once(r, &r->searches, sv_cstr(zone));
    value_list_foreach (s, &own)
        add_once(r, &r->searches, value_str(s));
    set_option(r, SV("ndots:5"));
}

static void use_config(Resolver *r, const Value *config)
{
    value_list_foreach (s, value_get(config, SV("nameservers")))
        add_once(r, &r->servers, value_str(s));
    value_list_foreach (s, value_get(config, SV("searches")))
        add_once(r, &r->searches, value_str(s));
    value_list_foreach (o, value_get(config, SV("options"))) {
        StrView v = value_str(value_get(o, SV("value")));
        set_option(r, arena_printf(r->a, "%.*s%s%.*s", SV_FMT(value_str(value_get(o, SV("name")))),
                                   v.len ? ":" : "", SV_FMT(v)));
    }
}

static void put_words(Buf *out, const char *keyword, const Value *list)
{
    if (!value_len(list))
        return;
    buf_sv(out, sv_cstr(keyword));
    value_list_foreach (v, list)
        buf_printf(out, " %.*s", SV_FMT(value_str(v)));
    buf_putc(out, '\n');
}

/* As Kubernetes merges the machine's file, the cluster's settings and the pod's dnsConfig. */
static int write_resolv_conf(SetupJob *job, const char *dir, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    StrView policy = value_path_str(&job->pod, "spec.dnsPolicy");
    bool cluster = sv_eq(policy, SV("ClusterFirstWithHostNet")) ||
                   (sv_eq(policy, SV("ClusterFirst")) && !pod_is_host_network(&job->pod));
    Resolver r = { &job->arena, value_list(), value_list(), value_list(), false };
    if (!sv_eq(policy, SV("None")))
        read_host(&r);
    if (cluster)
        use_cluster(&r, &job->k->cfg, value_path_str(&job->pod, "metadata.namespace"));
    use_config(&r, value_path(&job->pod, "spec.dnsConfig"));
    if (r.failed)
        return err_nomem(err);
    unsigned n = 0;
    value_list_foreach (s, &r.servers)
        if (n++ < NAMESERVERS_MAX)
            buf_printf(&out, "nameserver %.*s\n", SV_FMT(value_str(s)));
    put_words(&out, "search", &r.searches);
    put_words(&out, "options", &r.options);
    return write_file(dir, "resolv.conf", &out, err);
}

int hosts_write(SetupJob *job, const char *dir, Err *err)
{
    int r;
    if ((r = write_hosts(job, dir, err)) < 0 || (r = write_hostname(job, dir, err)) < 0)
        return r;
    return write_resolv_conf(job, dir, err);
}
