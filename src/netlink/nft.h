/* nft.h - nf_tables through nfnetlink: one batch of messages is one atomic transaction.
 *
 * A batch collects messages about one table; nft_commit() sends them and waits for the kernel's
 * word. Building never fails by itself: exhausted memory is remembered and reported by the commit.
 * Registers are the kernel's 32-bit ones, counted from 0; a concatenated key lies in neighbouring
 * registers, each part padded to four bytes. Addresses, ports in network order; marks, modulus in
 * the host's. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct Nft Nft;
typedef struct NftBatch NftBatch;

int nft_open(Nft **ret, Err *err) NODISCARD; /* in the caller's network namespace */
Nft *nft_close(Nft *n);                      /* always NULL */

/* `table` of family ip. NULL when memory is exhausted. */
NftBatch *nft_batch_new(const char *table);
/* The same of family netdev: of frames as they come in by one device (nft_chain_ingress()). */
NftBatch *nft_batch_new_netdev(const char *table);
NftBatch *nft_batch_free(NftBatch *b); /* always NULL */
static inline void nft_batch_freep(NftBatch **b)
{
    *b = nft_batch_free(*b);
}
size_t nft_batch_len(const NftBatch *b); /* messages so far */
/* All or nothing. The error names the first operation that the kernel refused: ENOENT
 * ERR_NOT_FOUND, EEXIST ERR_EXISTS, EPERM ERR_DENIED, EOPNOTSUPP ERR_UNSUPPORTED, others ERR_SYS.
 * An empty batch is fine. */
int nft_commit(Nft *n, NftBatch *b, Err *err) NODISCARD;

void nft_table_add(NftBatch *b); /* fine when it is there */
/* With all that is in it. ERR_NOT_FOUND from the commit when there is none. */
void nft_table_del(NftBatch *b);

/* A chain that rules jump to; fine when it is there. */
void nft_chain_add(NftBatch *b, const char *name);
/* type "nat" or "filter"; hook NF_INET_*; policy accept. */
void nft_chain_base(NftBatch *b, const char *name, const char *type, uint32_t hook,
                    int32_t priority);
/* Of family netdev, type "filter", policy accept: all that comes in by the device, before bridges
 * and protocols see it. */
void nft_chain_ingress(NftBatch *b, const char *name, const char *device, int32_t priority);
/* Takes its rules away, and the chain, which must have none and be jumped to by none. */
void nft_chain_flush(NftBatch *b, const char *name);
void nft_chain_del(NftBatch *b, const char *name);

enum { NFT_DATA_NONE, NFT_DATA_IS_VERDICT = -1 };
typedef struct NftSetSpec {
    const char *name;
    uint32_t key_type, key_len; /* type: NFT_TYPE2() or NFT_TYPE3() */
    int data_len;               /* NFT_DATA_NONE: a set; NFT_DATA_IS_VERDICT; else bytes */
    uint32_t data_type;
    uint64_t timeout_ms; /* not 0: filled by rules (nft_x_remember) */
} NftSetSpec;
enum { NFT_T_IPV4 = 7, NFT_T_PROTO = 12, NFT_T_PORT = 13, NFT_T_U32 = 4 };
#define NFT_TYPE2(a, b)    ((uint32_t)(a) << 6 | (b))
#define NFT_TYPE3(a, b, c) ((uint32_t)(a) << 12 | (uint32_t)(b) << 6 | (c))
/* Sets and maps. Adding one that is there is fine if it is of the same form; a map whose data is a
 * verdict leads each key to a chain (nft_elem_add(): `goto_chain`, NULL in a set). Keys are of the
 * length of the set's, in network order. Deleting what is not there is ERR_NOT_FOUND. */
void nft_set_add(NftBatch *b, const NftSetSpec *s);
void nft_set_del(NftBatch *b, const char *name);
void nft_set_flush(NftBatch *b, const char *name);
void nft_elem_add(NftBatch *b, const char *set, const void *key, size_t len,
                  const char *goto_chain);
void nft_elem_del(NftBatch *b, const char *set, const void *key, size_t len);

/* A map that lives as long as the rule which uses it: n entries 0…n-1 of data_len bytes. Returns
 * its id for nft_x_anon_map(); to be called before the rule begins. */
uint32_t nft_anon_map(NftBatch *b, const void *data, size_t data_len, uint32_t data_type, size_t n);

/* A rule at the end of a chain: begin, expressions in their order, end. */
void nft_rule_begin(NftBatch *b, const char *chain);
void nft_rule_end(NftBatch *b);

enum { NFT_AT_NETWORK = 1, NFT_AT_TRANSPORT = 2 };
/* Expressions. Registers are numbered from 0 and have 4 bytes each; what is longer fills those
 * behind it. payload, meta, ct and fib load into one: `len` bytes at `offset` of a header (base
 * NFT_AT_*), what the kernel keeps of the packet (key NFT_META_*, NFT_CT_*), the kind of its source
 * or destination address (RTN_*). cmp ends the rule unless they are equal (or are not). meta_set
 * writes one back. */
void nft_x_payload(NftBatch *b, unsigned reg, uint32_t base, uint32_t offset, uint32_t len);
void nft_x_meta(NftBatch *b, unsigned reg, uint32_t key);
void nft_x_meta_set(NftBatch *b, unsigned reg, uint32_t key);
void nft_x_ct(NftBatch *b, unsigned reg, uint32_t key);
void nft_x_fib_type(NftBatch *b, unsigned reg, bool of_source);
void nft_x_cmp(NftBatch *b, unsigned reg, bool equal, const void *data, size_t len);
void nft_x_bitwise(NftBatch *b, unsigned reg, uint32_t mask,
                   uint32_t flip);                                        /* 4 bytes as they lie */
void nft_x_lookup(NftBatch *b, unsigned reg, const char *set);            /* goes on when found */
void nft_x_vmap(NftBatch *b, unsigned reg, const char *map);              /* its verdict */
void nft_x_load(NftBatch *b, unsigned reg, const void *data, size_t len); /* given bytes */
/* What an anonymous map has for the number in `reg`, into `dreg`; and a number below `modulus`. */
void nft_x_anon_map(NftBatch *b, unsigned reg, uint32_t id, unsigned dreg);
void nft_x_random(NftBatch *b, unsigned reg, uint32_t modulus);
/* Writes the key in `reg` to the set, or renews its time. */
void nft_x_remember(NftBatch *b, unsigned reg, const char *set, uint64_t timeout_ms);
void nft_x_dnat(NftBatch *b, unsigned addr_reg, unsigned port_reg);
/* Debian's nft reads a translation with a port only behind a match of the protocol (register 0),
 * and a given target only when its parts are loaded one by one, as this does (0 and 1). */
void nft_x_l4proto(NftBatch *b, uint8_t proto);
void nft_x_dnat_to(NftBatch *b, uint32_t addr, uint16_t port);
void nft_x_masquerade(NftBatch *b);
void nft_x_reject(NftBatch *b, bool tcp_reset); /* else ICMP port unreachable */
/* code NF_ACCEPT, NF_DROP, NFT_RETURN, NFT_JUMP or NFT_GOTO; chain for the last two. */
void nft_x_verdict(NftBatch *b, int code, const char *chain);

/* Two rules at the end of a chain of prerouting: what does not come by "lo" and has an address of
 * 127.0.0.0/8 is dropped. For a hook before connection tracking (priority -300), where addresses
 * are those of the wire. Whoever turns route_localnet on needs it (CVE-2020-8558). */
void nft_drop_foreign_loopback(NftBatch *b, const char *chain);

/* Forgets UDP connections for which stale() says so: by the address and port they were sent to and
 * those that answer (network order). ERR_UNSUPPORTED without connection tracking through netlink.
 */
typedef bool NftStaleFn(void *ctx, uint32_t dst, uint16_t dport, uint32_t reply_src,
                        uint16_t reply_sport);
int nft_conntrack_forget_udp(NftStaleFn *stale, void *ctx, Err *err) NODISCARD;
