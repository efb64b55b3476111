/* list_stream.h - the text of a list: whole while it is small, else produced as the client reads.
 */
#pragma once

#include "apiserver/call.h"

enum { LIST_WHOLE_MAX = 256 * 1024, LIST_YAML_MAX = 16 * 1024 * 1024 };

typedef struct ListAnswer {
    Snapshot *sn;
    ObjectRev **objs; /* of the snapshot; malloc'ed */
    size_t n;
    StrView rv, cont;  /* cont: empty on the last page; both live as long as the call */
    int64_t remaining; /* -1: not told */
} ListAnswer;

/* Appends the whole list in the form that the call asks for; false when it is longer than `max`
 * (out is of no use then). */
bool list_encode(ApiCall *x, const ListAnswer *l, size_t max, Buf *out);
/* Answers with a stream that holds little more than what the client has still to take, compressed
 * where the client takes that. True: the snapshot's reference and `objs` are the stream's now.
 * False: memory is exhausted, nothing was answered. */
bool list_stream(ApiCall *x, const ListAnswer *l) NODISCARD;
