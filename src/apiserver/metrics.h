/* metrics.h - what the API server counts of its requests, under kube-apiserver's names. */
#pragma once

#include "base/metrics.h"
#include "net/http.h"

typedef struct ApiCall ApiCall;

typedef struct ApiMetrics {
    Metrics *registry;
    Metric *requests, *durations, *inflight, *longrunning;
} ApiMetrics; /* zero: nobody counts */

/* Of one request, from when it is parsed. */
typedef struct CallCount {
    int64_t begin_ns; /* monotonic */
    bool known;       /* it is for a kind that is there: its names may be labels */
    bool running;     /* it counts among those under way */
} CallCount;

void api_metrics_init(ApiMetrics *m, Metrics *registry);
/* The path is parsed. */
void api_metrics_begin(ApiCall *x);
/* It has been let in, and is under way from now on. */
void api_metrics_running(ApiCall *x);
/* It is not, after all: nothing of it is begun. */
void api_metrics_turned_away(ApiCall *x);
/* HttpServerConfig.ended of a server whose requests have an ApiCall (or NULL) as `user`. */
void api_metrics_ended(void *ctx, HttpReq *req, int status);
/* /metrics; false: another path. */
bool metrics_handle(ApiCall *x);
