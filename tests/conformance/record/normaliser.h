// What a call gave back, such that two modules that behave alike give the same.
#pragma once

#include <vector>

#include "cryptoki/call.h"
#include "tests/conformance/comparison/transcript.h"
#include "tests/conformance/record/names.h"

namespace p11ha::conformance {

/// What a script says of a call.
struct Note {
  std::string situation;  // what is special about the arguments; empty: nothing
  bool random = false;    // outputs differ from time to time: only their lengths are compared
  std::string makes;      // the name of the object made; of the one that a search finds again
  std::string makesToo;   // of the second object of C_GenerateKeyPair
};

/// Bytes of this value, kGuard of them, are behind each buffer that a script gives: where a call changes them, it wrote
/// past the end. As many as the longest answer has, since softokn takes no heed of the room for an attribute.
inline constexpr std::uint8_t kFiller = 0xa5;
inline constexpr std::size_t kGuard = 1024;

/// The outputs of one call. Made before the call, since capacities are overwritten by lengths; asked after it. One
/// thread.
///
/// Handles are named, slots are "the token" or "another slot", found objects and mechanisms are sorted (the standard
/// gives them no order), the clock and an object's unique identifier count by their length.
class Normaliser {
 public:
  Normaliser(const cryptoki::Call& call, const Note& note, Names& names, CK_SLOT_ID slot);

  std::vector<Output> outputs(CK_RV rv);

 private:
  void argument(const cryptoki::Argument& argument, CK_RV rv);
  void bytes(const cryptoki::Argument& argument, CK_RV rv);
  void filled(const cryptoki::Argument& argument, CK_RV rv);
  void newObject(const cryptoki::Argument& argument, CK_RV rv);
  void found(const cryptoki::Argument& argument, CK_RV rv);
  void attributes(const cryptoki::Argument& argument, CK_RV rv);
  void slots(const cryptoki::Argument& argument, CK_RV rv);
  void mechanisms(const cryptoki::Argument& argument, CK_RV rv);
  void information(const cryptoki::Argument& argument);
  void add(std::string name, const std::string& value) { outputs_.push_back({std::move(name), escaped(value)}); }
  void guard(const CK_BYTE* buffer, CK_ULONG capacity);

  const cryptoki::Call& call_;
  const Note& note_;
  Names& names_;
  const CK_SLOT_ID slot_;
  CK_ULONG capacity_ = 0;             // of the buffer or array
  std::vector<CK_ATTRIBUTE> before_;  // of an OutTemplate
  bool secondObject_ = false;
  std::vector<Output> outputs_;
};

/// "0a1bff".
std::string hex(const CK_BYTE* bytes, std::size_t count);

}  // namespace p11ha::conformance
