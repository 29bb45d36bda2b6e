// What is wrong with an application's input says nothing about the member that notices: three members stay active, and
// the log has not a line more.
#include <gmock/gmock.h>

#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupBadInput : public WorkingGroup {
 protected:
  void SetUp() override {
    WorkingGroup::SetUp();
    ASSERT_EQ(generate(CKM_RSA_PKCS_KEY_PAIR_GEN, "rsa", rsa), CKR_OK);
    ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "ec", ec), CKR_OK);
    ASSERT_EQ(generateAes("aes", aes), CKR_OK);
    logBefore = log();
  }
  /// Each member is asked more than once, and all three still answer.
  void TearDown() override {
    if (!HasFatalFailure()) {
      unsigned long before[3];
      for (std::size_t i = 0; i < 3; ++i) before[i] = asked(i, "C_Sign");
      for (int i = 0; i < 12; ++i) EXPECT_EQ(sign(ec.privateKey), CKR_OK);
      for (std::size_t i = 0; i < 3; ++i) EXPECT_GT(asked(i, "C_Sign"), before[i]) << "member " << i << " is out";
      EXPECT_EQ(log(), logBefore);
    }
  }

  void decryptsNot(CK_MECHANISM mechanism, CK_OBJECT_HANDLE key, const Bytes& cipher) const {
    for (int i = 0; i < 7; ++i) {
      Bytes in = cipher;
      Bytes plain(1024);
      CK_ULONG size = plain.size();
      ASSERT_EQ(client.f->C_DecryptInit(session, &mechanism, key), CKR_OK);
      const CK_RV rv = client.f->C_Decrypt(session, in.data(), in.size(), plain.data(), &size);
      EXPECT_NE(rv, CKR_OK);
      EXPECT_NE(rv, CKR_DEVICE_ERROR);
    }
  }
  Bytes encrypt(CK_MECHANISM mechanism, CK_OBJECT_HANDLE key) const {
    Bytes plain(21, 3);
    Bytes cipher(1024);
    CK_ULONG size = cipher.size();
    EXPECT_EQ(client.f->C_EncryptInit(session, &mechanism, key), CKR_OK);
    EXPECT_EQ(client.f->C_Encrypt(session, plain.data(), plain.size(), cipher.data(), &size), CKR_OK);
    cipher.resize(size);
    return cipher;
  }

  // SoftHSM, too, says OBJECT where the standard says KEY.
  const testing::Matcher<CK_RV> unknownKey = testing::AnyOf(CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID);
  Pair rsa;
  Pair ec;
  CK_OBJECT_HANDLE aes = 0;
  std::string logBefore;
};

TEST_F(GroupBadInput, ABadGcmTag) {
  CK_BYTE iv[12] = {1};
  CK_GCM_PARAMS gcm{};
  gcm.pIv = iv;
  gcm.ulIvLen = sizeof iv;
  gcm.ulIvBits = 8 * sizeof iv;
  gcm.ulTagBits = 128;
  const CK_MECHANISM mechanism{CKM_AES_GCM, &gcm, sizeof gcm};
  Bytes cipher = encrypt(mechanism, aes);
  cipher.back() ^= 1;
  decryptsNot(mechanism, aes, cipher);
}

TEST_F(GroupBadInput, BadCbcPadding) {
  CK_BYTE iv[16] = {1};
  const CK_MECHANISM mechanism{CKM_AES_CBC_PAD, iv, sizeof iv};
  Bytes cipher = encrypt(mechanism, aes);
  cipher[cipher.size() - 17] ^= 0x80;  // the last byte of the padding is out of range
  decryptsNot(mechanism, aes, cipher);
}

TEST_F(GroupBadInput, BadRsaCiphertext) {
  const CK_MECHANISM mechanism{CKM_RSA_PKCS_OAEP, nullptr, 0};
  CK_RSA_PKCS_OAEP_PARAMS oaep{};
  oaep.hashAlg = CKM_SHA_1;
  oaep.mgf = CKG_MGF1_SHA1;
  oaep.source = CKZ_DATA_SPECIFIED;
  CK_MECHANISM withHash = mechanism;
  withHash.pParameter = &oaep;
  withHash.ulParameterLen = sizeof oaep;
  Bytes cipher = encrypt(withHash, rsa.publicKey);
  cipher[100] ^= 1;
  decryptsNot(withHash, rsa.privateKey, cipher);
}

TEST_F(GroupBadInput, AValueAboveTheModulus) {
  decryptsNot({CKM_RSA_X_509, nullptr, 0}, rsa.privateKey, Bytes(256, 0xff));
}

TEST_F(GroupBadInput, TheWrongKeyForTheMechanism) {
  for (int i = 0; i < 7; ++i) {
    CK_MECHANISM rsaPkcs{CKM_RSA_PKCS, nullptr, 0};
    CK_MECHANISM cbc{CKM_AES_CBC, nullptr, 0};
    Bytes signature;
    EXPECT_NE(sign(session, CKM_ECDSA, rsa.privateKey, signature), CKR_OK);
    EXPECT_NE(sign(session, CKM_RSA_PKCS, ec.privateKey, signature), CKR_OK);
    EXPECT_NE(sign(session, CKM_SHA256_RSA_PKCS, aes, signature), CKR_OK);
    EXPECT_NE(client.f->C_EncryptInit(session, &cbc, rsa.publicKey), CKR_OK);
    EXPECT_NE(client.f->C_DecryptInit(session, &rsaPkcs, aes), CKR_OK);
    // Whatever began all the same ends here.
    const CK_SESSION_HANDLE next = client.open(0);
    client.f->C_CloseSession(session);
    session = next;
  }
}

TEST_F(GroupBadInput, ADamagedWrappedKey) {
  CK_OBJECT_CLASS object = CKO_SECRET_KEY;
  CK_KEY_TYPE type = CKK_AES;
  Template wanted{
      {CKA_CLASS, &object, sizeof object}, {CKA_KEY_TYPE, &type, sizeof type}, flag(CKA_TOKEN), flag(CKA_EXTRACTABLE)};
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  Bytes wrapped(100);
  CK_ULONG size = wrapped.size();
  ASSERT_EQ(client.f->C_WrapKey(session, &mechanism, aes, aes, wrapped.data(), &size), CKR_OK);
  wrapped.resize(size);
  wrapped[3] ^= 1;
  for (int i = 0; i < 7; ++i) {
    CK_OBJECT_HANDLE made = 0;
    const CK_RV rv = client.f->C_UnwrapKey(session, &mechanism, aes, wrapped.data(), wrapped.size(), wanted.data(),
                                           wanted.size(), &made);
    EXPECT_NE(rv, CKR_OK);
    EXPECT_NE(rv, CKR_DEVICE_ERROR);
  }
}

TEST_F(GroupBadInput, HandlesThatNobodyMade) {
  for (int i = 0; i < 7; ++i) {
    CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
    EXPECT_THAT(client.f->C_SignInit(session, &mechanism, 0x7fffffff), unknownKey);
    CK_BYTE label[8];
    CK_ATTRIBUTE read{CKA_LABEL, label, sizeof label};
    EXPECT_EQ(client.f->C_GetAttributeValue(session, 0x7fffffff, &read, 1), CKR_OBJECT_HANDLE_INVALID);
    EXPECT_EQ(client.f->C_DestroyObject(session, 0x7fffffff), CKR_OBJECT_HANDLE_INVALID);
    EXPECT_EQ(client.random(0x7fffffff), CKR_SESSION_HANDLE_INVALID);
  }
}

TEST_F(GroupBadInput, AKeyDestroyedBehindTheGroupsBack) {
  const std::string label = "gone";
  CK_OBJECT_HANDLE gone = 0;
  ASSERT_EQ(generateAes(label, gone), CKR_OK);
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(softHsm->C_DestroyObject(direct[i], findOn(i, {text(CKA_LABEL, label)}).at(0)), CKR_OK);
  }
  CK_BYTE iv[16] = {1};
  CK_MECHANISM mechanism{CKM_AES_CBC_PAD, iv, sizeof iv};
  for (int i = 0; i < 7; ++i) EXPECT_THAT(client.f->C_EncryptInit(session, &mechanism, gone), unknownKey);
}

}  // namespace
}  // namespace p11ha::tests
