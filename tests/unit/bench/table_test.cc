#include "bench/table.h"

#include <gtest/gtest.h>

namespace p11ha::bench {
namespace {

TEST(Number, SetsThousandsApart) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(999.4), "999");
  EXPECT_EQ(number(999.5), "1,000");
  EXPECT_EQ(number(1234567.89, 1), "1,234,567.9");
  EXPECT_EQ(number(-1234), "-1,234");
  EXPECT_EQ(number(-0.01, 1), "0.0");
}

TEST(SignedNumber, ShowsItsSign) {
  EXPECT_EQ(signedNumber(1762), "+1,762");
  EXPECT_EQ(signedNumber(-250), "-250");
}

TEST(Table, IsAlignedForPeople) {
  Table table({"what", "calls", "x"});
  table.add({"a", "1,000", "0.9"});
  table.add({"longer", "7", "1"});
  EXPECT_EQ(table.format(Style::Text),
            "what    calls    x\n"
            "a       1,000  0.9\n"
            "longer      7    1\n");
}

TEST(Table, IsMarkdownForDocuments) {
  Table table({"what", "calls"});
  table.add({"a", "1,000"});
  EXPECT_EQ(table.format(Style::Markdown),
            "| what | calls |\n"
            "|------|------:|\n"
            "| a    | 1,000 |\n");
}

TEST(Table, SetsColumnsOfTextToTheLeft) {
  Table table({"a", "b", "c"});
  table.add({"1", "text", "22"});
  table.add({"1", "t", "2"});
  EXPECT_EQ(table.format(Style::Text, 2),
            "a  b      c\n"
            "1  text  22\n"
            "1  t      2\n");
}

}  // namespace
}  // namespace p11ha::bench
