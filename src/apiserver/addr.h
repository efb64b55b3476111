/* addr.h - IP addresses as objects write them. */
#pragma once

#include "base/str.h"

bool addr4_parse(StrView text, uint32_t *ret);   /* host order */
bool addr4_in_cidr(uint32_t addr, StrView cidr); /* false for what is no range of IPv4 */
/* Whether the server may open connections to it for somebody: an address of either family that is
 * not unspecified, loopback, link-local, multicast or broadcast, also not when written as IPv6. */
bool addr_is_proxyable(StrView text);
