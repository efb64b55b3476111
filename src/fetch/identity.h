/* identity.h - credentials that have to be got before a request can be sent: tokens of OAuth 2, of
 * Azure and of Google, keys of AWS.
 *
 * A kind is a chain of steps. Each looks at the answer to what the one before it asked, and asks
 * the next question or ends the chain with what was got. To add a kind: its first step in the table
 * of identity.c. */
#pragma once

#include "codec/value.h"
#include "fetch/fetch.h"

typedef struct Identity Identity;
typedef void IdentityReadyFn(void *ctx, const Err *why); /* why NULL: there are credentials */

/* What requests are signed with, or their token. */
typedef struct Credentials {
    StrView token;                   /* "Bearer TOKEN" */
    StrView key_id, secret, session; /* of AWS; session may be empty */
    StrView region;
} Credentials;

/* `cfg` must outlive it. *ret is NULL where requests need nothing that is got first. */
int identity_new(Loop *l, const FetchOptions *cfg, IdentityReadyFn *ready, void *ctx,
                 Identity **ret, Err *err) NODISCARD;
Identity *identity_free(Identity *id); /* without calling back; NULL is fine; always NULL */
/* Whether credentials must be waited for: then `ready` is called later. NULL: they must not. */
int identity_await(Identity *id, bool *ret_wait, Err *err) NODISCARD;
const Credentials *identity_credentials(const Identity *id); /* good until the next await */

/* ---- for the steps ---- */

enum { STEP_ASKS, STEP_ENDS };
/* `r` NULL: the first step. STEP_ASKS: id->ask and id->next are set. STEP_ENDS: by identity_keep().
 */
typedef int IdentityStep(Identity *id, const FetchResult *r, Err *err);

typedef struct Ask {
    StrView method, url, body; /* method empty: GET; url and body in the arena */
    HttpHeader headers[8];
    unsigned n_headers;
    uint32_t timeout_ms; /* 0: 30 s */
} Ask;

struct Identity {
    Loop *loop;
    const FetchOptions *cfg;
    const char *what; /* in front of errors */
    IdentityStep *first, *next;
    Ask ask;
    Arena arena;      /* of the chain */
    Credentials keys; /* of AWS: what a role is assumed with; in the arena of the chain */
    FetchAzureIdentity azure;
    FetchOptions http; /* of the questions */
    Fetcher *fetcher;
    Fetch *fetch;
    IdentityReadyFn *ready;
    void *ctx;
    Arena kept;
    Credentials got;
    int64_t until_ns; /* 0: nothing was got */
};

enum { IDENTITY_FILE_MAX = 1024 * 1024, IDENTITY_EARLY_S = 60 };

/* Ends the chain: these for `life_s` seconds. */
int identity_keep(Identity *id, const Credentials *c, int64_t life_s, Err *err) NODISCARD;
void ask_header(Ask *a, StrView name, StrView value);
/* A body of a form; `form` is empty or what identity_form() made. */
int ask_form(Identity *id, StrView url, const Buf *form, IdentityStep *next, Err *err) NODISCARD;
void identity_form(Buf *form, StrView name, StrView value);
/* The answer as JSON, in the arena; not 2xx is ERR_UNAUTHENTICATED with the begin of its body. */
int answer_json(Identity *id, const FetchResult *r, Value *ret, Err *err) NODISCARD;
int answer_ok(const FetchResult *r, Err *err) NODISCARD;
/* {"access_token": …, "expires_in": …}: ends the chain. Of its life `share` percent are used, and
 * not the last `early_s` seconds. */
int answer_token(Identity *id, const FetchResult *r, unsigned share, unsigned early_s,
                 Err *err) NODISCARD;
/* A variable of the environment; empty: it is not set. */
StrView identity_env(const char *name);
/* A file as it is, in the arena. */
int identity_file(Identity *id, StrView path, StrView *ret, Err *err) NODISCARD;

IdentityStep oauth2_begin, azure_begin, google_begin, aws_begin;
