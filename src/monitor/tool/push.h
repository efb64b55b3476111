/* push.h - `promtool push metrics`. */
#pragma once

#include "monitor/tool/server.h"

typedef struct PushOptions {
    ServerOptions server;
    const char *path;          /* of remote write, behind the server's own */
    const char *const *labels; /* "name=value" each: added to every series */
    unsigned n_labels;
    uint32_t timeout_ms;
    bool v2; /* io.prometheus.write.v2.Request */
} PushOptions;

/* Sends metrics of text files, or of the input stream, by remote write; those without a time get
 * the present one. */
int tool_push_metrics(const ToolIo *io, const PushOptions *o, ToolFiles files);
