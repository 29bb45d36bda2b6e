// What the module sees of a call that was carried, and what the application gets, against a module called directly.
#include <gtest/gtest.h>

#include "tests/support/sample_call.h"
#include "tests/support/sample_module.h"
#include "transport/codec/answer.h"
#include "transport/codec/request.h"

namespace p11ha::transport {
namespace {

using cryptoki::Call;
using cryptoki::Fn;
using tests::SampleCall;
using tests::SampleModule;
using tests::SampleParameter;

std::vector<Fn> carried() {
  std::vector<Fn> all;
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    if (isCarried(static_cast<Fn>(i))) all.push_back(static_cast<Fn>(i));
  }
  return all;
}

class CodecRoundTrip : public testing::Test {
 protected:
  /// Both calls are equal: one goes through the codec, one to the module.
  void expectAsDirect(const SampleCall& remote, const SampleCall& direct, std::uint64_t seed) {
    ASSERT_EQ(remote.memory(), direct.memory());
    request_.clear();
    ASSERT_EQ(encodeRequest(remote.call(), limits_, request_, wanted_), CKR_OK);
    Reader reader({request_.data(), request_.size()});
    Outputs given;
    const auto call = decodeRequest(reader, limits_, arena_, given);
    ASSERT_TRUE(call.ok()) << describe(call.error());
    EXPECT_TRUE(reader.finished());
    EXPECT_EQ(given.size(), wanted_.size());

    SampleModule module(seed);
    SampleModule same(seed);
    const CK_RV rv = module.execute(*call);
    ASSERT_EQ(same.execute(direct.call()), rv);
    EXPECT_EQ(module.seen(), same.seen());

    answer_.clear();
    EXPECT_EQ(encodeAnswer(rv, given, answer_), rv);
    arena_.reset();
    Reader back({answer_.data(), answer_.size()});
    CK_RV answered = 0;
    ASSERT_TRUE(decodeAnswer(back, wanted_, answered));
    EXPECT_TRUE(back.finished());
    EXPECT_EQ(answered, rv);
    EXPECT_EQ(remote.memory(), direct.memory());
  }

  const Limits limits_{};
  Arena arena_{arenaBound(limits_)};
  Buffer request_;
  Buffer answer_;
  Outputs wanted_;
};

TEST_F(CodecRoundTrip, IsAsTheModuleItselfWithEveryFunction) {
  for (const Fn fn : carried()) {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      SCOPED_TRACE(std::string(cryptoki::function(fn).name) + " " + std::to_string(seed));
      expectAsDirect(SampleCall(fn, seed), SampleCall(fn, seed), seed);
      if (HasFailure()) return;
    }
  }
}

TEST_F(CodecRoundTrip, IsAsTheModuleItselfWithEveryParameter) {
  for (const SampleParameter& parameter : tests::sampleParameters()) {
    const Fn fn = parameter.message ? Fn::EncryptMessage : Fn::DeriveKey;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      SCOPED_TRACE(std::string(cryptoki::mechanismName(parameter.type)) + " " + std::to_string(seed));
      expectAsDirect(SampleCall(fn, seed, parameter), SampleCall(fn, seed, parameter), seed);
      if (HasFailure()) return;
    }
  }
}

TEST_F(CodecRoundTrip, CarriesTwoCallsInOnePayload) {
  SampleCall init(Fn::SignInit, 0);
  SampleCall sign(Fn::Sign, 0);
  Outputs first;
  ASSERT_EQ(encodeRequest(init.call(), limits_, request_, first), CKR_OK);
  ASSERT_EQ(encodeRequest(sign.call(), limits_, request_, wanted_), CKR_OK);
  Reader reader({request_.data(), request_.size()});
  Outputs given;
  EXPECT_EQ(decodeRequest(reader, limits_, arena_, given).value().fn, Fn::SignInit);
  EXPECT_EQ(decodeRequest(reader, limits_, arena_, given).value().fn, Fn::Sign);
  EXPECT_TRUE(reader.finished());
}

TEST_F(CodecRoundTrip, LeavesBehindWhatIsOfTheCallersProcess) {
  for (const Fn fn : {Fn::Initialize, Fn::GetFunctionList, Fn::GetInterface, Fn::GetInterfaceList}) {
    EXPECT_FALSE(isCarried(fn));
    EXPECT_EQ(encodeRequest(SampleCall(fn, 0).call(), limits_, request_, wanted_), CKR_FUNCTION_NOT_SUPPORTED);
    EXPECT_TRUE(request_.empty());
  }
  EXPECT_EQ(carried().size(), cryptoki::kFunctionCount - 4);
}

}  // namespace
}  // namespace p11ha::transport
