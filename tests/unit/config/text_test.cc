#include "config/text.h"

#include <gtest/gtest.h>

namespace p11ha::config {
namespace {

TEST(Text, TrimsBlanksAndTheCarriageReturn) {
  EXPECT_EQ(trimmed(" \t\f\va b\r"), "a b");
  EXPECT_EQ(trimmed(" \r"), "");
  EXPECT_EQ(trimmed(""), "");
}

TEST(Text, ComparesAsciiLettersOnlyRegardlessOfCase) {
  EXPECT_TRUE(equalsIgnoringCase("HAOnly", "haonly"));
  EXPECT_FALSE(equalsIgnoringCase("HAOnly", "HAOnl"));
  EXPECT_FALSE(equalsIgnoringCase("\xc4", "\xe4"));
  EXPECT_EQ(lowered("AZaz@[`{\xc4"), "azaz@[`{\xc4");
}

TEST(Text, SectionNamesMatchRegardlessOfBlanks) {
  EXPECT_TRUE(sameSection("LunaSA Client", "lunasaclient"));
  EXPECT_TRUE(sameSection("LunaSAClient ", "LunaSA\tClient"));
  EXPECT_FALSE(sameSection("LunaSA Client", "LunaSA Clien"));
  EXPECT_FALSE(sameSection("", "x"));
  EXPECT_TRUE(sameSection("", " "));
}

TEST(Text, StripsQuotesThatBelongTogether) {
  EXPECT_EQ(unquoted("'a'"), "a");
  EXPECT_EQ(unquoted("\"a'b\""), "a'b");
  EXPECT_EQ(unquoted("''"), "");
  EXPECT_EQ(unquoted("'"), "'");
  EXPECT_EQ(unquoted(""), "");
  EXPECT_EQ(unquoted("'a\""), "'a\"");
  EXPECT_EQ(unquoted("'a' 'b'"), "'a' 'b'");
  EXPECT_EQ(unquoted("a'b'"), "a'b'");
}

}  // namespace
}  // namespace p11ha::config
