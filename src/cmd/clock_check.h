/* clock_check.h - whether this machine's clock can be true, by what the cluster's files know. */
#pragma once

#include "base/buf.h"
#include "cmd/cluster.h"

/* A clock outside of the authority's period is wrong, and behind the store's last transaction
 * unless the cluster runs (then the clock was set back, and the store was written by the wrong
 * one); so is one behind the age of this program where there is no authority yet (`ca_cert` empty):
 * it would be born at a time when nobody can use it. Some minutes are let pass, as certificates
 * begin some minutes before they are made. `now` is in Unix seconds. Appends a sentence that says
 * both times to `why`. */
bool clock_is_wrong(const Cluster *c, StrView ca_cert, int64_t now, bool running, Buf *why);
