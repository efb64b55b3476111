/* gzip.h - unpacks gzip (RFC 1952), as it arrives or whole. A stream may have several members. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct z_stream_s GzipStream;

/* Zero is the beginning of a stream. */
typedef struct Gunzip {
    GzipStream *z; /* owned */
    bool ended;    /* at the end of a member */
} Gunzip;

/* Appends what `in` unpacks to. `max`: bytes in `out` at most; ERR_LIMIT beyond it, with no more
 * than that and a step of 64 KiB in memory. ERR_INVALID: not gzip, or damaged. */
int gunzip_feed(Gunzip *g, StrView in, size_t max, Buf *out, Err *err) NODISCARD;
/* A stream without its end is ERR_INVALID; one that never began too. */
int gunzip_finish(const Gunzip *g, Err *err) NODISCARD;
void gunzip_free(Gunzip *g); /* for the next stream; zero is fine */

/* All of these in one. */
int gunzip(StrView in, size_t max, Buf *out, Err *err) NODISCARD;
