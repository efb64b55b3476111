#include "monitor/discovery/internal.h"
int k8s_provider_new(Discovery *d, const ConfigKubernetesSd *cfg, Provider **ret, Err *err)
{
    return err_set(err, ERR_UNSUPPORTED, 0, "not yet");
}
