/* filters.c - see filters.h. A file: a line that says what made it, the flags, and the lengths;
 * the profile as JSON; the instructions. */
#include "oci/runtime/filters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "codec/json.h"
#include "oci/seccomp_load.h"

enum { SLOTS = 64, PROFILE_MAX = 256 * 1024, HEAD_MAX = 512 };

/* A double has lost digits that decide what a filter does; such a profile is not kept. */
static bool is_exact(const Value *v)
{
    if (v->kind == VALUE_DOUBLE)
        return false;
    value_list_foreach (item, v)
        if (!is_exact(item))
            return false;
    value_map_foreach (m, v)
        if (!is_exact(&m->val))
            return false;
    return true;
}

/* What else than the profile decides: "2.5.4 6.1.0-13-amd64 0.1.0". */
static void describe_maker(char ret[static HEAD_MAX / 2])
{
    char library[32];
    struct utsname kernel;

    seccomp_library_version(library);
    if (uname(&kernel) < 0)
        kernel.release[0] = kernel.version[0] = 0;
    snprintf(ret, HEAD_MAX / 2, "%s %.64s %.100s %s", library, kernel.release, kernel.version,
             KNARR_VERSION);
}

static int open_folder(int dir)
{
    struct stat st;

    if (mkdirat(dir, "../seccomp~", 0700) < 0 && errno != EEXIST)
        return -1;
    int fd = openat(dir, "../seccomp~", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077))) {
        close(fd); /* somebody else could say what is allowed */
        fd = -1;
    }
    return fd;
}

typedef struct Head {
    unsigned flags, notify;
    size_t profile, filter; /* bytes */
} Head;

static void print_head(const char *maker, const Head *h, char ret[static HEAD_MAX])
{
    snprintf(ret, HEAD_MAX, "%s|%u|%u|%zu|%zu", maker, h->flags, h->notify, h->profile, h->filter);
}

/* Takes the first line of *rest, where it is of this maker. */
static bool take_head(StrView *rest, const char *maker, Head *ret)
{
    char head[HEAD_MAX], line[HEAD_MAX];
    StrView first;

    if (!sv_cut(*rest, '\n', &first, rest) || !sv_copy_cstr(first, line, sizeof line) ||
        strncmp(line, maker, strlen(maker)) != 0 ||
        sscanf(line + strlen(maker), "|%u|%u|%zu|%zu", &ret->flags, &ret->notify, &ret->profile,
               &ret->filter) != 4)
        return false;
    print_head(maker, ret, head);
    return !strcmp(head, line);
}

static bool find(int folder, const char *slot, const char *maker, StrView profile,
                 SeccompFilter *ret)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    SeccompFilter f = { 0 };
    StrView rest;
    Head head;

    if (file_read(folder, slot, PROFILE_MAX + HEAD_MAX + SECCOMP_FILTER_MAX, &text) < 0)
        return false;
    rest = buf_view(&text);
    if (!take_head(&rest, maker, &head) || !sv_eq(sv_head(rest, head.profile), profile))
        return false;
    rest = sv_skip(rest, head.profile);
    if (!rest.len || rest.len != head.filter || rest.len > SECCOMP_FILTER_MAX)
        return false;
    buf_sv(&f.bytes, rest);
    f.flags = head.flags;
    f.notify = head.notify;
    if (f.bytes.failed) {
        buf_free(&f.bytes);
        return false;
    }
    *ret = f;
    return true;
}

static void keep(int folder, const char *slot, const char *maker, StrView profile,
                 const SeccompFilter *f)
{
    const Head head = { f->flags, f->notify, profile.len, f->bytes.len };
    _cleanup_buf_ Buf text = BUF_INIT;
    char line[HEAD_MAX];

    print_head(maker, &head, line);
    buf_printf(&text, "%s\n", line);
    buf_sv(&text, profile);
    buf_sv(&text, buf_view(&f->bytes));
    if (!text.failed) /* without it the next one compiles again */
        (void)!file_write_atomic(folder, slot, buf_view(&text), 0600, false);
}

int filters_compile(int dir, const Value *profile, SeccompFilter *ret, Err *err)
{
    _cleanup_buf_ Buf key = { .limit = PROFILE_MAX };
    char maker[HEAD_MAX / 2], slot[8];
    int r;

    if (is_exact(profile))
        json_encode(profile, &key);
    if (!key.len || key.failed)
        return seccomp_profile_compile(profile, ret, err);
    _cleanup_close_ int folder = open_folder(dir);
    if (folder < 0)
        return seccomp_profile_compile(profile, ret, err);
    describe_maker(maker);
    snprintf(slot, sizeof slot, "%02x", (unsigned)(sv_hash_stable(buf_view(&key)) % SLOTS));
    if (find(folder, slot, maker, buf_view(&key), ret))
        return 0;
    r = seccomp_profile_compile(profile, ret, err);
    if (r >= 0)
        keep(folder, slot, maker, buf_view(&key), ret);
    return r;
}
