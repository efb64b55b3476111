/* guard.h - a source guard for ports of a bridge: what comes in by a port that has not the hardware
 * address of its container, or, when `addresses` is set, not one of its IPv4 addresses, is dropped;
 * announcements by ARP included. With `addresses` nothing but IPv4 and ARP passes, so that neither
 * neighbour discovery nor a tagged frame goes around it.
 *
 * A table "BRIDGE-guard" of nf_tables' family netdev, with a chain for each guarded port: it sees
 * all that comes in by the port. Rules for bridges would not: a bridge hands frames to the group
 * addresses that it does not forward (01:80:C2:00:00:0X, IEEE 802.1Q) to the host as its port's
 * own. Other ports of the bridge are left alone. */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum { GUARD_IPS_MAX = 8 };

typedef struct PortGuard {
    const char *bridge, *port; /* names of links on the host */
    uint8_t mac[6];
    bool addresses;
    uint32_t ips[GUARD_IPS_MAX]; /* network order */
    unsigned n_ips;
} PortGuard;

/* Sets or replaces the guard of a port. ERR_UNSUPPORTED or ERR_NOT_FOUND where the kernel has no
 * rules for single devices. */
int port_guard_set(const PortGuard *g, Err *err) NODISCARD;
/* Takes it away; fine when there is none. */
int port_guard_remove(const char *bridge, const char *port, Err *err) NODISCARD;
/* Takes all guards of a bridge away; fine when there are none. */
int port_guard_cleanup(const char *bridge, Err *err) NODISCARD;
