/* The file of --web.config.file: whatever the bytes, it loads or the error names the file. */
#include "web/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    WebConfig *c = NULL;
    Err err = { 0 };
    /* Files of the machine stay out of it. */
    if (sv_find(sv_n(data, n), SV("_file")) >= 0)
        return 0;
    if (web_config_parse(sv_n(data, n), "fuzz.yml", &c, &err) < 0)
        ASSERT(err.code != ERR_INVALID || strstr(err.msg, "fuzz.yml"));
    else
        ASSERT(!c->users.len == !c->cost);
    web_config_free(c);
    return 0;
}
