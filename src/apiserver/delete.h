/* delete.h - what the deletion of one object and that of many share. */
#pragma once

#include "apiserver/write.h"

typedef struct DeleteOptions {
    int64_t grace; /* seconds; -1: the object's own */
    StrView propagation;
    StrView uid, rv; /* preconditions */
} DeleteOptions;

/* Reads the options from the query and from the body, or from `given` in its place (NULL: the
 * body). Answers itself and returns false when they are wrong. */
bool delete_options_read(ApiCall *x, const Value *given, DeleteOptions *ret);
/* Begins the deletion of the object that the call names, with these options, or with those that
 * `read` puts into a DeleteOptions. */
void delete_start(ApiCall *x, WriteReadFn *read, const DeleteOptions *o, AnswerForm answer,
                  int code);
