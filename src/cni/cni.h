/* cni.h - Container Network Interface (specification 1.1.0; 0.3.1, 0.4.0 and 1.0.0 spoken, too):
 * what plugins and runtime share: results, errors, versions. */
#pragma once

#include "codec/bind.h"
#include "codec/json.h"
#include "netlink/rtnl.h"

/* Error codes of the specification (section "Error"). */
typedef enum CniCode {
    CNI_ERR_VERSION = 1, /* incompatible version */
    CNI_ERR_FIELD = 2,   /* unsupported field in the configuration */
    CNI_ERR_UNKNOWN_CONTAINER = 3,
    CNI_ERR_ENV = 4, /* invalid environment variable */
    CNI_ERR_IO = 5,
    CNI_ERR_DECODE = 6,
    CNI_ERR_CONFIG = 7, /* invalid configuration */
    CNI_ERR_TRY_AGAIN = 11,
    CNI_ERR_PLUGIN = 100, /* of the plugin itself */
} CniCode;

/* One assigned address. */
typedef struct CniIp {
    IpPrefix address;
    bool has_gateway;
    IpPrefix gateway;
    int interface; /* index into interfaces; -1: none */
} CniIp;

typedef struct CniInterface {
    char name[16], mac[18];
    char sandbox[256]; /* path of the network namespace; empty: the host's */
} CniInterface;

enum { CNI_IPS_MAX = 8, CNI_INTERFACES_MAX = 8 };

typedef struct CniResult {
    CniInterface interfaces[CNI_INTERFACES_MAX];
    unsigned n_interfaces;
    CniIp ips[CNI_IPS_MAX];
    unsigned n_ips;
    Value routes; /* list, as configured */
    Value dns;    /* map; empty: none */
} CniResult;

/* "0.3.1", "0.4.0", "1.0.0", "1.1.0", and for loopback and VERSION also the older ones. */
bool cni_version_known(StrView version);
/* The result in the form of a version, in the arena. */
Value cni_result_value(const CniResult *r, StrView version, Arena *a);
/* Reads a result of any known version. ERR_INVALID. */
int cni_result_parse(const Value *v, Arena *a, CniResult *ret, Err *err) NODISCARD;

/* How configurations are read: with the lines that errors name; keys of other plugins stand beside
 * ours. */
extern const JsonOptions cni_json;
extern const BindFormat cni_format;
