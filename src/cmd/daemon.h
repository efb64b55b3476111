/* daemon.h - what the main() of every role does: a loop that ends on SIGTERM and SIGINT, files of
 * certificates, clients of the API server, and word to the supervisor. */
#pragma once

#include "api/client.h"
#include "base/buf.h"
#include "net/loop.h"

enum { DAEMON_APIS_MAX = 2 };

typedef struct Daemon {
    Loop *loop;
    Source *term, *intr, *alive, *hup, *trim;
    size_t trimmed_to; /* bytes that were free in the heap after it was last trimmed */
    struct {
        ApiClient *client;
        const char *kubeconfig; /* the caller's, for as long as the daemon */
        Metrics *metrics;
    } apis[DAEMON_APIS_MAX];
    unsigned n_apis;
    int (*reload)(void *ctx, Err *err);
    void *reload_ctx;
} Daemon;

/* Names the log, ignores SIGPIPE. First of all. */
void daemon_init(const char *role);
/* Makes the loop and its signals. After a failure daemon_close() as well. */
int daemon_open(Daemon *d, Err *err) NODISCARD;
/* Runs until a signal comes. */
int daemon_run(Daemon *d, Err *err) NODISCARD;
/* After everything that lives on the loop. */
void daemon_close(Daemon *d);
/* The exit code of main(): logs the error where r is negative. */
int daemon_exit(int r, const Err *err);

/* Reads a PEM file whole; a NULL path reads nothing. The caller frees `out`. */
int daemon_read_pem(const char *path, Buf *out, Err *err) NODISCARD;
/* A registry with what the process uses in it. NULL: out of memory, and nothing is counted. */
Metrics *daemon_metrics_new(void);
/* A client with the identity of this kubeconfig, which is read again on SIGHUP: that is how the
 * supervisor says that there are new certificates. At most DAEMON_APIS_MAX. It counts in a registry
 * of its own (api_client_metrics), which lives until daemon_close(). */
int daemon_open_api(Daemon *d, const char *kubeconfig, ApiClient **ret, Err *err) NODISCARD;
/* `fn` too is called on SIGHUP, to read the role's own certificates again. After a failure it goes
 * on with what it had, and the log says so. */
int daemon_on_reload(Daemon *d, int (*fn)(void *ctx, Err *err), void *ctx, Err *err) NODISCARD;
/* From now on what a burst leaves behind in the heap goes back to the machine within seconds. For
 * roles of one thread that keep many small things; the heap is walked, some ms for each 10 MB. */
int daemon_return_memory(Daemon *d, Err *err) NODISCARD;
/* Tells the supervisor that starting takes longer and gets on. `ctx` is not used. (That the loop
 * turns it says by itself.) */
void daemon_progress(void *ctx);
/* Tells the supervisor that the role is ready. `ctx` is not used. */
void daemon_ready(void *ctx);
