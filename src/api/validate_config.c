/* validate_config.c - config maps, secrets, storage, nodes, leases, priorities. */
#include "api/quantity.h"
#include "api/validate_internal.h"
#include "base/encode.h"

enum { CONFIG_MAX = 1024 * 1024, PRIORITY_USER_MAX = 1000000000 };

/* Keys of one map and the bytes of its values. */
static size_t check_data(ApiErrors *e, const char *field, const Value *data, bool encoded)
{
    ApiPath p = API_FIELD_SV(NULL, sv_cstr(field));
    size_t total = 0;

    value_map_foreach (m, data) {
        ApiPath at = API_KEY(&p, m->key);
        check_name(e, &at, m->key, name_config_key);
        size_t n = value_str(&m->val).len;
        total += encoded ? n / 4 * 3 : n;
    }
    return total;
}

static void check_frozen(ApiErrors *e, const Value *obj, const Value *old,
                         const char *const *fields, size_t n)
{
    ApiPath flag = API_FIELD(NULL, "immutable");

    if (!truth(old, "immutable"))
        return;
    if (!truth(obj, "immutable"))
        api_forbidden(e, &flag, "field is immutable when `immutable` is set");
    for (size_t i = 0; i < n; i++) {
        ApiPath at = API_FIELD_SV(NULL, sv_cstr(fields[i]));
        if (!same(get(obj, fields[i]), get(old, fields[i])))
            api_forbidden(e, &at, "field is immutable when `immutable` is set");
    }
}

void validate_config_map(const Value *obj, const Value *old, ApiErrors *e)
{
    static const char *const fields[] = { "data", "binaryData" };
    ApiPath whole = API_FIELD(NULL, ""), data = API_FIELD(NULL, "data");
    size_t total = check_data(e, "data", get(obj, "data"), false) +
                   check_data(e, "binaryData", get(obj, "binaryData"), true);
    Twins binary = { .errors = e };

    value_map_foreach (m, get(obj, "binaryData"))
        is_twin(&binary, m->key);
    value_map_foreach (m, get(obj, "data")) {
        ApiPath at = API_KEY(&data, m->key);
        if (twin_known(&binary, m->key))
            api_invalid(e, &at, value_sv(m->key), "duplicate of key present in binaryData");
    }
    if (total > CONFIG_MAX)
        api_too_long(e, &whole, CONFIG_MAX);
    if (old)
        check_frozen(e, obj, old, fields, ARRAY_SIZE(fields));
}

/* A key that secrets of a type must have. */
static void check_secret_key(ApiErrors *e, const Value *obj, const char *key)
{
    ApiPath data = API_FIELD(NULL, "data"), at = API_KEY(&data, sv_cstr(key));

    if (!get(get(obj, "data"), key))
        api_required(e, &at, "");
}

static void check_secret_type(ApiErrors *e, const Value *obj)
{
    static const struct {
        StrView type;
        const char *keys[2];
    } types[] = {
        { SV_INIT("kubernetes.io/dockercfg"), { ".dockercfg" } },
        { SV_INIT("kubernetes.io/dockerconfigjson"), { ".dockerconfigjson" } },
        { SV_INIT("kubernetes.io/ssh-auth"), { "ssh-privatekey" } },
        { SV_INIT("kubernetes.io/tls"), { "tls.crt", "tls.key" } },
    };
    ApiPath meta = API_FIELD(NULL, "metadata"), annotations = API_FIELD(&meta, "annotations");
    ApiPath account = API_KEY(&annotations, SV("kubernetes.io/service-account.name"));
    const Value *data = get(obj, "data");
    StrView type = text(obj, "type");

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        for (size_t k = 0; k < 2 && types[i].keys[k] && sv_eq(types[i].type, type); k++)
            check_secret_key(e, obj, types[i].keys[k]);
    }
    if (sv_eq(type, SV("kubernetes.io/basic-auth")) && !get(data, "username") &&
        !get(data, "password")) {
        check_secret_key(e, obj, "username");
        check_secret_key(e, obj, "password");
    }
    if (sv_eq(type, SV("kubernetes.io/service-account-token")) &&
        text(get(get(obj, "metadata"), "annotations"), "kubernetes.io/service-account.name").len ==
            0)
        api_required(e, &account, "");
}

void validate_secret(const Value *obj, const Value *old, ApiErrors *e)
{
    static const char *const fields[] = { "data" };
    ApiPath data = API_FIELD(NULL, "data");

    if (check_data(e, "data", get(obj, "data"), true) > CONFIG_MAX)
        api_too_long(e, &data, CONFIG_MAX);
    check_secret_type(e, obj);
    if (!old)
        return;
    check_immutable(e, NULL, obj, old, "type");
    check_frozen(e, obj, old, fields, ARRAY_SIZE(fields));
}

static void check_access_modes(ApiErrors *e, const ApiPath *p, const Value *spec)
{
    static const StrView modes[] = { SV_INIT("ReadOnlyMany"), SV_INIT("ReadWriteMany"),
                                     SV_INIT("ReadWriteOnce"), SV_INIT("ReadWriteOncePod") };
    ApiPath at = API_FIELD(p, "accessModes");

    if (count(spec, "accessModes") == 0)
        api_required(e, &at, "at least 1 access mode is required");
    value_list_foreach (m, get(spec, "accessModes")) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
            known = known || sv_eq(modes[i], value_str(m));
        if (!known)
            api_not_supported(e, &at, *m, modes, ARRAY_SIZE(modes));
    }
}

/* A claim's size and attributes class may change later; the volume's name is filled in once. */
static bool claim_unchanged(Arena *a, const Value *spec, const Value *old)
{
    Value x, y;

    if (!value_clone(a, spec, &x) || !value_clone(a, old, &y))
        return true;
    value_del(&x, SV("resources"));
    value_del(&y, SV("resources"));
    value_del(&x, SV("volumeAttributesClassName"));
    value_del(&y, SV("volumeAttributesClassName"));
    if (text(old, "volumeName").len == 0)
        value_del(&x, SV("volumeName"));
    return value_equal(&x, &y);
}

void validate_claim(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec"), *requests = get(get(spec, "resources"), "requests");
    ApiPath p = API_FIELD(NULL, "spec"), resources = API_FIELD(&p, "resources");
    ApiPath size = API_KEY(&resources, SV("storage")), class = API_FIELD(&p, "storageClassName");
    ApiQuantity q;

    check_access_modes(e, &p, spec);
    if (!get(requests, "storage"))
        api_required(e, &size, "");
    else if (api_quantity_from(get(requests, "storage"), &q, NULL) == 0 && q.nano <= 0)
        api_invalid(e, &size, *get(requests, "storage"), "must be greater than zero");
    if (text(spec, "storageClassName").len > 0)
        check_name(e, &class, text(spec, "storageClassName"), name_dns1123_subdomain);
    if (old && !claim_unchanged(e->arena, spec, get(old, "spec")))
        api_forbidden(e, &p,
                      "spec is immutable after creation except resources.requests and "
                      "volumeAttributesClassName for bound claims");
}

void validate_volume(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView policies[] = { SV_INIT("Delete"), SV_INIT("Recycle"), SV_INIT("Retain") };
    static const char *const plain[] = { "capacity",
                                         "accessModes",
                                         "claimRef",
                                         "nodeAffinity",
                                         "persistentVolumeReclaimPolicy",
                                         "storageClassName",
                                         "mountOptions",
                                         "volumeMode",
                                         "volumeAttributesClassName" };
    const Value *spec = get(obj, "spec");
    ApiPath p = API_FIELD(NULL, "spec"), capacity = API_FIELD(&p, "capacity");
    unsigned sources = 0;

    check_access_modes(e, &p, spec);
    if (count(spec, "capacity") == 0)
        api_required(e, &capacity, "");
    check_one_of(e, &p, spec, "persistentVolumeReclaimPolicy", policies, ARRAY_SIZE(policies),
                 false);
    value_map_foreach (m, spec) {
        bool is_source = true;
        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
            is_source = is_source && !sv_eq(m->key, sv_cstr(plain[i]));
        ApiPath at = API_FIELD_SV(&p, m->key);
        if (is_source && sources++ > 0)
            api_forbidden(e, &at, "may not specify more than 1 volume type");
    }
    if (sources == 0)
        api_required(e, &p, "must specify a volume type");
}

void validate_node(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec"), *was = get(old, "spec");
    ApiPath p = API_FIELD(NULL, "spec"), cidrs = API_FIELD(&p, "podCIDRs");
    ApiPath provider = API_FIELD(&p, "providerID");

    if (!old)
        return;
    if (count(was, "podCIDRs") > 0 && !same(get(spec, "podCIDRs"), get(was, "podCIDRs")))
        api_forbidden(e, &cidrs, "node updates may not change podCIDR except from \"\" to valid");
    if (text(was, "providerID").len > 0 && !same(get(spec, "providerID"), get(was, "providerID")))
        api_forbidden(e, &provider,
                      "node updates may not change providerID except from \"\" to valid");
}

void validate_lease(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec"), *seconds = get(spec, "leaseDurationSeconds");
    ApiPath p = API_FIELD(NULL, "spec"), at = API_FIELD(&p, "leaseDurationSeconds");
    ApiPath holder = API_FIELD(&p, "holderIdentity");

    if (seconds && number(spec, "leaseDurationSeconds") <= 0)
        api_invalid(e, &at, *seconds, "must be greater than 0");
    check_not_negative(e, &p, spec, "leaseTransitions");
    if (get(spec, "holderIdentity") && text(spec, "holderIdentity").len == 0)
        api_required(e, &holder, "");
}

void validate_priority_class(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView policies[] = { SV_INIT("Never"), SV_INIT("PreemptLowerPriority") };
    ApiPath value = API_FIELD(NULL, "value");
    bool system = sv_starts(text(get(obj, "metadata"), "name"), SV("system-"));

    if (!system && number(obj, "value") > PRIORITY_USER_MAX)
        api_forbidden(e, &value, "maximum allowed value of a user defined priority is %d",
                      PRIORITY_USER_MAX);
    check_one_of(e, NULL, obj, "preemptionPolicy", policies, ARRAY_SIZE(policies), false);
    if (old && number(obj, "value") != number(old, "value"))
        api_forbidden(e, &value, "may not be changed in an update.");
}

void validate_storage_class(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView reclaim[] = { SV_INIT("Delete"), SV_INIT("Retain") };
    static const StrView binding[] = { SV_INIT("Immediate"), SV_INIT("WaitForFirstConsumer") };
    static const char *const fixed[] = { "parameters", "provisioner", "reclaimPolicy",
                                         "volumeBindingMode" };

    check_required_text(e, NULL, obj, "provisioner");
    check_one_of(e, NULL, obj, "reclaimPolicy", reclaim, ARRAY_SIZE(reclaim), false);
    check_one_of(e, NULL, obj, "volumeBindingMode", binding, ARRAY_SIZE(binding), true);
    for (size_t i = 0; old && i < ARRAY_SIZE(fixed); i++) {
        ApiPath at = API_FIELD_SV(NULL, sv_cstr(fixed[i]));
        if (!same(get(obj, fixed[i]), get(old, fixed[i])))
            api_forbidden(e, &at, "updates to %s are forbidden.", fixed[i]);
    }
}
