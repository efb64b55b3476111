/* log_file.h - the log file of an app, opened by its path. Log collectors are given the folder of
 * all logs to write in, and what they put there must not lead the node to files of the host. */
#pragma once

/* Opens LOG_ROOT/POD/CONTAINER/FILE with `flags` as for open(2) (O_CLOEXEC is added, a new file has
 * mode 0640): LOG_ROOT is trusted, links in the last three parts lead to places inside it, and the
 * file itself must be a regular one. A path with fewer parts is opened below its own folder.
 * Negative errno; -EINVAL for what is no regular file. */
int log_file_open(const char *path, int flags);
