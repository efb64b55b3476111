/* dialers.c - connections to others on /metrics, under the names of Prometheus' conntrack. */
#include "monitor/model/labels.h"
#include "base/metric_text.h"
#include "monitor/scrape/scrape.h"

static void put(const ScrapeDialer *d, const char *name, const char *reason, uint64_t v, Buf *out)
{
    buf_printf(out, "%s{dialer_name=", name);
    text_quote_value(d->name, out);
    if (reason)
        buf_printf(out, ",reason=\"%s\"", reason);
    buf_putc(out, '}');
    metric_value(out, (double)v);
}

void scrape_dialers_put(const ScrapeDialer *dialers, size_t n, Buf *out)
{
    static const char *const reasons[HTTP_DIAL_FAILURE_MAX] = {
        [HTTP_DIAL_REFUSED] = "refused",
        [HTTP_DIAL_RESOLUTION] = "resolution",
        [HTTP_DIAL_TIMEOUT] = "timeout",
        [HTTP_DIAL_UNKNOWN] = "unknown",
    };
    static const char attempted[] = "net_conntrack_dialer_conn_attempted_total",
                      established[] = "net_conntrack_dialer_conn_established_total",
                      closed[] = "net_conntrack_dialer_conn_closed_total",
                      failed[] = "net_conntrack_dialer_conn_failed_total";
    metric_head(out, attempted, "counter", "Connections that were begun.");
    for (size_t i = 0; i < n; i++)
        put(&dialers[i], attempted, NULL, dialers[i].dials->attempted, out);
    metric_head(out, established, "counter", "Connections that were made.");
    for (size_t i = 0; i < n; i++)
        put(&dialers[i], established, NULL, dialers[i].dials->established, out);
    metric_head(out, closed, "counter", "Connections that were made and are closed.");
    for (size_t i = 0; i < n; i++)
        put(&dialers[i], closed, NULL, dialers[i].dials->closed, out);
    metric_head(out, failed, "counter", "Connections that could not be made, by reason.");
    for (size_t i = 0; i < n; i++)
        for (unsigned r = 0; r < HTTP_DIAL_FAILURE_MAX; r++)
            put(&dialers[i], failed, reasons[r], dialers[i].dials->failed[r], out);
}
