/* token_secret.h - Secrets that hold a token of a service account: the type
 * kubernetes.io/service-account-token.
 *
 * Kubernetes' token controller fills them. Here only the API server has the key that signs tokens,
 * and no other role shall be able to make a token for any account; so the server fills a Secret in
 * the write that makes or changes it, and there is no moment at which it is seen without its token.
 * What an account leaves behind is ended by a controller (controller/token_secret.c), which needs
 * no more than the Secrets' metadata. */
#pragma once

#include "apiserver/call.h"

/* Whether the object is such a Secret, and names an account that is not in the call's namespace or
 * has another uid than it says. *ret_account is the name. */
bool token_secret_lacks_account(ApiCall *x, const Value *obj, StrView *ret_account);

/* Fills in what the Secret in `obj` lacks: the token, and the account's uid; and sets right the
 * authority's certificate and the namespace. The account is looked up in the call's own namespace,
 * whatever the object says; without one, in a dry run and in other objects nothing is changed.
 * managedFields give what was filled in to the manager whose work it is in Kubernetes, so that no
 * apply takes it for its own. Called when the client's own fields have been noted. *ret_made: the
 * token is a new one, and not for the answer of this write (answer_without_token()). */
int token_secret_fill(ApiCall *x, Value *obj, bool *ret_made, Err *err) NODISCARD;

/* Whether the Secret still exists, is not on its way out and holds just this token. */
bool token_secret_holds(Snapshot *sn, StrView ns, StrView name, StrView token, Arena *a);
