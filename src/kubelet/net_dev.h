/* net_dev.h - /proc/PID/net/dev (proc_pid_net(5)): what went over each interface of a network
 * namespace. Pure. */
#pragma once

#include "base/arena.h"
#include "base/str.h"

typedef struct NetDev {
    StrView name;
    uint64_t rx_bytes, rx_errors, tx_bytes, tx_errors;
} NetDev;

typedef struct NetDevs {
    NetDev *items;
    uint32_t len;
} NetDevs;

/* Names and list are in the arena. -EINVAL for a line that is none of that file, -ENOMEM; then
 * *ret is untouched. */
int net_dev_parse(StrView text, Arena *a, NetDevs *ret);
