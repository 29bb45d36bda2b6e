#include "ha/output_stream.h"

#include <algorithm>

namespace p11ha::ha {

bool OutputStream::take(std::span<const std::uint8_t> bytes) {
  const auto again = static_cast<std::size_t>(std::min<std::uint64_t>(owed_, bytes.size()));
  if (again != 0) {
    again_.add(bytes.first(again));
    owed_ -= again;
    if (owed_ == 0 && again_ != handed_) return false;
  }
  queue_.insert(queue_.end(), bytes.begin() + static_cast<std::ptrdiff_t>(again), bytes.end());
  return true;
}

}  // namespace p11ha::ha
