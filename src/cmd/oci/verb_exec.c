/* verb_exec.c - another process in a container. */
#include <string.h>

#include "cmd/oci/verbs.h"

enum { GROUPS_MAX = 65536 };

typedef struct ExecFlags {
    OciTexts groups, cgroups;
} ExecFlags;

static int parse_groups(const OciTexts *texts, OciExecArgs *a, Arena *arena, Err *err)
{
    a->groups = arena_array(arena, uint32_t, texts->len + 1);
    if (!a->groups)
        return err_nomem(err);
    for (uint32_t i = 0; i < texts->len; i++) {
        uint64_t n;

        if (sv_to_u64(sv_cstr(texts->items[i]), &n) < 0 || n > UINT32_MAX)
            return err_set(err, ERR_INVALID, 0, "additional-gids must be a positive number %s",
                           texts->items[i]);
        a->groups[a->groups_len++] = (uint32_t)n;
    }
    return 0;
}

/* One line for each, as OciExecArgs.cgroup has it. */
static int parse_cgroups(const OciTexts *texts, OciExecArgs *a, Arena *arena, Err *err)
{
    StrView joined = SV("");

    for (uint32_t i = 0; i < texts->len; i++) {
        if (texts->len > 1 && !strchr(texts->items[i], ':'))
            return err_set(err, ERR_INVALID, 0,
                           "invalid --cgroup argument: %s (missing <controller>: prefix)",
                           texts->items[i]);
        joined = arena_printf(arena, "%s%s%s", joined.ptr, i ? "\n" : "", texts->items[i]);
        if (!joined.ptr)
            return err_nomem(err);
    }
    a->cgroup = joined.len ? joined.ptr : NULL;
    return 0;
}

static int parse(const OciGlobal *g, int argc, char **argv, OciExecArgs *a, ExecFlags *f)
{
    const OciFlag flags[] = {
        { "console-socket", 0, OCI_FLAG_TEXT, &a->console_socket, NULL,
          "AF_UNIX socket that gets the terminal's master" },
        { "cwd", 0, OCI_FLAG_TEXT, &a->cwd, NULL, "working directory in the container" },
        { "env", 'e', OCI_FLAG_TEXTS, &a->env, NULL, "set an environment variable" },
        { "tty", 't', OCI_FLAG_ON, &a->tty, NULL, "with a terminal" },
        { "user", 'u', OCI_FLAG_TEXT, &a->user, NULL, "UID (format: <uid>[:<gid>])" },
        { "additional-gids", 'g', OCI_FLAG_TEXTS, &f->groups, NULL, "one more group" },
        { "process", 'p', OCI_FLAG_TEXT, &a->process_file, NULL, "file with the process as JSON" },
        { "detach", 'd', OCI_FLAG_ON, &a->detach, NULL, "do not wait for the process" },
        { "pid-file", 0, OCI_FLAG_TEXT, &a->pid_file, NULL, "file to write the process id to" },
        { "process-label", 0, OCI_FLAG_TEXT, &a->process_label, NULL, "SELinux label" },
        { "apparmor", 0, OCI_FLAG_TEXT, &a->apparmor, NULL, "AppArmor profile" },
        { "no-new-privs", 0, OCI_FLAG_ON, &a->no_new_privs, &a->has_no_new_privs,
          "no new privileges" },
        { "cap", 'c', OCI_FLAG_TEXTS, &a->caps, NULL, "one more capability" },
        { "preserve-fds", 0, OCI_FLAG_NUMBER, &a->preserve_fds, NULL, "pass N descriptors more" },
        { "cgroup", 0, OCI_FLAG_TEXTS, &f->cgroups, NULL,
          "group below the container's: [<controller>:]<path>" },
        { "ignore-paused", 0, OCI_FLAG_ON, &a->ignore_paused, NULL,
          "also where the container is paused" },
    };
    const OciVerb verb = {
        .name = "exec",
        .usage = "execute new process inside the container",
        .args = "<container-id> <command> [command options]  || -p process.json <container-id>",
        .args_min = 1,
        .args_max = -1,
        .flags = flags,
        .flags_len = ARRAY_SIZE(flags),
        .stop_at_first = true,
    };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    a->id = argv[1];
    argv[n + 1] = NULL;
    a->args = (OciTexts){ (const char **)(argv + 2), (uint32_t)n - 1 };
    return r;
}

int verb_exec(const OciGlobal *g, int argc, char **argv)
{
    const char *none[] = { NULL };
    OciExecArgs args = { .args = { none, 0 }, .env = { none, 0 }, .caps = { none, 0 } };
    ExecFlags flags = { { none, 0 }, { none, 0 } };
    _cleanup_arena_ Arena arena;
    Err err = { 0 };
    int code = 0, r;

    arena_init(&arena, ARENA_DEFAULT_LIMIT);
    if ((r = parse(g, argc, argv, &args, &flags)) != OCI_FLAGS_OK)
        return r;
    if (parse_groups(&flags.groups, &args, &arena, &err) < 0 ||
        parse_cgroups(&flags.cgroups, &args, &arena, &err) < 0 ||
        oci_exec(g, &args, &code, &err) < 0)
        return oci_fail_with(g, 255, "exec failed", &err);
    return code;
}
