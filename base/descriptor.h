// A file descriptor with an owner.
#pragma once

#include <unistd.h>

#include <string_view>
#include <utility>

namespace p11ha::base {

/// Closes what it owns. One thread at a time.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

/// Writes the bytes, as often as it takes. False: not all of them, for the reason in errno. Any thread.
bool writeAll(int file, std::string_view bytes);

}  // namespace p11ha::base
