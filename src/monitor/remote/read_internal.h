/* read_internal.h - of remote read. */
#pragma once

#include "base/vec.h"
#include "fetch/fetch.h"
#include "monitor/remote/remote_read.h"

/* ---- read_answer.c: a storage's answer ---- */

enum {
    READ_ANSWER_MAX = 512 * 1024 * 1024, /* bytes of one answer, and of it uncompressed */
    READ_SERIES_MAX = 10 * 1000 * 1000,
};

/* A piece of a series: of the answer's bytes, decoded when its turn comes. */
typedef struct ReadPiece {
    Labels labels;
    StrView bytes; /* a TimeSeries, or a ChunkedSeries */
} ReadPiece;

/* All views are into the answer or the arena. */
typedef struct ReadAnswer {
    Arena arena;
    Buf plain;
    bool chunks;
    VEC(ReadPiece) pieces; /* by labels; pieces of one series in the answer's order */
} ReadAnswer;

/* `chunks`: frames of chunks, of at most `frame_max` bytes each; else one compressed message.
 * Labels of `without` are left out. ERR_PROTO, ERR_CORRUPT, ERR_LIMIT, ERR_NOMEM.
 * read_answer_free() in any case. */
int read_answer_init(ReadAnswer *a, StrView bytes, bool chunks, uint64_t frame_max, Labels without,
                     Err *err) NODISCARD;
void read_answer_free(ReadAnswer *a);
/* Adds the samples of start … end to `cols`, in the order of time; doubled times are left out. */
int read_piece_decode(const ReadAnswer *a, const ReadPiece *p, int64_t start, int64_t end,
                      SampleCols *cols, Err *err) NODISCARD;

/* ---- read_request.c: storages, and requests on their way ---- */

typedef struct ReadStorage {
    RemoteReads *reads;
    const ConfigRemoteRead *cfg;
    Fetcher *fetcher;
    char name[64];
    atomic_uint_fast64_t queries, failed; /* answered or not; not */
    atomic_uint running;
} ReadStorage;

typedef struct ReadRequest ReadRequest;

struct RemoteReads {
    atomic_uint refs;
    Loop *loop;
    Config *config;
    ReadStorage *storages;
    unsigned len;
    Labels external;
    ReadRequest *active; /* of the loop */
    atomic_bool closed;
};

/* On a pool thread. `body` (a compressed ReadRequest) is taken over. */
int read_request_start(ReadStorage *s, Buf *body, ReadRequest **ret, Err *err) NODISCARD;
/* Waits for the answer, which stays the request's. ERR_CLOSED: cancelled. */
int read_request_wait(ReadRequest *r, const atomic_bool *cancel, StrView *ret_answer,
                      bool *ret_chunks, Err *err) NODISCARD;
ReadRequest *read_request_free(ReadRequest *r); /* ends it if it goes on; NULL is fine */
