// A directory for one test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace p11ha::tests {

/// Removed with all in it. One test, one thread. Throws std::runtime_error where it cannot be made.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& name = "test")
      : path_((std::filesystem::temp_directory_path() / ("p11ha-" + name + "-XXXXXX")).string()) {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error(path_ + " cannot be made");
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace p11ha::tests
