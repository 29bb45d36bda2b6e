// Threads of ours in somebody else's process.
#pragma once

#include <functional>
#include <thread>

namespace p11ha::base {

/// A thread that takes none of the application's signals. Throws std::system_error where there is none to be had.
std::thread quietThread(std::function<void()> body);

}  // namespace p11ha::base
