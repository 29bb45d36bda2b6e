// Members of this host whose users cannot log in for a while: what a module says of that is not the group's answer.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupActivation : public GroupTest {
 protected:
  void SetUp() override {
    client.f = module();
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    session = client.open(0);
  }
  void deactivate() const { tell("deactivate " + member(0)); }
  void activate() const { tell("heal"); }
  /// It is noticed, waited for, and taken back once it is activated.
  void expectItsReturn() const {
    const std::string serial = store.serial(0);
    EXPECT_TRUE(awaitLog("member: " + serial + " deactivated\n"));
    EXPECT_TRUE(awaitLog("failed for member: " + serial + ". Code: 0x00000101 : CKR_USER_NOT_LOGGED_IN.\n"));
    activate();
    EXPECT_TRUE(awaitLog("member " + serial + " is now activated and will be reintroduce back into the HA group.\n"));
    EXPECT_TRUE(awaitLog("succeeded for member: " + serial + "\n"));
    EXPECT_EQ(logged("can not login"), 0U) << log();
    EXPECT_EQ(logged("deactivated"), 1U) << log();
  }

  Client client{nullptr};
  CK_SESSION_HANDLE session = 0;
};

TEST_F(GroupActivation, OfAMemberThatWasLoggedIn) {
  ASSERT_EQ(client.login(session), CKR_OK);
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(client.createKey(session, key), CKR_OK);
  deactivate();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(client.sign(session, key), CKR_OK);
  expectItsReturn();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(client.sign(session, key), CKR_OK);
}

TEST_F(GroupActivation, OfThePrimaryBeforeTheLogin) {
  deactivate();
  EXPECT_EQ(client.login(session, "wrong pin"), CKR_PIN_INCORRECT);
  EXPECT_EQ(client.login(session), CKR_OK);
  expectItsReturn();
}

TEST_F(GroupActivation, WhereNobodyCanLogInTheLastWordIsTheGroups) {
  tell("deactivate any");
  EXPECT_EQ(client.login(session), CKR_USER_PIN_NOT_INITIALIZED);
  activate();
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(logged("deactivated"), 0U) << log();
}

}  // namespace
}  // namespace p11ha::tests
