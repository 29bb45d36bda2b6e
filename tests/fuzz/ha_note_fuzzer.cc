// Any bytes as a note of p11ha's on a token: what is read is written as it was. And as a claim to a turn.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "ha/notes/note.h"
#include "ha/turn.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> value(data, size);
  static_cast<void>(p11ha::ha::Turn::Claim::parse(value));
  const auto note = p11ha::ha::notes::decode(value);
  if (!note) return 0;
  const auto again = p11ha::ha::notes::encode(*note);
  if (!std::equal(again.begin(), again.end(), value.begin(), value.end())) std::abort();
  return 0;
}
