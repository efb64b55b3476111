/* replay.c - stands in for libFuzzer: runs the target on every file of the folder given, whole and
 * cut off at some places, so that old findings stay fixed. */
#include <dirent.h>
#include <stdio.h>

#include "base/file.h"

enum { SEED_MAX = 1 << 20, CUTS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A copy of the exact size lets the sanitizers see one byte too many. */
static void run_copy(StrView seed)
{
    uint8_t *copy = malloc(seed.len ? seed.len : 1);

    if (!copy)
        abort();
    if (seed.len)
        memcpy(copy, seed.ptr, seed.len);
    LLVMFuzzerTestOneInput(copy, seed.len);
    free(copy);
}

int main(int argc, char **argv)
{
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    int files = 0;

    if (!dir) {
        fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
        return EXIT_FAILURE;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        _cleanup_buf_ Buf seed = BUF_INIT;
        if (e->d_name[0] == '.' || file_read(dirfd(dir), e->d_name, SEED_MAX, &seed) < 0)
            continue;
        run_copy(buf_view(&seed));
        for (size_t i = 0; i < CUTS; i++)
            run_copy(sv_head(buf_view(&seed), seed.len * i / CUTS));
        files++;
    }
    closedir(dir);
    printf("%d seeds\n", files);
    return files ? EXIT_SUCCESS : EXIT_FAILURE;
}
