// Every alternative of Event against the messages of the reference, to the character.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "halog/format.h"

namespace p11ha::halog {
namespace {

const Code kCode{0x30, "CKR_DEVICE_ERROR"};
const ObjectText kObject{"signing", "CKO_PRIVATE_KEY", "01"};

// The values that stand in for each placeholder below, in the order of the texts. Two of a kind in one text differ.
const std::map<std::string, std::vector<std::string>> kValues = {
    {"<MessagePrefix>", {"Wed Oct  4 16:29:21 2017 : [17469] HA group: 11234840370164"}},
    {"<SerialNumber>", {"1234840370164", "1234924189183"}},
    {"<TokenNumber>", {"1234840370164"}},
    {"<AttemptNumber>", {"7"}},
    {"<Integer>", {"7"}},
    {"<Number>", {"42", "43"}},
    {"<Milliseconds>", {"20000"}},
    {"<ErrorCodeHex>", {"0x00000030"}},
    {"<ErrorCodeString>", {"CKR_DEVICE_ERROR"}},
    {"<Object>", {"\"signing\" (CKO_PRIVATE_KEY, id 01)"}},
    {"<Function>", {"C_Sign"}},
    {"<Reason>", {"it is not extractable"}},
};

const std::vector<Event> kEvents = {
    ConfiguredAsPassword{},
    ConfiguredAsPed{},
    DropMember{.member = "1234840370164"},
    DropUnrecoverable{.member = "1234840370164"},
    LoginFailed{.member = "1234840370164", .code = kCode},
    MemberDeactivated{.member = "1234840370164"},
    MemberNowActivated{.attempt = 7, .member = "1234840370164"},
    MemberRevoked{.member = "1234840370164"},
    MembersOffline{},
    MgmtThreadStart{},
    MgmtThreadTerminate{},
    NewMember{.member = "1234840370164"},
    Recovered{.attempt = 7, .member = "1234840370164"},
    Reintroducing{.attempt = 7, .objects = 42, .member = "1234840370164"},
    RecoveryFailed{.attempt = 7, .member = "1234840370164", .code = kCode},
    AttemptsExceeded{.member = "1234840370164"},
    ReenableMember{.member = "1234840370164"},
    Unrecoverable{.attempt = 7, .member = "1234840370164", .code = kCode},
    NotActivated{.member = "1234840370164"},
    StillNotActivated{.member = "1234840370164"},
    FirstActivated{.member = "1234840370164"},
    UnreplicatedObject{.object = kObject, .holders = 42, .members = 43, .reason = "it is not extractable"},
    UnsyncedObject{.object = kObject, .member = "1234840370164", .code = kCode},
    AmbiguousObject{.object = kObject, .member = "1234840370164"},
    MemberHung{.member = "1234840370164", .function = "C_Sign", .milliseconds = 20000},
    CallPoisoned{.function = "C_Sign", .first = "1234840370164", .second = "1234924189183"},
    PinNotChanged{.function = "C_Sign", .member = "1234840370164"},
    PinUncertain{.function = "C_Sign", .member = "1234840370164"},
    LogRecordsDropped{.count = 42},
};

std::vector<std::string> golden(const std::string& name) {
  std::ifstream file(std::string(P11HA_SOURCE_DIR) + "/tests/golden/" + name);
  std::vector<std::string> lines;
  for (std::string text; std::getline(file, text);) lines.push_back(text);
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

std::string filledIn(std::string text) {
  std::map<std::string, std::size_t> used;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at)) {
    const std::string placeholder = text.substr(at, text.find('>', at) + 1 - at);
    const std::string& value = kValues.at(placeholder).at(used[placeholder]++);
    text.replace(at, placeholder.size(), value);
    at += value.size();
  }
  // The "\n" that the reference shows in two texts is the end of every line.
  if (text.ends_with("\\n")) text.resize(text.size() - 2);
  return text + "\n";
}

std::string asLine(const Event& event) {
  std::tm at{};
  at.tm_wday = 3;
  at.tm_mon = 9;
  at.tm_mday = 4;
  at.tm_hour = 16;
  at.tm_min = 29;
  at.tm_sec = 21;
  at.tm_year = 117;
  return line(event, "11234840370164", 17469, at);
}

TEST(Golden, EveryAlternativeIsTheMessageOfTheReference) {
  const std::vector<std::string> reference = golden("ha_messages.txt");
  const std::vector<std::string> own = golden("ha_messages_p11ha.txt");
  ASSERT_EQ(reference.size(), 21U);
  ASSERT_EQ(kEvents.size(), reference.size() + own.size());
  for (std::size_t i = 0; i < kEvents.size(); ++i) {
    std::string id = "No ID";
    std::string text;
    if (i < reference.size()) {
      const std::size_t colon = reference[i].find(": ");
      id = reference[i].substr(0, colon);
      text = reference[i].substr(colon + 2);
    } else {
      text = own[i - reference.size()];
    }
    EXPECT_EQ(asLine(kEvents[i]), filledIn(text));
    EXPECT_EQ(messageId(kEvents[i]), id == "No ID" ? "" : id);
  }
}

TEST(Golden, NoAlternativeIsMissing) {
  std::set<std::size_t> seen;
  for (const Event& event : kEvents) seen.insert(event.index());
  EXPECT_EQ(seen.size(), std::variant_size_v<Event>);
}

TEST(Golden, TheReferenceHasSeventeenIds) {
  std::set<std::string> ids;
  std::size_t without = 0;
  for (const std::string& text : golden("ha_messages.txt")) {
    if (text.starts_with("No ID: ")) {
      ++without;
    } else {
      ids.insert(text.substr(0, text.find(':')));
    }
  }
  EXPECT_EQ(ids.size(), 17U);
  EXPECT_EQ(without, 3U);
}

}  // namespace
}  // namespace p11ha::halog
