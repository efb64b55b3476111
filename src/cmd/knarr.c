/* knarr.c - the dispatcher: `knarr VERB …` runs a verb of its own (up, down, status) or the program
 * knarr-VERB from its own folder or libexec. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "cmd/cluster.h"
#include "cmd/output.h"

static int usage(FILE *out)
{
    fputs("usage: knarr VERB [options]\n"
          "\n"
          "  up         start a one-node cluster and supervise it\n"
          "  down       stop it; its state stays\n"
          "  status     show its processes and their memory\n"
          "  backup     write a running cluster's state and keys to a file\n"
          "  restore    bring such a file back\n"
          "  image      import, list and remove images\n"
          "  monitor    a Prometheus server: scrape, store and query metrics\n"
          "  oci        an OCI runtime in the place of runc: knarr oci run NAME\n"
          "  promtool   Prometheus' tool: check, test, query, look into databases\n"
          "  version    print the version\n"
          "\n"
          "`knarr VERB --help` says more about one.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int run_program(char **argv)
{
    Cluster c = { 0 };
    Err err = { 0 };
    char name[64], path[PATH_MAX];
    if (own_folder(c.bin_dir, &err) < 0 ||
        snprintf(name, sizeof name, "knarr-%s", argv[0]) >= (int)sizeof name ||
        strchr(argv[0], '/') || cluster_program(&c, name, path, &err) < 0) {
        fprintf(stderr, "knarr: '%s' is no verb; see `knarr --help`\n", argv[0]);
        return 2;
    }
    argv[0] = path;
    execv(path, argv);
    fprintf(stderr, "knarr: run %s: %s\n", path, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*fn)(int argc, char **argv);
    } verbs[] = { { "up", verb_up }, { "down", verb_down }, { "status", verb_status } };
    log_init("up");
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        puts("knarr " KNARR_VERSION);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return output_end("knarr", verbs[i].fn(argc - 1, argv + 1));
    return run_program(argv + 1);
}
