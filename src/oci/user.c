/* user.c - see user.h. Lines of the two files that are malformed are passed over, as the C library
 * does. */
#include "oci/user.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "oci/mounts.h"

/* The n-th field (from 0) of a line with colons; false if there are fewer. */
static bool field(StrView line, unsigned n, StrView *ret)
{
    StrView head, tail = line;

    for (unsigned i = 0;; i++) {
        bool more = sv_cut(tail, ':', &head, &tail);

        if (i == n) {
            *ret = head;
            return true;
        }
        if (!more)
            return false;
    }
}

static bool is_digits(StrView s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

/* As runc has it: up to 2^31-1. To the kernel 2^32-1 means "as it is". */
static bool number(StrView s, uint32_t *ret)
{
    uint64_t n;

    if (!is_digits(s) || sv_to_u64(s, &n) < 0 || n > INT32_MAX)
        return false;
    *ret = (uint32_t)n;
    return true;
}

/* The line of a file whose name (field 0) or number (field 2) is `key`. */
static bool find_line(StrView text, StrView key, bool by_number, StrView *ret_line)
{
    StrView line, f;
    uint32_t want = 0, have;

    if (by_number && !number(key, &want))
        return false;
    while (sv_next(&text, '\n', &line)) {
        if (by_number ? field(line, 2, &f) && number(f, &have) && have == want
                      : field(line, 0, &f) && sv_eq(f, key) && !sv_empty(f)) {
            *ret_line = line;
            return true;
        }
    }
    return false;
}

static int lookup_user(StrView passwd, StrView user, Arena *a, UserInfo *u, StrView *ret_name,
                       Err *err)
{
    StrView line, f;

    *ret_name = SV_NULL;
    u->home = "/";
    /* What is a number is never a name: the image would make any number another user, root even
     * (CVE-2016-3697). */
    if (find_line(passwd, user, is_digits(user), &line)) {
        field(line, 0, ret_name);
        if (!field(line, 2, &f) || !number(f, &u->uid) || !field(line, 3, &f) ||
            !number(f, &u->gid))
            return err_set(err, ERR_INVALID, 0,
                           "the container's /etc/passwd has a bad line for '%.*s'",
                           SV_FMT(sv_head(user, 64)));
        if (field(line, 5, &f) && !sv_empty(f) && !(u->home = arena_cstr(a, f)))
            return err_nomem(err);
        return 0;
    }
    u->gid = 0;
    if (!number(user, &u->uid))
        return err_set(err, ERR_NOT_FOUND, 0,
                       "unable to find user %.*s: no matching entries in passwd file",
                       SV_FMT(sv_head(user, 64)));
    return 0;
}

static int lookup_group(StrView group, StrView name, uint32_t *ret_gid, Err *err)
{
    StrView line, f;

    if (!is_digits(name) && find_line(group, name, false, &line) && field(line, 2, &f) &&
        number(f, ret_gid))
        return 0;
    if (number(name, ret_gid))
        return 0;
    return err_set(err, ERR_NOT_FOUND, 0,
                   "unable to find group %.*s: no matching entries in group file",
                   SV_FMT(sv_head(name, 64)));
}

static bool lists_member(StrView members, StrView name)
{
    StrView one;

    while (sv_next(&members, ',', &one))
        if (sv_eq(one, name))
            return true;
    return false;
}

static int member_groups(StrView group, StrView name, Arena *a, UserInfo *u, Err *err)
{
    StrView line, f;
    uint32_t gid;

    u->groups = arena_array(a, uint32_t, USER_GROUPS_MAX);
    if (!u->groups)
        return err_nomem(err);
    while (!sv_empty(name) && sv_next(&group, '\n', &line) && u->groups_len < USER_GROUPS_MAX)
        if (field(line, 3, &f) && lists_member(f, name) && field(line, 2, &f) && number(f, &gid) &&
            gid != u->gid)
            u->groups[u->groups_len++] = gid;
    return 0;
}

int user_lookup_text(StrView passwd, StrView group, StrView spec, Arena *a, UserInfo *ret, Err *err)
{
    StrView user, grp, name;
    UserInfo u = { 0 };
    bool has_group = sv_cut(spec, ':', &user, &grp) && !sv_empty(grp);
    int r = lookup_user(passwd, sv_empty(user) ? SV("0") : user, a, &u, &name, err);

    if (r >= 0 && has_group)
        r = lookup_group(group, grp, &u.gid, err);
    /* A group that is named explicitly is the only one, as in docker. */
    if (r >= 0 && !has_group)
        r = member_groups(group, name, a, &u, err);
    if (r >= 0)
        *ret = u;
    return r;
}

static int read_db(int root_fd, const char *path, Buf *out, Err *err)
{
    struct stat st;
    int fd = rootfs_open(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    int r = 0;

    if (fd == -ENOENT || fd == -ENOTDIR)
        return 0; /* images from scratch have none */
    if (fd < 0)
        return err_neg(err, fd, "open the container's %s", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        r = err_set(err, ERR_INVALID, 0, "the container's %s is no file", path);
    else if ((r = fd_read_all(fd, USER_DB_MAX, out)) < 0)
        r = err_neg(err, r, "read the container's %s", path);
    close(fd);
    return r;
}

int user_lookup(int root_fd, StrView spec, Arena *a, UserInfo *ret, Err *err)
{
    _cleanup_buf_ Buf passwd = BUF_INIT, group = BUF_INIT;
    int r;

    if ((r = read_db(root_fd, "/etc/passwd", &passwd, err)) < 0 ||
        (r = read_db(root_fd, "/etc/group", &group, err)) < 0)
        return r;
    return user_lookup_text(buf_view(&passwd), buf_view(&group), spec, a, ret, err);
}
