// What callgrind wrote down, as far as it is needed here.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>

namespace p11ha::bench {

struct CallgrindCosts {
  std::uint64_t total = 0;     // all that was collected
  std::uint64_t inModule = 0;  // of it, in C_ functions of the module and in what they called
};

/// Reads a callgrind output file (its format 1, names compressed or not). `module` is the path of the object whose C_
/// functions are told apart. Nothing if it is no such file.
std::optional<CallgrindCosts> readCallgrind(std::istream& file, const std::string& module);

}  // namespace p11ha::bench
