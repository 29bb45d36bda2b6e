// The memory that an application gives a call for its answer.
#pragma once

#include <optional>
#include <vector>

#include "cryptoki/call.h"

namespace p11ha::ha {

/// The lengths that say how much room there is, and that a member overwrites with what it needs: each member is asked
/// with what the application said (PKCS #11 v3.0, 5.2 and 5.7.5). Borrows the call's arguments.
class Room {
 public:
  /// What there is now; where a member has seen the call, `before` is the length of its output as it was. May throw
  /// std::bad_alloc.
  Room(const cryptoki::Call& call, std::optional<CK_ULONG> before);

  /// As it was.
  void restore() const;

 private:
  void note(CK_ATTRIBUTE* attributes, CK_ULONG count, unsigned depth);

  CK_ULONG* length_ = nullptr;
  CK_ULONG before_ = 0;
  struct Value {
    CK_ATTRIBUTE* attribute;
    CK_ULONG length;
  };
  std::vector<Value> values_;
};

/// The length of a call's output: null if it has none.
inline CK_ULONG* outputLength(const cryptoki::Function& row, const cryptoki::Call& call) {
  return row.outputWord == 0 ? nullptr : call.get<CK_ULONG*>(row.outputWord + 1UL);
}

/// Does the call's output lie where its input does, as it may (PKCS #11 v3.0, 5.2)? Once a member has written there, no
/// other could be given the input.
inline bool overlaps(const cryptoki::Function& row, const cryptoki::Call& call) {
  constexpr CK_ULONG kMost = 1UL << 30;  // bytes: beyond, it is no data but a mistake, which the member judges
  if (row.outputWord == 0) return false;
  const auto out = call.get<std::uintptr_t>(row.outputWord);
  const auto* const room = call.get<const CK_ULONG*>(row.outputWord + 1UL);
  if (out == 0 || room == nullptr) return false;
  for (const cryptoki::Argument& argument : row.args()) {
    if (argument.role != cryptoki::RoleKind::InBytes) continue;
    const auto in = call.get<std::uintptr_t>(argument.word);
    const auto length = call.get<CK_ULONG>(argument.word + 1UL);
    if (in != 0 && length <= kMost && (in - out < *room || out - in < length)) return true;
  }
  return false;
}

}  // namespace p11ha::ha
