/* pod_security.h - Pod Security admission: the labels pod-security.kubernetes.io/… of namespaces.
 */
#pragma once

#include "apiserver/admit.h"

/* A link of the validating phase: refuses pods beyond the level that their namespace enforces,
 * warns of pods and templates beyond its level for warnings, logs those beyond its level for audit,
 * and checks the labels themselves. */
AdmitResult pod_security(AdmitChain *c);
