/* The configuration: what loads must be shown, and what is shown must load. */
#include "monitor/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Config *c = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    /* Files of the machine stay out of it. */
    if (sv_find(sv_n(data, n), SV("scrape_config_files")) >= 0 ||
        config_parse(sv_n(data, n), "fuzz.yml", SV(""), NULL, &c, NULL) < 0)
        return 0;
    ASSERT(config_format(c, &out, NULL) >= 0);
    config_unref(c);
    return 0;
}
