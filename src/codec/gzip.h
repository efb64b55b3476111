/* gzip.h - gzip (RFC 1952): unpacks it as it arrives or whole, a stream may have several members;
 * packs it whole. */
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

/* Appends `in` packed at level 1: on a fast network anything above costs more time than the bytes
 * it saves. False: memory exhausted, or more than 2 GiB; `out` is as it was. */
bool gzip_pack(StrView in, Buf *out) NODISCARD;
