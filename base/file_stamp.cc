#include "base/file_stamp.h"

namespace p11ha::base {

FileStamp stampFrom(const struct stat& from) {
  return {static_cast<std::uint64_t>(from.st_dev),         static_cast<std::uint64_t>(from.st_ino),
          static_cast<std::uint64_t>(from.st_size),        static_cast<std::int64_t>(from.st_mtim.tv_sec),
          static_cast<std::int64_t>(from.st_mtim.tv_nsec), static_cast<std::int64_t>(from.st_ctim.tv_sec),
          static_cast<std::int64_t>(from.st_ctim.tv_nsec)};
}

std::optional<FileStamp> stampOf(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) return std::nullopt;
  return stampFrom(found);
}

}  // namespace p11ha::base
