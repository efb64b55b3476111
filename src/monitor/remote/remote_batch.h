/* remote_batch.h - samples as one remote write message, for who has them at hand and no log. */
#pragma once

#include "monitor/remote/remote_write.h"
#include "monitor/tsdb/tsdb.h"

typedef struct RemoteBatch RemoteBatch;

RemoteBatch *remote_batch_new(void);            /* NULL: out of memory */
RemoteBatch *remote_batch_free(RemoteBatch *b); /* NULL is fine; always NULL */
/* A sample of a series of its own; all is copied. `m` goes along with 2.0; NULL: nothing is known.
 */
int remote_batch_add(RemoteBatch *b, Labels l, int64_t t, double v, const MetricMetadata *m,
                     Err *err) NODISCARD;
/* Of a family, for 1.0. */
int remote_batch_describe(RemoteBatch *b, const RemoteMetadata *m, Err *err) NODISCARD;
/* The message, compressed, in `out`. */
int remote_batch_encode(RemoteBatch *b, bool v2, Buf *out, Err *err) NODISCARD;
