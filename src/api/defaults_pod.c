/* defaults_pod.c - defaults of pods and pod templates: containers, probes, volumes. */
#include "api/defaults_internal.h"

#include "api/kinds.h"

enum { MODE_0644 = 0644, TOKEN_SECONDS = 3600, GRACE_SECONDS = 30 };

/* Whether an image reference means the tag "latest": no tag and no digest, or that tag. */
static bool is_latest(StrView image)
{
    if (sv_find_char(image, '@') >= 0)
        return false;
    StrView name = sv_skip(image, (size_t)(sv_rfind_char(image, '/') + 1));
    ssize_t colon = sv_find_char(name, ':');
    return colon < 0 || sv_eq(sv_skip(name, (size_t)colon + 1), SV("latest"));
}

static void http_get(Defaults *d, Value *handler)
{
    Value *get = member(handler, "httpGet");

    default_text(d, get, "path", "/");
    default_text(d, get, "scheme", "HTTP");
}

static void probe(Defaults *d, Value *p)
{
    if (!value_is(p, VALUE_MAP))
        return;
    http_get(d, p);
    default_text(d, member(p, "grpc"), "service", "");
    default_int(d, p, "timeoutSeconds", 1);
    default_int(d, p, "periodSeconds", 10);
    default_int(d, p, "successThreshold", 1);
    default_int(d, p, "failureThreshold", 3);
}

static void container(Defaults *d, Value *c)
{
    Value *lifecycle = member(c, "lifecycle");

    default_text(d, c, "imagePullPolicy",
                 is_latest(value_str(member(c, "image"))) ? "Always" : "IfNotPresent");
    default_text(d, c, "terminationMessagePath", "/dev/termination-log");
    default_text(d, c, "terminationMessagePolicy", "File");
    value_list_foreach (p, member(c, "ports"))
        default_text(d, p, "protocol", "TCP");
    value_list_foreach (e, member(c, "env"))
        default_text(d, member(member(e, "valueFrom"), "fieldRef"), "apiVersion", "v1");
    probe(d, member(c, "livenessProbe"));
    probe(d, member(c, "readinessProbe"));
    probe(d, member(c, "startupProbe"));
    http_get(d, member(lifecycle, "postStart"));
    http_get(d, member(lifecycle, "preStop"));
}

static void downward_items(Defaults *d, Value *source)
{
    value_list_foreach (it, member(source, "items"))
        default_text(d, member(it, "fieldRef"), "apiVersion", "v1");
}

static void projected(Defaults *d, Value *p)
{
    default_int(d, p, "defaultMode", MODE_0644);
    value_list_foreach (s, member(p, "sources")) {
        default_int(d, member(s, "serviceAccountToken"), "expirationSeconds", TOKEN_SECONDS);
        downward_items(d, member(s, "downwardAPI"));
    }
}

static void volume(Defaults *d, Value *v)
{
    Value *template = member(member(v, "ephemeral"), "volumeClaimTemplate");

    if (value_len(v) <= 1) /* only a name: scratch space */
        default_map(d, v, "emptyDir");
    default_text(d, member(v, "hostPath"), "type", "");
    default_int(d, member(v, "configMap"), "defaultMode", MODE_0644);
    default_int(d, member(v, "secret"), "defaultMode", MODE_0644);
    default_int(d, member(v, "downwardAPI"), "defaultMode", MODE_0644);
    downward_items(d, member(v, "downwardAPI"));
    projected(d, member(v, "projected"));
    if (template)
        default_claim_spec(d, member(template, "spec"));
}

static void containers(Defaults *d, Value *spec, const char *key)
{
    value_list_foreach (c, member(spec, key))
        container(d, c);
}

static void pod_spec(Defaults *d, Value *spec)
{
    if (!value_is(spec, VALUE_MAP))
        return;
    default_text(d, spec, "dnsPolicy", "ClusterFirst");
    default_text(d, spec, "restartPolicy", "Always");
    default_map(d, spec, "securityContext");
    default_int(d, spec, "terminationGracePeriodSeconds", GRACE_SECONDS);
    default_text(d, spec, "schedulerName", "default-scheduler");
    /* The deprecated name of the service account is kept equal to the new one. */
    Value *old = member(spec, "serviceAccount"), *name = member(spec, "serviceAccountName");
    if (name && !old)
        default_value(d, spec, "serviceAccount", *name);
    else if (old && !name)
        default_value(d, spec, "serviceAccountName", *old);
    containers(d, spec, "initContainers");
    containers(d, spec, "containers");
    containers(d, spec, "ephemeralContainers");
    value_list_foreach (v, member(spec, "volumes"))
        volume(d, v);
}

/* What is limited but not requested is requested in full. */
static void requests_from_limits(Defaults *d, Value *holder)
{
    Value *resources = member(holder, "resources"), *limits = member(resources, "limits");

    if (value_len(limits) == 0)
        return;
    Value *requests = default_map(d, resources, "requests");
    value_map_foreach (m, member(resources, "limits")) {
        if (requests && !value_get(requests, m->key) &&
            !value_set(d->arena, requests, m->key, m->val))
            d->failed = true;
    }
}

static void host_ports(Defaults *d, Value *spec, const char *key)
{
    value_list_foreach (c, member(spec, key)) {
        value_list_foreach (p, member(c, "ports")) {
            Value *port = member(p, "containerPort");
            if (port)
                default_value(d, p, "hostPort", *port);
        }
    }
}

void default_pod(Defaults *d, Value *obj)
{
    Value *spec = member(obj, "spec");

    pod_spec(d, spec);
    default_bool(d, spec, "enableServiceLinks", true);
    value_list_foreach (c, member(spec, "containers"))
        requests_from_limits(d, c);
    value_list_foreach (c, member(spec, "initContainers"))
        requests_from_limits(d, c);
    if (value_bool_or(member(spec, "hostNetwork"), false)) {
        host_ports(d, spec, "containers");
        host_ports(d, spec, "initContainers");
    }
}

void default_pod_template(Defaults *d, Value *spec)
{
    pod_spec(d, member(member(spec, "template"), "spec"));
}
