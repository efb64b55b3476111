/* container_run.h - what create, run and exec have in common; container_run.c. */
#pragma once

#include "oci/runtime/container_internal.h"

/* Is the command to go without rights over control groups? --rootless, else by who we are. */
bool oci_is_rootless(const OciGlobal *g);
/* A line to whoever listens; of level debug only where that is asked for. */
void oci_say(const OciGlobal *g, OciLevel level, const char *fmt, ...) PRINTF(3, 4);

int absolute_path(const char *path, char ret[static 4096], Err *err) NODISCARD;
/* Written beside it first: who sees the file sees the whole number. */
int write_pid_file(const char *path, pid_t pid, Err *err) NODISCARD;
int check_terminal(bool terminal, bool detach, const char *console_socket, Err *err) NODISCARD;

/* A label of SELinux where the kernel has none is an error, as with runc. */
int check_labels(const OciProcess *p, Err *err) NODISCARD;

/* How many descriptors from 3 on somebody listens at for us (sd_listen_fds(3); without LISTEN_PID,
 * too, as crun has it). */
unsigned listen_fds_given(void);
/* Of `count` descriptors from 3 on those that are open go to the container, as with crun. *ret: how
 * many numbers that are. To be called before anything else is opened. */
int take_passed_fds(unsigned count, unsigned *ret, Err *err) NODISCARD;

/* Launch.env: of the process, each name once, with LISTEN_FDS, room for HOME, and an end. */
int make_env(Launch *l, unsigned listen_fds, Err *err) NODISCARD;
/* Terminal and standard descriptors; *ret_fg where we stay. */
int launch_io(Launch *l, bool detach, const char *console_socket, bool subreaper,
              Foreground **ret_fg, Err *err) NODISCARD;
void launch_kill(Launch *l); /* and reaps */

/* container.c. The caller holds the lock. */
int container_start(OciState *s, Err *err) NODISCARD;
/* What is left of a container whose first process is dead: other processes, groups, state; poststop
 * hooks. */
int container_destroy(OciState *s, Err *err) NODISCARD;
