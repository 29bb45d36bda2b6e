// A module of which a test knows beforehand what it will do to a call.
#pragma once

#include <optional>
#include <string>

#include "cryptoki/call.h"
#include "cryptoki/mechanism_parameter.h"
#include "tests/support/random.h"

namespace p11ha::tests {

/// Answers one call as its seed says: well, or with an error, with outputs of any size that fits, with lengths that do
/// not. Equal seeds do the same to equal calls, wherever these lie in memory. One thread.
class SampleModule {
 public:
  explicit SampleModule(std::uint64_t seed) : random_(seed) {}
  /// Always with that return value.
  SampleModule(std::uint64_t seed, CK_RV rv) : random_(seed), fixed_(rv) {}

  CK_RV execute(const cryptoki::Call& call);

  /// All that the call showed, as text.
  const std::string& seen() const { return seen_; }

 private:
  void look(const cryptoki::Call& call, const cryptoki::Argument& argument);
  void lookAtTemplate(const CK_ATTRIBUTE* attributes, CK_ULONG count, bool out);
  void lookAtParameter(const cryptoki::ParameterShape& shape, const std::uint8_t* base, const std::uint8_t* parent);
  void answer(const cryptoki::Call& call, const cryptoki::Argument& argument);
  void answerSized(void* data, CK_ULONG* length, std::size_t element);
  void answerCounted(void* data, CK_ULONG capacity, CK_ULONG* count);
  void answerFilled(void* data, std::size_t size);
  void answerTemplate(CK_ATTRIBUTE* attributes, CK_ULONG count, bool typed);
  void answerParameter(const cryptoki::ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent);

  void say(const char* what) { (seen_ += what) += ' '; }
  void say(const char* what, CK_ULONG number);
  void say(const char* what, const void* bytes, CK_ULONG size);
  void write(void* to, std::size_t size);
  void writeNonzero(void* to, std::size_t size);

  Random random_;
  const std::optional<CK_RV> fixed_;
  CK_RV rv_ = CKR_OK;
  std::string seen_;
};

}  // namespace p11ha::tests
