/* cgroup_devices.h - device access under version 2: rules like those of version 1's devices.allow,
 * compiled to an eBPF program that the kernel asks at every open and mknod of a device.
 *
 * Docs: kernel Documentation/admin-guide/cgroup-v2.rst "Device controller" and
 * cgroup-v1/devices.rst; uapi linux/bpf.h (bpf_cgroup_dev_ctx). */
#pragma once

#include <linux/bpf.h>

#include "oci/cgroup.h"

enum {
    DEVICE_RULES_MAX = 256,
    DEVICE_RULE_INSNS = 8,                                       /* at most, for one rule */
    DEVICE_INSNS_MAX = 8 + DEVICE_RULES_MAX * DEVICE_RULE_INSNS, /* well below the kernel's 1 M */
    DEVICE_ANY = -1,
};

typedef struct DeviceRule {
    uint32_t type;        /* BPF_DEVCG_DEV_CHAR or _BLOCK; 0: both */
    int32_t major, minor; /* DEVICE_ANY: all */
    uint32_t access;      /* BPF_DEVCG_ACC_* */
} DeviceRule;

/* "c 10:200 rwm", "b *:* m"; "a" alone is everything. ERR_INVALID names the text. */
int device_rule_parse(const char *text, DeviceRule *ret, Err *err) NODISCARD;

/* Writes the program to `out` (DEVICE_INSNS_MAX) and returns its length. An access is allowed where
 * one rule covers all of it, as in version 1. At most DEVICE_RULES_MAX rules. */
size_t device_program(const DeviceRule *rules, size_t n, struct bpf_insn *out);

/* The other way round: everything is allowed but an access of which a rule covers a part. */
size_t device_program_deny(const DeviceRule *rules, size_t n, struct bpf_insn *out);

/* Loads the program and puts it on the group, in place of those that may be there; without a
 * program (n == 0) takes it off. ERR_UNSUPPORTED: the kernel has no such programs. */
int device_program_attach(const CgroupHierarchy *h, const char *path,
                          const struct bpf_insn *program, size_t n, Err *err) NODISCARD;
