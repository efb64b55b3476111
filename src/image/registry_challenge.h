/* registry_challenge.h - what a registry wants to know before it answers: WWW-Authenticate (RFC
 * 9110 11.6.1), and where credentials may go for it. Pure. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum { CHALLENGE_MAX = 16 * 1024, CHALLENGES_MAX = 16 };

typedef enum ChallengeScheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER } ChallengeScheme;

typedef struct Challenge {
    ChallengeScheme scheme;
    StrView realm, service, scope; /* in the arena; empty where not said */
} Challenge;

/* The challenge to answer among those of one header's value: Bearer before Basic; CHALLENGE_NONE
 * where there is neither. ERR_INVALID: no challenges; ERR_LIMIT, ERR_NOMEM. */
int challenge_parse(StrView value, Arena *a, Challenge *ret, Err *err) NODISCARD;

/* May credentials for a registry be sent to a token service? `registry` and `realm` are URLs.
 * Yes for the registry's own host, and for one of its own domain by https; TLS is never given up on
 * the way. (One that the user has named is asked about before.) */
bool challenge_realm_is_own(StrView registry, StrView realm);
