#include "config/file.h"

#include <cerrno>

namespace p11ha::config {
namespace {

constexpr int kMostLinks = 40;  // as the kernel has it

}  // namespace

base::Result<std::filesystem::path, std::string> followLinks(std::filesystem::path path) {
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code error;
    if (!std::filesystem::is_symlink(std::filesystem::symlink_status(path, error))) return path;
    const auto target = std::filesystem::read_symlink(path, error);
    if (error) return base::Failure{error.message()};
    path = target.is_absolute() ? target : path.parent_path() / target;
  }
  return base::Failure{errorText(ELOOP)};
}

}  // namespace p11ha::config
