/* json_out.h - JSON of results, written straight into a buffer. Private to monitor/web. */
#pragma once

#include "monitor/promql/promql.h"

void json_put_text(Buf *out, StrView s);  /* quoted */
void json_put_double(Buf *out, double v); /* a JSON string: "+Inf", "0.5" */
void json_put_time(Buf *out, int64_t ms); /* seconds, a JSON number */
void json_put_labels(Buf *out, Labels l); /* {"a":"b"} */
void json_put_histogram(Buf *out, const Histogram *h);
/* `[1435781451.781,"1"]` */
void json_put_point(Buf *out, const PromqlPoint *p);
/* The value of "result": at most `limit` series (0: all); *ret_cut: some were left out. */
void json_put_result(Buf *out, const PromqlResult *r, size_t limit, bool *ret_cut);
