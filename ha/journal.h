// What a multi-part operation has taken, so that another member can be given it again.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/secure_bytes.h"
#include "cryptoki/call.h"
#include "cryptoki/owned_mechanism.h"
#include "ha/object.h"

namespace p11ha::ha {

/// The inputs of an operation in order, in memory that is wiped (DESIGN.md, "Journal"). What follows one another to the
/// same function is one input, since such functions take a stream. Beyond its limit nothing is kept: the operation then
/// ends with its member. Owned by its operation; one thread.
class Journal {
 public:
  /// One call to be made again.
  struct Entry {
    cryptoki::Fn fn{};
    CK_FLAGS flags = 0;
    struct Slice {
      bool present = false;  // the argument was not NULL
      std::size_t offset = 0;
      std::size_t length = 0;
    };
    std::array<Slice, 2> inputs;
    ObjectPtr key;                                        // C_DigestKey
    std::unique_ptr<cryptoki::OwnedMechanism> parameter;  // of a message
  };

  /// Notes a call of one operation that a member has taken. `mechanism` is the operation's, `key` the object the call
  /// names; `limit` in bytes, for all that is kept.
  void append(const cryptoki::Call& call, CK_MECHANISM_TYPE mechanism, const ObjectPtr& key, std::size_t limit);
  /// Notes an input that reached the operation as a part of a dual-function call.
  void append(cryptoki::Fn update, std::span<const std::uint8_t> input, std::size_t limit);

  bool empty() const { return entries_.empty() && complete_; }
  /// False: more was taken than is kept.
  bool complete() const { return complete_; }
  std::span<const Entry> entries() const { return entries_; }

  /// An entry as a call: inputs point into the journal, handles and outputs are the caller's to set.
  cryptoki::Call call(const Entry& entry);

  void clear();

 private:
  // Memory that an ended operation leaves to the next.
  static constexpr std::size_t kKept = std::size_t{1} << 16;

  bool admit(std::size_t bytes, std::size_t limit);
  Entry::Slice keep(const std::uint8_t* data, std::size_t length);

  std::vector<Entry> entries_;
  base::SecureBytes data_;
  std::size_t size_ = 0;  // of all that is kept
  bool complete_ = true;
};

}  // namespace p11ha::ha
