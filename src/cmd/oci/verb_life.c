/* verb_life.c - start, kill, delete. */
#include <regex.h>

#include "cmd/oci/verbs.h"

int verb_start(const OciGlobal *g, int argc, char **argv)
{
    static const OciVerb verb = { .name = "start",
                                  .usage =
                                      "executes the user defined process in a created container",
                                  .args = "<container-id>",
                                  .args_min = 1,
                                  .args_max = 1 };
    Err err = { 0 };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    return oci_start(g, argv[1], &err) < 0 ? oci_fail(g, 1, &err) : 0;
}

int verb_kill(const OciGlobal *g, int argc, char **argv)
{
    bool all = false;
    const OciFlag flags[] = {
        { "all", 'a', OCI_FLAG_ON, &all, NULL, "every process of the container" },
    };
    const OciVerb verb = { .name = "kill",
                           .usage = "kill sends the specified signal (default: SIGTERM) to the "
                                    "container's init process",
                           .args = "<container-id> [signal]",
                           .args_min = 1,
                           .args_max = 2,
                           .flags = flags,
                           .flags_len = ARRAY_SIZE(flags) };
    Err err = { 0 };
    int n, sig, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    if (oci_signal_parse(n > 1 && *argv[2] ? argv[2] : "TERM", &sig, &err) < 0 ||
        oci_kill(g, argv[1], sig, all, &err) < 0)
        return oci_fail(g, 1, &err);
    return 0;
}

/* Every container whose id the expression matches, as with crun; the first error is the answer. */
static int delete_matching(const OciGlobal *g, const char *pattern, bool force, Err *err)
{
    _cleanup_arena_ Arena a;
    regex_t regex;
    OciTexts ids;
    int r;

    arena_init(&a, ARENA_DEFAULT_LIMIT);
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return err_set(err, ERR_INVALID, 0, "'%s' is no regular expression", pattern);
    r = oci_state_ids(g->root, &a, &ids, err);
    for (uint32_t i = 0; r >= 0 && i < ids.len; i++)
        if (regexec(&regex, ids.items[i], 0, NULL, 0) == 0)
            r = oci_delete(g, ids.items[i], force, err);
    regfree(&regex);
    return r;
}

int verb_delete(const OciGlobal *g, int argc, char **argv)
{
    bool force = false, regex = false;
    const OciFlag flags[] = {
        { "force", 'f', OCI_FLAG_ON, &force, NULL,
          "also a container that runs, or is not there (uses SIGKILL)" },
        { "regex", 0, OCI_FLAG_ON, &regex, NULL, "the id is a regular expression" },
    };
    const OciVerb verb = { .name = "delete",
                           .usage = "delete any resources held by the container often used with "
                                    "detached container",
                           .args = "<container-id>",
                           .args_min = 1,
                           .args_max = 1,
                           .flags = flags,
                           .flags_len = ARRAY_SIZE(flags) };
    Err err = { 0 };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    r = regex ? delete_matching(g, argv[1], force, &err) : oci_delete(g, argv[1], force, &err);
    return r < 0 ? oci_fail(g, 1, &err) : 0;
}
