/* net_dev.c - reads /proc/PID/net/dev: two lines of headings, then a line for each interface with
 * eight numbers of what came in and eight of what went out. */
#include "kubelet/net_dev.h"

#include <errno.h>

enum { NUMBERS = 16, RX_BYTES = 0, RX_ERRORS = 2, TX_BYTES = 8, TX_ERRORS = 10 };

static int parse_line(StrView line, Arena *a, NetDev *ret)
{
    StrView name, rest;
    uint64_t n[NUMBERS];
    if (!sv_cut(line, ':', &name, &rest))
        return -EINVAL;
    for (int i = 0; i < NUMBERS; i++) {
        StrView one;
        rest = sv_trim(rest);
        sv_cut(rest, ' ', &one, &rest);
        if (sv_to_u64(one, &n[i]) < 0)
            return -EINVAL;
    }
    *ret = (NetDev){ .name = arena_sv(a, sv_trim(name)),
                     .rx_bytes = n[RX_BYTES],
                     .rx_errors = n[RX_ERRORS],
                     .tx_bytes = n[TX_BYTES],
                     .tx_errors = n[TX_ERRORS] };
    return ret->name.ptr ? 0 : -ENOMEM;
}

int net_dev_parse(StrView text, Arena *a, NetDevs *ret)
{
    StrView rest = text, line;
    NetDevs list = { 0 };
    uint32_t lines = 0;
    while (sv_next(&rest, '\n', &line))
        lines++;
    list.items = arena_array(a, NetDev, lines + 1);
    if (!list.items)
        return -ENOMEM;
    for (lines = 0, rest = text; sv_next(&rest, '\n', &line); lines++) {
        if (lines < 2 || sv_empty(sv_trim(line)))
            continue;
        int r = parse_line(line, a, &list.items[list.len++]);
        if (r < 0)
            return r;
    }
    *ret = list;
    return 0;
}
