// A member that hangs: what must not wait for it. Whoever does is stopped by the test's time limit.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupHang : public GroupTest {
 protected:
  GroupHang() {
    configure(configuration(theGroup(), "   HAOnly = 1;\n", theModule() + "   FinalizeWait = 100;\n"));
    EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    session = client.open(0);
    EXPECT_EQ(client.login(session), CKR_OK);
  }
  ~GroupHang() override { tell("heal"); }

  const Client client{module()};
  CK_SESSION_HANDLE session = 0;
};

TEST_F(GroupHang, FinalizeDoesNotWaitForALogout) {
  tell("hang " + member(1) + " C_Logout,C_CloseSession");
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(logged("management thread terminated"), 1U);
}

/// What p11ha asks members for itself hangs, too.
class GroupHangOf : public GroupTest, public testing::WithParamInterface<std::string> {
 protected:
  GroupHangOf() {
    configure(configuration(theGroup(), "   HAOnly = 1;\n",
                            theModule() + "   FinalizeWait = 100;\n   CallDeadline = 200;\n"));
    EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  }

  const Client client{module()};
};

TEST_P(GroupHangOf, ThePrimaryIsGivenUp) {
  const CK_SESSION_HANDLE session = client.open(0);
  EXPECT_EQ(client.random(session), CKR_OK);
  tell("hang " + member(0) + " " + GetParam());
  // Whoever is in it waits for the module; nobody else does.
  std::thread stuck([&] {
    client.login(session);
    CK_TOKEN_INFO info{};
    client.f->C_GetTokenInfo(0, &info);
    while (logged("has dropped member") == 0) {
      const CK_SESSION_HANDLE own = client.open(0);
      client.random(own);
      client.f->C_CloseSession(own);
      std::this_thread::yield();
    }
  });
  awaitLog("p11ha: member " + store.serial(0) + " did not answer " + GetParam() + " within 200 ms (CallDeadline)");
  awaitLog("has dropped member: " + store.serial(0));
  const CK_SESSION_HANDLE other = client.open(0);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(client.random(other), CKR_OK);
  tell("heal");
  stuck.join();
}

INSTANTIATE_TEST_SUITE_P(Function, GroupHangOf, testing::Values("C_Login", "C_GetTokenInfo", "C_OpenSession"),
                         [](const auto& each) { return each.param.substr(2); });

}  // namespace
}  // namespace p11ha::tests
