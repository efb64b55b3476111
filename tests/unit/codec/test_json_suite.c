/* Runs JSONTestSuite: y_ files must be accepted, n_ refused, i_ may be either but must not crash;
 * what is accepted must encode to text that decodes to an equal document. Exit status 77: no such
 * data. */
#include <dirent.h>
#include <stdio.h>

#include "base/file.h"
#include "codec/json.h"

enum { EXIT_SKIP = 77, FILE_MAX = 1 << 20 };

static bool round_trips(Arena *a, const Value *v)
{
    _cleanup_buf_ Buf text = BUF_INIT, second = BUF_INIT;
    Value again;

    json_encode(v, &text);
    if (text.failed || json_decode(buf_view(&text), a, NULL, &again, NULL) < 0)
        return false;
    json_encode(&again, &second);
    return sv_eq(buf_view(&text), buf_view(&second));
}

static bool file_passes(int dir, const char *name)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_arena_ Arena a;
    Err err = { 0 };
    Value v;

    arena_init(&a, 0);
    if (file_read(dir, name, FILE_MAX, &text) < 0) {
        printf("%s: cannot read\n", name);
        return false;
    }
    int r = json_decode(buf_view(&text), &a, NULL, &v, &err);
    if ((name[0] == 'y' && r < 0) || (name[0] == 'n' && r == 0)) {
        printf("%s: %s\n", name, r < 0 ? err.msg : "accepted");
        return false;
    }
    if (r == 0 && !round_trips(&a, &v)) {
        printf("%s: does not round-trip\n", name);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    int files = 0, bad = 0;

    if (!dir)
        return EXIT_SKIP;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!strchr("yni", e->d_name[0]) || e->d_name[1] != '_')
            continue;
        files++;
        bad += !file_passes(dirfd(dir), e->d_name);
    }
    closedir(dir);
    printf("%d files, %d failures\n", files, bad);
    return files < 100 || bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
