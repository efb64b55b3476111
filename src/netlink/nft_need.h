/* nft_need.h - whether this kernel has what the rules of the service proxy, of portmap and of the
 * ports' guard are made of. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "netlink/nft.h"

/* Tries one rule in a table of its own, which goes again; `rule` appends its expressions. Type and
 * hook as of nft_chain_base(). False only when the kernel knows the type or an expression not. In
 * the caller's network namespace: an empty one is best. */
bool nft_try(const char *type, uint32_t hook, void (*rule)(NftBatch *b));

/* Has it rules for what comes in by one device (CONFIG_NF_TABLES_NETDEV)? In the same way. */
bool nft_has_netdev(void);

/* The first kernel module that is missing (and that the kernel could not load by itself); NULL:
 * none is. */
const char *nft_missing_module(void);
