/* role_end.c - how a role ended, as one line of three numbers in a file. */
#include "cmd/role_end.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

static const char *path_of(const char *dir, RoleId id, char buf[static PATH_MAX])
{
    snprintf(buf, PATH_MAX, "%s/run/%s.ended", dir, role_names[id]);
    return buf;
}

void role_end_note(const char *dir, RoleId id, const RoleEnd *end)
{
    char path[PATH_MAX], text[64];
    int n = snprintf(text, sizeof text, "%d %d %" PRId64 "\n", end->times, end->status, end->at_ns);
    int r = file_write_atomic(AT_FDCWD, path_of(dir, id, path), sv_n(text, (size_t)n), 0644, false);
    if (r < 0)
        log_warn("write '%s': %s, ignoring", path, strerror(-r));
}

bool role_end_read(const char *dir, RoleId id, RoleEnd *ret)
{
    char path[PATH_MAX];
    _cleanup_buf_ Buf text = BUF_INIT;
    return file_read(AT_FDCWD, path_of(dir, id, path), 64, &text) == 0 && buf_cstr(&text) &&
           sscanf(text.ptr, "%d %d %" SCNd64, &ret->times, &ret->status, &ret->at_ns) == 3;
}

void role_end_forget_all(const char *dir)
{
    char path[PATH_MAX];
    for (int id = 0; id < ROLE_MAX; id++)
        unlink(path_of(dir, (RoleId)id, path));
}
