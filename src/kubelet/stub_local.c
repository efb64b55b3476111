#include "kubelet/internal.h"
void probes_start(Container *c) {}
void probes_stop(Container *c) {}
int kubelet_server_new(Kubelet *k, KubeletServer **ret, Err *err) { return 0; }
KubeletServer *kubelet_server_free(KubeletServer *s) { return NULL; }
