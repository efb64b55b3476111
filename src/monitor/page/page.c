/* page.c - see page.h. */
#include "monitor/page/internal.h"

const PageFile *page_find(StrView name)
{
    for (size_t i = 0; i < page_n_files; i++)
        if (sv_eq(page_files[i].name, name))
            return &page_files[i];
    return NULL;
}
