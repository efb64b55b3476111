/* Kubernetes' own pods for each rule of the Pod Security Standards: LEVEL/pass and LEVEL/fail. Exit
 * status 77: no such data. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "apiserver/pod_security_checks.h"
#include "base/file.h"
#include "codec/yaml.h"

enum { EXIT_SKIP = 77, FILE_MAX = 1 << 20 };

/* 0: as wanted. */
static int check(int dir, const char *name, PodSecurityLevel level, bool want)
{
    _cleanup_buf_ Buf text = BUF_INIT, details = BUF_INIT;
    _cleanup_arena_ Arena a;
    Value pod;
    Err err = { 0 };
    arena_init(&a, 0);
    if (file_read(dir, name, FILE_MAX, &text) < 0 ||
        yaml_decode(buf_view(&text), &a, NULL, &pod, NULL, &err) < 0) {
        printf("%s: cannot be read: %s\n", name, err.msg);
        return 1;
    }
    bool ok = pod_security_check(level, 35, value_get(&pod, SV("metadata")),
                                 value_get(&pod, SV("spec")), NULL, &details);
    if (ok == want)
        return 0;
    printf("level %d: %s should %s: %s\n", level, name, want ? "pass" : "fail", buf_cstr(&details));
    return 1;
}

static int check_folder(int root, const char *path, PodSecurityLevel level, bool want, int *ret_n)
{
    int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        printf("%s: cannot be listed\n", path);
        return 1;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        bad += check(fd, e->d_name, level, want);
        ++*ret_n;
    }
    closedir(d);
    return bad;
}

int main(int argc, char **argv)
{
    int root = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, n = 0;
    if (root < 0)
        return EXIT_SKIP;
    int bad = check_folder(root, "baseline/pass", POD_SECURITY_BASELINE, true, &n) +
              check_folder(root, "baseline/fail", POD_SECURITY_BASELINE, false, &n) +
              check_folder(root, "restricted/pass", POD_SECURITY_RESTRICTED, true, &n) +
              check_folder(root, "restricted/fail", POD_SECURITY_RESTRICTED, false, &n);
    close(root);
    printf("%d pods, %d failures\n", n, bad);
    return bad || n < 148 ? EXIT_FAILURE : EXIT_SUCCESS;
}
