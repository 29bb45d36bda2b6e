// Calls as applications make them, of every function and with every mechanism parameter, made from the tables that the
// code under test reads them by.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cryptoki/call.h"
#include "cryptoki/mechanism.h"
#include "tests/support/random.h"

namespace p11ha::tests {

/// A parameter of a mechanism, or of its messages, by its structure; no structure: flat.
struct SampleParameter {
  CK_MECHANISM_TYPE type = 0;
  const cryptoki::ParameterShape* shape = nullptr;
  bool message = false;
};
/// All that there are.
const std::vector<SampleParameter>& sampleParameters();

/// A call and all that its arguments point to, each in memory of exactly its size, so that a sanitizer sees whatever is
/// read or written beyond. Equal seeds make equal calls. Seed 0: everything is there, and small; else pointers may be
/// NULL, lengths zero, rooms of any size. One thread.
class SampleCall {
 public:
  SampleCall(cryptoki::Fn fn, std::uint64_t seed);
  /// With that parameter, wherever the function takes one of its kind.
  SampleCall(cryptoki::Fn fn, std::uint64_t seed, const SampleParameter& parameter);

  const cryptoki::Call& call() const { return call_; }

  /// The memory as text, pointers by what they point to: equal for two calls that are, and that answers left equal.
  std::string memory() const;

 private:
  struct Block {
    std::unique_ptr<std::uint8_t[]> bytes;
    std::size_t size = 0;
  };

  void make(const cryptoki::Argument& argument);
  void makeSized(std::size_t word, std::size_t element);
  void* mechanism();
  void messageParameter(std::size_t word);
  std::uint8_t* parameter(const SampleParameter& of, CK_ULONG& size);
  std::uint8_t* attributes(CK_ULONG count, std::size_t depth, bool out);
  void fill(const cryptoki::ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent);
  void fillPointer(const cryptoki::ParameterField& field, std::uint8_t* base, const std::uint8_t* parent);

  bool there() { return plain_ || !random_.oneIn(6); }
  CK_ULONG size() { return plain_ ? 5 : random_.below(random_.oneIn(8) ? 300 : 40); }
  std::uint8_t* take(std::size_t size);
  CK_ULONG* takeNumber(CK_ULONG value);
  void describe(const Block& block, std::string& text) const;

  cryptoki::Call call_;
  Random random_;
  const bool plain_;
  const SampleParameter* parameter_ = nullptr;
  std::vector<Block> blocks_;
};

}  // namespace p11ha::tests
