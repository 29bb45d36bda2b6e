// What the tests of the file log have in common: a directory for the logs of one test, and the group they are of.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace p11ha::halog {

inline constexpr std::string_view kGroup = "11234840370164";

/// Removed with all in it. One test, one thread.
class LogDirectory : public tests::TemporaryDirectory {
 public:
  // Tests that drop their privileges still have to reach it.
  LogDirectory() { chmod(path().c_str(), 0755); }

  [[nodiscard]] std::string file(const std::string& name = "haErrorLog.txt") const { return path() + "/" + name; }

  /// The names in it, sorted.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
};

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::string> linesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace p11ha::halog
