// Every alternative of Event against the messages of the reference, to the character.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "halog/format.h"
#include "tests/support/ha_table.h"

namespace p11ha::halog {
namespace {

using tests::filledIn;
using tests::HaMessage;
using tests::haMessages;
using tests::ownMessages;

const Code kCode{0x30, "CKR_DEVICE_ERROR"};
const ObjectText kObject{"signing", "CKO_PRIVATE_KEY", "01"};

// The values that stand in for each placeholder below, in the order of the texts. Two of a kind in one text differ.
const tests::HaValues kValues = {
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
    {"<Attributes>", {"CKA_LABEL"}},
    {"<Reason>", {"it is not extractable"}},
    {"<File>", {"/etc/Chrystoki.conf"}},
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
    DestroyedApart{.object = kObject, .member = "1234840370164"},
    ChangeGaveWay{.object = kObject, .attributes = "CKA_LABEL", .member = "1234840370164"},
    TurnAwaited{.member = "1234840370164", .milliseconds = 20000},
    MemberHung{.member = "1234840370164", .function = "C_Sign", .milliseconds = 20000},
    CallPoisoned{.function = "C_Sign", .first = "1234840370164", .second = "1234924189183"},
    PinNotChanged{.function = "C_Sign", .member = "1234840370164"},
    PinUncertain{.function = "C_Sign", .member = "1234840370164"},
    MemberProblem{.member = "1234840370164", .reason = "it is not extractable"},
    MemberRefused{.member = "1234840370164", .reason = "it is not extractable"},
    ConfigurationRefused{.file = "/etc/Chrystoki.conf", .reason = "it is not extractable"},
    ConfigurationPending{.file = "/etc/Chrystoki.conf", .reason = "it is not extractable"},
    LogRecordsDropped{.count = 42},
};

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

// Of halog/events.def, in its order.
const std::vector<std::string> kNames = {
#define P11HA_EVENT(name, id, text, ...) #name,
#include "halog/events.def"
#undef P11HA_EVENT
};

TEST(Golden, EveryAlternativeIsTheMessageOfTheReference) {
  const std::vector<HaMessage>& reference = haMessages();
  const std::vector<std::string>& own = ownMessages();
  ASSERT_EQ(kEvents.size(), reference.size() + own.size());
  for (std::size_t i = 0; i < kEvents.size(); ++i) {
    const bool isOwn = i >= reference.size();
    EXPECT_EQ(asLine(kEvents[i]), filledIn(isOwn ? own[i - reference.size()] : reference[i].text, kValues) + "\n");
    EXPECT_EQ(messageId(kEvents[i]), isOwn ? "" : reference[i].id);
    if (!isOwn) {
      EXPECT_EQ(kNames.at(i), reference[i].event);
    }
  }
}

TEST(Golden, NoAlternativeIsMissing) {
  std::set<std::size_t> seen;
  for (const Event& event : kEvents) seen.insert(event.index());
  EXPECT_EQ(seen.size(), std::variant_size_v<Event>);
}

TEST(Golden, TheReferenceHasTwentyOneTextsUnderSeventeenIds) {
  std::set<std::string> texts;
  std::set<std::string> ids;
  std::set<std::string> deprecated;
  std::size_t without = 0;
  for (const HaMessage& message : haMessages()) {
    texts.insert(message.text);
    if (message.id.empty()) {
      ++without;
    } else {
      ids.insert(message.id);
    }
    if (message.deprecated) deprecated.insert(message.id);
  }
  EXPECT_EQ(texts.size(), 21U);
  EXPECT_EQ(ids.size(), 17U);
  EXPECT_EQ(without, 3U);
  EXPECT_EQ(deprecated, (std::set<std::string>{"HALOG_RENABLEMEMBER", "HALOG_UNRECOVERABLE"}));
}

}  // namespace
}  // namespace p11ha::halog
