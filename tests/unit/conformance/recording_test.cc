#include <gtest/gtest.h>

#include "tests/conformance/record/tracker.h"
#include "tests/conformance/script/prepared.h"
#include "tests/conformance/script/standard.h"
#include "tests/conformance/script/variations.h"

namespace p11ha::conformance {
namespace {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Op;

std::string valueOf(const std::vector<Output>& outputs, const std::string& name) {
  for (const Output& output : outputs) {
    if (output.name == name) return output.value;
  }
  return "(none)";
}

TEST(Normaliser, GivesLengthAndBytes) {
  Prepared sign(Fn::Sign);
  sign.in(1, counting(4)).out(3, 8);
  Names names;
  Normaliser normaliser(sign.call, sign.note, names, 0);
  sign.call.get<CK_BYTE*>(3)[0] = 0xab;
  *sign.call.get<CK_ULONG*>(4) = 1;
  const auto outputs = normaliser.outputs(CKR_OK);
  EXPECT_EQ(valueOf(outputs, "length"), "1");
  EXPECT_EQ(valueOf(outputs, "bytes"), "ab");
  EXPECT_EQ(valueOf(outputs, "overrun"), "(none)");
}

TEST(Normaliser, SeesBytesWrittenPastTheEnd) {
  Prepared sign(Fn::Sign);
  sign.in(1, counting(4)).out(3, 8);
  Names names;
  Normaliser normaliser(sign.call, sign.note, names, 0);
  sign.call.get<CK_BYTE*>(3)[8] = 0;
  EXPECT_EQ(valueOf(normaliser.outputs(CKR_BUFFER_TOO_SMALL), "overrun"), "yes");
}

TEST(Normaliser, NamesFoundObjectsInNoOrder) {
  Prepared find(Fn::FindObjects);
  find.memory(1, 4 * sizeof(CK_OBJECT_HANDLE));
  find.value(2, 4).memory<CK_ULONG>(3) = 2;
  Names names;
  names.name(7, "b");
  names.name(9, "a");
  Normaliser normaliser(find.call, find.note, names, 0);
  find.call.get<CK_OBJECT_HANDLE*>(1)[0] = 7;
  find.call.get<CK_OBJECT_HANDLE*>(1)[1] = 9;
  EXPECT_EQ(valueOf(normaliser.outputs(CKR_OK), "objects"), "a, b");
}

TEST(Normaliser, ShowsWhatIsLeftOfASensitiveAttribute) {
  Prepared read(Fn::GetAttributeValue);
  read.wanted(2, {{CKA_VALUE, 8}, {CKA_LABEL, 8}});
  Names names;
  Normaliser normaliser(read.call, read.note, names, 0);
  auto* attributes = read.call.get<CK_ATTRIBUTE*>(2);
  attributes[0].ulValueLen = CK_UNAVAILABLE_INFORMATION;
  static_cast<CK_BYTE*>(attributes[1].pValue)[0] = 0x61;
  attributes[1].ulValueLen = 1;
  const auto outputs = normaliser.outputs(CKR_ATTRIBUTE_SENSITIVE);
  EXPECT_EQ(valueOf(outputs, "CKA_VALUE"), "unavailable");
  EXPECT_EQ(valueOf(outputs, "CKA_LABEL"), "1: 61");
}

TEST(Tracker, FollowsOperationsAndLogins) {
  Tracker tracker;
  CK_SESSION_HANDLE session = 5;
  const auto any = makeCall<Fn::GetSessionInfo>(session, nullptr);
  EXPECT_EQ(tracker.standing(any), "uninitialised");
  tracker.answered(makeCall<Fn::Initialize>(nullptr), CKR_OK);
  EXPECT_EQ(tracker.standing(any), "no session");
  tracker.answered(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_RW_SESSION}, nullptr, nullptr, &session),
                   CKR_OK);
  tracker.answered(makeCall<Fn::Login>(session, CK_USER_TYPE{CKU_USER}, nullptr, CK_ULONG{0}), CKR_OK);
  EXPECT_EQ(tracker.standing(any), "RW user");
  EXPECT_EQ(tracker.state(any), "none");
  tracker.answered(makeCall<Fn::DigestInit>(session, nullptr), CKR_OK);
  tracker.answered(makeCall<Fn::SignInit>(session, nullptr, CK_ULONG{1}), CKR_OK);
  tracker.answered(makeCall<Fn::SignUpdate>(session, nullptr, CK_ULONG{0}), CKR_OK);
  EXPECT_EQ(tracker.state(any), "Digest + Sign fed");
  CK_ULONG length = 0;
  tracker.answered(makeCall<Fn::SignFinal>(session, nullptr, &length), CKR_OK);
  EXPECT_EQ(tracker.state(any), "Digest + Sign fed") << "a size query";
  CK_BYTE room[4];
  tracker.answered(makeCall<Fn::SignFinal>(session, room, &length), CKR_OK);
  EXPECT_EQ(tracker.state(any), "Digest");
}

TEST(Standard, KnowsHowEachOperationBeginsAndEnds) {
  for (std::size_t i = 1; i < cryptoki::kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    EXPECT_EQ(cryptoki::function(Standard::beginning(op)).effect.op, op);
    EXPECT_EQ(cryptoki::function(Standard::completing(op, false)).effect.op, op);
    EXPECT_EQ(cryptoki::function(Standard::completing(op, true)).effect.op, op);
  }
  EXPECT_EQ(Standard::completing(Op::Sign, false), Fn::Sign);
  EXPECT_EQ(Standard::completing(Op::Sign, true), Fn::SignFinal);
  EXPECT_EQ(Standard::feeding(Op::SignRecover), nullptr);
}

TEST(Variations, PassANullForEachPointerAndWrongHandlesForEachHandle) {
  const auto has = [](const std::vector<Variation>& list, const std::string& situation) {
    return std::any_of(list.begin(), list.end(), [&](const Variation& one) { return one.situation == situation; });
  };
  const auto sign = variations(Fn::Sign, {}, 32);
  for (const char* const situation : {"session closed", "data NULL", "data NULL, length 0", "output NULL",
                                      "output length NULL", "size query", "room for one byte too few"}) {
    EXPECT_TRUE(has(sign, situation)) << situation;
  }
  const auto wrap = variations(Fn::WrapKey, {}, {});
  for (const char* const situation :
       {"wrapping key destroyed", "key a data object", "mechanism NULL", "unknown mechanism"}) {
    EXPECT_TRUE(has(wrap, situation)) << situation;
  }
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    const Fn fn = static_cast<Fn>(i);
    const bool bare = fn == Fn::Initialize;  // its only argument is NULL as it is
    EXPECT_EQ(variations(fn, {}, {}).empty(), bare) << cryptoki::function(fn).name;
  }
}

}  // namespace
}  // namespace p11ha::conformance
