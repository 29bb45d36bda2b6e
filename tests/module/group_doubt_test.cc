// All members answer like broken ones and are well: nobody is to blame, and nothing half done is left.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupDoubt : public WorkingGroup {
 protected:
  CK_RV beginDigest() const {
    CK_MECHANISM mechanism{CKM_SHA256, nullptr, 0};
    return client.f->C_DigestInit(session, &mechanism);
  }
  CK_RV update() const {
    CK_BYTE part[3] = {1, 2, 3};
    return client.f->C_DigestUpdate(session, part, sizeof part);
  }
  CK_RV finish() const {
    Bytes digest(32);
    CK_ULONG length = digest.size();
    return client.f->C_DigestFinal(session, digest.data(), &length);
  }
  CK_RV generateSessionKey(const std::string& label, CK_OBJECT_HANDLE& key) const {
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    Template wanted{flag(CKA_TOKEN, false), flag(CKA_ENCRYPT),      flag(CKA_EXTRACTABLE),
                    flag(CKA_SENSITIVE),    text(CKA_LABEL, label), {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
    return client.f->C_GenerateKey(session, &mechanism, wanted.data(), wanted.size(), &key);
  }
  CK_RV encrypt(CK_OBJECT_HANDLE key) const {
    CK_MECHANISM mechanism{CKM_AES_ECB, nullptr, 0};
    if (const CK_RV rv = client.f->C_EncryptInit(session, &mechanism, key); rv != CKR_OK) return rv;
    CK_BYTE block[16] = {7};
    CK_ULONG length = sizeof block;
    return client.f->C_Encrypt(session, block, sizeof block, block, &length);
  }
};

TEST_F(GroupDoubt, APartThatNobodyTookIsNotLeftOut) {
  ASSERT_EQ(beginDigest(), CKR_OK);
  ASSERT_EQ(update(), CKR_OK);
  tell("fail any C_DigestUpdate CKR_DEVICE_ERROR");
  EXPECT_EQ(update(), CKR_DEVICE_ERROR);
  tell("heal");
  EXPECT_EQ(update(), CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(finish(), CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(logged("has dropped member"), 0U) << log();
}

// Each member has begun the operation, and has said that it has not.
TEST_F(GroupDoubt, WhatIsLeftInASessionIsLeftThereWithItsObjects) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateSessionKey("mine", key), CKR_OK);
  ASSERT_EQ(onEach({text(CKA_LABEL, "mine")}), "1 1 1");
  tell("fail any C_DigestInit CKR_DEVICE_ERROR after");
  EXPECT_EQ(beginDigest(), CKR_DEVICE_ERROR);
  tell("heal");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(beginDigest(), CKR_OK);
    EXPECT_EQ(update(), CKR_OK);
    EXPECT_EQ(finish(), CKR_OK);
  }
  EXPECT_EQ(onEach({text(CKA_LABEL, "mine")}), "1 1 1");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(encrypt(key), CKR_OK);
  EXPECT_EQ(logged("has dropped member"), 0U) << log();
  const unsigned long before = asked(0, "C_CloseSession");
  EXPECT_EQ(client.f->C_CloseSession(session), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, "mine")}), "0 0 0");
  EXPECT_GT(asked(0, "C_CloseSession"), before) << "that one is not pooled";
}

}  // namespace
}  // namespace p11ha::tests
