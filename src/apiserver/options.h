/* options.h - the parameters of requests that are checked before anything else: CreateOptions,
 * UpdateOptions, PatchOptions, ListOptions and TableOptions of meta.k8s.io.
 * Source: Kubernetes' reference "common parameters" and API concepts. */
#pragma once

#include "api/errors.h"
#include "apiserver/call.h"

/* dryRun, fieldManager, fieldValidation and force of a request that writes; sets x->dry_run. False
 * after answering 422. */
bool options_of_write(ApiCall *x);
/* resourceVersion, resourceVersionMatch, continue and sendInitialEvents of a list or watch in their
 * combination. False after answering 422. */
bool options_of_list(ApiCall *x);
/* includeObject, where the answer is a Table. False after answering 400. */
bool options_of_table(ApiCall *x);
/* Adds what is wrong with the values of `dryRun`, a list of texts. */
void options_check_dry_run(const Value *list, ApiErrors *errors);
