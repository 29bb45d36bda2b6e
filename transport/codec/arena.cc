#include "transport/codec/arena.h"

#include <algorithm>
#include <new>

namespace p11ha::transport {
namespace {

constexpr std::size_t kFirstBlock = 4096;
constexpr std::size_t kLargestBlockKept = 256UL << 10;

Buffer zeroed(std::size_t size) {
  Buffer made;
  std::memset(made.extend(size), 0, size);
  return made;
}

}  // namespace

std::uint8_t* Arena::takeApart(std::size_t rounded) noexcept try {
  if (block_.empty() && rounded <= kFirstBlock) {
    block_ = zeroed(kFirstBlock);
    next_ = rounded;
    return block_.data();
  }
  std::uint8_t* const at = apart_.emplace_back(zeroed(rounded)).data();
  apartSize_ += rounded;
  return at;
} catch (const std::bad_alloc&) {
  return nullptr;
}

void Arena::reset() noexcept {
  base::wipe(block_.data(), next_);
  if (!apart_.empty()) {
    apart_.clear();
    // What was needed once is needed again.
    const std::size_t needed = std::min(next_ + apartSize_, kLargestBlockKept);
    if (needed > block_.size()) {
      try {
        block_ = zeroed(needed);
      } catch (const std::bad_alloc&) {
        // the old one will do
      }
    }
  }
  next_ = used_ = apartSize_ = 0;
}

}  // namespace p11ha::transport
