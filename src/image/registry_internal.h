/* registry_internal.h - how the parts of the registry client fit together.
 *
 *   registry.c           the client: who talks to whom with which certificates; sessions
 *   registry_call.c      one request: redirects, answers that ask to wait, broken connections
 *   registry_token.c     one session's authorisation, which its calls share
 *   registry_manifest.c  what manifests and indexes say (pure)
 *   registry_blob.c      one blob that is downloaded, for all pulls that want it
 *   registry_signed.c    whether an image has the signatures that a policy wants
 *   registry_pull.c      an image that comes
 *   registry_push.c      an image that goes
 *
 * Whatever has work in the pool lives until that is done: owners that go earlier leave it behind as
 * `gone`, and it frees itself. */
#pragma once

#include "base/buf.h"
#include "codec/value.h"
#include "fetch/fetch.h"
#include "image/image_internal.h"
#include "image/registry.h"
#include "image/registry_challenge.h"

enum {
    REGISTRY_ERROR_BODY_MAX = 64 * 1024,
    REGISTRY_TOKEN_MAX = 1024 * 1024,
    REGISTRY_UNPACKS_MAX = 2, /* at a time, of one client */
};

/* ---- registry.c ---- */

/* A fetcher with one set of certificates. */
typedef struct RegPeer {
    const RegistryHostConfig *config; /* NULL: none */
    bool own;                         /* shows the configured client certificate */
    bool insecure;
    FetchOptions options;
    Fetcher *fetcher;
    struct RegPeer *next;
} RegPeer;

typedef struct RegDownload RegDownload;
typedef struct RegUnpack RegUnpack;

/* What outlives the client until its last work of the pool is done. */
typedef struct RegLife {
    unsigned works;
    bool ended;
    LoopFn *gone;
    void *ctx;
} RegLife;

struct Registry {
    Loop *loop;
    RegLife *life;
    ImageStore *store;
    const RegistryConfig *config;
    RegPeer *peers;
    RegDownload *downloads;
    RegUnpack *unpacks; /* under way */
    unsigned n_unpacks;
    RegistryPull *pulls;
    RegistryPush *pushes;
};

/* loop_work() that the client's end waits for. */
int reg_work(Registry *r, LoopFn *work, LoopFn *done, void *ctx, Err *err) NODISCARD;

/* Talks to one endpoint about one repository, for one pull or push, which owns it and its arena.
 * Its calls are cancelled before it goes. */
typedef struct RegCall RegCall;
typedef struct RegSession {
    Registry *reg;
    Arena *arena;
    const RegistryEndpoint *endpoint;
    StrView base;        /* the endpoint's, or its clear text form */
    const char *actions; /* what a token is wanted for: "pull" */
    const RegistryCredential *creds;
    unsigned n_creds, at; /* which is used; at == n_creds: none is left */
    bool insecure, may_clear;
    uint32_t stall_ms, retry_after_max_s;

    StrView authorization; /* of requests to the endpoint; empty: none yet */
    unsigned epoch;        /* of it: counts up with every new one */
    bool worked;           /* it has been accepted */
    int64_t expires_ns;    /* 0: does not */
    Challenge challenge;   /* that is being answered */
    Fetch *fetch;          /* of a token */
    RegCall *waiting;      /* for it */
    Arena scratch;         /* of the present authorization */
    Buf token_text;        /* holds `authorization` */
} RegSession;

/* `s` is zero; options' texts live as long as the arena. Which credentials are for it is found out
 * here. ERR_NOMEM. */
int reg_session_init(RegSession *s, Registry *r, const RegistryEndpoint *e,
                     const RegistryOptions *o, const char *actions, Arena *a, Err *err) NODISCARD;
void reg_session_end(RegSession *s);
/* The fetcher for a URL of the session: its endpoint's, or that of another host. */
int reg_session_peer(RegSession *s, StrView url, Fetcher **ret, Err *err) NODISCARD;
/* Is this URL at the endpoint itself (scheme, host, port)? */
bool reg_session_is_own(const RegSession *s, StrView url);
/* A deep copy into the arena, with the credentials of the options' files for these endpoints: reads
 * files and runs helpers, in the pool. */
int reg_options_copy(const RegistryOptions *o, Arena *a, RegistryOptions *ret, Err *err) NODISCARD;
int reg_options_load(RegistryOptions *o, const RegistryEndpoint *e, unsigned n, Arena *a,
                     Err *err) NODISCARD;

/* ---- registry_call.c ---- */

typedef struct RegAnswer {
    int status; /* 0: none came */
    const HttpHeader *headers;
    unsigned n_headers;
    StrView body;   /* unless it was passed on */
    StrView url;    /* who answered */
    const Err *err; /* NULL: 2xx, whole */
} RegAnswer;
StrView reg_answer_header(const RegAnswer *a, StrView lower_name); /* SV_NULL: not there */

typedef struct RegCallSpec {
    StrView method; /* empty: GET */
    StrView url;    /* whole */
    const HttpHeader *headers;
    unsigned n_headers;
    StrView body; /* copied */
    size_t body_max;
    /* A body that is passed on: asked for 200 and 206, whether on_data gets it. After that the call
     * is not tried again by itself. */
    bool (*on_head)(void *ctx, int status, const HttpHeader *headers, unsigned n);
    void (*on_data)(void *ctx, const void *data, size_t len);
    bool streams;     /* the request's body comes by reg_call_write(); never tried again */
    LoopFn *on_drain; /* `streams`: at its begin and whenever more is welcome */
    LoopFn *on_wait;  /* it waits before it tries again; may be NULL */
    void (*done)(void *ctx, const RegAnswer *a); /* once unless cancelled; later than reg_call() */
    void *ctx;
} RegCallSpec;

int reg_call(RegSession *s, const RegCallSpec *spec, RegCall **ret, Err *err) NODISCARD;
RegCall *reg_call_cancel(RegCall *c); /* NULL is fine; always NULL */
void reg_call_pause(RegCall *c, bool paused);
int reg_call_write(RegCall *c, const void *data, size_t len, Err *err) NODISCARD;
void reg_call_end(RegCall *c);

/* What a registry says went wrong (its JSON), or a short status text, as an error for `what`. */
int reg_error(int status, StrView body, StrView method, StrView url, Err *err) IGNORABLE;

/* A Location against the URL that was asked. ptr NULL: out of memory. */
StrView reg_resolve(Arena *a, StrView from, StrView to);

/* For registry_token.c: a call of session->waiting goes on, or ends. */
void reg_call_authorized(RegCall *c);
void reg_call_unauthorized(RegCall *c, const Err *why);
struct RegCall {
    RegSession *session;
    RegCallSpec spec; /* views in the arena */
    Arena arena;
    StrView url; /* of this hop */
    Fetch *fetch;
    Source *timer; /* until the next try, or watching for a stall */
    int64_t last_ns;
    size_t moved;                      /* bytes since then, which are not enough yet */
    unsigned tries, redirects, rounds; /* rounds of authorisation */
    unsigned epoch;                    /* of what it was sent with */
    bool passed, paused, waiting, sent;
    int status;    /* `passed`: of the answer */
    RegCall *next; /* in session->waiting */
    Err err;
};

/* ---- registry_token.c ---- */

/* Answers a 401: the call is queued and told later. Negative: it is over, `err` says why. */
int reg_session_authorize(RegSession *s, RegCall *c, StrView header, Err *err) NODISCARD;
/* Before a call: false when a token has run out, and the call was queued for a new one. */
bool reg_session_ready(RegSession *s, RegCall *c);
void reg_session_forget(RegSession *s, RegCall *c); /* it no longer waits */

/* ---- registry_manifest.c ---- */

typedef struct RegPlatform {
    StrView os, architecture, variant;
} RegPlatform;
/* This machine's, where nothing is said. */
RegPlatform reg_platform(const RegistryOptions *o);

typedef struct RegManifest {
    bool is_index;
    Digest chosen; /* of an index: the manifest for the platform */
    uint64_t chosen_size;
    Manifest image; /* else; `digest` is not set */
    bool has_urls;  /* a layer of it is somewhere else */
} RegManifest;
/* Reads what a registry answered; `type` is its content type. Texts are in the arena. ERR_INVALID,
 * ERR_UNSUPPORTED ("schema 1"), ERR_LIMIT, ERR_NOT_FOUND (nothing for the platform). */
int reg_manifest_parse(StrView text, StrView type, const RegPlatform *p, Arena *a, RegManifest *ret,
                       Err *err) NODISCARD;
extern const char reg_manifest_accept[];

/* ---- registry_signed.c ---- */

typedef struct RegVerify RegVerify;
/* Once unless cancelled, later than reg_verify(); it is gone then. ERR_DENIED: there is no
 * signature that is good for all rules; others: it could not be found out. */
typedef void RegVerifyFn(void *ctx, const Err *err);
/* Asks the session's registry for signatures of the index or of the manifest itself; `rules` must
 * outlive it. None of them is POLICY_REJECT. */
int reg_verify(RegSession *s, const PolicyRules *rules, const ImageRef *ref, const Digest *index,
               const Digest *manifest, RegVerifyFn *done, void *ctx, RegVerify **ret,
               Err *err) NODISCARD;
RegVerify *reg_verify_cancel(RegVerify *v); /* NULL is fine; always NULL */

/* ---- registry_pull.c ---- */

/* Layers that are still being unpacked no longer know the client. */
void registry_forget_unpacks(Registry *r);

/* ---- registry_blob.c ---- */

/* Somebody who wants a blob. */
typedef struct RegWant {
    RegSession *session;
    char tag[BLOB_TAG_SIZE]; /* it is to come from the registry, shared with those of the same tag
                                alone; "": what is there already will do */
    RegDownload *download;
    struct RegWant *next;
    void (*moved)(void *ctx, struct RegWant *w, RegistryBlobState state, uint64_t bytes);
    void (*done)(void *ctx, struct RegWant *w, bool existed, const Err *err); /* once */
    void *ctx;
} RegWant;
/* The caller has filled session, moved, done and ctx, and keeps it. */
int reg_want(RegWant *w, const Digest *d, uint64_t size, Err *err) NODISCARD;
void reg_unwant(RegWant *w); /* no more events; fine when there is no download */
