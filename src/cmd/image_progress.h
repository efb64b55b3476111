/* image_progress.h - what `knarr image pull` and `push` show of what they do: a bar per blob on a
 * terminal, a line for each thing that has happened in a log. */
#pragma once

#include <stdio.h>

#include "image/registry.h"

typedef struct ImageProgress ImageProgress;

/* On `out`, which is asked whether it is a terminal. `verb`: "Downloading" or "Uploading". NULL:
 * out of memory. */
ImageProgress *image_progress_new(FILE *out, const char *verb);
void image_progress_show(ImageProgress *p, const RegistryProgress *now);
/* Everything stands as it is now: other output may follow. Always NULL; NULL is fine. */
ImageProgress *image_progress_free(ImageProgress *p);
