#include "tests/conformance/comparison/comparer.h"

#include <gtest/gtest.h>

#include <sstream>

namespace p11ha::conformance {
namespace {

Entry entry(const std::string& section, unsigned number, const std::string& function, const std::string& rv = "CKR_OK",
            std::vector<Output> outputs = {}) {
  return {section, number, function, "none", "RW user", "", rv, std::move(outputs)};
}

TEST(Comparer, FindsNothingWhereNothingDiffers) {
  const Transcript one{entry("a", 1, "C_Sign", "CKR_OK", {{"length", "3"}}), entry("b", 1, "C_Digest")};
  const Comparison result = compare(one, one);
  EXPECT_EQ(result.compared.size(), 2U);
  EXPECT_TRUE(result.differences.empty());
  EXPECT_TRUE(result.notCompared.empty());
}

TEST(Comparer, FindsAnotherReturnCode) {
  const Comparison result = compare({entry("a", 1, "C_Sign")}, {entry("a", 1, "C_Sign", "CKR_DEVICE_ERROR")});
  ASSERT_EQ(result.differences.size(), 1U);
  EXPECT_EQ(result.differences[0].field, "rv");
  EXPECT_EQ(result.differences[0].expected, "CKR_OK");
  EXPECT_EQ(result.differences[0].got, "CKR_DEVICE_ERROR");
}

TEST(Comparer, FindsOutputsThatDifferOrAreMissingOrAreTooMany) {
  const Transcript expected{entry("a", 1, "C_Sign", "CKR_OK", {{"length", "3"}, {"bytes", "010203"}})};
  const Transcript got{entry("a", 1, "C_Sign", "CKR_OK", {{"length", "4"}, {"overrun", "yes"}})};
  const Comparison result = compare(expected, got);
  ASSERT_EQ(result.differences.size(), 3U);
  EXPECT_EQ(result.differences[0].field, "length");
  EXPECT_EQ(result.differences[1].field, "bytes");
  EXPECT_EQ(result.differences[2].field, "overrun");
}

TEST(Comparer, DoesNotCompareWhereTheReferenceDied) {
  const Comparison result =
      compare({entry("a", 1, "C_Sign", std::string(kDied))}, {entry("a", 1, "C_Sign", std::string(kLeftOut))});
  EXPECT_TRUE(result.compared.empty());
  EXPECT_TRUE(result.differences.empty());
  ASSERT_EQ(result.notCompared.size(), 1U);
}

TEST(Comparer, FindsThatOnlyTheSubjectDied) {
  const Comparison result = compare({entry("a", 1, "C_Sign")}, {entry("a", 1, "C_Sign", std::string(kDied))});
  ASSERT_EQ(result.differences.size(), 1U);
  EXPECT_EQ(result.differences[0].got, kDied);
}

TEST(Comparer, ScriptsThatPartAreComparedAgainFromTheNextSection) {
  const Transcript expected{entry("a", 1, "C_SignInit"), entry("a", 2, "C_Sign"), entry("b", 1, "C_Digest")};
  const Transcript got{entry("a", 1, "C_SignInit", "CKR_DEVICE_ERROR"), entry("b", 1, "C_Digest", "CKR_HOST_MEMORY")};
  const Comparison result = compare(expected, got);
  ASSERT_EQ(result.differences.size(), 2U);
  EXPECT_EQ(result.differences[0].call.section, "a");
  EXPECT_EQ(result.differences[1].call.section, "b");
  ASSERT_EQ(result.notCompared.size(), 1U);
  EXPECT_EQ(result.notCompared[0].call.function, "C_Sign");
}

TEST(Comparer, ACallThatOnlyOneMadeIsADifference) {
  const Comparison less =
      compare({entry("a", 1, "C_SignInit"), entry("a", 2, "C_Sign")}, {entry("a", 1, "C_SignInit")});
  ASSERT_EQ(less.differences.size(), 1U);
  EXPECT_EQ(less.differences[0].field, "call");
  const Comparison more =
      compare({entry("a", 1, "C_SignInit")}, {entry("a", 1, "C_SignInit"), entry("a", 2, "C_Sign")});
  ASSERT_EQ(more.differences.size(), 1U);
  EXPECT_EQ(more.differences[0].field, "call");
}

TEST(Transcript, ComesBackAsItWasWritten) {
  const Entry one{"s", 7, "C_Sign", "Sign", "RW user", "size query", "CKR_OK", {{"length", "3"}, {"bytes", ""}}};
  std::istringstream text(callLine(one) + answerLine(one) + callLine(one));
  const Transcript read = readTranscript(text);
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(describe(read[0]), describe(one));
  EXPECT_EQ(read[0].rv, one.rv);
  EXPECT_EQ(read[0].outputs, one.outputs);
  EXPECT_EQ(read[1].rv, kDied) << "it has no answer";
}

TEST(Transcript, RefusesWhatIsNone) {
  for (const char* const text : {"nonsense\n", "answer\tCKR_OK\n", "call\ta\n", ""}) {
    std::istringstream in(text);
    if (*text == '\0') {
      EXPECT_TRUE(readTranscript(in).empty());
    } else {
      EXPECT_THROW(readTranscript(in), std::runtime_error) << text;
    }
  }
  EXPECT_EQ(escaped("a\tb\n"), "a\\09b\\0a");
}

}  // namespace
}  // namespace p11ha::conformance
