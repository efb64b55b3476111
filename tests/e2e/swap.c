/* swap.c - exchanges two names in a folder without end: swap A B. For the race of a folder against
 * a link. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    while (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) == 0)
        ;
    perror("exchange");
    return 1;
}
