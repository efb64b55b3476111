/* loops.h - the server's loops: how many, what each has, how connections get to them, and their
 * end.
 */
#pragma once

#include "apiserver/call.h"

/* Makes srv->loops, the first on `first`, and listens. The others' threads start last: when this
 * fails, api_loops_free() is still to be called. */
int api_loops_new(ApiServer *srv, Loop *first, const ApiServerConfig *cfg, Err *err) NODISCARD;
/* New connections of every loop use the certificates and keys of `cfg`; all or none. */
int api_loops_reload(ApiServer *srv, const ApiServerConfig *cfg, Err *err) NODISCARD;
/* Closes every connection, ends the threads and what they had; fine at any stage of a start. */
void api_loops_free(ApiServer *srv);
