/* verb_create.c - create, run, and the two that there is no criu for. */
#include <string.h>

#include "cmd/oci/verbs.h"

static int parse(const OciGlobal *g, bool run, int argc, char **argv, OciRunArgs *a)
{
    const OciFlag flags[] = {
        { "bundle", 'b', OCI_FLAG_TEXT, &a->bundle, NULL,
          "folder of the bundle; the current one unless given" },
        { "console-socket", 0, OCI_FLAG_TEXT, &a->console_socket, NULL,
          "AF_UNIX socket that gets the terminal's master" },
        { "pid-file", 0, OCI_FLAG_TEXT, &a->pid_file, NULL, "file to write the process id to" },
        { "no-pivot", 0, OCI_FLAG_ON, &a->no_pivot, NULL,
          "move the root instead of pivot_root: for a root on a ramdisk" },
        { "no-new-keyring", 0, OCI_FLAG_ON, &a->no_new_keyring, NULL,
          "the container has the caller's session keyring" },
        { "preserve-fds", 0, OCI_FLAG_NUMBER, &a->preserve_fds, NULL,
          "pass N descriptors more, behind those of $LISTEN_FDS" },
        { "config", 'f', OCI_FLAG_TEXT, &a->config, NULL,
          "file instead of the bundle's config.json" },
        { "detach", 'd', OCI_FLAG_ON, &a->detach, NULL, "do not wait for the container" },
        { "keep", 0, OCI_FLAG_ON, &a->keep, NULL, "do not delete it when it has ended" },
        { "no-subreaper", 0, OCI_FLAG_ON, &a->no_subreaper, NULL,
          "do not reap what the container leaves behind" },
    };
    const OciVerb verb = {
        .name = run ? "run" : "create",
        .usage = run ? "create and run a container" : "create a container",
        .args = "<container-id>",
        .args_min = 1,
        .args_max = 1,
        .flags = flags,
        .flags_len = run ? ARRAY_SIZE(flags) : ARRAY_SIZE(flags) - 3,
    };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r == OCI_FLAGS_OK)
        a->id = argv[1];
    return r;
}

int verb_create(const OciGlobal *g, int argc, char **argv)
{
    OciRunArgs args = { 0 };
    Err err = { 0 };
    int r = parse(g, false, argc, argv, &args);

    if (r != OCI_FLAGS_OK)
        return r;
    return oci_create(g, &args, &err) < 0 ? oci_fail_with(g, 1, "runc create failed", &err) : 0;
}

int verb_run(const OciGlobal *g, int argc, char **argv)
{
    OciRunArgs args = { 0 };
    Err err = { 0 };
    int code = 0, r = parse(g, true, argc, argv, &args);

    if (r != OCI_FLAGS_OK)
        return r;
    return oci_run(g, &args, &code, &err) < 0 ? oci_fail_with(g, 1, "runc run failed", &err) : code;
}

static int refuse(const OciGlobal *g, int argc, char **argv)
{
    const OciVerb verb = { .name = argv[0],
                           .usage = "refused: there is no support for criu",
                           .args = "<container-id>",
                           .args_min = 0,
                           .args_max = -1 };
    Err err;

    if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
        oci_verb_help(&verb);
        return 0;
    }
    err_set(&err, ERR_UNSUPPORTED, 0,
            "%s: containers cannot be saved: there is no support for criu", argv[0]);
    return oci_fail(g, 1, &err);
}

int verb_checkpoint(const OciGlobal *g, int argc, char **argv)
{
    return refuse(g, argc, argv);
}

int verb_restore(const OciGlobal *g, int argc, char **argv)
{
    return refuse(g, argc, argv);
}
