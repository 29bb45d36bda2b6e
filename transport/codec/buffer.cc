#include "transport/codec/buffer.h"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

namespace p11ha::transport {
namespace {

constexpr std::size_t kSmallest = 1024;
constexpr std::size_t kLargestBufferKept = 256UL << 10;

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  release();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

void Buffer::grow(std::size_t count) {
  if (count > std::numeric_limits<std::size_t>::max() / 2 - size_) throw std::bad_alloc();
  const std::size_t capacity = std::max({kSmallest, capacity_ * 2, size_ + count});
  auto* const data = static_cast<std::uint8_t*>(::operator new(capacity));
  if (size_ != 0) std::memcpy(data, data_, size_);
  const std::size_t size = size_;
  release();
  data_ = data;
  size_ = size;
  capacity_ = capacity;
}

void Buffer::clear() noexcept {
  if (capacity_ > kLargestBufferKept) {
    release();
  } else {
    truncate(0);
  }
}

void Buffer::release() noexcept {
  if (data_ == nullptr) return;
  base::wipe(data_, size_);
  ::operator delete(data_);
  data_ = nullptr;
  size_ = capacity_ = 0;
}

}  // namespace p11ha::transport
