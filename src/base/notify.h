/* notify.h - telling a supervisor that a service is ready: systemd's protocol (sd_notify(3)), so
 * that `knarr up` and a unit with Type=notify understand the same programs. */
#pragma once

#include "base/str.h"

/* Sends e.g. "READY=1\nSTATUS=serving" to $NOTIFY_SOCKET. Without that variable does nothing. 0 or
 * a negative errno; a lost message is no reason to stop. */
int notify_send(const char *state);

/* The same of what is said again soon: -EAGAIN instead of waiting for a supervisor that does not
 * read. */
int notify_ping(const char *state);

/* The supervisor's end: a datagram socket at `path` (replaced if it exists), non-blocking. Returns
 * the descriptor or a negative errno. */
int notify_listen(const char *path);
/* Takes one message, with the sender's pid as the kernel tells it. 0, -EAGAIN when there is none,
 * or another negative errno. Longer messages are cut. */
int notify_receive(int fd, char *buf, size_t size, pid_t *ret_pid);
