/* certs.h - the supervisor's part in certificates: has them made at the start, looks after them
 * while the cluster runs, and says which roles are to read theirs again. */
#pragma once

#include "cmd/cluster.h"

typedef struct Certs {
    const Cluster *c;
    const char *lifetime; /* as given to `up`: a duration */
    int64_t lifetime_ns;
    bool ignore_clock;
    int timer_fd; /* readable when it is time to look again, or when the clock was set; -1: none */
} Certs;

/* Makes what is missing, not valid now or near its end. *ret_roles gets a bit for each role (1 <<
 * RoleId) that has a new certificate. ERR_TIMEOUT: the clock cannot be true, and nothing was done;
 * blocks for as long as knarr-pki runs. */
int certs_make(const Certs *certs, unsigned *ret_roles, Err *err) NODISCARD;
/* Opens the timer; close it with closep(). */
int certs_watch(Certs *certs, Err *err) NODISCARD;
/* Once the timer is readable: certs_make(), and the timer goes on. */
int certs_look(Certs *certs, unsigned *ret_roles, Err *err) NODISCARD;
