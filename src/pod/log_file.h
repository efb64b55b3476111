/* log_file.h - the log file of an app, by its path LOG_ROOT/POD/CONTAINER/FILE. Log collectors are
 * given the folder of all logs to write in, and what they put there must not lead the node to files
 * of the host: LOG_ROOT is trusted, links in the last three parts lead to places inside it. A path
 * with fewer parts is opened below its own folder. */
#pragma once

/* Opens the file with `flags` as for open(2) (O_CLOEXEC is added, a new file has mode 0640).
 * Negative errno; -EINVAL for what is no regular file. */
int log_file_open(const char *path, int flags);
/* Renames the file to FILE.TIME, so that its writer begins a new one, and removes the oldest of
 * those until there are at most `max_files` with the new one (at least 2). Negative errno. */
int log_file_rotate(const char *path, unsigned max_files);
/* Removes the file and what was rotated of it; what cannot be removed stays. */
void log_file_remove(const char *path);
