/* write.h - the way of every write into the store.
 *
 * A WriteOp goes through its states: prepare (take the newest version, make the wanted object from
 * it, apply strategy and defaults), mutate and validate (admission, validation), claim (names,
 * addresses and ports that the object needs, as keys of the same transaction), commit, answer. A
 * state may wait; the rest of the way is then taken when that is over. Whoever was slower than
 * another writer begins again with prepare, where the request allows it, at most WRITE_TRIES_MAX
 * times. */
#pragma once

#include "apiserver/admit.h"
#include "apiserver/answer.h"
#include "apiserver/call.h"
#include "apiserver/commit.h"

enum { WRITE_TRIES_MAX = 9 };

typedef struct WriteOp WriteOp;

/* Makes w->obj (and w->effect) from w->old and the request; again after a lost race, so it must not
 * change what it is made from. Answers itself and returns false when it cannot. */
typedef bool WriteMakeFn(WriteOp *w);

typedef enum WriteWay {
    WRITE_CREATE,   /* the object must not exist; x->name comes from it */
    WRITE_UPDATE,   /* it must exist */
    WRITE_UPSERT,   /* apply: either */
    WRITE_DELETION, /* it must exist; admission of deletions, no strategy and no validation */
    WRITE_ACTION,   /* it must exist; what `make` makes is written as it is */
} WriteWay;

typedef enum WriteEffect {
    EFFECT_PUT,
    EFFECT_DELETE,
    EFFECT_NONE, /* the answer is what is stored */
} WriteEffect;

/* What is to be written and how it is answered. */
typedef struct WritePlan {
    WriteWay way;
    WriteMakeFn *make;
    void *ctx; /* of make; lives in the call's arena */
    AnswerForm answer;
    int code; /* of a success; 0: 201 when the object was created, else 200 */
} WritePlan;

typedef enum WriteState {
    WRITE_PREPARE,
    WRITE_MUTATE,
    WRITE_VALIDATE,
    WRITE_CLAIM,
    WRITE_COMMIT,
    WRITE_ANSWER,
    WRITE_STATES, /* the number of those with a function */
    WRITE_WAITING = WRITE_STATES,
    WRITE_DONE, /* answered, or nobody is left to answer */
} WriteState;

struct WriteOp {
    ApiCall *x; /* NULL once the peer has gone: what was handed to the store goes on */
    WritePlan plan;
    WriteState state, resume; /* resume: where a waiting one goes on */

    ObjectRev *have; /* owned: the version it is made from; NULL: none */
    Value old, obj;  /* `old` is valid with `have` */
    WriteEffect effect;
    Value given;              /* metadata.managedFields as the client sent it; null: nothing */
    bool has_given, checked;  /* checked: validation has passed, admission may still wait */
    struct Managers *settled; /* an apply has settled who owns which field; else NULL */
    bool retriable;           /* after a conflict */
    unsigned tries;
    StoreOp *claims; /* what the object takes and gives back beside itself */
    size_t n_claims;
    AdmitChain admit;
    Commit commit;
};

/* Begins the write; the call is answered when it is done. */
void write_start(ApiCall *x, const WritePlan *plan);
