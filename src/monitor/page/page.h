/* page.h - the files of the web page, as they are in this folder and in Debian's libjs-dygraphs,
 * put into the program by tools/pagegen.py. To add a file: a row in this folder's meson.build. */
#pragma once

#include "base/str.h"

typedef struct PageFile {
    StrView name; /* "query.js" */
    StrView type; /* as Content-Type has it */
    StrView etag; /* with its quotes; of the content */
    const unsigned char *bytes;
    size_t len;
    size_t plain_len; /* of what the bytes are after gzip; 0: they are not packed */
} PageFile;

const PageFile *page_find(StrView name); /* NULL: there is none */
