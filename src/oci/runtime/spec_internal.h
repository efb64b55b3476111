/* spec_internal.h - the tables of config.json and the kinds of members that they have beyond those
 * of codec/bind.h. A kind is a row of `readers` in spec_kinds.c. */
#pragma once

#include "codec/bind.h"
#include "oci/runtime/spec.h"

enum {
    FIELD_OCI_TEXT = FIELD_OWN, /* const char *; NULL also for "", as Go has it */
    FIELD_OCI_TEXTS,            /* OciTexts */
    FIELD_OCI_PAIRS,            /* OciPairs: a map of texts */
    FIELD_OCI_U32,              /* uint32_t */
    FIELD_OCI_I32,
    FIELD_OCI_U64,
    FIELD_OCI_I64,
    FIELD_OCI_N16,    /* OciNumber: uint16, */
    FIELD_OCI_N32,    /* uint32, */
    FIELD_OCI_N64,    /* uint64, */
    FIELD_OCI_INT,    /* int64 */
    FIELD_OCI_GROUPS, /* into an OciProcess */
    FIELD_OCI_CAPS,
    FIELD_OCI_RLIMIT,
    FIELD_OCI_POLICY,
    FIELD_OCI_SCHED_FLAGS,
    FIELD_OCI_IO_CLASS,
    FIELD_OCI_NAMESPACES, /* into an OciSpec */
    FIELD_OCI_PROPAGATION,
    FIELD_OCI_PERSONALITY,
    FIELD_OCI_DEVICE_TYPE, /* mode_t */
    FIELD_OCI_RULE_TYPE,   /* char */
    FIELD_OCI_ACCESS,      /* into an OciDeviceRule */
    FIELD_OCI_PRIORITIES,  /* OciPairs */
    FIELD_OCI_RDMA,        /* a list of OciRdma from a map */
    FIELD_OCI_END
};

/* A walk over one document. */
typedef struct SpecReader {
    Binder b; /* first: what the readers get is a Binder */
    const char **warnings;
    uint32_t n_warnings, cap_warnings;
} SpecReader;

typedef int SpecRead(Binder *b, void *at, const Value *v);
/* The readers, by what they read. */
SpecRead spec_read_text, spec_read_texts, spec_read_pairs;
SpecRead spec_read_groups, spec_read_caps, spec_read_rlimit, spec_read_policy,
    spec_read_sched_flags, spec_read_io_class;
SpecRead spec_read_namespaces, spec_read_propagation, spec_read_personality, spec_read_device_type;
SpecRead spec_read_rule_type, spec_read_access, spec_read_priorities, spec_read_rdma;

/* A whole number in a range; the message says which. */
int spec_read_uint(Binder *b, const Value *v, uint64_t max, uint64_t *ret) NODISCARD;
int spec_read_int(Binder *b, const Value *v, int64_t min, int64_t max, int64_t *ret) NODISCARD;

typedef struct SpecName {
    const char *name;
    int64_t value;
} SpecName;
/* One of some names; `what` they are: "a scheduling policy". */
int spec_read_name(Binder *b, const Value *v, const SpecName *names, size_t n, const char *what,
                   int64_t *ret) NODISCARD;

/* To be logged; what does not fit memory is lost. */
void spec_warn(Binder *b, const char *fmt, ...) PRINTF(2, 3);

/* Opens a document: its text goes to the arena, its tree to *ret_doc. */
int spec_open(SpecReader *r, StrView text, const char *name, Arena *a, Value *ret_doc,
              Err *err) NODISCARD;
OciTexts spec_warnings(const SpecReader *r);

extern const Type spec_process_type;   /* OciProcess */
extern const Type spec_resources_type; /* OciResources */

/* What one field asks of another (spec_check.c). */
int spec_check(Binder *b, const OciSpec *s, const Value *doc) NODISCARD;
/* Puts the devices that every container has behind those of linux.resources; false: no memory. */
bool spec_add_devices(Arena *a, OciSpec *s) NODISCARD;
int spec_check_id_maps(Binder *b, const OciIdMaps *maps, const Value *map,
                       const char *key) NODISCARD;
