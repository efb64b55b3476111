/* unpack_sandbox.h - takes away from the unpacker what it does not need. */
#pragma once

#include "base/err.h"

/* Makes the current directory the root of a mount namespace of our own, leaves the network, keeps
 * only the capabilities that writing owners, devices and file capabilities needs, and installs a
 * system call filter. Nothing of the host can be opened afterwards. Needs root. */
int unpack_sandbox_enter(Err *err) NODISCARD;
