/* kubeconfig: any text ends in a configuration or an error, without leaks. */
#include "api/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    KubeConfig c;
    if (kube_config_parse(sv_n(data, n), NULL, NULL, &c, NULL) < 0)
        return 0;
    ASSERT(c.host && c.prefix && c.ns);
    kube_config_free(&c);
    return 0;
}
