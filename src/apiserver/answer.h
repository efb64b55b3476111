/* answer.h - the answers to writes. */
#pragma once

#include "apiserver/call.h"

typedef enum AnswerForm {
    ANSWER_OBJECT,
    ANSWER_DELETED, /* the object for what goes slowly, Status: Success for the rest */
    ANSWER_STATUS,  /* Status: Success, whatever was written */
    ANSWER_SCALE,   /* the Scale of what was written */
} AnswerForm;

/* Answers a write with what was written or deleted. */
void answer_written(ApiCall *x, AnswerForm form, int code, ObjectRev *o);
/* Answers with a Secret, but the token in it: who may write it need not be one who may read it. */
void answer_without_token(ApiCall *x, int code, ObjectRev *o);
/* Answers with a tree: what a dry run would have written, or an update that was a deletion. */
void answer_unwritten(ApiCall *x, AnswerForm form, int code, Value *obj);

/* The autoscaling/v1 Scale of an object at a revision. */
Value scale_value(ApiCall *x, const Value *obj, uint64_t rev);
/* Answers with it, as a Table or metadata alone where that is asked for. */
void respond_scale(ApiCall *x, int code, const Value *obj, uint64_t rev);
