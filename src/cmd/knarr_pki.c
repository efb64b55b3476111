/* knarr_pki.c - knarr-pki makes the keys, certificates and kubeconfigs of a one-node cluster where
 * they are missing, not valid now or near their end; nothing else is written, so that a start works
 * on a full disk. The authority's and the tokens' keys are never made again. A program of its own,
 * so that no other process ever reads the authority's key. What it made for a role it says on
 * standard output, a line with the role's name for each.
 *
 * Each role's files lie in pki/ROLE, readable by the role's user only. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/clock.h"
#include "cmd/clock_check.h"
#include "cmd/cluster.h"
#include "cmd/flags.h"
#include "net/pki.h"

enum {
    PEM_MAX = 65536,
    DAY = 86400,
    CA_LIFETIME = 3650 * DAY,
};

typedef struct Pki {
    const Cluster *c;
    int64_t lifetime_sec; /* of all but the authority */
    bool ignore_clock, running;
    Buf ca_cert, ca_key;
} Pki;

static int read_file(const Cluster *c, const char *name, Buf *out, Err *err)
{
    char path[PATH_MAX];
    int r = file_read(AT_FDCWD, cluster_path(c, path, "pki/%s", name), PEM_MAX, out);
    return r < 0 ? err_neg(err, r, "read '%s'", path) : 0;
}

static bool holds(const char *path, StrView data)
{
    _cleanup_buf_ Buf have = BUF_INIT;
    return path_exists(AT_FDCWD, path) && file_read(AT_FDCWD, path, PEM_MAX, &have) == 0 &&
           sv_eq(buf_view(&have), data);
}

static int write_file(const Cluster *c, const char *name, StrView data, mode_t mode, uid_t uid,
                      Err *err)
{
    char path[PATH_MAX];
    int r = 0;
    cluster_path(c, path, "pki/%s", name);
    if (!holds(path, data))
        r = file_write_atomic(AT_FDCWD, path, data, mode, true);
    if (r == 0 && chown(path, uid, uid) < 0)
        r = -errno;
    return r < 0 ? err_neg(err, r, "write '%s'", path) : 0;
}

static bool exists(const Cluster *c, const char *name)
{
    char path[PATH_MAX];
    return path_exists(AT_FDCWD, cluster_path(c, path, "pki/%s", name));
}

static int make_ca(Pki *p, Err *err)
{
    _cleanup_buf_ Buf key = BUF_INIT, cert = BUF_INIT;
    int r;
    if ((r = pki_new_key(&key, err)) < 0 ||
        (r = pki_new_ca(buf_view(&key), "knarr-ca", CA_LIFETIME, &cert, err)) < 0 ||
        (r = write_file(p->c, "ca.key", buf_view(&key), 0600, 0, err)) < 0)
        return r;
    return write_file(p->c, "ca.crt", buf_view(&cert), 0644, 0, err);
}

/* ERR_TIMEOUT: the clock cannot be true, and is not to be ignored. */
static int check_clock(const Pki *p, Err *err)
{
    _cleanup_buf_ Buf why = BUF_INIT;
    if (!clock_is_wrong(p->c, buf_view(&p->ca_cert), time(NULL), p->running, &why))
        return 0;
    if (!p->ignore_clock)
        return err_set(err, ERR_TIMEOUT, 0, "%.*s; set the clock, or use --ignore-clock",
                       SV_FMT(buf_view(&why)));
    fprintf(stderr, "%.*s, ignoring\n", SV_FMT(buf_view(&why)));
    return 0;
}

/* What everybody trusts is made once. Where there is a state, one that is missing was lost: others
 * still use it. A folder without any of them was removed to get new ones. */
static int check_lost(const Cluster *c, Err *err)
{
    static const char *const names[] = { "ca.crt", "ca.key", "server/sa.key", "admin.crt" };
    enum { NEEDED = 3 };
    char path[PATH_MAX];
    const char *lost = NULL;
    unsigned there = 0;
    if (!path_exists(AT_FDCWD, cluster_path(c, path, "store/state.db")))
        return 0;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (exists(c, names[i]))
            there++;
        else if (!lost && i < NEEDED)
            lost = names[i];
    if (lost && there)
        return err_set(err, ERR_NOT_FOUND, 0,
                       "'%s/pki/%s' is missing; bring it back with `knarr restore`, or remove "
                       "'%s/pki' for a new authority: certificates and tokens that were given out "
                       "are then worth nothing",
                       c->dir, lost, c->dir);
    if (lost)
        fprintf(stderr,
                "'%s/pki' was empty: certificates and tokens that were given out are worth nothing "
                "from now on\n",
                c->dir);
    return 0;
}

static int bad_file(const Cluster *c, const char *name, Err *err)
{
    return err_wrap(err, "'%s/pki/%s' (bring it back with `knarr restore`)", c->dir, name);
}

static int load_ca(Pki *p, Err *err)
{
    int r;
    if ((r = read_file(p->c, "ca.crt", &p->ca_cert, err)) < 0)
        return r;
    return pki_check_ca(buf_view(&p->ca_cert), err) < 0 ? bad_file(p->c, "ca.crt", err) : 0;
}

static int load_ca_key(Pki *p, Err *err)
{
    int r;
    if ((r = read_file(p->c, "ca.key", &p->ca_key, err)) < 0)
        return r;
    if (pki_check_key(buf_view(&p->ca_key), err) < 0)
        return bad_file(p->c, "ca.key", err);
    if (pki_check_pair(buf_view(&p->ca_cert), buf_view(&p->ca_key), err) < 0)
        return bad_file(p->c, "ca.crt", err);
    return 0;
}

static int ensure_ca(Pki *p, Err *err)
{
    bool there = exists(p->c, "ca.crt");
    int r;
    if ((there && (r = load_ca(p, err)) < 0) || (r = check_clock(p, err)) < 0 ||
        (r = check_lost(p->c, err)) < 0)
        return r;
    if (!there && ((r = make_ca(p, err)) < 0 || (r = load_ca(p, err)) < 0))
        return r;
    return load_ca_key(p, err);
}

static int ensure_folder(const Cluster *c, RoleId id, Err *err)
{
    char path[PATH_MAX];
    int r = mkdir_p(AT_FDCWD, cluster_path(c, path, "pki/%s", role_names[id]), 0700);
    if (r == 0 && chown(path, role_uid(c, id), role_uid(c, id)) < 0)
        r = -errno;
    return r < 0 ? err_neg(err, r, "make '%s'", path) : 0;
}

static bool still_good(const Pki *p, const char *cert_name, const char *key_name,
                       const PkiSubject *subject)
{
    _cleanup_buf_ Buf cert = BUF_INIT, key = BUF_INIT;
    return exists(p->c, cert_name) && exists(p->c, key_name) &&
           read_file(p->c, cert_name, &cert, NULL) == 0 &&
           read_file(p->c, key_name, &key, NULL) == 0 &&
           pki_still_good(buf_view(&cert), buf_view(&key), buf_view(&p->ca_cert), subject,
                          time(NULL));
}

static int ensure_leaf(Pki *p, RoleId id, const char *name, const PkiSubject *subject, Err *err)
{
    char cert_name[128], key_name[128];
    snprintf(cert_name, sizeof cert_name, "%s/%s.crt", role_names[id], name);
    snprintf(key_name, sizeof key_name, "%s/%s.key", role_names[id], name);
    if (still_good(p, cert_name, key_name, subject))
        return 0;
    _cleanup_buf_ Buf key = BUF_INIT, cert = BUF_INIT;
    uid_t uid = role_uid(p->c, id);
    int r;
    if ((r = pki_new_key(&key, err)) < 0 ||
        (r = pki_issue(buf_view(&p->ca_cert), buf_view(&p->ca_key), buf_view(&key), subject, &cert,
                       err)) < 0 ||
        (r = write_file(p->c, key_name, buf_view(&key), 0600, uid, err)) < 0)
        return r;
    if ((r = write_file(p->c, cert_name, buf_view(&cert), 0644, uid, err)) == 0)
        printf("%s\n", role_names[id]);
    return r;
}

/* A kubeconfig that names the role's certificate files. */
static int write_kubeconfig(Pki *p, RoleId id, const char *config, const char *cert, Err *err)
{
    char name[128];
    const Cluster *c = p->c;
    _cleanup_buf_ Buf text = BUF_INIT;
    buf_printf(&text,
               "apiVersion: v1\nkind: Config\nclusters:\n- name: knarr\n  cluster:\n"
               "    server: https://127.0.0.1:%u\n    certificate-authority: %s/pki/ca.crt\n",
               c->opt.api_port, c->dir);
    buf_printf(&text,
               "users:\n- name: %s\n  user:\n    client-certificate: %s/pki/%s/%s.crt\n"
               "    client-key: %s/pki/%s/%s.key\n",
               role_names[id], c->dir, role_names[id], cert, c->dir, role_names[id], cert);
    buf_printf(
        &text,
        "contexts:\n- name: knarr\n  context:\n    cluster: knarr\n    user: %s\ncurrent-context: knarr\n",
        role_names[id]);
    if (text.failed)
        return err_nomem(err);
    snprintf(name, sizeof name, "%s/%s", role_names[id], config);
    return write_file(c, name, buf_view(&text), 0600, role_uid(c, id), err);
}

static int ensure_role_client(Pki *p, RoleId id, const char *user, const char *org,
                              const char *file, const char *config, Err *err)
{
    const char *const orgs[] = { org, NULL };
    PkiSubject subject = { .common_name = user,
                           .orgs = org ? orgs : NULL,
                           .use = PKI_CLIENT,
                           .lifetime_sec = p->lifetime_sec };
    int r = ensure_leaf(p, id, file, &subject, err);
    return r < 0 || !config ? r : write_kubeconfig(p, id, config, file, err);
}

static int ensure_serving(Pki *p, Err *err)
{
    const Cluster *c = p->c;
    const char *const server_sans[] = { "kubernetes",
                                        "kubernetes.default",
                                        "kubernetes.default.svc",
                                        "kubernetes.default.svc.cluster.local",
                                        "localhost",
                                        c->node_name,
                                        "127.0.0.1",
                                        c->node_ip,
                                        c->api_ip,
                                        c->gateway,
                                        NULL };
    const char *const node_sans[] = { c->node_name, "localhost", "127.0.0.1",
                                      c->node_ip,   c->gateway,  NULL };
    char node_user[sizeof c->node_name + sizeof "system:node:"];
    snprintf(node_user, sizeof node_user, "system:node:%.*s", NODE_NAME_MAX, c->node_name);
    const char *const nodes[] = { "system:nodes", NULL };
    PkiSubject server = { "kube-apiserver", NULL, server_sans, PKI_SERVER, p->lifetime_sec };
    PkiSubject node = { node_user, nodes, node_sans, PKI_SERVER, p->lifetime_sec };
    int r = ensure_leaf(p, ROLE_SERVER, "serving", &server, err);
    return r < 0 ? r : ensure_leaf(p, ROLE_NODE, "serving", &node, err);
}

static int ensure_token_key(Pki *p, Err *err)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    int r;
    if (exists(p->c, "server/sa.key")) {
        if ((r = read_file(p->c, "server/sa.key", &key, err)) < 0)
            return r;
        r = pki_check_key(buf_view(&key), err);
        if (key.ptr)
            explicit_bzero(key.ptr, key.len);
        return r < 0 ? bad_file(p->c, "server/sa.key", err) : 0;
    }
    r = pki_new_key(&key, err);
    return r < 0 ? r
                 : write_file(p->c, "server/sa.key", buf_view(&key), 0600,
                              role_uid(p->c, ROLE_SERVER), err);
}

static void b64(Buf *out, StrView pem)
{
    base64_encode(BASE64_STD, pem, out);
}

/* The administrator's kubeconfig carries its certificate: it can be copied away on its own. */
static int write_admin(Pki *p, Err *err)
{
    char path[PATH_MAX];
    const Cluster *c = p->c;
    const char *const masters[] = { "system:masters", NULL };
    const PkiSubject subject = { "kubernetes-admin", masters, NULL, PKI_CLIENT, p->lifetime_sec };
    _cleanup_buf_ Buf key = BUF_INIT, cert = BUF_INIT, text = BUF_INIT;
    int r;
    if (!still_good(p, "admin.crt", "admin.key", &subject)) {
        if ((r = pki_new_key(&key, err)) < 0 ||
            (r = pki_issue(buf_view(&p->ca_cert), buf_view(&p->ca_key), buf_view(&key), &subject,
                           &cert, err)) < 0 ||
            (r = write_file(c, "admin.key", buf_view(&key), 0600, 0, err)) < 0 ||
            (r = write_file(c, "admin.crt", buf_view(&cert), 0600, 0, err)) < 0)
            return r;
    } else if ((r = read_file(c, "admin.key", &key, err)) < 0 ||
               (r = read_file(c, "admin.crt", &cert, err)) < 0)
        return r;
    buf_printf(
        &text,
        "apiVersion: v1\nkind: Config\nclusters:\n- name: %s\n  cluster:\n    server: https://127.0.0.1:%u\n"
        "    certificate-authority-data: ",
        c->instance, c->opt.api_port);
    b64(&text, buf_view(&p->ca_cert));
    buf_printf(&text, "\nusers:\n- name: admin\n  user:\n    client-certificate-data: ");
    b64(&text, buf_view(&cert));
    buf_printf(&text, "\n    client-key-data: ");
    b64(&text, buf_view(&key));
    buf_printf(
        &text,
        "\ncontexts:\n- name: %s\n  context:\n    cluster: %s\n    user: admin\ncurrent-context: %s\n",
        c->instance, c->instance, c->instance);
    if (text.failed)
        return err_nomem(err);
    cluster_path(c, path, "admin.kubeconfig");
    if (holds(path, buf_view(&text)))
        return 0;
    r = file_write_atomic(AT_FDCWD, path, buf_view(&text), 0600, true);
    return r < 0 ? err_neg(err, r, "write '%s'", path) : 0;
}

static int make_all(Pki *p, Err *err)
{
    char node_user[sizeof p->c->node_name + sizeof "system:node:"];
    snprintf(node_user, sizeof node_user, "system:node:%.*s", NODE_NAME_MAX, p->c->node_name);
    int r = ensure_ca(p, err);
    for (int id = 0; id < ROLE_MAX && r == 0; id++)
        r = ensure_folder(p->c, (RoleId)id, err);
    if (r < 0 || (r = ensure_token_key(p, err)) < 0 || (r = ensure_serving(p, err)) < 0 ||
        (r = ensure_role_client(p, ROLE_SERVER, "kube-apiserver-kubelet-client", NULL,
                                "kubelet-client", NULL, err)) < 0 ||
        (r = ensure_role_client(p, ROLE_CONTROLLER, "system:kube-controller-manager", NULL,
                                "client", "kubeconfig", err)) < 0 ||
        (r = ensure_role_client(p, ROLE_SCHEDULER, "system:kube-scheduler", NULL, "client",
                                "kubeconfig", err)) < 0 ||
        (r = ensure_role_client(p, ROLE_NODE, node_user, "system:nodes", "client", "kubeconfig",
                                err)) < 0 ||
        (r = ensure_role_client(p, ROLE_NODE, "system:kube-proxy", NULL, "proxy",
                                "proxy.kubeconfig", err)) < 0 ||
        (r = ensure_role_client(p, ROLE_DNS, "system:kube-dns", NULL, "client", "kubeconfig",
                                err)) < 0)
        return r;
    return write_admin(p, err);
}

static int run(const ClusterOptions *opt, Pki *p, Err *err)
{
    Cluster c;
    int r = cluster_init(opt, &c, err);
    p->c = &c;
    if (r == 0)
        r = make_all(p, err);
    p->c = NULL;
    buf_free(&p->ca_cert);
    if (p->ca_key.ptr)
        explicit_bzero(p->ca_key.ptr, p->ca_key.len);
    buf_free(&p->ca_key);
    return r;
}

int main(int argc, char **argv)
{
    ClusterOptions opt = { .api_port = 6443 };
    FlagAmount lifetime = { "8760h", INT64_C(8760) * 3600 * NSEC_PER_SEC };
    Pki p = { 0 };
    const Flag flags[] = {
        { "data-dir", FLAG_TEXT, &opt.data_dir, "DIR", "where the cluster lives", true },
        { "api-port", FLAG_PORT, &opt.api_port, "N", "port of the API server (6443)" },
        { "pod-cidr", FLAG_TEXT, &opt.pod_cidr, "CIDR", "addresses of pods", true },
        { "service-cidr", FLAG_TEXT, &opt.service_cidr, "CIDR", "addresses of Services", true },
        { "certificate-lifetime", FLAG_AMOUNT, &lifetime, "DURATION",
          "how long certificates are valid; made anew after two thirds of it",
          .parse = certificate_lifetime_parse },
        { "ignore-clock", FLAG_ON, &p.ignore_clock, NULL,
          "go on although the clock cannot be true" },
        { "running", FLAG_ON, &p.running, NULL,
          "the cluster runs: the clock may have been set back behind its store" },
    };
    const FlagSet set = {
        .program = "knarr-pki",
        .about = "Makes the keys, certificates and kubeconfigs that are missing or near their end.",
        .flags = flags,
        .len = ARRAY_SIZE(flags)
    };
    int r = flags_parse(&set, argc, argv, NULL);
    if (r != FLAGS_OK)
        return r;
    Err err = { 0 };
    p.lifetime_sec = lifetime.value / NSEC_PER_SEC;
    r = run(&opt, &p, &err);
    if (r < 0)
        fprintf(stderr, "%s\n", err.msg);
    return r == -ERR_TIMEOUT ? PKI_EXIT_CLOCK : r < 0 ? 1 : 0;
}
