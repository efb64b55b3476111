/* zone.h - what the DNS keeps of Services and EndpointSlices, and the records it makes of a name.
 * No I/O: informers put objects in and take them out. */
#pragma once

#include "base/map.h"
#include "codec/value.h"
#include "dns/answer.h"

enum { DNS_CHASE_MAX = 8 }; /* CNAMEs from one ExternalName to the next */

typedef struct DnsPort {
    StrView name, protocol; /* in lower case: "http", "tcp" */
    uint16_t port;
} DnsPort;

typedef struct DnsService {
    StrView ns, name, external_name; /* external_name: only of type ExternalName */
    bool headless, has_ip;
    uint8_t ip[4]; /* has_ip: the IPv4 ClusterIP */
    DnsPort *ports;
    unsigned n_ports;
    Arena arena;
} DnsService;

typedef struct DnsSlice DnsSlice;
typedef struct DnsEndpoint {
    DnsSlice *slice;
    StrView host; /* its hostname, or "a-b-c-d" */
    bool has_hostname;
    uint8_t ip[4];
    struct DnsEndpoint *next; /* of the same address, among those with a hostname */
} DnsEndpoint;

struct DnsSlice {
    StrView ns, service;
    DnsEndpoint *endpoints; /* those that are ready, IPv4 */
    unsigned n_endpoints;
    DnsPort *ports;
    unsigned n_ports;
    DnsSlice *next; /* of the same Service */
    Arena arena;
};

typedef struct DnsZone {
    const char *domain; /* "cluster.local" */
    Map services;       /* "namespace/name" to DnsService */
    Map by_ip;          /* four bytes to DnsService */
    Map slices;         /* "namespace/service" to the first DnsSlice */
    Map hosts;          /* four bytes to the first DnsEndpoint with a hostname */
} DnsZone;

/* From the object as the API server has it; NULL when memory is exhausted. Freed by the caller
 * when it is in no zone any more. */
DnsService *dns_service_new(const Value *service);
DnsService *dns_service_free(DnsService *s); /* always NULL */
DnsSlice *dns_slice_new(const Value *slice);
DnsSlice *dns_slice_free(DnsSlice *s); /* always NULL */

/* The zone refers to them until they are removed. False: memory is exhausted. */
bool dns_zone_add_service(DnsZone *z, DnsService *s) NODISCARD;
void dns_zone_remove_service(DnsZone *z, DnsService *s);
bool dns_zone_add_slice(DnsZone *z, DnsSlice *s) NODISCARD;
void dns_zone_remove_slice(DnsZone *z, DnsSlice *s);
void dns_zone_free(DnsZone *z); /* the maps only */

typedef enum DnsScope {
    DNS_FOREIGN, /* not a name of the cluster */
    DNS_CLUSTER,
    DNS_REVERSE, /* an address's name: the cluster's if there is a record, else foreign */
} DnsScope;
DnsScope dns_zone_scope(const DnsZone *z, StrView name);

/* Kubernetes DNS specification 1.1.0, with CoreDNS' additions (endpoints of any Service by name,
 * SRV records for a Service's name, pod names by address). `name` in lower case. Texts of *ret live
 * in `a`. False: not the cluster's to answer. */
bool dns_zone_look_up(const DnsZone *z, StrView name, uint16_t type, Arena *a, DnsRecords *ret);
