// Bytes that came in, read from the front.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace p11ha::transport {

/// Borrows the bytes. Whatever is read past their end is zero, and failed() from then on: callers look once, before
/// they believe anything they took memory for. One thread.
class Reader {
 public:
  explicit Reader(std::span<std::uint8_t> bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  template <class T>
  T get() {
    T value{};
    if (sizeof value > left()) [[unlikely]] {
      fail();
      return value;
    }
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  /// The next bytes where they are, or nullptr.
  std::uint8_t* take(std::size_t count) {
    if (count > left() || failed_) [[unlikely]] {
      fail();
      return nullptr;
    }
    std::uint8_t* const taken = at_;
    at_ += count;
    return taken;
  }

  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  bool failed() const { return failed_; }
  /// All was read, and no more.
  bool finished() const { return !failed_ && at_ == end_; }
  void fail() {
    failed_ = true;
    at_ = end_;
  }

 private:
  std::uint8_t* at_;
  std::uint8_t* end_;
  bool failed_ = false;
};

}  // namespace p11ha::transport
