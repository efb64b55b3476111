/* preflight.h - what must be true of the machine before a cluster starts. */
#pragma once

#include "cmd/cluster.h"

/* Checks ports, kernel features and host settings; sets what Go hosts take for granted (ip_forward,
 * bridge-nf-call-iptables) and loads modules where they are loadable. The error is one sentence
 * that says what is missing and what to do. */
int preflight_check(const Cluster *c, Err *err) NODISCARD;
