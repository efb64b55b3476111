/* strategy.h - what the server itself sets or keeps on create and update, kind by kind. */
#pragma once

#include "apiserver/call.h"

void strategy_prepare_create(ApiCall *x, Value *obj);
/* `old` and `obj` as trees; x->sub tells which part may change. */
void strategy_prepare_update(ApiCall *x, Value *obj, const Value *old);
/* A warning in the answer where the kind is stored but nothing acts on it. */
void strategy_warn_if_idle(ApiCall *x);
