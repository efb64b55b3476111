/* spec_resources.c - config.json's linux.resources, which is also the document of `update -r`. */
#include <stdio.h>

#include "oci/runtime/spec_internal.h"

enum { BLOCK_WEIGHT_MIN = 10, BLOCK_WEIGHT_MAX = 1000 };

/* --- devices --- */

int spec_read_rule_type(Binder *b, void *at, const Value *v)
{
    static const SpecName types[] = { { "a", 'a' }, { "b", 'b' }, { "c", 'c' }, { "", 'a' } };
    int64_t type;
    int r = spec_read_name(b, v, types, ARRAY_SIZE(types), "type of devices", &type);

    if (r >= 0)
        *(char *)at = (char)type;
    return r;
}

int spec_read_access(Binder *b, void *at, const Value *v)
{
    OciDeviceRule *rule = at;
    StrView s = value_str(v);

    if (v->kind != VALUE_STRING)
        return bind_bad_type(b, v, "string");
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == 'a') { /* runc takes this letter, too, for nothing */
            spec_warn(b, "device access \"%.*s\": ignoring the letter a", SV_FMT(sv_head(s, 16)));
            continue;
        }
        if (!strchr("rwm", s.ptr[i]))
            return bind_fail(b, v,
                             "'%.*s' is no access to a device; letters of \"rwm\" are expected",
                             SV_FMT(sv_head(s, 16)));
        rule->r = rule->r || s.ptr[i] == 'r';
        rule->w = rule->w || s.ptr[i] == 'w';
        rule->m = rule->m || s.ptr[i] == 'm';
    }
    return 0;
}

static void rule_init(void *obj)
{
    *(OciDeviceRule *)obj = (OciDeviceRule){ .type = 'a', .major = -1, .minor = -1 };
}

static int rule_check(Binder *b, void *obj, const Value *v)
{
    const OciDeviceRule *r = obj;

    if (!r->r && !r->w && !r->m)
        return bind_fail_key(b, v, "access", "device access cannot be empty");
    if (r->major < -1 || r->major > INT32_MAX)
        return bind_fail_key(b, v, "major", "a device number or -1 is expected");
    if (r->minor < -1 || r->minor > INT32_MAX)
        return bind_fail_key(b, v, "minor", "a device number or -1 is expected");
    return 0;
}

static const Field rule_fields[] = {
    BIND(OciDeviceRule, "allow", BOOL, allow),
    BIND(OciDeviceRule, "type", OCI_RULE_TYPE, type),
    BIND(OciDeviceRule, "major", OCI_I64, major),
    BIND(OciDeviceRule, "minor", OCI_I64, minor),
    { "access", FIELD_OCI_ACCESS, false, 0, NULL },
};
static const Type rule_type = { "devices",   sizeof(OciDeviceRule),
                                rule_fields, ARRAY_SIZE(rule_fields),
                                rule_init,   rule_check };

void oci_device_rule_format(const OciDeviceRule *r, char ret[static 64])
{
    char major[16] = "*", minor[16] = "*";

    if (r->major >= 0)
        snprintf(major, sizeof major, "%u", (unsigned)r->major);
    if (r->minor >= 0)
        snprintf(minor, sizeof minor, "%u", (unsigned)r->minor);
    snprintf(ret, 64, "%c %s:%s %s%s%s", r->type, major, minor, r->r ? "r" : "", r->w ? "w" : "",
             r->m ? "m" : "");
}

/* --- memory, CPU, processes --- */

static int memory_check(Binder *b, void *obj, const Value *v)
{
    const OciResources *r = obj;

    if (r->memory.kernel.set || r->memory.kernel_tcp.set)
        spec_warn(b, "Kernel memory settings are ignored and will be removed");
    if (r->memory.swappiness.set && (uint64_t)r->memory.swappiness.n > 100)
        return bind_fail_key(b, v, "swappiness",
                             "invalid memory swappiness value: %llu (valid range is 0-100)",
                             (unsigned long long)r->memory.swappiness.n);
    return 0;
}

static const Field memory_fields[] = {
    BIND(OciResources, "limit", OCI_INT, memory.limit),
    BIND(OciResources, "reservation", OCI_INT, memory.reservation),
    BIND(OciResources, "swap", OCI_INT, memory.swap),
    BIND(OciResources, "kernel", OCI_INT, memory.kernel),
    BIND(OciResources, "kernelTCP", OCI_INT, memory.kernel_tcp),
    BIND(OciResources, "swappiness", OCI_N64, memory.swappiness),
    BIND(OciResources, "disableOOMKiller", BOOL, memory.disable_oom_killer),
    BIND(OciResources, "checkBeforeUpdate", BOOL, memory.check_before_update),
};
static const Type memory_type = { "memory", 0, memory_fields, ARRAY_SIZE(memory_fields),
                                  .check = memory_check };

static const Field cpu_fields[] = {
    BIND(OciResources, "shares", OCI_N64, cpu.shares),
    BIND(OciResources, "quota", OCI_INT, cpu.quota),
    BIND(OciResources, "burst", OCI_N64, cpu.burst),
    BIND(OciResources, "period", OCI_N64, cpu.period),
    BIND(OciResources, "realtimeRuntime", OCI_INT, cpu.rt_runtime),
    BIND(OciResources, "realtimePeriod", OCI_N64, cpu.rt_period),
    BIND(OciResources, "idle", OCI_INT, cpu.idle),
    BIND(OciResources, "cpus", OCI_TEXT, cpu.cpus),
    BIND(OciResources, "mems", OCI_TEXT, cpu.mems),
};
static const Type cpu_type = { "cpu", 0, cpu_fields, ARRAY_SIZE(cpu_fields) };

static const Field pids_fields[] = { BIND(OciResources, "limit", OCI_INT, pids_limit) };
static const Type pids_type = { "pids", 0, pids_fields, ARRAY_SIZE(pids_fields) };

/* --- block devices --- */

static int check_weight(Binder *b, const Value *v, const char *key, const OciNumber *n)
{
    /* 0 is what others write for "not said". */
    if (n->set && n->n && (n->n < BLOCK_WEIGHT_MIN || n->n > BLOCK_WEIGHT_MAX))
        return bind_fail_key(b, v, key, "a weight from %d to %d is expected", BLOCK_WEIGHT_MIN,
                             BLOCK_WEIGHT_MAX);
    return 0;
}

static int weight_check(Binder *b, void *obj, const Value *v)
{
    const OciBlockWeight *w = obj;
    int r = check_weight(b, v, "weight", &w->weight);

    return r < 0 ? r : check_weight(b, v, "leafWeight", &w->leaf_weight);
}

static const Field weight_fields[] = {
    BIND(OciBlockWeight, "major", OCI_U32, major),
    BIND(OciBlockWeight, "minor", OCI_U32, minor),
    BIND(OciBlockWeight, "weight", OCI_N16, weight),
    BIND(OciBlockWeight, "leafWeight", OCI_N16, leaf_weight),
};
static const Type weight_type = { "weightDevice", sizeof(OciBlockWeight), weight_fields,
                                  ARRAY_SIZE(weight_fields), .check = weight_check };

static const Field rate_fields[] = {
    BIND(OciBlockRate, "major", OCI_U32, major),
    BIND(OciBlockRate, "minor", OCI_U32, minor),
    BIND(OciBlockRate, "rate", OCI_U64, rate),
};
static const Type rate_type = { "throttle device", sizeof(OciBlockRate), rate_fields,
                                ARRAY_SIZE(rate_fields) };

static int block_check(Binder *b, void *obj, const Value *v)
{
    const OciResources *res = obj;
    int r = check_weight(b, v, "weight", &res->block.weight);

    return r < 0 ? r : check_weight(b, v, "leafWeight", &res->block.leaf_weight);
}

static const Field block_fields[] = {
    BIND(OciResources, "weight", OCI_N16, block.weight),
    BIND(OciResources, "leafWeight", OCI_N16, block.leaf_weight),
    BIND_SUB(OciResources, "weightDevice", LIST, block.devices, weight_type),
    BIND_SUB(OciResources, "throttleReadBpsDevice", LIST, block.read_bps, rate_type),
    BIND_SUB(OciResources, "throttleWriteBpsDevice", LIST, block.write_bps, rate_type),
    BIND_SUB(OciResources, "throttleReadIOPSDevice", LIST, block.read_iops, rate_type),
    BIND_SUB(OciResources, "throttleWriteIOPSDevice", LIST, block.write_iops, rate_type),
};
static const Type block_type = { "blockIO", 0, block_fields, ARRAY_SIZE(block_fields),
                                 .check = block_check };

/* --- large pages, networks, RDMA --- */

/* "2MB": a number without leading zeros, and KB, MB or GB. */
static bool is_page_size(const char *s)
{
    size_t digits = s ? strspn(s, "0123456789") : 0;

    return digits && s[0] != '0' && strchr("KMG", s[digits]) && s[digits] &&
           !strcmp(s + digits + 1, "B");
}

static int hugepages_check(Binder *b, void *obj, const Value *v)
{
    if (!is_page_size(((const OciHugepages *)obj)->size))
        return bind_fail_key(b, v, "pageSize", "a size of pages like 2MB is expected");
    return 0;
}

static const Field hugepages_fields[] = {
    BIND(OciHugepages, "pageSize", OCI_TEXT, size),
    BIND(OciHugepages, "limit", OCI_U64, limit),
};
static const Type hugepages_type = { "hugepageLimits", sizeof(OciHugepages), hugepages_fields,
                                     ARRAY_SIZE(hugepages_fields), .check = hugepages_check };

/* A number of them is kept as the text that goes to the file. */
static int take_priority(Binder *b, void *ctx, unsigned index, const Value *v)
{
    OciPair *ret = &((OciPair *)ctx)[index];
    const Value *name = value_get(v, SV("name")), *number = value_get(v, SV("priority"));
    uint64_t n = 0;
    int r;

    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "priorities");
    if (!value_is(name, VALUE_STRING) || !value_str(name).len)
        return bind_fail_key(b, v, "name", "the name of an interface is expected");
    if ((r = spec_read_text(b, &ret->name, name)) < 0 ||
        (number && (r = spec_read_uint(b, number, UINT32_MAX, &n)) < 0))
        return r;
    ret->value = arena_printf(b->arena, "%u", (unsigned)n).ptr;
    return ret->value ? 0 : err_nomem(b->err);
}

int spec_read_priorities(Binder *b, void *at, const Value *v)
{
    OciPairs *ret = at;
    int r;

    ret->items = arena_array(b->arena, OciPair, value_len(v) + 1u);
    ret->len = 0;
    if (!ret->items)
        return err_nomem(b->err);
    if ((r = bind_each(b, v, "priorities", take_priority, ret->items)) < 0)
        return r;
    ret->len = v->len;
    return 0;
}

static const Field network_fields[] = {
    BIND(OciResources, "classID", OCI_N32, net_class),
    BIND(OciResources, "priorities", OCI_PRIORITIES, net_priorities),
};
static const Type network_type = { "network", 0, network_fields, ARRAY_SIZE(network_fields) };

static const Field rdma_fields[] = {
    BIND(OciRdma, "hcaHandles", OCI_N32, handles),
    BIND(OciRdma, "hcaObjects", OCI_N32, objects),
};
static const Type rdma_type = { "rdma", sizeof(OciRdma), rdma_fields, ARRAY_SIZE(rdma_fields) };

int spec_read_rdma(Binder *b, void *at, const Value *v)
{
    LIST(OciRdma) *ret = at;
    int r;

    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "map[string]rdma");
    ret->items = arena_array(b->arena, OciRdma, v->len + 1u);
    ret->len = 0;
    if (!ret->items)
        return err_nomem(b->err);
    value_map_foreach (m, v) {
        BindFrame f = { .up = b->frame, .key = m->key };
        OciRdma *one = &ret->items[ret->len];
        Value key = value_sv(m->key);

        b->frame = &f;
        key.line = m->val.line;
        if ((r = bind_struct(b, &rdma_type, one, &m->val)) < 0 ||
            (r = spec_read_text(b, &one->device, &key)) < 0)
            return r;
        if (!one->device || strpbrk(one->device, " \n"))
            return bind_fail(b, &m->val, "the name of a device is expected");
        b->frame = f.up;
        ret->len++;
    }
    return 0;
}

/* --- all of it --- */

static int resources_check(Binder *b, void *obj, const Value *v)
{
    const OciResources *res = obj;

    for (unsigned i = 0; i < res->unified.len; i++) {
        const char *file = res->unified.items[i].name;

        if (strchr(file, '/') || !*file || file[0] == '.')
            return bind_fail_key(b, v, "unified",
                                 "unified resource \"%s\" must be a file name (no slashes)", file);
    }
    return 0;
}

static const Field resources_fields[] = {
    BIND_SUB(OciResources, "devices", LIST, devices, rule_type),
    { "memory", FIELD_STRUCT, false, 0, &memory_type },
    { "cpu", FIELD_STRUCT, false, 0, &cpu_type },
    { "pids", FIELD_STRUCT, false, 0, &pids_type },
    { "blockIO", FIELD_STRUCT, false, 0, &block_type },
    BIND_SUB(OciResources, "hugepageLimits", LIST, hugepages, hugepages_type),
    { "network", FIELD_STRUCT, false, 0, &network_type },
    BIND(OciResources, "rdma", OCI_RDMA, rdma),
    BIND(OciResources, "unified", OCI_PAIRS, unified),
};

const Type spec_resources_type = { "resources", sizeof(OciResources), resources_fields,
                                   ARRAY_SIZE(resources_fields), .check = resources_check };

int oci_resources_parse(StrView text, const char *name, Arena *a, OciResources *ret, Err *err)
{
    OciResources own = { 0 };
    SpecReader reader;
    Value doc;
    int r;

    if ((r = spec_open(&reader, text, name, a, &doc, err)) < 0 ||
        (r = bind_struct(&reader.b, &spec_resources_type, &own, &doc)) < 0)
        return r;
    if (a->failed)
        return err_nomem(err);
    *ret = own;
    return 0;
}
