/* tool.h - what `knarr promtool` does, verb by verb, with promtool's words and exit codes.
 *
 * A verb reads files or talks to a server, writes what it found to two streams and returns the
 * exit code; it never exits by itself. What goes to which stream, and every byte of the output
 * stream, is as with promtool; sentences about mistakes may be our own. */
#pragma once

#include <stdio.h>

#include "base/str.h"

typedef struct ToolIo {
    FILE *in, *out, *err;
} ToolIo;

typedef enum ToolExit { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2, TOOL_LINT = 3 } ToolExit;

enum { TOOL_INPUT_MAX = 1024 * 1024 * 1024 }; /* of standard input and of a text file, in bytes */

typedef struct ToolFiles {
    const char *const *items;
    unsigned len;
} ToolFiles;
