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

TEST_F(GroupAnswers, NothingWorksWithoutASession) {
  CK_BYTE bytes[16] = {};
  CK_ULONG size = 0;
  EXPECT_EQ(client.f->C_SeedRandom(77, bytes, sizeof bytes), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(client.f->C_GenerateRandom(77, bytes, sizeof bytes), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(client.f->C_GetObjectSize(77, 1, &size), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(client.f->C_GetFunctionStatus(77), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(client.f->C_CancelFunction(77), CKR_SESSION_HANDLE_INVALID);
}

TEST_F(GroupAnswers, ASearchHasABeginningAndAnEnd) {
  const CK_SESSION_HANDLE session = client.open(0);
  CK_OBJECT_HANDLE found = 0;
  CK_ULONG count = 0;
  EXPECT_EQ(client.f->C_FindObjects(session, &found, 1, &count), CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(client.f->C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED);
  ASSERT_EQ(client.f->C_FindObjectsInit(session, nullptr, 0), CKR_OK);
  EXPECT_EQ(client.f->C_FindObjectsInit(session, nullptr, 0), CKR_OPERATION_ACTIVE);
  EXPECT_EQ(client.f->C_FindObjectsFinal(session), CKR_OK);
}

TEST_F(GroupAnswers, SlotsAndListsAreChecked) {
  CK_ULONG count = 0;
  CK_SLOT_ID slot = 0;
  EXPECT_EQ(client.f->C_GetSlotList(CK_TRUE, &slot, &count), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(client.f->C_GetSlotList(CK_TRUE, &slot, nullptr), CKR_ARGUMENTS_BAD);
  CK_MECHANISM_TYPE mechanism = 0;
  count = 0;
  EXPECT_EQ(client.f->C_GetMechanismList(0, &mechanism, &count), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(client.f->C_GetMechanismList(77, nullptr, &count), CKR_SLOT_ID_INVALID);
  CK_MECHANISM_INFO info{};
  EXPECT_EQ(client.f->C_GetMechanismInfo(77, CKM_RSA_PKCS, &info), CKR_SLOT_ID_INVALID);
  CK_SESSION_HANDLE session = 0;
  EXPECT_EQ(client.f->C_OpenSession(0, 0, nullptr, nullptr, &session), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
}

TEST_F(GroupAnswers, LoginsFollowTheStandard) {
  std::string pin = "12345678";
  auto* const text = reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data());
  const CK_SESSION_HANDLE session = client.open(0);
  EXPECT_EQ(client.f->C_Login(session, 99, text, pin.size()), CKR_USER_TYPE_INVALID);
  CK_SESSION_HANDLE readOnly = 0;
  ASSERT_EQ(client.f->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &readOnly), CKR_OK);
  EXPECT_EQ(client.f->C_SetPIN(readOnly, text, pin.size(), text, pin.size()), CKR_SESSION_READ_ONLY);
  EXPECT_EQ(client.f->C_Login(session, CKU_SO, text, pin.size()), CKR_SESSION_READ_ONLY_EXISTS);
  ASSERT_EQ(client.f->C_CloseSession(readOnly), CKR_OK);
  ASSERT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(client.login(session, "not the PIN"), CKR_USER_ALREADY_LOGGED_IN);
  EXPECT_EQ(client.f->C_Login(session, CKU_SO, text, pin.size()), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
}

TEST_F(GroupAnswers, FinalizeTakesNothing) {
  int something = 0;
  EXPECT_EQ(client.f->C_Finalize(&something), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
}

}  // namespace
}  // namespace p11ha::tests
