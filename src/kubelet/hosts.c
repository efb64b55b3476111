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

static void dns_lines(const Value *config, Buf *out, Buf *search, Buf *options)
{
    value_list_foreach (s, value_get(config, SV("nameservers")))
        buf_printf(out, "nameserver %.*s\n", SV_FMT(value_str(s)));
    value_list_foreach (s, value_get(config, SV("searches")))
        buf_printf(search, " %.*s", SV_FMT(value_str(s)));
    value_list_foreach (o, value_get(config, SV("options"))) {
        StrView v = value_str(value_get(o, SV("value")));
        buf_printf(options, " %.*s%s%.*s", SV_FMT(value_str(value_get(o, SV("name")))),
                   v.len ? ":" : "", SV_FMT(v));
    }
}

static int write_resolv_conf(SetupJob *job, const char *dir, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT, search = BUF_INIT, options = BUF_INIT, host = BUF_INIT;
    StrView policy = value_path_str(&job->pod, "spec.dnsPolicy"),
            ns = value_path_str(&job->pod, "metadata.namespace");
    const char *zone = job->k->cfg.cluster_domain;
    bool cluster = sv_eq(policy, SV("ClusterFirstWithHostNet")) ||
                   (sv_eq(policy, SV("ClusterFirst")) && !pod_is_host_network(&job->pod));
    if (cluster) {
        buf_printf(&out, "nameserver %s\n", job->k->cfg.cluster_dns);
        buf_printf(&search, " %.*s.svc.%s svc.%s %s", SV_FMT(ns), zone, zone, zone);
        buf_sv(&options, SV(" ndots:5"));
    } else if (!sv_eq(policy, SV("None")) &&
               file_read(AT_FDCWD, "/etc/resolv.conf", 65536, &host) == 0)
        buf_sv(&out, buf_view(&host));
    dns_lines(value_path(&job->pod, "spec.dnsConfig"), &out, &search, &options);
    if (search.len)
        buf_printf(&out, "search%.*s\n", (int)search.len, search.ptr);
    if (options.len)
        buf_printf(&out, "options%.*s\n", (int)options.len, options.ptr);
    return write_file(dir, "resolv.conf", &out, err);
}

int hosts_write(SetupJob *job, const char *dir, Err *err)
{
    int r;
    if ((r = write_hosts(job, dir, err)) < 0 || (r = write_hostname(job, dir, err)) < 0)
        return r;
    return write_resolv_conf(job, dir, err);
}
