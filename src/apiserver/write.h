/* write.h - the way of every write into the store.
 *
 * A WriteOp goes through its states: read (the body), find (the newest version), make (the wanted
 * object from it; strategy and defaults), mutate (admission), validate, admit (admission again),
 * claim (names, addresses and ports that the object needs, as keys of the same transaction), form
 * (owners of fields, text), commit, answer. A state may wait; the rest of the way is then taken
 * when that is over. Read, make, validate and form depend on nothing but the request and the
 * version that was found: where they are long (heavy.h) they run on another thread. Whoever was
 * slower than another writer begins again with find, where the request allows it, at most
 * WRITE_TRIES_MAX times. A new object is stored only while its namespace is the version that
 * admission saw; if not, that part is done again. */
#pragma once

#include "apiserver/admit.h"
#include "apiserver/answer.h"
#include "apiserver/call.h"
#include "apiserver/commit.h"
#include "apiserver/heavy.h"

enum { WRITE_TRIES_MAX = 9 };

typedef struct WriteOp WriteOp;

/* Makes w->obj (and w->effect) from w->old and the request; again after a lost race, so it must not
 * change what it is made from. Answers itself and returns false when it cannot. Of WRITE_CREATE,
 * WRITE_UPDATE and WRITE_UPSERT it may run on another thread. */
typedef bool WriteMakeFn(WriteOp *w);
/* Reads the request's body into the plan's ctx; as WriteMakeFn, but once, and of all ways it may
 * run on another thread. */
typedef bool WriteReadFn(ApiCall *x, void *ctx);

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
    WriteReadFn *read;              /* NULL: has been read */
    bool (*may_create)(ApiCall *x); /* WRITE_UPSERT of what is not there; answers itself */
    WriteMakeFn *make;
    void *ctx; /* of make; lives in the call's arena */
    AnswerForm answer;
    int code; /* of a success; 0: 201 when the object was created, else 200 */
} WritePlan;

typedef enum WriteState {
    WRITE_READ,
    WRITE_FIND,
    WRITE_MAKE,
    WRITE_MUTATE,
    WRITE_VALIDATE,
    WRITE_ADMIT,
    WRITE_CLAIM,
    WRITE_FORM,
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
    Value given; /* metadata.managedFields as the client sent it; null: nothing */
    bool has_given;
    struct Managers *settled; /* an apply has settled who owns which field; else NULL */
    bool retriable;           /* after a conflict */
    bool made_token;          /* of an account, in the Secret that is written */
    unsigned tries;
    StoreOp *claims; /* what the object takes and gives back beside itself */
    size_t n_claims;
    Buf val, attrs; /* the object as it is stored */
    bool same;      /* it is stored so already */
    bool formed; /* all is there: of a new object, whose namespace has changed, that is admitted */
    Heavy heavy;
    AdmitChain admit;
    Commit commit;
};

/* Begins the write; the call is answered when it is done. */
void write_start(ApiCall *x, const WritePlan *plan);
