// What the group answers otherwise than a member would: the tests that tests/conformance's table of intended
// differences names.
#include "cryptoki/function.h"
#include "cryptoki/text.h"
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupAnswers : public GroupTest {
 protected:
  void SetUp() override {
    client.f = module();
    ASSERT_NE(client.f, nullptr);
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  }

  Client client{nullptr};
};

TEST_F(GroupAnswers, TheLibraryIsItsOwn) {
  CK_INFO info{};
  ASSERT_EQ(client.f->C_GetInfo(&info), CKR_OK);
  EXPECT_EQ(cryptoki::unpad(info.manufacturerID), "p11ha");
  EXPECT_EQ(info.cryptokiVersion.major, 3);
}

TEST_F(GroupAnswers, TheTokenCountsItsOwnSessions) {
  CK_TOKEN_INFO info{};
  ASSERT_EQ(client.f->C_GetTokenInfo(0, &info), CKR_OK);
  EXPECT_EQ(cryptoki::unpad(info.manufacturerID), "p11ha");
  EXPECT_EQ(info.ulSessionCount, 0U);
  client.open(0);
  CK_SESSION_HANDLE readOnly = 0;
  ASSERT_EQ(client.f->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &readOnly), CKR_OK);
  ASSERT_EQ(client.f->C_GetTokenInfo(0, &info), CKR_OK);
  EXPECT_EQ(info.ulSessionCount, 2U);
  EXPECT_EQ(info.ulRwSessionCount, 1U);
}

TEST_F(GroupAnswers, InitialisesNoToken) {
  std::string pin = store.soPin();
  CK_UTF8CHAR label[32];
  cryptoki::pad(label, "anew");
  EXPECT_EQ(client.f->C_InitToken(0, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size(), label),
            CKR_FUNCTION_NOT_SUPPORTED);
  EXPECT_EQ(client.login(client.open(0)), CKR_OK) << "the token is as it was";
}

TEST_F(GroupAnswers, FunctionsThatMembersLackLookAtTheSessionFirst) {
  CK_MECHANISM mechanism{CKM_AES_GCM, nullptr, 0};
  EXPECT_EQ(client.f->C_MessageEncryptInit(77, &mechanism, 1), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(client.f->C_SessionCancel(77, CKF_SIGN), CKR_SESSION_HANDLE_INVALID);
  ASSERT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(client.f->C_MessageEncryptInit(77, &mechanism, 1), CKR_CRYPTOKI_NOT_INITIALIZED);
  EXPECT_EQ(client.f->C_SessionCancel(77, CKF_SIGN), CKR_CRYPTOKI_NOT_INITIALIZED);
}

}  // namespace
}  // namespace p11ha::tests
