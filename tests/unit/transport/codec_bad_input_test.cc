// Calls and answers that nobody honest sends, and applications that announce more than there is.
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/sample_call.h"
#include "tests/support/sample_module.h"
#include "transport/codec/answer.h"
#include "transport/codec/request.h"

namespace p11ha::transport {
namespace {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using tests::SampleCall;
using tests::SampleModule;

constexpr CK_ULONG kHuge = 1UL << 60;

class CodecBadInput : public testing::Test {
 protected:
  std::vector<std::uint8_t> encoded(const Call& call) {
    Buffer buffer;
    EXPECT_EQ(encodeRequest(call, limits_, buffer, outputs_), CKR_OK);
    return {buffer.data(), buffer.data() + buffer.size()};
  }
  /// A call as one writes it by hand: the function, then numbers of 64 bits and single bytes.
  struct ByHand {
    explicit ByHand(Fn fn) { buffer.put<std::uint16_t>(opcode(fn)); }
    ByHand& number(std::uint64_t value) {
      buffer.put(value);
      return *this;
    }
    ByHand& byte(std::uint8_t value) {
      buffer.put(value);
      return *this;
    }
    Buffer buffer;
  };
  DecodeError refusal(std::span<const std::uint8_t> bytes) {
    std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    Reader reader(exact);
    const std::size_t before = arena_.left();
    const auto call = decodeRequest(reader, limits_, arena_, outputs_);
    taken_ = before - arena_.left();
    arena_.reset();
    if (call.ok()) {
      ADD_FAILURE() << "it was taken for a call";
      return {};
    }
    return call.error();
  }
  DecodeError refusal(const ByHand& call) { return refusal(call.buffer.bytes()); }

  const Limits limits_{};
  Arena arena_{arenaBound(limits_)};
  Outputs outputs_;
  std::size_t taken_ = 0;
};

TEST_F(CodecBadInput, RefusesEveryFunctionCutAnywhere) {
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    const auto fn = static_cast<Fn>(i);
    if (!isCarried(fn)) continue;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const SampleCall sample(fn, seed);
      const std::vector<std::uint8_t> whole = encoded(sample.call());
      for (std::size_t size = 0; size < whole.size(); ++size) {
        ASSERT_EQ(refusal(std::span(whole).first(size)), DecodeError::Truncated)
            << cryptoki::function(fn).name << " of " << whole.size() << " cut at " << size;
      }
    }
  }
}

TEST_F(CodecBadInput, RefusesEveryParameterCutAnywhere) {
  for (const tests::SampleParameter& parameter : tests::sampleParameters()) {
    const SampleCall sample(parameter.message ? Fn::DecryptMessage : Fn::WrapKey, 0, parameter);
    const std::vector<std::uint8_t> whole = encoded(sample.call());
    for (std::size_t size = 0; size < whole.size(); ++size) {
      ASSERT_EQ(refusal(std::span(whole).first(size)), DecodeError::Truncated)
          << cryptoki::mechanismName(parameter.type);
    }
  }
}

TEST_F(CodecBadInput, RefusesEveryAnswerCutAnywhereAndWritesNothing) {
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    const auto fn = static_cast<Fn>(i);
    if (!isCarried(fn)) continue;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const SampleCall sample(fn, seed);
      Buffer request;
      Outputs wanted;
      ASSERT_EQ(encodeRequest(sample.call(), limits_, request, wanted), CKR_OK);
      Reader reader({request.data(), request.size()});
      const auto call = decodeRequest(reader, limits_, arena_, outputs_);
      ASSERT_TRUE(call.ok());
      Buffer answer;
      encodeAnswer(SampleModule(seed).execute(*call), outputs_, answer);
      arena_.reset();
      const std::string before = sample.memory();
      for (std::size_t size = 0; size < answer.size(); ++size) {
        std::vector<std::uint8_t> cut(answer.data(), answer.data() + size);
        Reader back(cut);
        CK_RV rv = 0;
        ASSERT_FALSE(decodeAnswer(back, wanted, rv)) << cryptoki::function(fn).name << " cut at " << size;
      }
      EXPECT_EQ(sample.memory(), before);
    }
  }
}

TEST_F(CodecBadInput, RefusesFunctionsThatAreNotThere) {
  Buffer buffer;
  buffer.put<std::uint16_t>(cryptoki::kFunctionCount);
  EXPECT_EQ(refusal(buffer.bytes()), DecodeError::UnknownFunction);
  EXPECT_EQ(refusal(ByHand(Fn::Initialize).number(0)), DecodeError::UnknownFunction);
}

TEST_F(CodecBadInput, RefusesHugeNumbersBeforeItTakesMemory) {
  EXPECT_EQ(refusal(ByHand(Fn::Sign).number(1).byte(1).number(kHuge)), DecodeError::Truncated) << "data";
  EXPECT_EQ(refusal(ByHand(Fn::Sign).number(1).byte(0).number(0).byte(3).number(kHuge)), DecodeError::TooLarge);
  EXPECT_EQ(refusal(ByHand(Fn::GetSlotList).number(1).byte(3).number(kHuge)), DecodeError::TooLarge);
  EXPECT_EQ(refusal(ByHand(Fn::GetSlotList).number(1).byte(3).number(limits_.outputs / 8 + 1)), DecodeError::TooLarge);
  EXPECT_EQ(refusal(ByHand(Fn::FindObjects).number(1).byte(3).number(kHuge)), DecodeError::TooLarge);
  EXPECT_EQ(refusal(ByHand(Fn::GenerateRandom).number(1).byte(1).number(kHuge)), DecodeError::TooLarge);
  EXPECT_EQ(refusal(ByHand(Fn::FindObjectsInit).number(1).byte(1).number(kHuge)), DecodeError::TooLarge);
  EXPECT_EQ(refusal(ByHand(Fn::FindObjectsInit).number(1).byte(1).number(1000)), DecodeError::Truncated);
  EXPECT_EQ(refusal(ByHand(Fn::GetAttributeValue).number(1).number(2).byte(1).number(kHuge)), DecodeError::TooLarge);
  EXPECT_LE(taken_, 1024U);
  const auto attribute = [](CK_ATTRIBUTE_TYPE type, std::uint8_t tag) {
    ByHand call(Fn::GetAttributeValue);
    call.number(1).number(2).byte(1).number(1).number(type).byte(tag).number(kHuge);
    return call;
  };
  EXPECT_EQ(refusal(attribute(CKA_LABEL, 1)), DecodeError::TooLarge);
  EXPECT_EQ(refusal(attribute(CKA_WRAP_TEMPLATE, 2)), DecodeError::TooLarge);
  EXPECT_EQ(refusal(attribute(CKA_WRAP_TEMPLATE, 1)), DecodeError::Malformed);
  EXPECT_EQ(refusal(attribute(CKA_LABEL, 2)), DecodeError::Malformed);
  EXPECT_EQ(refusal(attribute(CKA_LABEL, 3)), DecodeError::Malformed);
  EXPECT_LE(taken_, 1024U);
}

TEST_F(CodecBadInput, RefusesManyRoomsThatAreTooLargeTogether) {
  ByHand call(Fn::GetAttributeValue);
  call.number(1).number(2).byte(1).number(100);
  for (int i = 0; i < 100; ++i) call.number(CKA_LABEL).byte(1).number(limits_.outputs / 50);
  EXPECT_EQ(refusal(call), DecodeError::TooLarge);
}

TEST_F(CodecBadInput, RefusesTemplatesNestedTooDeep) {
  for (const Fn fn : {Fn::GetAttributeValue, Fn::SetAttributeValue}) {
    ByHand call(fn);
    call.number(1).number(2).byte(1).number(1);
    for (int depth = 0; depth < 1000; ++depth) {
      call.number(CKA_WRAP_TEMPLATE).byte(2).number(sizeof(CK_ATTRIBUTE));
    }
    call.number(CKA_LABEL).byte(0).number(0);
    EXPECT_EQ(refusal(call), DecodeError::TooDeep);
  }
}

TEST_F(CodecBadInput, RefusesMechanismsWithinMechanismsWithoutEnd) {
  ByHand call(Fn::DeriveKey);
  call.number(1).byte(1);
  for (int depth = 0; depth < 1000; ++depth) {
    call.number(CKM_KIP_DERIVE)
        .number(sizeof(CK_KIP_PARAMS))
        .byte(1);  // its parameter, which begins with a pointer ...
    call.byte(1);  // ... to a mechanism
  }
  EXPECT_EQ(refusal(call), DecodeError::TooDeep);

  CK_KIP_PARAMS kip{};
  CK_MECHANISM mechanism{CKM_KIP_DERIVE, &kip, sizeof kip};
  kip.pMechanism = &mechanism;
  Buffer buffer;
  const Call endless = makeCall<Fn::DeriveKey>(CK_ULONG{1}, &mechanism, CK_ULONG{2}, nullptr, CK_ULONG{0}, nullptr);
  EXPECT_EQ(encodeRequest(endless, limits_, buffer, outputs_), CKR_MECHANISM_PARAM_INVALID);
  EXPECT_TRUE(buffer.empty());
}

TEST_F(CodecBadInput, RefusesParametersThatTheirMechanismDoesNotHave) {
  const auto mechanism = [](CK_MECHANISM_TYPE type, std::uint64_t length) {
    ByHand call(Fn::DigestInit);
    call.number(1).byte(1).number(type).number(length).byte(1);
    return call;
  };
  EXPECT_EQ(refusal(mechanism(CKM_AES_GCM, 5)), DecodeError::Malformed);
  EXPECT_EQ(refusal(mechanism(CKM_VENDOR_DEFINED | 1, 5)), DecodeError::Malformed);
  EXPECT_EQ(refusal(mechanism(CKM_AES_CBC, kHuge)), DecodeError::Malformed);
  EXPECT_EQ(refusal(mechanism(CKM_AES_CBC, 0)), DecodeError::Malformed);
  EXPECT_EQ(refusal(mechanism(CKM_AES_CBC, 16)), DecodeError::Truncated);
  // An array of structures that are not there, and room that nobody has.
  EXPECT_EQ(refusal(mechanism(CKM_SP800_108_COUNTER_KDF, sizeof(CK_SP800_108_KDF_PARAMS))
                        .number(1)
                        .number(limits_.outputs / sizeof(CK_PRF_DATA_PARAM))
                        .byte(1)
                        .number(0)),
            DecodeError::Truncated);
  EXPECT_LE(taken_, 1024U);
  EXPECT_EQ(refusal(mechanism(CKM_TLS_PRF, sizeof(CK_TLS_PRF_PARAMS))
                        .number(0)
                        .byte(0)
                        .number(0)
                        .byte(0)
                        .byte(1)
                        .number(limits_.outputs + 1)
                        .byte(1)),
            DecodeError::Malformed);
}

TEST_F(CodecBadInput, WhatIsSaidToBeThereButIsNotCannotBeCarried) {
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 16};
  CK_OBJECT_HANDLE key = 0;
  Buffer buffer;
  const Call call = makeCall<Fn::GenerateKey>(CK_ULONG{1}, &mechanism, nullptr, CK_ULONG{0}, &key);
  EXPECT_EQ(encodeRequest(call, limits_, buffer, outputs_), CKR_MECHANISM_PARAM_INVALID);
  EXPECT_TRUE(buffer.empty());
}

TEST_F(CodecBadInput, AnyByteWrongIsRefusedOrAnotherCall) {
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    const auto fn = static_cast<Fn>(i);
    if (!isCarried(fn)) continue;
    const SampleCall sample(fn, 0);
    const std::vector<std::uint8_t> whole = encoded(sample.call());
    for (std::size_t at = 2; at < whole.size(); ++at) {
      for (const int flip : {0x01, 0x80, 0xFF}) {
        std::vector<std::uint8_t> wrong = whole;
        wrong[at] = static_cast<std::uint8_t>(wrong[at] ^ flip);
        Reader reader(wrong);
        const auto call = decodeRequest(reader, limits_, arena_, outputs_);
        if (call.ok()) SampleModule(at).execute(*call);  // reads all that it points to
        arena_.reset();
      }
    }
  }
}

TEST_F(CodecBadInput, AnyByteOfAnAnswerWrongStaysWithinTheApplicationsMemory) {
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    const auto fn = static_cast<Fn>(i);
    if (!isCarried(fn)) continue;
    const SampleCall sample(fn, 0);
    Buffer request;
    Outputs wanted;
    ASSERT_EQ(encodeRequest(sample.call(), limits_, request, wanted), CKR_OK);
    Reader reader({request.data(), request.size()});
    const auto call = decodeRequest(reader, limits_, arena_, outputs_);
    ASSERT_TRUE(call.ok());
    Buffer answer;
    encodeAnswer(SampleModule(0, CKR_OK).execute(*call), outputs_, answer);
    arena_.reset();
    for (std::size_t at = 0; at < answer.size(); ++at) {
      for (const int flip : {0x01, 0x80, 0xFF}) {
        std::vector<std::uint8_t> wrong(answer.data(), answer.data() + answer.size());
        wrong[at] = static_cast<std::uint8_t>(wrong[at] ^ flip);
        const std::string before = sample.memory();
        Reader back(wrong);
        CK_RV rv = 0;
        if (decodeAnswer(back, wanted, rv)) continue;
        EXPECT_EQ(sample.memory(), before);
      }
    }
  }
}

/// C_Sign with a buffer of eight bytes.
class CodecLies : public testing::Test {
 protected:
  CodecLies() {
    EXPECT_EQ(encodeRequest(makeCall<Fn::Sign>(CK_ULONG{1}, nullptr, CK_ULONG{0}, buffer_.data(), &length_), {},
                            request_, wanted_),
              CKR_OK);
  }
  bool taken(CK_RV rv, std::uint8_t parts, std::uint64_t length, std::uint64_t dataSize) {
    Buffer answer;
    answer.put<std::uint64_t>(rv);
    answer.put(parts);
    if ((parts & 4) != 0) answer.put<std::uint64_t>(0);
    if ((parts & 1) != 0) answer.put(length);
    if ((parts & 2) != 0) {
      answer.put(dataSize);
      std::memset(answer.extend(dataSize), 7, dataSize);
    }
    Reader reader({answer.data(), answer.size()});
    CK_RV answered = 0;
    return decodeAnswer(reader, wanted_, answered);
  }

  std::vector<CK_BYTE> buffer_ = std::vector<CK_BYTE>(8);
  CK_ULONG length_ = 8;
  Buffer request_;
  Outputs wanted_;
};

TEST_F(CodecLies, AreRefused) {
  EXPECT_FALSE(taken(CKR_OK, 3, 9, 9)) << "longer than the room";
  EXPECT_FALSE(taken(CKR_OK, 3, 9, 8)) << "a length beyond the room";
  EXPECT_FALSE(taken(CKR_OK, 3, 8, 7)) << "a length that is not that of the data";
  EXPECT_FALSE(taken(CKR_OK, 3, 7, 8));
  EXPECT_FALSE(taken(CKR_OK, 1, 8, 0)) << "no data";
  EXPECT_FALSE(taken(CKR_OK, 2, 0, 8)) << "no length";
  EXPECT_FALSE(taken(CKR_OK, 0, 0, 0));
  EXPECT_FALSE(taken(CKR_OK, 7, 8, 8)) << "a type, of what is no attribute";
  EXPECT_FALSE(taken(CKR_OK, 8 | 3, 8, 8)) << "a part that is not known";
  EXPECT_FALSE(taken(CKR_GENERAL_ERROR, 3, 9, 9)) << "longer than the room, with an error";
  EXPECT_FALSE(taken(CKR_OK, 3, 0, 0)) << "data that are none";
  EXPECT_EQ(length_, 8U);
  EXPECT_EQ(buffer_, std::vector<CK_BYTE>(8)) << "nothing was written";
  EXPECT_TRUE(taken(CKR_OK, 1, 0, 0));
  EXPECT_TRUE(taken(CKR_BUFFER_TOO_SMALL, 1, 9, 0));
  EXPECT_TRUE(taken(CKR_OK, 3, 8, 8));
  EXPECT_EQ(buffer_, std::vector<CK_BYTE>(8, 7));
}

TEST(CodecServer, SaysThatAModuleLies) {
  CK_BYTE data[8] = {};
  CK_ULONG length = 9;
  Outputs outputs;
  outputs.add({.kind = Output::Kind::Sized, .data = data, .length = &length, .capacity = 8, .announced = 8});
  Buffer answer;
  EXPECT_EQ(encodeAnswer(CKR_OK, outputs, answer), CKR_DEVICE_ERROR);
  EXPECT_EQ(encodeAnswer(CKR_BUFFER_TOO_SMALL, outputs, answer), CKR_BUFFER_TOO_SMALL);
}

// An application asks for a nested template without having set up what is to be filled in; the module touches none of
// it.
// Applications read the other attributes though one of them could not be had.
TEST(CodecServer, SaysOfNoAttributeThatThereIsMoreThanItGave) {
  CK_BYTE few[2] = {1, 2};
  CK_BYTE enough[4] = {};
  CK_ATTRIBUTE wanted[] = {{CKA_ID, few, sizeof few}, {CKA_LABEL, enough, sizeof enough}};
  const Limits limits;
  Buffer request;
  Outputs client;
  ASSERT_EQ(encodeRequest(makeCall<Fn::GetAttributeValue>(CK_ULONG{1}, CK_ULONG{2}, wanted, CK_ULONG{2}), limits,
                          request, client),
            CKR_OK);
  for (const CK_RV rv : {CKR_BUFFER_TOO_SMALL, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID}) {
    const auto answered = [&](CK_ULONG said) {
      Buffer answer;
      answer.put<std::uint64_t>(rv);
      answer.put<std::uint8_t>(1);
      answer.put<std::uint64_t>(said);
      answer.put<std::uint8_t>(1);
      answer.put<std::uint64_t>(CK_UNAVAILABLE_INFORMATION);
      Reader back({answer.data(), answer.size()});
      CK_RV unused = 0;
      return decodeAnswer(back, client, unused);
    };
    EXPECT_FALSE(answered(3)) << "beyond the room";
    EXPECT_FALSE(answered(1)) << "without its data";
    EXPECT_TRUE(answered(0));
    EXPECT_TRUE(answered(CK_UNAVAILABLE_INFORMATION));
  }
  // A module that says what it would need.
  wanted[0].ulValueLen = sizeof few;
  wanted[1].ulValueLen = sizeof enough;
  Reader reader({request.data(), request.size()});
  Arena arena(arenaBound(limits));
  Outputs server;
  const auto call = decodeRequest(reader, limits, arena, server);
  ASSERT_TRUE(call.ok());
  auto* const asked = call->get<CK_ATTRIBUTE*>(2);
  asked[0].ulValueLen = 20;
  std::memset(asked[1].pValue, 7, 3);
  asked[1].ulValueLen = 3;
  Buffer answer;
  EXPECT_EQ(encodeAnswer(CKR_BUFFER_TOO_SMALL, server, answer), CKR_BUFFER_TOO_SMALL);
  Reader back({answer.data(), answer.size()});
  CK_RV rv = 0;
  ASSERT_TRUE(decodeAnswer(back, client, rv));
  EXPECT_EQ(rv, CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(wanted[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
  EXPECT_EQ(wanted[1].ulValueLen, 3U);
  EXPECT_EQ(enough[2], 7);
}

TEST(CodecServer, LeavesAloneWhatLiesBehindTheEndOfAnArray) {
  std::vector<CK_ATTRIBUTE> nested(3, CK_ATTRIBUTE{0x5A5A5A5A, reinterpret_cast<void*>(0x5A5A5A5A5A5A), 0x5A5A5A5A});
  const std::vector<CK_ATTRIBUTE> before = nested;
  for (const CK_ULONG said : {CK_ULONG{0}, CK_ULONG{CK_UNAVAILABLE_INFORMATION}}) {
    CK_ATTRIBUTE wanted{CKA_WRAP_TEMPLATE, nested.data(), nested.size() * sizeof(CK_ATTRIBUTE)};
    const Limits limits;
    Buffer request;
    Outputs client;
    ASSERT_EQ(encodeRequest(makeCall<Fn::GetAttributeValue>(CK_ULONG{1}, CK_ULONG{2}, &wanted, CK_ULONG{1}), limits,
                            request, client),
              CKR_OK);
    Reader reader({request.data(), request.size()});
    Arena arena(arenaBound(limits));
    Outputs server;
    const auto call = decodeRequest(reader, limits, arena, server);
    ASSERT_TRUE(call.ok());
    call->get<CK_ATTRIBUTE*>(2)->ulValueLen = said;
    Buffer answer;
    const CK_RV answered = said == 0 ? CKR_OK : CKR_ATTRIBUTE_TYPE_INVALID;
    EXPECT_EQ(encodeAnswer(answered, server, answer), answered);
    Reader back({answer.data(), answer.size()});
    CK_RV rv = 0;
    EXPECT_TRUE(decodeAnswer(back, client, rv));
    EXPECT_EQ(rv, answered);
    EXPECT_EQ(wanted.ulValueLen, said);
    EXPECT_EQ(std::memcmp(nested.data(), before.data(), before.size() * sizeof(CK_ATTRIBUTE)), 0);
  }
}

class CodecLimits : public testing::Test {
 protected:
  /// Carries the call to a module that wants to say so many bytes.
  CK_RV answered(const Call& application, CK_ULONG needed) {
    Buffer request;
    Outputs wanted;
    if (const CK_RV rv = encodeRequest(application, limits_, request, wanted); rv != CKR_OK) return rv;
    Reader reader({request.data(), request.size()});
    Arena arena(arenaBound(limits_));
    Outputs given;
    const auto call = decodeRequest(reader, limits_, arena, given);
    if (!call.ok()) return CKR_CRYPTOKI_NOT_INITIALIZED;
    const bool fits = given[0].capacity >= needed;
    *static_cast<CK_ULONG*>(given[0].length) = needed;
    if (fits) std::memset(given[0].data, 7, needed);
    Buffer answer;
    encodeAnswer(fits ? CKR_OK : CKR_BUFFER_TOO_SMALL, given, answer);
    Reader back({answer.data(), answer.size()});
    CK_RV rv = 0;
    return decodeAnswer(back, wanted, rv) ? rv : CKR_CRYPTOKI_ALREADY_INITIALIZED;
  }

  const Limits limits_{.payload = 2048, .outputs = 1000};
};

TEST_F(CodecLimits, ABufferSaidToBeHugeIsUsedAsFarAsTheLimit) {
  std::vector<CK_BYTE> buffer(100);
  CK_ULONG length = kHuge;
  const Call call = makeCall<Fn::Sign>(CK_ULONG{1}, nullptr, CK_ULONG{0}, buffer.data(), &length);
  EXPECT_EQ(answered(call, 100), CKR_OK);
  EXPECT_EQ(length, 100U);
  EXPECT_EQ(buffer, std::vector<CK_BYTE>(100, 7));
  length = kHuge;
  EXPECT_EQ(answered(call, 1001), CKR_HOST_MEMORY) << "the application has the room, the wire has not";
  EXPECT_EQ(length, kHuge);
  length = 5;
  EXPECT_EQ(answered(call, 1001), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(length, 1001U);
}

TEST_F(CodecLimits, WhatMustBeAsLargeAsItIsHasToFit) {
  Buffer buffer;
  Outputs outputs;
  CK_BYTE byte = 0;
  std::vector<CK_BYTE> large(3000);
  EXPECT_EQ(encodeRequest(makeCall<Fn::GenerateRandom>(CK_ULONG{1}, &byte, kHuge), limits_, buffer, outputs),
            CKR_HOST_MEMORY);
  EXPECT_EQ(encodeRequest(makeCall<Fn::SeedRandom>(CK_ULONG{1}, &byte, kHuge), limits_, buffer, outputs),
            CKR_HOST_MEMORY);
  EXPECT_EQ(encodeRequest(makeCall<Fn::SeedRandom>(CK_ULONG{1}, large.data(), large.size()), limits_, buffer, outputs),
            CKR_HOST_MEMORY);
  CK_ATTRIBUTE attribute{CKA_VALUE, large.data(), large.size()};
  EXPECT_EQ(
      encodeRequest(makeCall<Fn::FindObjectsInit>(CK_ULONG{1}, &attribute, CK_ULONG{1}), limits_, buffer, outputs),
      CKR_HOST_MEMORY);
  EXPECT_EQ(encodeRequest(makeCall<Fn::FindObjectsInit>(CK_ULONG{1}, &attribute, kHuge), limits_, buffer, outputs),
            CKR_ARGUMENTS_BAD);
  EXPECT_TRUE(buffer.empty());
}

TEST_F(CodecLimits, AttributesThatAreTooLargeTogetherShareTheRoom) {
  std::vector<CK_BYTE> large(900);
  CK_ATTRIBUTE attributes[] = {{CKA_VALUE, large.data(), 900}, {CKA_LABEL, large.data(), 900}};
  Buffer request;
  Outputs wanted;
  ASSERT_EQ(encodeRequest(makeCall<Fn::GetAttributeValue>(CK_ULONG{1}, CK_ULONG{2}, attributes, CK_ULONG{2}), limits_,
                          request, wanted),
            CKR_OK);
  EXPECT_EQ(wanted[0].capacity, 500U);
  EXPECT_EQ(wanted[1].capacity, 500U);
  EXPECT_EQ(attributes[0].ulValueLen, 900U);

  CK_ATTRIBUTE nested[40] = {};
  CK_ATTRIBUTE both[] = {{CKA_WRAP_TEMPLATE, nested, sizeof nested}, {CKA_LABEL, large.data(), 900}};
  ASSERT_EQ(encodeRequest(makeCall<Fn::GetAttributeValue>(CK_ULONG{1}, CK_ULONG{2}, both, CK_ULONG{2}), limits_,
                          request, wanted),
            CKR_OK);
  EXPECT_EQ(wanted[wanted.size() - 1].capacity, 900U) << "attributes that hold attributes take none of it";
}

}  // namespace
}  // namespace p11ha::transport
