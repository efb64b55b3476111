/* verb_events.c - what a container uses, now and then, and when it was short of memory. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cmd/oci/verbs.h"
#include "oci/runtime/container_run.h"
#include "codec/json.h"

enum { INTERVAL_S = 5, LOOK_MS = 1000 };

static void state_freep(OciState **s)
{
    oci_state_free(*s);
}

/* Go's durations: "5s", "1m30s", "1.5h", "500ms". */
static int parse_duration(const char *text, int64_t *ret_ns, Err *err)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = { { "ns", 1 },  { "us", 1e3 }, { "µs", 1e3 },  { "ms", 1e6 },
                  { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 } };
    const char *at = text + (*text == '-' || *text == '+');
    double sum = 0;

    for (bool first = true; *at || first; first = false) {
        size_t digits = strspn(at, "0123456789."), i = 0, len = 0;
        double n;

        if (!strcmp(at, "0"))
            break;
        for (; i < ARRAY_SIZE(units); i++) {
            len = strlen(units[i].unit);
            if (!strncmp(at + digits, units[i].unit, len) &&
                (!at[digits + len] || strchr("0123456789.", at[digits + len])))
                break;
        }
        if (!digits || i == ARRAY_SIZE(units) || sv_to_double(sv_n(at, digits), &n) < 0)
            return err_set(err, ERR_INVALID, 0,
                           "invalid value \"%s\" for flag -interval: parse error", text);
        sum += n * units[i].ns;
        at += digits + len;
    }
    if (*text == '-' || sum < 1 || sum >= 0x1p62)
        return err_set(err, ERR_INVALID, 0, "duration interval must be greater than 0");
    *ret_ns = (int64_t)sum;
    return 0;
}

/* --- lines --- */

static int print_event(const OciState *s, const char *type, bool stats, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    int r = 0;

    buf_printf(&out, "{\"type\":\"%s\",\"id\":", type);
    json_encode_string(sv_cstr(s->id), &out);
    if (stats) {
        buf_sv(&out, SV(",\"data\":"));
        r = oci_groups_stats(s->groups, &out, err);
    }
    buf_sv(&out, SV("}\n"));
    if (r < 0)
        return r;
    if (out.failed)
        return err_nomem(err);
    r = fd_write_full(STDOUT_FILENO, out.ptr, out.len);
    return r < 0 ? err_neg(err, r, "write") : 0;
}

static int follow(const OciGlobal *g, OciState *s, int64_t interval_ns, Err *err)
{
    int64_t next = clock_mono_ns() + interval_ns;
    _cleanup_close_ int fd = -1;
    uint64_t kills = 0;
    int r = oci_groups_oom_watch(s->groups, &fd, &kills, err);

    if (r < 0)
        return r;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left = MAX(next - clock_mono_ns(), 0) / NSEC_PER_MSEC;

        if (poll(&p, 1, (int)MIN(left + 1, (int64_t)LOOK_MS)) > 0)
            for (uint64_t n = oci_groups_oom_take(s->groups, fd, &kills); n > 0; n--)
                if ((r = print_event(s, "oom", false, err)) < 0)
                    return r;
        oci_state_refresh(s);
        if (!oci_groups_exist(s->groups) || s->status == OCI_STOPPED)
            return 0;
        if (clock_mono_ns() < next)
            continue;
        next += interval_ns;
        if (print_event(s, "stats", true, err) < 0) {
            oci_say(g, OCI_LEVEL_ERROR, "%s", err->msg);
            if (err->sys == EPIPE)
                return 0;
        }
    }
}

static int events(const OciGlobal *g, const char *id, bool stats, const char *interval, Err *err)
{
    _cleanup_(state_freep) OciState *s = NULL;
    int64_t ns = INTERVAL_S * NSEC_PER_SEC;
    int r = oci_state_load(g->root, id, false, &s, err);

    if (r < 0 || (interval && (r = parse_duration(interval, &ns, err)) < 0))
        return r;
    if (s->status == OCI_STOPPED)
        return err_set(err, ERR_CONFLICT, 0, "container with id %s is not running", id);
    if (!s->groups)
        return err_set(err, ERR_UNSUPPORTED, 0, "the container has no control groups");
    return stats ? print_event(s, "stats", true, err) : follow(g, s, ns, err);
}

int verb_events(const OciGlobal *g, int argc, char **argv)
{
    const char *interval = NULL;
    bool stats = false;
    const OciFlag flags[] = {
        { "interval", 0, OCI_FLAG_TEXT, &interval, NULL,
          "set the stats collection interval (default: 5s)" },
        { "stats", 0, OCI_FLAG_ON, &stats, NULL, "display the container's stats then exit" },
    };
    const OciVerb verb = { .name = "events",
                           .usage = "display container events such as OOM notifications, cpu, "
                                    "memory, and IO usage statistics",
                           .args = "<container-id>",
                           .args_min = 1,
                           .args_max = 1,
                           .flags = flags,
                           .flags_len = ARRAY_SIZE(flags) };
    Err err = { 0 };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    return events(g, argv[1], stats, interval, &err) < 0 ? oci_fail(g, 1, &err) : 0;
}
