#include "cli/contents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/scripted_member.h"

namespace p11ha::tests::cli_contents {
namespace {

using cli::Token;
using testing::HasSubstr;

cryptoki::Template data(const std::string& label) {
  cryptoki::Template object;
  object.addUlong(CKA_CLASS, CKO_DATA);
  object.addBool(CKA_TOKEN, true);
  object.addBool(CKA_PRIVATE, true);
  object.addBytes(CKA_LABEL, {reinterpret_cast<const std::uint8_t*>(label.data()), label.size()});
  return object;
}

class Contents : public testing::Test {
 protected:
  Contents() {
    for (const char* serial : {"A", "B", "C"}) {
      members.push_back(std::make_shared<ScriptedMember>(serial));
      tokens.push_back({members.back(), CKR_OK, {}, {}});
    }
  }

  base::Result<cli::Contents, cli::Trouble> read(const std::string& text = "sesame") const {
    const base::SecureBytes pin(text.begin(), text.end());
    std::vector<const Token*> all;
    for (const Token& token : tokens) all.push_back(token.member ? &token : nullptr);
    return cli::readContents(all, &pin);
  }
  std::size_t logins(std::size_t member) const { return members[member]->count(cryptoki::Fn::Login); }

  std::vector<std::shared_ptr<ScriptedMember>> members;
  std::vector<Token> tokens;
};

TEST_F(Contents, AreTheSameOrNot) {
  for (const auto& member : members) member->put(data("one"));
  auto contents = read();
  ASSERT_TRUE(contents);
  EXPECT_FALSE(contents->needsSync());
  ASSERT_EQ(contents->items.size(), 1U);
  members[1]->put(data("two"));
  contents = read();
  ASSERT_TRUE(contents);
  EXPECT_TRUE(contents->needsSync());
  ASSERT_EQ(contents->items.size(), 2U);
  EXPECT_EQ(contents->items[1].handles[0], CK_INVALID_HANDLE);
  EXPECT_NE(contents->items[1].handles[1], CK_INVALID_HANDLE);
  EXPECT_EQ(contents->count(0), 1U);
  EXPECT_EQ(contents->count(1), 2U);
}

TEST_F(Contents, CountObjectsThatLookAlike) {
  members[0]->put(data("one"));
  members[0]->put(data("one"));
  members[1]->put(data("one"));
  members[2]->put(data("one"));
  const auto contents = read();
  ASSERT_TRUE(contents);
  EXPECT_EQ(contents->items.size(), 2U);
  EXPECT_TRUE(contents->needsSync());
}

cryptoki::Template secretKey(std::string_view checkValue) {
  cryptoki::Template object;
  object.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  object.addUlong(CKA_KEY_TYPE, CKK_AES);
  object.addBool(CKA_TOKEN, true);
  object.addBool(CKA_PRIVATE, true);
  object.addBool(CKA_SENSITIVE, true);
  object.addBytes(CKA_LABEL, {});
  object.addBytes(CKA_CHECK_VALUE, {reinterpret_cast<const std::uint8_t*>(checkValue.data()), checkValue.size()});
  return object;
}

TEST_F(Contents, TellKeysWithoutACheckValueByTheirNames) {
  members[0]->put(secretKey("abc"));
  members[1]->put(secretKey(""));
  members[2]->put(secretKey("abc"));
  auto contents = read();
  ASSERT_TRUE(contents);
  EXPECT_EQ(contents->items.size(), 1U);
  EXPECT_FALSE(contents->needsSync());
  members[2]->put(secretKey("xyz"));
  contents = read();
  ASSERT_TRUE(contents);
  EXPECT_EQ(contents->items.size(), 2U);
  EXPECT_EQ(contents->missing(), 2U);
}

TEST_F(Contents, OfWhomIsNotThereAreNoReasonToSynchronise) {
  members[0]->put(data("one"));
  members[1]->put(data("one"));
  tokens[2].rv = CKR_DEVICE_REMOVED;
  auto contents = read();
  ASSERT_TRUE(contents);
  EXPECT_FALSE(contents->needsSync());
  EXPECT_EQ(contents->read[2], CKR_TOKEN_NOT_PRESENT);
  members[1]->down = cryptoki::Outcome{CKR_DEVICE_ERROR};
  contents = read();
  ASSERT_TRUE(contents);
  EXPECT_FALSE(contents->needsSync());
  EXPECT_EQ(contents->read[1], CKR_DEVICE_ERROR);
}

TEST_F(Contents, OfWhomIsDownNeedNoSync) {
  for (const auto& member : members) member->put(data("one"));
  tokens[2].rv = CKR_DEVICE_REMOVED;
  EXPECT_EQ(read()->needsSyncAtAll(), false);
  tokens[0].rv = tokens[1].rv = CKR_DEVICE_REMOVED;
  EXPECT_EQ(read()->needsSyncAtAll(), std::nullopt);
}

TEST_F(Contents, OfWhomIsThereAndCannotBeReadAreNotKnownToBeInStep) {
  for (const auto& member : members) member->put(data("one"));
  EXPECT_EQ(read()->needsSyncAtAll(), false);
  members[1]->down = cryptoki::Outcome{CKR_DEVICE_ERROR};
  auto contents = read();
  ASSERT_TRUE(contents);
  EXPECT_EQ(contents->needsSyncAtAll(), std::nullopt);
  EXPECT_FALSE(contents->nothingRead());
  members[0]->put(data("two"));
  EXPECT_EQ(read()->needsSyncAtAll(), true);
  members[0]->down = members[2]->down = members[1]->down;
  contents = read();
  ASSERT_TRUE(contents);
  ASSERT_TRUE(contents->nothingRead());
  EXPECT_EQ(contents->nothingRead()->rv, CKR_DEVICE_ERROR);
}

TEST_F(Contents, GiveAPinThatOneRefusesToNoOther) {
  members[1]->pin = "another";
  const auto contents = read();
  ASSERT_FALSE(contents);
  EXPECT_EQ(contents.error().rv, CKR_PIN_INCORRECT);
  EXPECT_THAT(contents.error().what, HasSubstr("member B"));
  EXPECT_EQ(logins(0), 1U);
  EXPECT_EQ(logins(1), 1U);
  EXPECT_EQ(logins(2), 0U);
}

TEST_F(Contents, TryNoPinWhereTheNextWrongOneLocks) {
  members[0]->tokenFlags |= CKF_USER_PIN_FINAL_TRY;
  const auto contents = read();
  ASSERT_FALSE(contents);
  EXPECT_EQ(contents.error().rv, CKR_PIN_LOCKED);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(logins(i), 0U);
}

TEST_F(Contents, LeaveNobodyLoggedIn) {
  ASSERT_TRUE(read());
  for (const auto& member : members) {
    EXPECT_FALSE(member->loggedIn());
    EXPECT_EQ(member->openSessions(), 0U);
  }
}

TEST_F(Contents, CanBeRemoved) {
  members[0]->put(data("one"));
  members[0]->put(data("two"));
  const std::string text = "sesame";
  EXPECT_FALSE(cli::removeContents(tokens[0], {text.begin(), text.end()}));
  EXPECT_EQ(members[0]->objectCount(), 0U);
}

}  // namespace
}  // namespace p11ha::tests::cli_contents
