/* debug.h - `promtool debug …`: what a server tells about itself, in an archive. */
#pragma once

#include "monitor/tool/server.h"

typedef enum DebugWhat { DEBUG_PPROF = 1, DEBUG_METRICS = 2 } DebugWhat;

/* Fetches what `what` (DebugWhats) asks for from `url` into debug.tar.gz of the current folder.
 * What the server does not have is told; TOOL_FAILED, and no archive, when it has nothing of it. */
int tool_debug(const ToolIo *io, const char *url, unsigned what);
