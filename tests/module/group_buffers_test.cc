// A call that is made again on another member meets the application's buffers as the application gave them.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupBuffers : public WorkingGroup {
 protected:
  void SetUp() override {
    WorkingGroup::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_EQ(generateAes("aes", aes), CKR_OK);
    CK_BYTE plain[32] = {7};
    expected.resize(sizeof plain);
    CK_ULONG length = expected.size();
    ASSERT_EQ(beginEcb(), CKR_OK);
    ASSERT_EQ(client.f->C_Encrypt(session, plain, sizeof plain, expected.data(), &length), CKR_OK);
  }

  CK_RV beginEcb() const {
    CK_MECHANISM mechanism{CKM_AES_ECB, nullptr, 0};
    return client.f->C_EncryptInit(session, &mechanism, aes);
  }
  /// Carried out by the member that has its turn, which then says that it failed.
  void failAfter(const std::string& function) { tell("fail any " + function + " CKR_DEVICE_ERROR after times 1"); }

  CK_OBJECT_HANDLE aes = 0;
  Bytes expected;  // AES-ECB of a 7 and 31 zeros
};

TEST_F(GroupBuffers, TheRoomIsWhatTheApplicationSaid) {
  CK_MECHANISM sha256{CKM_SHA256, nullptr, 0};
  ASSERT_EQ(client.f->C_DigestInit(session, &sha256), CKR_OK);
  failAfter("C_Digest");
  CK_BYTE data[3] = {1, 2, 3};
  Bytes digest(64, 0xee);
  CK_ULONG length = 4;
  EXPECT_EQ(client.f->C_Digest(session, data, sizeof data, digest.data(), &length), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(length, 32U);
  EXPECT_EQ(digest, Bytes(64, 0xee)) << "nothing is written beyond the room";
  length = digest.size();
  EXPECT_EQ(client.f->C_Digest(session, data, sizeof data, digest.data(), &length), CKR_OK);
}

// The length that a member asks for reaches into the input: nobody has offered that.
TEST_F(GroupBuffers, AnInputBehindTheRoomIsNotOverwritten) {
  CK_MECHANISM sha256{CKM_SHA256, nullptr, 0};
  ASSERT_EQ(client.f->C_DigestInit(session, &sha256), CKR_OK);
  Bytes buffer(64, 0xee);
  CK_ULONG length = 1;
  EXPECT_EQ(client.f->C_Digest(session, buffer.data() + 1, 16, buffer.data(), &length), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(length, 32U);
  EXPECT_EQ(buffer, Bytes(64, 0xee));
}

TEST_F(GroupBuffers, TheRoomOfTheLastPartToo) {
  CK_MECHANISM sha256{CKM_SHA256, nullptr, 0};
  ASSERT_EQ(client.f->C_DigestInit(session, &sha256), CKR_OK);
  CK_BYTE data[3] = {1, 2, 3};
  ASSERT_EQ(client.f->C_DigestUpdate(session, data, sizeof data), CKR_OK);
  failAfter("C_DigestFinal");
  Bytes digest(64, 0xee);
  CK_ULONG length = 4;
  EXPECT_EQ(client.f->C_DigestFinal(session, digest.data(), &length), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(digest, Bytes(64, 0xee));
}

TEST_F(GroupBuffers, TheRoomOfAnAttributeToo) {
  failAfter("C_GetAttributeValue");
  Bytes label(16, 0xee);
  CK_ATTRIBUTE attribute{CKA_LABEL, label.data(), 2};  // "aes" has three
  EXPECT_EQ(client.f->C_GetAttributeValue(session, aes, &attribute, 1), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(attribute.ulValueLen, CK_UNAVAILABLE_INFORMATION);
  EXPECT_EQ(label, Bytes(16, 0xee));
}

TEST_F(GroupBuffers, TheInputMayLieWhereTheOutputWill) {
  ASSERT_EQ(beginEcb(), CKR_OK);
  failAfter("C_Encrypt");
  Bytes buffer(32);
  buffer[0] = 7;
  CK_ULONG length = buffer.size();
  EXPECT_EQ(client.f->C_Encrypt(session, buffer.data(), buffer.size(), buffer.data(), &length), CKR_OK);
  EXPECT_EQ(buffer, expected);
}

TEST_F(GroupBuffers, AndInEachPart) {
  for (const char* how : {" after", ""}) {
    ASSERT_EQ(beginEcb(), CKR_OK);
    Bytes buffer(32);
    buffer[0] = 7;
    CK_ULONG length = 16;
    EXPECT_EQ(client.f->C_EncryptUpdate(session, buffer.data(), 16, buffer.data(), &length), CKR_OK);
    tell(std::string("fail any C_EncryptUpdate CKR_DEVICE_ERROR").append(how).append(" times 1"));
    length = 16;
    EXPECT_EQ(client.f->C_EncryptUpdate(session, buffer.data() + 16, 16, buffer.data() + 16, &length), CKR_OK) << how;
    CK_BYTE rest[16];
    length = sizeof rest;
    EXPECT_EQ(client.f->C_EncryptFinal(session, rest, &length), CKR_OK);
    EXPECT_EQ(buffer, expected) << how;
  }
}

}  // namespace
}  // namespace p11ha::tests
