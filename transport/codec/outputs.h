// Where the outputs of a call go, noted as the call is encoded or decoded: an answer is written and read by these notes
// alone, whatever becomes meanwhile of the structures that the pointers came from.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace p11ha::transport {

/// One output. At the client it is the application's memory, at the server the module's.
struct Output {
  enum class Kind : std::uint8_t {
    Number,     // a CK_ULONG at `data`; at the server kUnwritten until the module writes it
    Sized,      // room for `capacity` elements at `data`, their number at `length`, in and out (PKCS #11 v3.0, 5.2)
    Counted,    // likewise, the number out only
    Filled,     // exactly `capacity` bytes, if the call succeeds
    Attribute,  // a CK_ATTRIBUTE at `length`, the room for its value at `data`
    Array,      // likewise, but the value is attributes, which follow as outputs of their own
    Region,     // `capacity` bytes of a mechanism's parameter, carried if they changed
  };
  Kind kind{};
  bool typed = false;            // of an attribute: the module writes its type too
  std::uint16_t element = 1;     // bytes
  void* data = nullptr;          // null: not wanted
  void* length = nullptr;        // null: the application gave none; of a Region: who else tells its length
  std::size_t capacity = 0;      // as it reaches the module
  std::size_t announced = 0;     // as the application has it
  const void* before = nullptr;  // of a Region at the server: what it was; null: zero
};

/// What no module answers.
inline constexpr std::uint64_t kUnwritten = 0xA5C3'5A3C'96F0'69E1;

/// The outputs of one call, in order. One thread; adding may throw std::bad_alloc. Kept and used again.
class Outputs {
 public:
  void add(const Output& output) {
    if (count_ < few_.size()) {
      few_[count_] = output;
    } else {
      more_.push_back(output);
    }
    ++count_;
  }
  std::size_t size() const { return count_; }
  const Output& operator[](std::size_t index) const {
    return index < few_.size() ? few_[index] : more_[index - few_.size()];
  }
  void clear() {
    count_ = 0;
    more_.clear();
  }

 private:
  std::size_t count_ = 0;
  std::array<Output, 6> few_;  // of most calls
  std::vector<Output> more_;
};

}  // namespace p11ha::transport
