// What the parts of the codec share while they encode or decode one call.
#pragma once

#include <algorithm>

#include "cryptoki/pkcs11.h"
#include "transport/codec/arena.h"
#include "transport/codec/buffer.h"
#include "transport/codec/outputs.h"
#include "transport/codec/reader.h"
#include "transport/codec/request.h"

namespace p11ha::transport {

/// How a pointer goes.
enum class Pointed : std::uint8_t { Null, There, Nested };

/// A call on its way out.
struct Encoding {
  Buffer& to;
  Outputs& outputs;
  const std::size_t end;   // of the buffer, by the limits
  std::size_t room;        // for outputs
  std::size_t attributes;  // that may still come

  bool fits(std::size_t count) const { return to.size() <= end && count <= end - to.size(); }
  void put(Pointed pointed) { to.put(static_cast<std::uint8_t>(pointed)); }
  void putUlong(CK_ULONG value) { to.put<std::uint64_t>(value); }
  [[nodiscard]] bool putBytes(const void* from, std::size_t count) {
    if (!fits(count)) return false;
    to.putBytes(from, count);
    return true;
  }
  /// Room for outputs that must be as large as they are.
  [[nodiscard]] bool claim(std::size_t count) {
    if (count > room) return false;
    room -= count;
    return true;
  }
  /// Room for an output that may be smaller than the application has it.
  std::size_t claimUpTo(std::size_t count, std::size_t element, std::size_t share) {
    const std::size_t claimed = std::min(count, std::min(room, share) / element);
    room -= claimed * element;
    return claimed;
  }
};

/// A call on its way in. Whatever finds it wrong says why, once, and returns false.
struct Decoding {
  Reader& from;
  Arena& arena;
  Outputs& outputs;
  std::size_t room;
  std::size_t attributes;
  DecodeError error = DecodeError::Truncated;

  bool fail(DecodeError why) {
    error = why;
    return false;
  }
  CK_ULONG getUlong() { return from.get<std::uint64_t>(); }
  [[nodiscard]] bool get(Pointed& pointed, Pointed last = Pointed::There) {
    const auto byte = from.get<std::uint8_t>();
    if (byte > static_cast<std::uint8_t>(last)) return fail(DecodeError::Malformed);
    pointed = static_cast<Pointed>(byte);
    return true;
  }
  [[nodiscard]] bool claim(std::size_t count, std::size_t element = 1) {
    if (count > room / element) return fail(DecodeError::TooLarge);
    room -= count * element;
    return true;
  }
  /// Zeroed memory, or nullptr.
  std::uint8_t* take(std::size_t size) {
    std::uint8_t* const taken = arena.take(size);
    if (taken == nullptr) error = DecodeError::TooLarge;
    return taken;
  }
  /// The next bytes, aligned, or nullptr.
  std::uint8_t* takeCopy(std::size_t size) {
    const std::uint8_t* const bytes = from.take(size);
    if (bytes == nullptr) return nullptr;
    std::uint8_t* const taken = take(size);
    if (taken != nullptr && size != 0) std::memcpy(taken, bytes, size);
    return taken;
  }
};

}  // namespace p11ha::transport
