// Frames: what a connection carries once TLS is up. A header of 16 bytes, little endian, then the payload.
#pragma once

#include <cstdint>
#include <span>

#include "base/secure_bytes.h"
#include "transport/codec/buffer.h"

namespace p11ha::transport {

inline constexpr std::uint16_t kProtocolVersion = 1;
inline constexpr std::uint16_t kDefaultPort = 1792;

/// Opcodes below are functions (codec/request.h).
inline constexpr std::uint16_t kFirstControl = 0xFF00;
enum class Control : std::uint16_t {
  GreetingRequest = 0xFF00,  // client: the first frame
  Greeting = 0xFF01,         // server: its answer
  Heartbeat = 0xFF02,        // server: the requests it still works on
  Cancel = 0xFF03,           // client: nobody waits for that request any more
  Goodbye = 0xFF04,          // both: why the connection ends
  PartitionState = 0xFF05,   // server: the partition's state has changed
};

/// A request: an Init comes first in the payload, then the call whose opcode the header has. Its answer: that of the
/// Init, then that of the call unless the Init failed.
inline constexpr std::uint16_t kFlagHasInit = 1;
/// An answer: to the request of that id, with the same opcode.
inline constexpr std::uint16_t kFlagAnswer = 2;

struct FrameHeader {
  std::uint32_t size = 0;     // of the payload
  std::uint32_t request = 0;  // unique among those in flight; 0 where the frame is about none
  std::uint16_t opcode = 0;
  std::uint16_t flags = 0;
};
inline constexpr std::size_t kFrameHeaderSize = 16;

/// Appends a frame whose payload is what `fill(Buffer&)` appends. If that throws, nothing was appended.
template <class Fill>
void putFrame(Buffer& to, std::uint32_t request, std::uint16_t opcode, std::uint16_t flags, Fill&& fill) {
  const std::size_t begin = to.size();
  try {
    to.put<std::uint32_t>(0);
    to.put(request);
    to.put(opcode);
    to.put(flags);
    to.put<std::uint32_t>(0);
    fill(to);
  } catch (...) {
    to.truncate(begin);
    throw;
  }
  const auto size = static_cast<std::uint32_t>(to.size() - begin - kFrameHeaderSize);
  std::memcpy(to.data() + begin, &size, sizeof size);
}
template <class Fill>
void putControl(Buffer& to, Control control, std::uint32_t request, Fill&& fill) {
  putFrame(to, request, static_cast<std::uint16_t>(control), 0, fill);
}

struct Frame {
  FrameHeader header;
  std::span<std::uint8_t> payload;  // valid till the reader's next room()
};

/// Cuts a stream of bytes into frames. Memory is taken for bytes that have come, not for those announced, and wiped
/// once they are read. Owned by one thread at a time; growing may throw std::bad_alloc.
class FrameReader {
 public:
  /// Until the greeting, nobody has anything long to say.
  static constexpr std::size_t kBeforeGreeting = 4096;
  enum class Next : std::uint8_t {
    Frame,
    Incomplete,
    TooLarge,   // it announces more than the limit
    Malformed,  // what is reserved is not zero
  };

  explicit FrameReader(std::size_t limit = kBeforeGreeting) : limit_(limit) {}
  ~FrameReader();
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  /// The longest payload from now on.
  void setLimit(std::size_t limit) { limit_ = limit; }

  /// Where the next bytes go, at least kLeastRoom.
  static constexpr std::size_t kLeastRoom = 16UL << 10;
  std::span<std::uint8_t> room();
  /// So many of them came.
  void filled(std::size_t count) { end_ += count; }

  /// The next frame. After TooLarge and Malformed the stream is of no more use.
  Next next(Frame& frame);
  /// Wipes what was cut: the frames so far are of no more use.
  void wipeTaken() { base::wipe(bytes_.data(), begin_); }

 private:
  std::size_t limit_;
  Buffer bytes_;  // what has come and was not cut yet is [begin_, end_)
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace p11ha::transport
