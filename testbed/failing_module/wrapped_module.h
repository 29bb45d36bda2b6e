// The module that a failing module stands in front of.
#pragma once

#include <string>

#include "base/result.h"
#include "cryptoki/call.h"

namespace p11ha::testbed {

/// Which module this copy of the library wraps: what the first line of FILE.wraps says, if there is such a file beside
/// this library FILE, so that one process can have copies over different modules; else $P11HA_FAILING_MODULE; else
/// SoftHSM, where Debian installs it.
std::string wrappedModulePath();

/// Loads it for the rest of the process, without initialising it. The error names the path, ready to be shown.
base::Result<cryptoki::FunctionList, std::string> loadWrappedModule(const std::string& path);

}  // namespace p11ha::testbed
