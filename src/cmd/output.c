/* output.c - see output.h. */
#include "cmd/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int output_end(const char *program, int code)
{
    int lost = ferror(stdout);

    errno = EIO; /* of what was lost before nobody knows more */
    if (fflush(stdout) == 0 && !lost)
        return code;
    fprintf(stderr, "%s: write to standard output: %s\n", program, strerror(errno));
    return code ? code : 1;
}
