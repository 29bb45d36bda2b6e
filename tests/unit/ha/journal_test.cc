#include "ha/journal.h"

#include <gtest/gtest.h>

#include <string>

namespace p11ha::ha {
namespace {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;

constexpr std::size_t kLimit = 4096;

Call update(Fn fn, std::string& data) {
  Call call{fn, {}};
  call.set(1, data.data());
  call.set(2, data.size());
  return call;
}

std::string inputOf(Journal& journal, std::size_t index, std::size_t word = 1) {
  const Call call = journal.call(journal.entries()[index]);
  return {call.get<const char*>(word), call.get<CK_ULONG>(word + 1)};
}

TEST(Journal, WhatFollowsOneAnotherIsOneInput) {
  Journal journal;
  std::string first = "first ";
  std::string second = "second";
  journal.append(update(Fn::DigestUpdate, first), CKM_SHA256, nullptr, kLimit);
  journal.append(update(Fn::DigestUpdate, second), CKM_SHA256, nullptr, kLimit);
  first = second = "overwritten";
  ASSERT_EQ(journal.entries().size(), 1U);
  EXPECT_EQ(inputOf(journal, 0), "first second");
}

TEST(Journal, AKeyStandsBetweenItsNeighbours) {
  Journal journal;
  std::string data = "data";
  const auto key = std::make_shared<Object>(7, 0, Identity{});
  journal.append(update(Fn::DigestUpdate, data), CKM_SHA256, nullptr, kLimit);
  journal.append(makeCall<Fn::DigestKey>(CK_SESSION_HANDLE{1}, CK_OBJECT_HANDLE{7}), CKM_SHA256, key, kLimit);
  journal.append(update(Fn::DigestUpdate, data), CKM_SHA256, nullptr, kLimit);
  ASSERT_EQ(journal.entries().size(), 3U);
  EXPECT_EQ(journal.entries()[1].key, key);
  EXPECT_EQ(journal.entries()[1].fn, Fn::DigestKey);
  EXPECT_EQ(inputOf(journal, 2), "data");
}

TEST(Journal, KeepsNothingBeyondItsLimit) {
  Journal journal;
  std::string data(100, 'x');
  journal.append(update(Fn::SignUpdate, data), CKM_SHA256_HMAC, nullptr, kLimit);
  EXPECT_TRUE(journal.complete());
  data.assign(kLimit, 'x');
  journal.append(update(Fn::SignUpdate, data), CKM_SHA256_HMAC, nullptr, kLimit);
  EXPECT_FALSE(journal.complete());
  EXPECT_FALSE(journal.empty());
  EXPECT_TRUE(journal.entries().empty());
  data = "more";
  journal.append(update(Fn::SignUpdate, data), CKM_SHA256_HMAC, nullptr, kLimit);
  EXPECT_TRUE(journal.entries().empty());
  journal.clear();
  EXPECT_TRUE(journal.empty());
  EXPECT_TRUE(journal.complete());
}

TEST(Journal, ManyTinyInputsAreOne) {
  Journal journal;
  std::string byte = "x";
  for (std::size_t i = 0; i < kLimit / 2; ++i)
    journal.append(update(Fn::EncryptUpdate, byte), CKM_AES_CBC, nullptr, kLimit);
  EXPECT_TRUE(journal.complete());
  EXPECT_EQ(inputOf(journal, 0).size(), kLimit / 2);
}

TEST(Journal, NothingTakenIsNothingKept) {
  Journal journal;
  std::string none;
  journal.append(update(Fn::DigestUpdate, none), CKM_SHA256, nullptr, kLimit);
  EXPECT_TRUE(journal.empty());
}

TEST(Journal, AMessagesParametersAreItsOwn) {
  Journal journal;
  CK_BYTE iv[12] = {1};
  CK_BYTE tag[16] = {};
  CK_GCM_MESSAGE_PARAMS parameter{iv, sizeof iv, 0, CKG_NO_GENERATE, tag, 128};
  std::string header = "header";
  std::string text = "text";
  auto* const aad = reinterpret_cast<CK_BYTE*>(header.data());
  journal.append(
      makeCall<Fn::EncryptMessageBegin>(CK_SESSION_HANDLE{1}, &parameter, sizeof parameter, aad, header.size()),
      CKM_AES_GCM, nullptr, kLimit);
  CK_BYTE out[4];
  CK_ULONG length = sizeof out;
  journal.append(
      makeCall<Fn::EncryptMessageNext>(CK_SESSION_HANDLE{1}, &parameter, sizeof parameter,
                                       reinterpret_cast<CK_BYTE*>(text.data()), text.size(), out, &length, CK_FLAGS{0}),
      CKM_AES_GCM, nullptr, kLimit);
  iv[0] = 9;
  ASSERT_EQ(journal.entries().size(), 2U);
  const Call begin = journal.call(journal.entries()[0]);
  const auto* kept = begin.get<const CK_GCM_MESSAGE_PARAMS*>(1);
  EXPECT_NE(kept, &parameter);
  EXPECT_EQ(begin.get<CK_ULONG>(2), sizeof parameter);
  EXPECT_EQ(kept->pIv[0], 1);
  EXPECT_EQ(inputOf(journal, 0, 3), "header");
  EXPECT_EQ(inputOf(journal, 1, 3), "text");
}

}  // namespace
}  // namespace p11ha::ha
