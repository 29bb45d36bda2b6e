#include "config/diagnostic.h"

#include <gtest/gtest.h>

namespace p11ha::config {
namespace {

TEST(Diagnostic, NamesFileLineKeyAndWhatWasExpected) {
  EXPECT_EQ((Diagnostic{Severity::Error, "/etc/Chrystoki.conf", 12, "logLen", "expected x"}.format()),
            "/etc/Chrystoki.conf:12: logLen: expected x");
  EXPECT_EQ((Diagnostic{Severity::Error, "f", 3, "", "expected x"}.format()), "f:3: expected x");
  EXPECT_EQ((Diagnostic{Severity::Error, "f", 0, "", "expected x"}.format()), "f: expected x");
  EXPECT_EQ((Diagnostic{Severity::Error, "f", 3, "k", "expected x", "it is ignored"}.format()),
            "f:3: k: expected x; it is ignored");
}

TEST(Diagnostic, IsAlwaysOneLineOfPrintableAscii) {
  const std::string line = Diagnostic{Severity::Error, "f\n\x1b", 1, "k\r\xff", std::string("a\0b\x7f", 4)}.format();
  EXPECT_EQ(line, "f\\x0a\\x1b:1: k\\x0d\\xff: a\\x00b\\x7f");
}

TEST(Diagnostic, CutsLongKeysAndValues) {
  EXPECT_EQ(inQuotes(std::string(64, 'x')), "\"" + std::string(64, 'x') + "\"");
  EXPECT_EQ(inQuotes(std::string(1000000, 'x')), "\"" + std::string(64, 'x') + "...\"");
  EXPECT_EQ((Diagnostic{Severity::Error, "f", 1, std::string(1000, 'k'), "t"}.format()),
            "f:1: " + std::string(64, 'k') + "...: t");
  EXPECT_EQ(inQuotes("a\nb"), "\"a\\x0ab\"");
}

TEST(Diagnostics, ComeByLineAndInTheOrderFound) {
  Diagnostics found("f");
  found.error(7, "b", "1");
  found.warning(2, "a", "2");
  found.warning(7, "c", "3");
  const auto all = found.take();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].format(), "f:2: a: 2");
  EXPECT_EQ(all[1].format(), "f:7: b: 1");
  EXPECT_EQ(all[2].format(), "f:7: c: 3");
  EXPECT_EQ(all[0].severity, Severity::Warning);
  EXPECT_EQ(all[1].severity, Severity::Error);
  EXPECT_TRUE(found.take().empty());
}

TEST(Diagnostics, ManyWarningsHideNoError) {
  Diagnostics found("f");
  for (int i = 0; i < 1000; ++i) found.warning(1, "", "w");
  found.error(2, "", "e");
  const auto all = found.take();
  ASSERT_EQ(all.size(), Diagnostics::kMost + 2);
  EXPECT_EQ(all[Diagnostics::kMost].text, "e");
  EXPECT_EQ(all.back().format(), "f: 900 more findings are not shown");
}

}  // namespace
}  // namespace p11ha::config
