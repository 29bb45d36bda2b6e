// POSIX files for load and save. Internal to config.
#pragma once

#include <sys/stat.h>

#include <string>
#include <system_error>

#include "config/load.h"

namespace p11ha::config {

/// Owns a file descriptor; closes it at the end.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  bool isOpen() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

inline std::string errorText(int error) { return std::error_code(error, std::generic_category()).message(); }

}  // namespace p11ha::config
