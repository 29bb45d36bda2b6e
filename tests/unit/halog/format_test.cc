#include "halog/format.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <clocale>
#include <cstdlib>
#include <optional>

namespace p11ha::halog {
namespace {

// The process's time zone for a scope.
class TimeZone {
 public:
  explicit TimeZone(const char* zone) {
    if (const char* before = std::getenv("TZ")) before_ = before;
    setenv("TZ", zone, 1);
    tzset();
  }
  ~TimeZone() {
    if (before_) {
      setenv("TZ", before_->c_str(), 1);
    } else {
      unsetenv("TZ");
    }
    tzset();
  }
  TimeZone(const TimeZone&) = delete;
  TimeZone& operator=(const TimeZone&) = delete;

 private:
  std::optional<std::string> before_;
};

base::Wall at(std::time_t seconds) { return std::chrono::system_clock::from_time_t(seconds); }

std::string timeOf(base::Wall wall) {
  const std::string head = lineHead("1", 1, localTime(wall));
  return head.substr(0, head.find(" : "));
}

TEST(Format, TimeIsCtimes) {
  const TimeZone utc("UTC0");
  struct Row {
    std::time_t seconds;
    const char* text;
  };
  constexpr Row kRows[] = {
      {1507134561, "Wed Oct  4 16:29:21 2017"}, {0, "Thu Jan  1 00:00:00 1970"},
      {951782399, "Mon Feb 28 23:59:59 2000"},  {951782400, "Tue Feb 29 00:00:00 2000"},
      {1767225599, "Wed Dec 31 23:59:59 2025"}, {1767225600, "Thu Jan  1 00:00:00 2026"},
      {1720785600, "Fri Jul 12 12:00:00 2024"}, {4102444800, "Fri Jan  1 00:00:00 2100"},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(timeOf(at(row.seconds)), row.text);
    std::string c = std::ctime(&row.seconds);
    c.pop_back();
    EXPECT_EQ(timeOf(at(row.seconds)), c);
  }
}

TEST(Format, FractionsOfASecondAreCutOffEvenBeforeTheEpoch) {
  const TimeZone utc("UTC0");
  EXPECT_EQ(timeOf(at(0) + std::chrono::milliseconds(999)), "Thu Jan  1 00:00:00 1970");
  EXPECT_EQ(timeOf(at(0) - std::chrono::milliseconds(1)), "Wed Dec 31 23:59:59 1969");
}

TEST(Format, TimeIsLocalAndFollowsDaylightSaving) {
  const TimeZone berlin("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(timeOf(at(1711846799)), "Sun Mar 31 01:59:59 2024");
  EXPECT_EQ(timeOf(at(1711846800)), "Sun Mar 31 03:00:00 2024");
  EXPECT_EQ(timeOf(at(1729990799)), "Sun Oct 27 02:59:59 2024");
  EXPECT_EQ(timeOf(at(1729990800)), "Sun Oct 27 02:00:00 2024");
}

TEST(Format, TimeIsEnglishInEveryLocale) {
  const TimeZone utc("UTC0");
  for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8", "ja_JP.UTF-8", "C.UTF-8"}) {
    if (std::setlocale(LC_ALL, name) == nullptr) continue;
    EXPECT_EQ(timeOf(at(1507134561)), "Wed Oct  4 16:29:21 2017") << name;
    EXPECT_EQ(message(Recovered{1234567, "m"}), "recovery attempt 1234567 succeeded for member: m") << name;
  }
  std::setlocale(LC_ALL, "C");
}

TEST(Format, LineIsPrefixMessageAndNewline) {
  const TimeZone utc("UTC0");
  EXPECT_EQ(line(DropMember{"1234840370164"}, "11234840370164", 17469, localTime(at(1507134561))),
            "Wed Oct  4 16:29:21 2017 : [17469] HA group: 11234840370164 has dropped member: 1234840370164\n");
}

TEST(Format, CodesHaveEightDigitsAtLeast) {
  const auto code = [](unsigned long value) {
    const std::string text = message(LoginFailed{"m", {value, "CKR_X"}});
    return text.substr(text.find("Code: "));
  };
  EXPECT_EQ(code(0), "Code: 0x00000000 : CKR_X");
  EXPECT_EQ(code(0xE0), "Code: 0x000000E0 : CKR_X");
  EXPECT_EQ(code(0x80000001UL), "Code: 0x80000001 : CKR_X");
  EXPECT_EQ(code(0xFEDCBA9876543210UL), "Code: 0xFEDCBA9876543210 : CKR_X");
}

TEST(Format, FinalPeriodsAreTheReferences) {
  const Code code{0x30, "CKR_DEVICE_ERROR"};
  EXPECT_TRUE(message(RecoveryFailed{1, "m", code}).ends_with(": CKR_DEVICE_ERROR."));
  EXPECT_TRUE(message(Unrecoverable{1, "m", code}).ends_with(": CKR_DEVICE_ERROR"));
}

TEST(Format, ObjectsWithoutAnIdShowNone) {
  EXPECT_EQ(message(AmbiguousObject{{"cert", "CKO_CERTIFICATE", ""}, "m"}),
            "p11ha: object \"cert\" (CKO_CERTIFICATE) on member m is ambiguous and is left alone");
}

TEST(Format, WhateverFieldsHoldALineIsOneLine) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const std::string forged = "x\nWed Oct  4 16:29:21 2017 : [1] HA group: 1 has dropped member: 2\r";
  for (const std::string& text : {all, forged, std::string(100000, '\n')}) {
    const std::vector<Event> events = {DropMember{text}, UnreplicatedObject{{text, text, text}, 1, 3, text},
                                       LoginFailed{text, {1, text}}, MemberHung{text, text, 1},
                                       CallPoisoned{text, text, text}};
    for (const Event& event : events) {
      const std::string out = line(event, text, 1, localTime(at(0)));
      EXPECT_EQ(out.find('\n'), out.size() - 1);
      EXPECT_EQ(out.find('\r'), std::string::npos);
      EXPECT_EQ(out.find('\0'), std::string::npos);
      EXPECT_LT(out.size(), 16384U);
    }
  }
}

TEST(Format, PlaceholdersInFieldsStayAsTheyAre) {
  EXPECT_EQ(message(Recovered{3, "<Integer>%s{}"}), "recovery attempt 3 succeeded for member: <Integer>%s{}");
}

}  // namespace
}  // namespace p11ha::halog
