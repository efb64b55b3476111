/* swap.h - a restored cluster takes the place of the one before it, or does not: whenever it is cut
 * short, the next `knarr up` brings the swap to its end and the next `knarr restore` takes it back.
 *
 * DIR/restore.new holds what comes in, DIR/restore.old what goes out, and the file
 * restore.new/ready says that everything that comes in is on the disk and that names change.
 * Whoever calls this holds the lock of the data directory. */
#pragma once

#include "base/err.h"

/* Swaps store, pki and cluster.json of data_dir with those in restore.new, which were written. What
 * was there is in restore.old afterwards; what that held before is gone. On failure the folder is
 * as it was, or the error says why not. */
int swap_in(const char *data_dir, Err *err) NODISCARD;
/* Ends a swap that was cut short: 1 when there was one, 0 when not. */
int swap_finish(const char *data_dir, Err *err) NODISCARD;
/* Takes back a swap that was cut short; 0 also when there is none. */
int swap_undo(const char *data_dir, Err *err) NODISCARD;
