/* file.h - files and descriptors. Everything returns 0 or a negative errno (S6), takes (dirfd,
 * path) in this order, and opens with O_CLOEXEC. Pass AT_FDCWD for a path of its own. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/buf.h"

int fd_read_full(int fd, void *buf, size_t n); /* -ENODATA at an early end */
int fd_write_full(int fd, const void *buf, size_t n);
int fd_read_all(int fd, size_t limit, Buf *out); /* appends up to the end; -EFBIG over limit */
int fd_set_nonblock(int fd, bool on);

int file_read(int dirfd, const char *path, size_t limit, Buf *out); /* appends; -EFBIG over limit */
/* A file in whose place there may be anything else: opens regular files alone, follows no link and
 * never waits. `flags` as of open(2), `mode` of a file that O_CREAT makes. The descriptor, or
 * -EINVAL for what is no regular file, -ENOENT and its kin. */
int file_open_regular(int dirfd, const char *path, int flags, mode_t mode) NODISCARD;

/* Replaces the file in one step: writes a temporary name beside it, fsyncs when `durable` (file and
 * folder), renames. Nothing stays behind on failure. */
int file_write_atomic(int dirfd, const char *path, StrView data, mode_t mode, bool durable);
int file_write(int dirfd, const char *path, StrView data,
               mode_t mode); /* plain: for procfs, cgroups */

/* Renames and fsyncs the folder of the new name: after a power cut the name is there, too. Paths
 * are relative to the working directory. */
int rename_durable(const char *from, const char *to);

int mkdir_p(int dirfd, const char *path, mode_t mode); /* existing folders are fine */
/* Removes a tree without crossing a mount and without following links; a missing one is fine. */
int rm_rf(int dirfd, const char *path);

/* Opens a folder to list it; *ret is ended by closedir(). */
int dir_list(int dirfd, const char *path, DIR **ret) NODISCARD;
/* Its next entry, but for "." and "..": 1, 0 at the end, or negative errno. readdir() by itself
 * tells a folder that cannot be read to its end from one that has ended by errno alone. */
int dir_next(DIR *d, struct dirent **ret) NODISCARD;

/* Is there anything of this name? What cannot be looked at may be there: false is certain. */
bool path_exists(int dirfd, const char *path);
/* The folder that a path names its last part in, without its slash; empty where there is none. */
StrView path_dir(const char *path);
