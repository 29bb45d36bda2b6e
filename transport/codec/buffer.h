// Bytes on their way out. They may carry PINs and keys.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "base/secure_bytes.h"

namespace p11ha::transport {

/// Grows at its end; wipes what it lets go. Owned by one thread at a time; kept and used again, so that a call costs no
/// allocation. Growing may throw std::bad_alloc, and then nothing was added.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { release(); }
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  const std::uint8_t* data() const { return data_; }
  std::uint8_t* data() { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const std::uint8_t> bytes() const { return {data_, size_}; }
  std::span<std::uint8_t> bytes() { return {data_, size_}; }

  /// Room for `count` more bytes at the end, for the caller to fill: valid till the next change.
  std::uint8_t* extend(std::size_t count) {
    if (count > capacity_ - size_) [[unlikely]]
      grow(count);
    std::uint8_t* const at = data_ + size_;
    size_ += count;
    return at;
  }
  template <class T>
  void put(T value) {
    std::memcpy(extend(sizeof value), &value, sizeof value);
  }
  void putBytes(const void* from, std::size_t count) {
    if (count != 0) std::memcpy(extend(count), from, count);
  }

  /// Drops what lies beyond `size`, and wipes it.
  void truncate(std::size_t size) noexcept {
    base::wipe(data_ + size, size_ - size);
    size_ = size;
  }
  /// Empties it and keeps its memory, unless that is larger than usual calls need.
  void clear() noexcept;

 private:
  void grow(std::size_t count);
  void release() noexcept;

  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace p11ha::transport
