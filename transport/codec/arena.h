// Memory for one decoded call.
#pragma once

#include <cstdint>
#include <vector>

#include "transport/codec/buffer.h"

namespace p11ha::transport {

/// Hands out zeroed memory, all of it taken back and wiped at once. Bounded. Owned by one thread at a time; kept and
/// used again, so that small calls cost no allocation.
class Arena {
 public:
  static constexpr std::size_t kAlignment = 16;

  /// `bound`: how many bytes it hands out between two calls of reset().
  explicit Arena(std::size_t bound) : bound_(bound) {}
  ~Arena() { reset(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Zeroed and aligned, for any size (of 0 too, where it is an address that is not null); nullptr beyond the bound, or
  /// where there is no memory. Never throws.
  std::uint8_t* take(std::size_t size) noexcept {
    if (size > bound_ - used_) [[unlikely]]
      return nullptr;
    const std::size_t rounded = (size + (size == 0) + kAlignment - 1) / kAlignment * kAlignment;
    used_ += size;
    if (rounded > block_.size() - next_) [[unlikely]]
      return takeApart(rounded);
    std::uint8_t* const at = block_.data() + next_;
    next_ += rounded;
    return at;
  }
  template <class T>
  T* takeOne() noexcept {
    return reinterpret_cast<T*>(take(sizeof(T)));
  }

  /// What may still be taken.
  std::size_t left() const { return bound_ - used_; }

  /// Another bound, from the next call of reset() on at the latest; never below what is handed out.
  void setBound(std::size_t bound) { bound_ = bound; }

  /// Takes back all that was handed out.
  void reset() noexcept;

 private:
  std::uint8_t* takeApart(std::size_t rounded) noexcept;

  std::size_t bound_;
  std::size_t used_ = 0;
  Buffer block_;          // aligned as operator new aligns
  std::size_t next_ = 0;  // of block_, which is zero from there on
  std::vector<Buffer> apart_;
  std::size_t apartSize_ = 0;
};

}  // namespace p11ha::transport
