/* backup_socket.h - how a running server hands out a copy of its store: a socket in the store's
 * folder, on which root alone is answered. */
#pragma once

#include "store/store.h"

typedef struct BackupSocket BackupSocket;

enum { BACKUP_ANSWER_MAX = 600 };

/* Answers on DIR/backup.sock from a thread of its own until it is freed; the store must outlive it.
 */
int backup_socket_new(Store *store, const char *dir, BackupSocket **ret, Err *err) NODISCARD;
BackupSocket *backup_socket_free(BackupSocket *b); /* always NULL; NULL is fine */

/* The other end: asks for a copy, and waits for it. The caller owns *ret_fd, a file without a name.
 * ERR_CLOSED when nobody listens. */
int backup_socket_ask(const char *dir, int *ret_fd, Err *err) NODISCARD;
