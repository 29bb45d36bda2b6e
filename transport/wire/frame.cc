#include "transport/wire/frame.h"

#include <algorithm>

namespace p11ha::transport {
namespace {

constexpr std::size_t kKept = 64UL << 10;  // of a buffer that a large frame made grow

}  // namespace

FrameReader::~FrameReader() = default;

std::span<std::uint8_t> FrameReader::room() {
  // What was cut goes, so that what it carried does not stay.
  if (begin_ != 0) {
    const std::size_t left = end_ - begin_;
    std::memmove(bytes_.data(), bytes_.data() + begin_, left);
    base::wipe(bytes_.data() + left, end_ - left);
    begin_ = 0;
    end_ = left;
    if (bytes_.size() > kKept && left + kLeastRoom <= kKept) {
      Buffer smaller;
      std::memcpy(smaller.extend(kKept), bytes_.data(), left);
      bytes_ = std::move(smaller);
    }
  }
  if (bytes_.size() - end_ < kLeastRoom) bytes_.extend(std::max(bytes_.size(), 2 * kLeastRoom));
  return {bytes_.data() + end_, bytes_.size() - end_};
}

FrameReader::Next FrameReader::next(Frame& frame) {
  const std::size_t there = end_ - begin_;
  if (there < kFrameHeaderSize) return Next::Incomplete;
  const std::uint8_t* const at = bytes_.data() + begin_;
  std::uint32_t reserved = 0;
  std::memcpy(&frame.header.size, at, 4);
  std::memcpy(&frame.header.request, at + 4, 4);
  std::memcpy(&frame.header.opcode, at + 8, 2);
  std::memcpy(&frame.header.flags, at + 10, 2);
  std::memcpy(&reserved, at + 12, 4);
  if (reserved != 0) return Next::Malformed;
  if (frame.header.size > limit_) return Next::TooLarge;
  if (there - kFrameHeaderSize < frame.header.size) return Next::Incomplete;
  frame.payload = {bytes_.data() + begin_ + kFrameHeaderSize, frame.header.size};
  begin_ += kFrameHeaderSize + frame.header.size;
  return Next::Frame;
}

}  // namespace p11ha::transport
