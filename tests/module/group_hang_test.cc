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

}  // namespace
}  // namespace p11ha::tests
