#include "tests/conformance/comparison/differences.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/conformance/comparison/report.h"

namespace p11ha::conformance {
namespace {

Difference another(const std::string& function) {
  return {{"a", 1, function, "Sign", "RW user", "size query", "CKR_OK", {}}, "rv", "CKR_OK", "CKR_DEVICE_ERROR"};
}

constexpr Intended kRow{"softhsm *", "C_Sign", "*, RW user, *", "rv", "*", "CKR_DEVICE_ERROR", "a reason", "A.Test"};

Comparison comparisonOf(const Difference& difference) {
  Comparison comparison;
  comparison.compared.push_back(difference.call);
  comparison.differences.push_back(difference);
  return comparison;
}

TEST(Differences, PatternsMatch) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("a*c", "abbc"));
  EXPECT_TRUE(matches("*b*", "abc"));
  EXPECT_TRUE(matches("abc", "abc"));
  EXPECT_TRUE(matches("a*b*c", "aXbXbXc"));
  EXPECT_TRUE(matches("x|a*c", "abc"));
  EXPECT_TRUE(matches("abc|x", "abc"));
  EXPECT_FALSE(matches("x|ab|y", "abc"));
  EXPECT_FALSE(matches("a*c", "abb"));
  EXPECT_FALSE(matches("abc", "abcd"));
  EXPECT_FALSE(matches("", "a"));
}

TEST(Differences, ARowMeansWhatAllItsPatternsMatch) {
  EXPECT_EQ(intended({&kRow, 1}, "softhsm 3", another("C_Sign")), &kRow);
  EXPECT_EQ(intended({&kRow, 1}, "softokn 3", another("C_Sign")), nullptr);
  EXPECT_EQ(intended({&kRow, 1}, "softhsm 3", another("C_Verify")), nullptr);
}

TEST(Report, APlantedDifferenceFailsTheRun) {
  Report report("softhsm 1", {});
  report.add("scenario", comparisonOf(another("C_Sign")));
  EXPECT_FALSE(report.passed(false));
  std::ostringstream out;
  report.print(out, false);
  EXPECT_NE(out.str().find("FAILED: scenario: a 1: C_Sign(size query) in Sign, RW user"), std::string::npos)
      << out.str();
}

TEST(Report, AnIntendedDifferenceDoesNot) {
  Report report("softhsm 1", {&kRow, 1});
  report.add("scenario", comparisonOf(another("C_Sign")));
  EXPECT_TRUE(report.passed(false));
}

TEST(Report, AWholeRunFailsWithoutACallOfEachFunctionAndWithAStaleRow) {
  Report report("softhsm 1", {&kRow, 1});
  Comparison comparison;
  comparison.compared.push_back(another("C_Digest").call);
  report.add("scenario", comparison);
  EXPECT_FALSE(report.passed(true));
  EXPECT_TRUE(report.passed(false));
  std::ostringstream out;
  report.print(out, true);
  EXPECT_NE(out.str().find("FAILED: no call of C_Sign was compared"), std::string::npos);
  EXPECT_NE(out.str().find("FAILED: stale"), std::string::npos);
  EXPECT_EQ(out.str().find("FAILED: no call of C_Digest was"), std::string::npos);
}

TEST(Report, ARunThatComparedNothingFails) { EXPECT_FALSE(Report("softhsm 1", {}).passed(false)); }

// Every TEST of the tree: its suite and name with a dot between.
std::string allTests() {
  std::string all;
  for (const auto& file : std::filesystem::recursive_directory_iterator(P11HA_SOURCE_DIR "/tests")) {
    if (file.path().extension() != ".cc") continue;
    std::ifstream in(file.path());
    std::string line;
    while (std::getline(in, line)) {
      const auto open = line.find('(');
      const auto comma = line.find(", ");
      const auto close = line.find(')');
      if (!line.starts_with("TEST") || open > comma || comma > close) continue;
      all += '\n' + line.substr(open + 1, comma - open - 1) + '.' + line.substr(comma + 2, close - comma - 2) + '\n';
    }
  }
  return all;
}

TEST(IntendedDifferences, EachNamesATestThatExists) {
  const std::string tests = allTests();
  for (const Intended& row : intendedDifferences()) {
    EXPECT_NE(tests.find('\n' + std::string(row.test) + '\n'), std::string::npos) << row.test;
    EXPECT_FALSE(row.reason.empty());
  }
}

}  // namespace
}  // namespace p11ha::conformance
