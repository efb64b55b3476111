/* check_web.c - the files of --web.config.file, read as the server reads them. */
#include "monitor/tool/check.h"
#include "monitor/tool/internal.h"
#include "web/config.h"

int tool_check_web_config(const ToolIo *io, ToolFiles files)
{
    int code = TOOL_OK;
    for (unsigned i = 0; i < files.len; i++) {
        Err err = { 0 };
        WebConfig *c = NULL;
        if (web_config_load(files.items[i], &c, &err) < 0) {
            tool_complain(io, "%s FAILED: %s\n", files.items[i], err.msg);
            code = TOOL_FAILED;
        } else {
            tool_complain(io, "%s SUCCESS\n", files.items[i]);
        }
        web_config_free(c);
    }
    return code;
}
