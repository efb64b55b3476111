/* knarr_cni.c - main() of knarr-cni: every CNI plugin, by argv[0]. */
#include "cni/plugin.h"

int main(int argc, char **argv)
{
    return cni_plugin_main(argc, argv);
}
