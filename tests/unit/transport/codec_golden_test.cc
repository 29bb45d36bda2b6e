// The bytes of every function and of every parameter structure: what went over the wire once goes so for ever.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "tests/support/sample_call.h"
#include "tests/support/sample_module.h"
#include "transport/codec/answer.h"
#include "transport/codec/request.h"

namespace p11ha::transport {
namespace {

using cryptoki::Fn;
using tests::SampleCall;
using tests::SampleModule;
using tests::SampleParameter;

constexpr const char* kGolden = P11HA_SOURCE_DIR "/tests/golden/wire_calls.txt";
constexpr const char* kHead =
    "# Calls and answers as they go over the wire (protocol version 1): each function with the arguments of "
    "SampleCall's\n"
    "# seed 0, answered by SampleModule; then each structure of a mechanism's parameter, in the call that it is named "
    "with.\n"
    "# Made anew by: P11HA_WRITE_GOLDEN=1 unit-transport --gtest_filter='CodecGolden.*'. A line that changed is "
    "another\n"
    "# protocol.\n";

std::string hex(std::span<const std::uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

class CodecGolden : public testing::Test {
 protected:
  std::string answer(const SampleCall& sample, CK_RV rv) {
    Buffer request;
    EXPECT_EQ(encodeRequest(sample.call(), limits_, request, outputs_), CKR_OK);
    Reader reader({request.data(), request.size()});
    const auto call = decodeRequest(reader, limits_, arena_, outputs_);
    if (!call.ok()) {
      ADD_FAILURE() << describe(call.error());
      return {};
    }
    SampleModule(1, rv).execute(*call);
    Buffer to;
    EXPECT_EQ(encodeAnswer(rv, outputs_, to), rv);
    arena_.reset();
    return hex(to.bytes());
  }

  std::string lines(const std::string& title, const SampleCall& sample) {
    Buffer request;
    if (encodeRequest(sample.call(), limits_, request, outputs_) != CKR_OK) return title + "\n  not carried\n";
    return title + "\n  call     " + hex(request.bytes()) + "\n  answered " + answer(sample, CKR_OK) + "\n  refused  " +
           answer(sample, CKR_BUFFER_TOO_SMALL) + "\n";
  }

  std::string made() {
    std::string text = kHead;
    for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
      const auto fn = static_cast<Fn>(i);
      text += lines(std::string(cryptoki::function(fn).name), SampleCall(fn, 0));
    }
    std::set<const cryptoki::ParameterShape*> seen;
    for (const SampleParameter& parameter : tests::sampleParameters()) {
      if (!seen.insert(parameter.shape).second) continue;
      const Fn fn = parameter.message ? Fn::EncryptMessage : Fn::DeriveKey;
      const std::string structure(parameter.shape == nullptr ? "flat" : parameter.shape->name);
      text += lines(structure + " of " + std::string(cryptoki::mechanismName(parameter.type)) + " in " +
                        std::string(cryptoki::function(fn).name),
                    SampleCall(fn, 0, parameter));
    }
    return text;
  }

  const Limits limits_{};
  Arena arena_{arenaBound(limits_)};
  Outputs outputs_;
};

TEST_F(CodecGolden, EveryFunctionAndEveryStructureGoesAsItWent) {
  const std::string text = made();
  if (std::getenv("P11HA_WRITE_GOLDEN") != nullptr) std::ofstream(kGolden) << text;
  std::ifstream file(kGolden);
  ASSERT_TRUE(file) << kGolden;
  std::istringstream now(text);
  std::string expected;
  std::string line;
  while (std::getline(now, line)) {
    ASSERT_TRUE(std::getline(file, expected)) << "the golden file ends before: " << line;
    ASSERT_EQ(line, expected);
  }
  EXPECT_FALSE(std::getline(file, expected)) << "the golden file goes on: " << expected;
}

}  // namespace
}  // namespace p11ha::transport
