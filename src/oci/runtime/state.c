/* state.c - see state.h.
 *
 * Files of ROOT/ID: config.json (as it was at `create`), state.json (ours, small, replaced whole),
 * state.copy (the same once more), exec.fifo (there as long as `start` has not been), lock. */
#include "oci/runtime/state.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "codec/json.h"

/* How the file ends: the checksum of all that stands before. */
#define SUM_MARK ",\"crc32c\":"

enum { STATE_TEXT_MAX = 1024 * 1024, STATE_ARENA_MAX = 256 * 1024 * 1024, IDS_MAX = 1000000 };

const char *oci_status_name(OciStatus s)
{
    static const char *const names[] = {
        [OCI_CREATING] = "creating", [OCI_CREATED] = "created", [OCI_RUNNING] = "running",
        [OCI_STOPPED] = "stopped",   [OCI_PAUSED] = "paused",
    };

    return names[s];
}

int oci_id_check(const char *id, Err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_+-.";
    size_t n = strlen(id);

    if (n == 0)
        return err_set(err, ERR_INVALID, 0, "container id cannot be empty");
    if (n > OCI_ID_MAX || strspn(id, allowed) != n || !strcmp(id, ".") || !strcmp(id, ".."))
        return err_set(err, ERR_INVALID, 0, "invalid container ID format");
    return 0;
}

static OciState *state_new(void)
{
    OciState *s = calloc(1, sizeof *s);

    if (s) {
        arena_init(&s->arena, STATE_ARENA_MAX);
        s->dir_fd = s->lock_fd = -1;
    }
    return s;
}

OciState *oci_state_free(OciState *s)
{
    if (!s)
        return NULL;
    oci_groups_free(s->groups);
    closep(&s->lock_fd);
    closep(&s->dir_fd);
    arena_free(&s->arena);
    free(s);
    return NULL;
}

static void state_freep(OciState **s)
{
    oci_state_free(*s);
}

static int open_root(const char *root, Err *err)
{
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? err_errno(err, "open %s", root) : fd;
}

/* --- a new one --- */

static int absolute(Arena *a, const char *base, const char *path, const char **ret, Err *err)
{
    StrView s = path[0] == '/' ? arena_sv(a, sv_cstr(path)) : arena_printf(a, "%s/%s", base, path);
    char *text = s.ptr ? arena_cstr(a, s) : NULL;

    if (!text)
        return err_nomem(err);
    for (size_t n = strlen(text); n > 1 && text[n - 1] == '/';)
        text[--n] = 0;
    *ret = text;
    return 0;
}

static int fill_new(OciState *s, const char *id, const char *bundle, StrView config, Err *err)
{
    struct timespec now;
    struct tm tm;
    char day[32];
    StrView text;
    int r;

    s->id = arena_cstr(&s->arena, sv_cstr(id));
    text = arena_sv(&s->arena, config);
    if (!s->id || !text.ptr)
        return err_nomem(err);
    if ((r = oci_spec_parse(text, "config.json", &s->arena, &s->spec, err)) < 0)
        return r;
    if (!s->spec->root)
        return err_set(err, ERR_INVALID, 0, "config.json: root: root must be specified");
    if ((r = absolute(&s->arena, bundle, bundle, &s->bundle, err)) < 0 ||
        (r = absolute(&s->arena, bundle, s->spec->root, &s->rootfs, err)) < 0)
        return r;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    s->created = arena_printf(&s->arena, "%s.%09ldZ", day, now.tv_nsec).ptr;
    s->config_sum = crc32c(0, config.ptr, config.len);
    s->owner = geteuid();
    return s->created ? 0 : err_nomem(err);
}

static int take_lock(OciState *s, bool make, Err *err)
{
    int r;

    s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
    if (s->lock_fd < 0)
        return err_errno(err, "open the lock of container %s", s->id);
    do
        r = flock(s->lock_fd, LOCK_EX);
    while (r < 0 && errno == EINTR);
    return r < 0 ? err_errno(err, "lock container %s", s->id) : 0;
}

int oci_state_new(const char *root, const char *id, const char *bundle, StrView config,
                  OciState **ret, Err *err)
{
    _cleanup_(state_freep) OciState *s = state_new();
    _cleanup_close_ int root_fd = -1;
    int r;

    if (!s)
        return err_nomem(err);
    if ((r = oci_id_check(id, err)) < 0 || (r = fill_new(s, id, bundle, config, err)) < 0)
        return r;
    if ((r = mkdir_p(AT_FDCWD, root, 0700)) < 0)
        return err_neg(err, r, "make %s", root);
    if ((root_fd = open_root(root, err)) < 0)
        return root_fd;
    if (mkdirat(root_fd, id, 0711) < 0)
        return errno == EEXIST
                   ? err_set(err, ERR_EXISTS, 0, "container with given ID already exists")
                   : err_errno(err, "make %s/%s", root, id);
    s->dir_fd = openat(root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->dir_fd < 0 || fchmod(s->dir_fd, 0711) < 0)
        return err_errno(err, "open %s/%s", root, id);
    if ((r = take_lock(s, true, err)) < 0)
        return r;
    r = file_write(s->dir_fd, "config.json", config, 0600);
    if (r < 0) {
        err_neg(err, r, "write %s/%s/config.json", root, id);
        (void)!oci_state_remove(s, NULL);
        return -(int)ERR_SYS;
    }
    *ret = TAKE_PTR(s);
    return 0;
}

/* --- to and from the disk --- */

static void text_member(Buf *out, const char *name, const char *text)
{
    buf_printf(out, "\"%s\":", name);
    json_encode_string(sv_cstr(text), out);
    buf_putc(out, ',');
}

int oci_state_save(OciState *s, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    int r;

    buf_putc(&out, '{');
    text_member(&out, "ociVersion", OCI_VERSION);
    text_member(&out, "id", s->id);
    text_member(&out, "bundle", s->bundle);
    text_member(&out, "rootfs", s->rootfs);
    text_member(&out, "created", s->created);
    buf_printf(&out, "\"pid\":%d,\"startTime\":%llu,\"ready\":%s,\"owner\":%u,", (int)s->pid,
               (unsigned long long)s->start_time, s->status == OCI_CREATING ? "false" : "true",
               s->owner);
    buf_printf(&out, "\"systemd\":%s,\"rootless\":%s,\"noNewKeyring\":%s,\"intelRdt\":%s",
               s->systemd ? "true" : "false", s->rootless ? "true" : "false",
               s->no_new_keyring ? "true" : "false", s->intel_rdt ? "true" : "false");
    buf_printf(&out, ",\"configCrc32c\":%u", s->config_sum);
    if (s->groups) {
        buf_printf(&out, ",\"groups\":");
        oci_groups_save(s->groups, &out);
    }
    buf_printf(&out, SUM_MARK "%u}\n", crc32c(0, out.ptr, out.len));
    if (out.failed)
        return err_nomem(err);
    r = file_write_atomic(s->dir_fd, "state.copy", buf_view(&out), 0600, false);
    if (r >= 0)
        r = file_write_atomic(s->dir_fd, "state.json", buf_view(&out), 0600, false);
    return r < 0 ? err_neg(err, r, "write the state of container %s", s->id) : 0;
}

static int damaged(OciState *s, const char *what, Err *err)
{
    return err_set(err, ERR_CORRUPT, 0,
                   "state of container %s is damaged (%s); delete --force takes it away", s->id,
                   what);
}

static int load_config(OciState *s, Err *err)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    StrView text;
    int r = file_read(s->dir_fd, "config.json", OCI_CONFIG_MAX, &raw);

    if (r < 0 || crc32c(0, raw.ptr, raw.len) != s->config_sum)
        return damaged(s, "config.json", err);
    text = arena_sv(&s->arena, buf_view(&raw));
    if (!text.ptr)
        return err_nomem(err);
    if (oci_spec_parse(text, "config.json", &s->arena, &s->spec, err) < 0)
        return damaged(s, "config.json", err);
    return 0;
}

static const char *member(OciState *s, const Value *doc, StrView name)
{
    const Value *v = value_get(doc, name);

    return value_is(v, VALUE_STRING) ? arena_cstr(&s->arena, value_str(v)) : NULL;
}

/* A number alone may have come to be somebody else's: without the time at which ours began it is
 * nobody's, and nothing is killed. */
static bool load_process(OciState *s, const Value *doc)
{
    int64_t pid = value_int_or(value_get(doc, SV("pid")), 0);
    int64_t start = value_int_or(value_get(doc, SV("startTime")), 0);

    if (pid == 0)
        return true;
    if (pid < 0 || pid > INT32_MAX || start <= 0)
        return false;
    s->pid = (pid_t)pid;
    s->start_time = (uint64_t)start;
    return true;
}

static int load_members(OciState *s, const Value *doc, Err *err)
{
    const Value *groups = value_get(doc, SV("groups"));

    s->config_sum = (uint32_t)value_int_or(value_get(doc, SV("configCrc32c")), 0);
    s->bundle = member(s, doc, SV("bundle"));
    s->rootfs = member(s, doc, SV("rootfs"));
    s->created = member(s, doc, SV("created"));
    s->lost = !load_process(s, doc);
    s->owner = (uid_t)value_int_or(value_get(doc, SV("owner")), 0);
    s->systemd = value_bool_or(value_get(doc, SV("systemd")), false);
    s->rootless = value_bool_or(value_get(doc, SV("rootless")), false);
    s->no_new_keyring = value_bool_or(value_get(doc, SV("noNewKeyring")), false);
    s->intel_rdt = value_bool_or(value_get(doc, SV("intelRdt")), false);
    s->status = value_bool_or(value_get(doc, SV("ready")), false) ? OCI_CREATED : OCI_CREATING;
    if (groups && oci_groups_load(groups, &s->groups, err) < 0)
        return damaged(s, "groups", err);
    if (s->lost)
        return damaged(s, "pid, startTime", err);
    if (!s->bundle || !s->rootfs || !s->created)
        return damaged(s, "state.json", err);
    return 0;
}

static bool is_whole(StrView text)
{
    ssize_t at = sv_rfind_char(text, ',');
    char end[48];

    if (at < 0)
        return false;
    snprintf(end, sizeof end, SUM_MARK "%u}\n", crc32c(0, text.ptr, (size_t)at));
    return sv_eq(sv_skip(text, (size_t)at), sv_cstr(end));
}

/* SV_NULL in *ret: damaged. A file that is missing is an error of its own. */
static int load_text(OciState *s, const char *name, StrView *ret)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    int r = file_read(s->dir_fd, name, STATE_TEXT_MAX, &raw);

    *ret = SV_NULL;
    if (r < 0 || !is_whole(buf_view(&raw)))
        return r == -ENOENT ? r : 0;
    *ret = arena_sv(&s->arena, buf_view(&raw));
    return ret->ptr ? 0 : -ENOMEM;
}

static int load_files(OciState *s, Err *err)
{
    StrView text, copy = SV_NULL;
    Value doc;
    int r = load_text(s, "state.json", &text), c;

    /* What the copy says is enough to go on, and to take the container away. */
    c = text.len ? 0 : load_text(s, "state.copy", &copy);
    if (r == -ENOMEM || c == -ENOMEM)
        return err_nomem(err);
    if (!text.len && !copy.len) /* ENOENT: made a moment ago, or its `create` was killed so early */
        return r == -ENOENT ? err_set(err, ERR_CORRUPT, 0, "container does not exist")
                            : damaged(s, "state.json", err);
    if (json_decode(text.len ? text : copy, &s->arena, NULL, &doc, err) < 0)
        return damaged(s, "state.json", err);
    /* Both are looked at: what one of them still says helps to take the container away. */
    r = load_members(s, &doc, err);
    c = load_config(s, r < 0 ? NULL : err);
    if (r >= 0 && c >= 0)
        oci_state_refresh(s);
    return r < 0 ? r : c;
}

int oci_state_load(const char *root, const char *id, bool lock, OciState **ret, Err *err)
{
    _cleanup_(state_freep) OciState *s = NULL;
    _cleanup_close_ int root_fd = -1;
    struct stat st;
    int r = oci_id_check(id, err);

    if (r < 0)
        return r;
    if (!(s = state_new()) || !(s->id = arena_cstr(&s->arena, sv_cstr(id))))
        return err_nomem(err);
    root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd >= 0)
        s->dir_fd = openat(root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->dir_fd < 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, 0, "container does not exist")
                               : err_errno(err, "open %s/%s", root, id);
    if (lock && (r = take_lock(s, true, err)) < 0)
        return r == -(int)ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, 0, "container does not exist")
                                        : r;
    if (lock && (fstat(s->lock_fd, &st) < 0 || st.st_nlink == 0)) /* deleted while we waited */
        return err_set(err, ERR_NOT_FOUND, 0, "container does not exist");
    r = load_files(s, err);
    if (r >= 0 || r == -(int)ERR_CORRUPT)
        *ret = TAKE_PTR(s);
    return r;
}

/* --- what the processes say --- */

/* Field 22 of /proc/PID/stat; false: no such process, or a dead one. */
static bool process_start_time(pid_t pid, uint64_t *ret)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    char path[32];
    StrView rest, field = SV_NULL;
    ssize_t paren;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (file_read(AT_FDCWD, path, 4096, &raw) < 0)
        return false;
    paren = sv_rfind_char(buf_view(&raw), ')'); /* the name may hold anything */
    if (paren < 0)
        return false;
    rest = sv_skip(buf_view(&raw), (size_t)paren + 2);
    for (int i = 3; i <= 22; i++) {
        if (!sv_next(&rest, ' ', &field))
            return false;
        if (i == 3 && (sv_eq(field, SV("Z")) || sv_eq(field, SV("X"))))
            return false;
    }
    return sv_to_u64(field, ret) == 0;
}

static bool is_being_made(const OciState *s)
{
    _cleanup_close_ int fd = openat(s->dir_fd, "lock", O_RDWR | O_CLOEXEC);

    return s->lock_fd < 0 && fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

void oci_state_refresh(OciState *s)
{
    uint64_t start = 0;

    if (s->pid == 0) {
        s->status = is_being_made(s) ? OCI_CREATING : OCI_STOPPED;
        return;
    }
    if (!process_start_time(s->pid, &start) || (s->start_time && start != s->start_time)) {
        s->status = OCI_STOPPED;
        return;
    }
    s->start_time = start;
    if (s->status == OCI_CREATING)
        return;
    if (s->groups && oci_groups_are_frozen(s->groups))
        s->status = OCI_PAUSED;
    else
        s->status = path_exists(s->dir_fd, "exec.fifo") ? OCI_CREATED : OCI_RUNNING;
}

int oci_state_remove(OciState *s, Err *err)
{
    char path[PATH_MAX], link[64];
    ssize_t n;
    int r;

    snprintf(link, sizeof link, "/proc/self/fd/%d", s->dir_fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return err_errno(err, "find the folder of container %s", s->id);
    path[n] = 0;
    r = rm_rf(AT_FDCWD, path);
    return r < 0 ? err_neg(err, r, "remove %s", path) : 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int oci_state_ids(const char *root, Arena *a, OciTexts *ret, Err *err)
{
    uint32_t cap = 16, len = 0;
    const char **items = arena_array(a, const char *, cap + 1);
    struct dirent *e;
    DIR *dir;
    int r = dir_list(AT_FDCWD, root, &dir);

    if (!items)
        return err_nomem(err);
    *ret = (OciTexts){ items, 0 };
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_neg(err, r, "list %s", root);
    while ((r = dir_next(dir, &e)) > 0 && len < IDS_MAX) {
        if ((e->d_type != DT_DIR && e->d_type != DT_UNKNOWN) || oci_id_check(e->d_name, NULL) < 0)
            continue;
        if (len == cap) {
            items =
                arena_realloc(a, items, (cap + 1) * sizeof *items, (2 * cap + 1) * sizeof *items);
            cap *= 2;
        }
        if (!items || !(items[len++] = arena_cstr(a, sv_cstr(e->d_name)))) {
            closedir(dir);
            return err_nomem(err);
        }
    }
    closedir(dir);
    if (r < 0)
        return err_neg(err, r, "list %s", root);
    qsort(items, len, sizeof *items, compare_texts);
    items[len] = NULL;
    *ret = (OciTexts){ items, len };
    return 0;
}

/* --- as others read it --- */

/* The name of a user in the host's list, else "#uid" as runc has it. Not by getpwuid(): it loads
 * modules, which a static program has no use for. */
static void print_owner(uid_t uid, Buf *out)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    StrView rest, line, name, field;
    char text[16];

    if (file_read(AT_FDCWD, "/etc/passwd", STATE_TEXT_MAX, &raw) < 0)
        buf_clear(&raw);
    snprintf(text, sizeof text, "%u", uid);
    for (rest = buf_view(&raw); sv_next(&rest, '\n', &line);)
        if (sv_next(&line, ':', &name) && sv_next(&line, ':', &field) &&
            sv_next(&line, ':', &field) && sv_eq(field, sv_cstr(text))) {
            buf_sv(out, name);
            return;
        }
    buf_printf(out, "#%u", uid);
}

static bool add(Arena *a, Value *map, StrView name, const char *text)
{
    return value_append(a, map, name, value_sv(sv_cstr(text))) != NULL;
}

void oci_state_print(const OciState *s, bool pretty, Buf *out)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf owner = BUF_INIT;
    Value doc = value_map(), notes = value_map();
    int pid = s->status == OCI_STOPPED ? 0 : (int)s->pid;
    bool ok;

    arena_init(&a, STATE_ARENA_MAX);
    ok = add(&a, &doc, SV("ociVersion"), OCI_VERSION) && add(&a, &doc, SV("id"), s->id);
    if (!pretty)
        ok = ok && add(&a, &doc, SV("status"), oci_status_name(s->status));
    if (pretty || pid)
        ok = ok && value_append(&a, &doc, SV("pid"), value_int(pid));
    if (pretty)
        ok = ok && add(&a, &doc, SV("status"), oci_status_name(s->status));
    ok = ok && add(&a, &doc, SV("bundle"), s->bundle);
    if (pretty)
        ok = ok && add(&a, &doc, SV("rootfs"), s->rootfs) &&
             add(&a, &doc, SV("created"), s->created);
    for (unsigned i = 0; ok && s->spec && i < s->spec->annotations.len; i++)
        ok = add(&a, &notes, sv_cstr(s->spec->annotations.items[i].name),
                 s->spec->annotations.items[i].value);
    if (notes.len)
        ok = ok && value_append(&a, &doc, SV("annotations"), notes);
    if (pretty) {
        print_owner(s->owner, &owner);
        ok = ok && value_append(&a, &doc, SV("owner"), value_sv(buf_view(&owner)));
    }
    if (!ok)
        out->failed = true;
    else if (pretty)
        json_encode_pretty(&doc, 2, out);
    else
        json_encode(&doc, out);
}
