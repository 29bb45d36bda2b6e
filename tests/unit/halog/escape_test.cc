#include "halog/escape.h"

#include <gtest/gtest.h>

namespace p11ha::halog {
namespace {

using namespace std::string_literals;

std::string escaped(std::string_view text) {
  std::string out;
  appendEscaped(out, text);
  return out;
}

TEST(Escape, LeavesOrdinaryTextAlone) {
  EXPECT_EQ(escaped(""), "");
  EXPECT_EQ(escaped("key 1, 'a' <b> %s"), "key 1, 'a' <b> %s");
  EXPECT_EQ(escaped("Schlüssel 鍵 🔑"), "Schlüssel 鍵 🔑");
}

TEST(Escape, KeepsOneLine) {
  EXPECT_EQ(escaped("a\nb\r\n"), "a\\x0Ab\\x0D\\x0A");
  EXPECT_EQ(escaped("a\0b\t\x1B[31m\x7F"s), "a\\x00b\\x09\\x1B[31m\\x7F");
  EXPECT_EQ(escaped("\xC2\x85"), "\\xC2\\x85") << "U+0085, next line";
  EXPECT_EQ(escaped("\xE2\x80\xA8\xE2\x80\xA9"), "\\xE2\\x80\\xA8\\xE2\\x80\\xA9") << "line and paragraph separator";
}

TEST(Escape, ALineKeepsItsQuotesAndItsLength) {
  std::string out;
  appendHarmless(out, "as a \"PASSWORD\" \\x0A\x1B[2J\r" + std::string(kMaxTextBytes, 'x'));
  EXPECT_EQ(out, "as a \"PASSWORD\" \\x0A\\x1B[2J\\x0D" + std::string(kMaxTextBytes, 'x'));
}

TEST(Escape, ShowsWhatTurnsTheReadingDirection) {
  EXPECT_EQ(escaped("a\xE2\x80\xAE"), "a\\xE2\\x80\\xAE");
  EXPECT_EQ(escaped("\xE2\x81\xA6"), "\\xE2\\x81\\xA6");
}

TEST(Escape, QuotesCannotEndTheQuotedText) {
  EXPECT_EQ(escaped("\" (CKO_DATA)"), "\\\" (CKO_DATA)");
  EXPECT_EQ(escaped("\\\""), "\\\\\\\"");
}

TEST(Escape, BytesThatAreNotUtf8AreShownInHexadecimal) {
  EXPECT_EQ(escaped("\x80"), "\\x80");
  EXPECT_EQ(escaped("\xFFz"), "\\xFFz");
  EXPECT_EQ(escaped("\xC3"), "\\xC3") << "cut short";
  EXPECT_EQ(escaped("\xC3z"), "\\xC3z");
  EXPECT_EQ(escaped("\xC0\x8A"), "\\xC0\\x8A") << "an overlong newline";
  EXPECT_EQ(escaped("\xE0\x80\x8A"), "\\xE0\\x80\\x8A");
  EXPECT_EQ(escaped("\xED\xA0\x80"), "\\xED\\xA0\\x80") << "a surrogate";
  EXPECT_EQ(escaped("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80") << "beyond U+10FFFF";
}

TEST(Escape, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(escaped(std::string(kMaxTextBytes, 'x')), std::string(kMaxTextBytes, 'x'));
  EXPECT_EQ(escaped(std::string(kMaxTextBytes + 1, 'x')), std::string(kMaxTextBytes, 'x') + "...");
  EXPECT_EQ(escaped(std::string(kMaxTextBytes - 1, 'x') + "é"), std::string(kMaxTextBytes - 1, 'x') + "...");
}

}  // namespace
}  // namespace p11ha::halog
