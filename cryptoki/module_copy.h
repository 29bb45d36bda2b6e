// A second instance of a shared library in one process.
#pragma once

#include <string>

namespace p11ha::cryptoki {

/// Loads the library from a copy of its file in memory, so that its variables are as in a fresh process; the libraries
/// it needs are shared with the first instance. dlopen's handle; null where that cannot be done. Any thread.
void* loadModuleCopy(const std::string& file);

}  // namespace p11ha::cryptoki
