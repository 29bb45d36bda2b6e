#include "cli/checkup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/scripted_member.h"

namespace p11ha::tests::cli_checkup {
namespace {

using cli::Finding;
using cli::Token;
using testing::HasSubstr;
using Weight = Finding::Weight;

constexpr CK_FLAGS kWell = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;
constexpr std::time_t kNow = 1'767'225'600;  // 2026-01-01 00:00:00 UTC

Token token(CK_FLAGS flags) {
  Token made{std::make_shared<ScriptedMember>("A"), CKR_OK, {}, {}};
  made.info.flags = flags;
  return made;
}

std::string only(const cli::Findings& findings, Weight weight) {
  EXPECT_EQ(findings.size(), 1U);
  if (findings.empty()) return "";
  EXPECT_EQ(findings.front().weight, weight);
  EXPECT_EQ(findings.front().remedy.empty(), weight == Weight::Fine);
  return findings.front().what;
}

std::string ofFlags(CK_FLAGS flags, Weight weight) {
  const Token looked = token(flags);
  return only(cli::checkToken("A", &looked, kNow), weight);
}

TEST(Checkup, TellsOfPinsWithoutTryingThem) {
  EXPECT_THAT(ofFlags(kWell, Weight::Fine), HasSubstr("it is there"));
  EXPECT_THAT(ofFlags(kWell | CKF_USER_PIN_LOCKED, Weight::Error), HasSubstr("locked"));
  EXPECT_THAT(ofFlags(kWell | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW, Weight::Error), HasSubstr("next wrong"));
  EXPECT_THAT(ofFlags(kWell | CKF_USER_PIN_COUNT_LOW, Weight::Warning), HasSubstr("a wrong PIN was given"));
  EXPECT_THAT(ofFlags(CKF_TOKEN_INITIALIZED, Weight::Error), HasSubstr("no PIN"));
  EXPECT_THAT(ofFlags(CKF_USER_PIN_INITIALIZED, Weight::Error), HasSubstr("not initialized"));
}

TEST(Checkup, TellsWhichModulesAndServersAreOfNoUse) {
  config::Settings settings;
  settings.groups.push_back({});
  settings.groups.front().label = "g";
  settings.groups.front().members = {"A"};
  const auto findings = cli::checkSources(
      settings, {compose::nobodyShows(settings.groups.front(), "A"), "server hsm:1792: Connection refused"});
  EXPECT_THAT(only(findings, Weight::Error), HasSubstr("Connection refused"));
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings.front().subject, "server hsm:1792");
}

TEST(Checkup, ShowsNoControlCharactersOfTokens) {
  Token named = token(kWell);
  std::memcpy(named.info.label, "a\033[2Jb", 6);
  std::memset(named.info.label + 6, ' ', sizeof(named.info.label) - 6);
  EXPECT_EQ(named.plainLabel(), "a\033[2Jb");
  EXPECT_EQ(named.label().find('\033'), std::string::npos);
}

TEST(Checkup, TellsWhoIsNotThere) {
  EXPECT_THAT(only(cli::checkToken("A", nullptr, kNow), Weight::Error), HasSubstr("no module or server"));
  Token lost = token(kWell);
  lost.rv = CKR_DEVICE_ERROR;
  EXPECT_THAT(only(cli::checkToken("A", &lost, kNow), Weight::Error), HasSubstr("CKR_DEVICE_ERROR"));
  lost.problem = "server x: Connection refused";
  EXPECT_THAT(only(cli::checkToken("A", &lost, kNow), Weight::Error), HasSubstr("Connection refused"));
}

TEST(Checkup, ComparesClocks) {
  Token looked = token(kWell | CKF_CLOCK_ON_TOKEN);
  std::memcpy(looked.info.utcTime, "2026010100003000", 16);
  EXPECT_THAT(only(cli::checkToken("A", &looked, kNow), Weight::Fine), HasSubstr("it is there"));
  std::memcpy(looked.info.utcTime, "2025123123000000", 16);
  EXPECT_THAT(only(cli::checkToken("A", &looked, kNow), Weight::Warning), HasSubstr("differs by -3600 seconds"));
  std::memcpy(looked.info.utcTime, "no time at all! ", 16);
  EXPECT_THAT(only(cli::checkToken("A", &looked, kNow), Weight::Fine), HasSubstr("it is there"));
}

TEST(Checkup, TellsHowLongCertificatesAreGoodFor) {
  const auto after = [](std::chrono::seconds time) {
    return cli::checkCertificates({{"c.pem", std::chrono::sys_seconds(std::chrono::seconds(kNow) + time)}}, kNow);
  };
  EXPECT_EQ(only(after(std::chrono::days(30)), Weight::Fine), "it is valid until 2026-01-31");
  EXPECT_EQ(only(after(std::chrono::days(29)), Weight::Warning), "it expires on 2026-01-30");
  EXPECT_EQ(only(after(std::chrono::seconds(0)), Weight::Error), "it has expired on 2026-01-01");
  EXPECT_THAT(only(cli::checkCertificates({{"c.pem", std::nullopt}}, kNow), Weight::Error), HasSubstr("none"));
}

TEST(Checkup, NamesMechanismsThatAreNotOnAllMembers) {
  config::Group group;
  group.label = "g";
  const Token one = token(kWell);
  auto fewer = std::make_shared<ScriptedMember>("B");
  fewer->mechanisms = {CKM_RSA_PKCS};
  const Token two{fewer, CKR_OK, {}, {}};
  EXPECT_THAT(only(cli::checkMechanisms(group, {&one, &two}), Weight::Note),
              HasSubstr("1 mechanisms are common to all members; not on all: CKM_ECDSA"));
  EXPECT_THAT(only(cli::checkMechanisms(group, {&one, nullptr}), Weight::Fine), HasSubstr("2 mechanisms"));
}

TEST(Checkup, TellsMixedMembersApart) {
  config::Group group;
  group.members = {"A", "B"};
  Token one = token(kWell);
  Token two = token(kWell | CKF_PROTECTED_AUTHENTICATION_PATH);
  EXPECT_THAT(only(cli::checkAlike(group, {&one, &two}), Weight::Error), HasSubstr("PIN pad"));
  two.info.flags = kWell;
  std::memcpy(two.info.model, "other           ", 16);
  EXPECT_THAT(only(cli::checkAlike(group, {&one, &two}), Weight::Note), HasSubstr("several makes"));
  group.members = {"A"};
  EXPECT_THAT(only(cli::checkAlike(group, {&one}), Weight::Warning), HasSubstr("one member"));
}

}  // namespace
}  // namespace p11ha::tests::cli_checkup
