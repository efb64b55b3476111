/* routes.c - which path is served by what. Paths are those below the route prefix. */
#include "monitor/web/call.h"

#define GET_POST (METHOD_GET | METHOD_POST)
#define POST_PUT (METHOD_POST | METHOD_PUT)
#define ANY_GET  (METHOD_GET | METHOD_HEAD)

static const Route routes[] = {
    { SV_INIT("/api/v1/query"), GET_POST, CALL_QUERY, ROUTE_API, serve_query },
    { SV_INIT("/api/v1/query_range"), GET_POST, CALL_QUERY, ROUTE_API, serve_query_range },
    { SV_INIT("/api/v1/query_exemplars"), GET_POST, CALL_WORKER, ROUTE_API, serve_query_exemplars },
    { SV_INIT("/api/v1/format_query"), GET_POST, CALL_LOOP, ROUTE_API, serve_format_query },
    { SV_INIT("/api/v1/parse_query"), GET_POST, CALL_LOOP, ROUTE_API, serve_parse_query },
    { SV_INIT("/api/v1/series"), GET_POST, CALL_WORKER, ROUTE_API, serve_series },
    { SV_INIT("/api/v1/labels"), GET_POST, CALL_WORKER, ROUTE_API, serve_labels },
    { SV_INIT("/api/v1/label/*/values"), METHOD_GET, CALL_WORKER, ROUTE_API, serve_label_values },
    { SV_INIT("/api/v1/search/metric_names"), GET_POST, CALL_WORKER, ROUTE_API,
      serve_search_metric_names, prepare_search_metric_names },
    { SV_INIT("/api/v1/search/label_names"), GET_POST, CALL_WORKER, ROUTE_API,
      serve_search_label_names },
    { SV_INIT("/api/v1/search/label_values"), GET_POST, CALL_WORKER, ROUTE_API,
      serve_search_label_values },
    { SV_INIT("/api/v1/scrape_pools"), METHOD_GET, CALL_LOOP, ROUTE_API, serve_scrape_pools },
    { SV_INIT("/api/v1/scrape_pools/config"), METHOD_GET, CALL_LOOP, ROUTE_API,
      serve_scrape_pool_config },
    { SV_INIT("/api/v1/targets"), METHOD_GET, CALL_LOOP, ROUTE_API, serve_targets },
    { SV_INIT("/api/v1/targets/metadata"), METHOD_GET, CALL_LOOP, ROUTE_API,
      serve_target_metadata },
    { SV_INIT("/api/v1/targets/relabel_steps"), METHOD_GET, CALL_LOOP, ROUTE_API,
      serve_relabel_steps },
    { SV_INIT("/api/v1/metadata"), METHOD_GET, CALL_LOOP, ROUTE_API, serve_metadata },
    { SV_INIT("/api/v1/rules"), METHOD_GET, CALL_WORKER, ROUTE_API, serve_rules },
    { SV_INIT("/api/v1/alerts"), METHOD_GET, CALL_WORKER, ROUTE_API, serve_alerts },
    { SV_INIT("/api/v1/alertmanagers"), METHOD_GET, CALL_LOOP, ROUTE_API, serve_alertmanagers },
    { SV_INIT("/api/v1/status/config"), METHOD_GET, CALL_LOOP, ROUTE_API, serve_status_config },
    { SV_INIT("/api/v1/status/flags"), METHOD_GET, CALL_LOOP, ROUTE_API, serve_status_flags },
    { SV_INIT("/api/v1/status/runtimeinfo"), METHOD_GET, CALL_LOOP, ROUTE_API,
      serve_status_runtime },
    { SV_INIT("/api/v1/status/buildinfo"), METHOD_GET, CALL_LOOP, ROUTE_API, serve_status_build },
    { SV_INIT("/api/v1/status/tsdb"), METHOD_GET, CALL_WORKER, ROUTE_API, serve_status_tsdb },
    { SV_INIT("/api/v1/status/tsdb/blocks"), METHOD_GET, CALL_WORKER, ROUTE_API,
      serve_status_blocks },
    { SV_INIT("/api/v1/status/self_metrics"), METHOD_GET, CALL_LOOP, ROUTE_API,
      serve_self_metrics },
    { SV_INIT("/api/v1/status/walreplay"), METHOD_GET, CALL_LOOP, ROUTE_API | ROUTE_ANYTIME,
      serve_status_replay },
    { SV_INIT("/api/v1/features"), METHOD_GET, CALL_LOOP, ROUTE_API, serve_features },
    { SV_INIT("/api/v1/notifications"), METHOD_GET, CALL_LOOP, ROUTE_API | ROUTE_ANYTIME,
      serve_notifications },
    { SV_INIT("/api/v1/notifications/live"), METHOD_GET, CALL_LOOP, ROUTE_API | ROUTE_ANYTIME,
      serve_notifications_live },
    { SV_INIT("/api/v1/openapi.yaml"), METHOD_GET, CALL_LOOP, 0, serve_openapi },
    { SV_INIT("/api/v1/admin/tsdb/delete_series"), POST_PUT, CALL_WORKER, ROUTE_API,
      serve_delete_series },
    { SV_INIT("/api/v1/admin/tsdb/snapshot"), POST_PUT, CALL_WORKER, ROUTE_API, serve_snapshot },
    { SV_INIT("/api/v1/admin/tsdb/clean_tombstones"), POST_PUT, CALL_WORKER, ROUTE_API,
      serve_clean_tombstones },
    { SV_INIT("/api/v1/write"), METHOD_POST, CALL_WORKER, 0, serve_remote_write },
    { SV_INIT("/api/v1/read"), METHOD_POST, CALL_READ, 0, serve_remote_read },
    { SV_INIT("/api/v1/otlp/v1/metrics"), METHOD_POST, CALL_WORKER, 0, serve_otlp },
    { SV_INIT("/federate"), METHOD_GET, CALL_WORKER, 0, serve_federate },
    { SV_INIT("/metrics"), METHOD_GET, CALL_LOOP, ROUTE_ANYTIME, serve_metrics },
    { SV_INIT("/-/healthy"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_healthy },
    { SV_INIT("/-/ready"), ANY_GET, CALL_LOOP, 0, serve_ready },
    { SV_INIT("/-/reload"), POST_PUT | METHOD_GET, CALL_LOOP, ROUTE_ANYTIME, serve_reload },
    { SV_INIT("/-/quit"), POST_PUT | METHOD_GET, CALL_LOOP, ROUTE_ANYTIME, serve_quit },
    { SV_INIT("/version"), METHOD_GET, CALL_LOOP, ROUTE_ANYTIME, serve_version },
    { SV_INIT("/graph"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page },
    { SV_INIT("/targets"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page },
    { SV_INIT("/rules"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page },
    { SV_INIT("/alerts"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page },
    { SV_INIT("/tsdb-status"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page },
    { SV_INIT("/status"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page },
    { SV_INIT("/flags"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page },
    { SV_INIT("/config"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page },
    { SV_INIT("/page/*"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_page_file },
    { SV_INIT("/service-discovery"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_discovery },
    { SV_INIT("/query"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_root },
    { SV_INIT("/"), ANY_GET, CALL_LOOP, ROUTE_ANYTIME, serve_root },
};

static bool fits(StrView pattern, StrView path, StrView *ret_arg)
{
    StrView before, after;
    if (!sv_cut(pattern, '*', &before, &after))
        return sv_eq(pattern, path);
    if (!sv_starts(path, before) || path.len < before.len + after.len + 1)
        return false;
    StrView rest = sv_skip(path, before.len);
    StrView arg = sv_head(rest, rest.len - after.len);
    if (!sv_ends(rest, after) || sv_find_char(arg, '/') >= 0)
        return false;
    *ret_arg = arg;
    return true;
}

const Route *route_find(StrView path, unsigned *ret_index, StrView *ret_arg)
{
    *ret_arg = SV("");
    for (unsigned i = 0; i < ARRAY_SIZE(routes); i++)
        if (fits(routes[i].path, path, ret_arg)) {
            *ret_index = i;
            return &routes[i];
        }
    return NULL;
}

unsigned route_count(void)
{
    return ARRAY_SIZE(routes);
}

const Route *route_at(unsigned i)
{
    return &routes[i];
}
