/* authn.h - who asks. */
#pragma once

#include "apiserver/call.h"
#include "apiserver/token.h"

/* Is this one of the platform's own roles, by its certificate? */
bool authn_is_own_role(const TlsPeer *peer);
/* Fills x->user; ERR_UNAUTHENTICATED for bad credentials. No credentials: system:anonymous. */
int authenticate(ApiCall *x, Err *err) NODISCARD;
/* Puts whom the request claims to act as in place of x->user, where that is allowed; answers itself
 * and returns false when it is not. */
bool impersonate(ApiCall *x);
/* Checks a bearer token against the store (account and pod still there). */
int authenticate_token(ApiServer *srv, StrView token, Arena *a, const StrView *audiences,
                       unsigned n_audiences, User *ret, TokenClaims *ret_claims,
                       Err *err) NODISCARD;
