// Any bytes as what a connection carries: cut into frames the same way however they arrive, and each frame that is one
// of control is read, written and read again.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tests/support/random.h"
#include "transport/wire/frame.h"
#include "transport/wire/greeting.h"

namespace {

using namespace p11ha::transport;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kLimit = 2048;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

struct Cut {
  std::vector<Bytes> payloads;
  FrameReader::Next end = FrameReader::Next::Incomplete;

  bool operator==(const Cut&) const = default;
};

// Reads it again as it was written.
template <class Read, class Put>
void expectSame(std::span<std::uint8_t> payload, Read read, Put put) {
  const auto value = read(payload);
  if (!value) return;
  Buffer first;
  put(first, *value);
  const auto again = read({first.data() + kFrameHeaderSize, first.size() - kFrameHeaderSize});
  require(again.has_value(), "what was written can be read");
  Buffer second;
  put(second, *again);
  require(std::ranges::equal(first.bytes(), second.bytes()), "it is the same");
}

void readControl(const Frame& frame) {
  switch (static_cast<Control>(frame.header.opcode)) {
    case Control::GreetingRequest:
      return expectSame(frame.payload, readGreetingRequest, putGreetingRequest);
    case Control::Greeting:
      return expectSame(frame.payload, readGreeting, putGreeting);
    case Control::Goodbye:
      return expectSame(frame.payload, readGoodbye, putGoodbye);
    case Control::PartitionState:
      return expectSame(frame.payload, readStateChange, putStateChange);
    case Control::Heartbeat:
      return expectSame(frame.payload, readHeartbeat, putHeartbeat);
    case Control::Cancel:
      break;
  }
}

template <class Chunk>
Cut cut(std::span<const std::uint8_t> bytes, Chunk chunk) {
  Cut result;
  FrameReader reader(kLimit);
  do {
    const std::span<std::uint8_t> room = reader.room();
    require(room.size() >= FrameReader::kLeastRoom, "there is room");
    const std::size_t size = std::min({bytes.size(), room.size(), chunk()});
    std::copy_n(bytes.begin(), size, room.begin());
    reader.filled(size);
    bytes = bytes.subspan(size);
    Frame frame;
    while ((result.end = reader.next(frame)) == FrameReader::Next::Frame) {
      require(frame.payload.size() == frame.header.size && frame.header.size <= kLimit, "a frame is within its limit");
      readControl(frame);
      result.payloads.emplace_back(frame.payload.begin(), frame.payload.end());
    }
  } while (!bytes.empty() && result.end == FrameReader::Next::Incomplete);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  p11ha::tests::Random random(size);
  const Cut whole = cut({data, size}, [] { return SIZE_MAX; });
  const Cut parts = cut({data, size}, [&random] { return 1 + random.below(40); });
  require(whole == parts, "how the bytes arrive makes no difference");
  return 0;
}
