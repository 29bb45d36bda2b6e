// A call together with everything that its arguments point to.
#pragma once

#include <initializer_list>

#include "tests/conformance/record/normaliser.h"
#include "tests/conformance/script/values.h"

namespace p11ha::conformance {

/// Made by a script, for one call or several with changes between them. `word` is the machine word of the Call at which
/// the argument begins (0: the first parameter). Buffers are as Normaliser wants them. One thread.
class Prepared {
 public:
  explicit Prepared(cryptoki::Fn fn, Note said = {}) : call{fn, {}}, note(std::move(said)) {}
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;
  Prepared(Prepared&&) = default;

  /// Where the argument of that role begins, the nth of them (0: the first); throws std::out_of_range without one.
  std::size_t wordOf(cryptoki::RoleKind role, std::size_t nth = 0) const;

  Prepared& value(std::size_t word, CK_ULONG value);
  Prepared& pointer(std::size_t word, const void* value);
  /// Pointer and length of data that goes in.
  Prepared& in(std::size_t word, const Bytes& data);
  /// Buffer and pointer to its length.
  Prepared& out(std::size_t word, CK_ULONG capacity);
  /// Buffer and its length.
  Prepared& fill(std::size_t word, CK_ULONG count);
  /// NULL, and a pointer to a length: a size query.
  Prepared& query(std::size_t word);
  Prepared& mechanism(std::size_t word, const MechanismSpec& spec);
  Prepared& attributes(std::size_t word, const Attributes& wanted);
  /// A template to be filled in, each attribute with so much room; room 0: a NULL pointer, kNoRoom: a pointer and
  /// length 0.
  static constexpr CK_ULONG kNoRoom = CK_UNAVAILABLE_INFORMATION;
  struct Wanted {
    CK_ATTRIBUTE_TYPE type;
    CK_ULONG room;
  };
  Prepared& wanted(std::size_t word, const std::vector<Wanted>& list);
  /// Memory, zeroed, that lives as long as this; a pointer to it goes to the word.
  void* memory(std::size_t word, std::size_t size);
  template <class T>
  T& memory(std::size_t word) {
    return *static_cast<T*>(memory(word, sizeof(T)));
  }

  /// What a call has put out, by the convention of OutBytes and FilledBytes.
  Bytes taken(std::size_t word) const;
  CK_ULONG length(std::size_t word) const { return *call.get<const CK_ULONG*>(word + 1); }
  /// The handle that a pointer at that word received.
  CK_ULONG handle(std::size_t word) const { return *call.get<const CK_ULONG*>(word); }

  cryptoki::Call call;
  Note note;

 private:
  CK_BYTE* keep(Bytes bytes) { return kept_.emplace_back(std::move(bytes)).data(); }

  std::deque<Bytes> kept_;
  std::deque<MechanismSpec> mechanisms_;
};

}  // namespace p11ha::conformance
