// What is made through a group is on each of its members before the application is told.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

using GroupObjects = WorkingGroup;

CK_OBJECT_CLASS data = CKO_DATA;

TEST_F(GroupObjects, AnEcKeyPairIsOnEachMember) {
  Pair pair;
  const std::string label = "ec";
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, label, pair), CKR_OK);
  EXPECT_EQ(onEach({ofClass(publicKeys), text(CKA_LABEL, label)}), "1 1 1");
  EXPECT_EQ(onEach({ofClass(privateKeys), text(CKA_LABEL, label)}), "1 1 1");
  EXPECT_EQ(find({text(CKA_LABEL, label)}).size(), 2U) << "one object, one handle";
  for (int i = 0; i < 9; ++i) {
    Bytes signature;
    ASSERT_EQ(sign(session, CKM_ECDSA, pair.privateKey, signature), CKR_OK);
    ASSERT_EQ(verify(session, CKM_ECDSA, pair.publicKey, signature), CKR_OK);
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_GE(asked(i, "C_Sign"), 2U) << "member " << i;
}

TEST_F(GroupObjects, AnRsaKeyPairIsOnEachMember) {
  Pair pair;
  const std::string label = "rsa";
  ASSERT_EQ(generate(CKM_RSA_PKCS_KEY_PAIR_GEN, label, pair), CKR_OK);
  EXPECT_EQ(onEach({ofClass(publicKeys), text(CKA_LABEL, label)}), "1 1 1");
  EXPECT_EQ(onEach({ofClass(privateKeys), text(CKA_LABEL, label)}), "1 1 1");
  for (int i = 0; i < 9; ++i) {
    Bytes signature;
    ASSERT_EQ(sign(session, CKM_SHA256_RSA_PKCS, pair.privateKey, signature), CKR_OK);
    ASSERT_EQ(verify(session, CKM_SHA256_RSA_PKCS, pair.publicKey, signature), CKR_OK);
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_GE(asked(i, "C_Sign"), 2U) << "member " << i;
}

TEST_F(GroupObjects, AnAesKeyIsTheSameOnEachMember) {
  const std::string label = "aes";
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes(label, key), CKR_OK);
  EXPECT_EQ(onEach({ofClass(secretKeys), text(CKA_LABEL, label)}), "1 1 1");
  CK_BYTE iv[16] = {1};
  CK_MECHANISM mechanism{CKM_AES_CBC_PAD, iv, sizeof iv};
  Bytes first;
  for (int i = 0; i < 9; ++i) {
    CK_BYTE plain[] = "the same everywhere";
    Bytes cipher(64);
    CK_ULONG size = cipher.size();
    ASSERT_EQ(client.f->C_EncryptInit(session, &mechanism, key), CKR_OK);
    ASSERT_EQ(client.f->C_Encrypt(session, plain, sizeof plain, cipher.data(), &size), CKR_OK);
    cipher.resize(size);
    if (first.empty()) first = cipher;
    EXPECT_EQ(cipher, first);
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_GE(asked(i, "C_Encrypt"), 2U) << "member " << i;
}

TEST_F(GroupObjects, ImportsCopiesChangesAndDestructionReachEachMember) {
  const std::string label = "imported";
  const std::string copied = "copied";
  const std::string changed = "changed";
  CK_KEY_TYPE type = CKK_AES;
  CK_BYTE value[16] = {9, 8, 7};
  Template key{ofClass(secretKeys),
               {CKA_KEY_TYPE, &type, sizeof type},
               flag(CKA_TOKEN),
               flag(CKA_PRIVATE),
               flag(CKA_ENCRYPT),
               flag(CKA_EXTRACTABLE),
               flag(CKA_SENSITIVE, false),
               text(CKA_LABEL, label),
               {CKA_VALUE, value, sizeof value}};
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(client.f->C_CreateObject(session, key.data(), key.size(), &made), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, label)}), "1 1 1");
  for (std::size_t i = 0; i < 3; ++i) {
    Bytes there(16);
    CK_ATTRIBUTE read{CKA_VALUE, there.data(), there.size()};
    ASSERT_EQ(softHsm->C_GetAttributeValue(direct[i], findOn(i, {text(CKA_LABEL, label)}).at(0), &read, 1), CKR_OK);
    EXPECT_EQ(there, Bytes(value, value + sizeof value));
  }

  Template differing{text(CKA_LABEL, copied)};
  CK_OBJECT_HANDLE copy = 0;
  ASSERT_EQ(client.f->C_CopyObject(session, made, differing.data(), differing.size(), &copy), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, copied)}), "1 1 1");
  EXPECT_EQ(onEach({text(CKA_LABEL, label)}), "1 1 1");

  Template change{text(CKA_LABEL, changed)};
  ASSERT_EQ(client.f->C_SetAttributeValue(session, copy, change.data(), change.size()), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, copied)}), "0 0 0");
  EXPECT_EQ(onEach({text(CKA_LABEL, changed)}), "1 1 1");

  ASSERT_EQ(client.f->C_DestroyObject(session, made), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, label)}), "0 0 0");
  EXPECT_EQ(client.f->C_DestroyObject(session, made), CKR_OBJECT_HANDLE_INVALID);
  ASSERT_EQ(client.f->C_DestroyObject(session, copy), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, changed)}), "0 0 0");
}

TEST_F(GroupObjects, PublicDataIsOnEachMember) {
  const std::string label = "data";
  Template wanted{ofClass(data), flag(CKA_TOKEN), flag(CKA_PRIVATE, false), text(CKA_LABEL, label),
                  text(CKA_VALUE, label)};
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(client.f->C_CreateObject(session, wanted.data(), wanted.size(), &made), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, label)}), "1 1 1");
}

TEST_F(GroupObjects, UnwrappedKeysAreOnEachMember) {
  const std::string wrapping = "wrapping";
  const std::string label = "wrapped";
  const std::string again = "again";
  CK_OBJECT_HANDLE wrapper = 0;
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes(wrapping, wrapper), CKR_OK);
  ASSERT_EQ(generateAes(label, key), CKR_OK);
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  Bytes wrapped(100);
  CK_ULONG size = wrapped.size();
  ASSERT_EQ(client.f->C_WrapKey(session, &mechanism, wrapper, key, wrapped.data(), &size), CKR_OK);
  CK_KEY_TYPE type = CKK_AES;
  Template wanted{ofClass(secretKeys),   {CKA_KEY_TYPE, &type, sizeof type},
                  flag(CKA_TOKEN),       flag(CKA_ENCRYPT),
                  flag(CKA_EXTRACTABLE), text(CKA_LABEL, again)};
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(
      client.f->C_UnwrapKey(session, &mechanism, wrapper, wrapped.data(), size, wanted.data(), wanted.size(), &made),
      CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, again)}), "1 1 1");
}

// What cannot be cloned stays where it was made, is used only there, and is said in the log.
TEST_F(GroupObjects, AKeyThatMayNotLeaveStaysOnItsMember) {
  Pair pair;
  const std::string label = "fixed";
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, label, pair, false), CKR_OK);
  EXPECT_EQ(onEach({ofClass(privateKeys), text(CKA_LABEL, label)}), "1 0 0");
  EXPECT_EQ(onEach({ofClass(publicKeys), text(CKA_LABEL, label)}), "1 1 1");
  EXPECT_EQ(logged("is on 1 of 3 members"), 1U) << log();
  for (int i = 0; i < 9; ++i) {
    Bytes signature;
    ASSERT_EQ(sign(session, CKM_ECDSA, pair.privateKey, signature), CKR_OK);
    ASSERT_EQ(verify(session, CKM_ECDSA, pair.publicKey, signature), CKR_OK);
  }
  EXPECT_EQ(asked(0, "C_Sign"), 9U);
  EXPECT_EQ(asked(1, "C_Sign") + asked(1, "C_SignInit"), 0U);
  EXPECT_EQ(asked(2, "C_Sign") + asked(2, "C_SignInit"), 0U);
  EXPECT_EQ(logged("has dropped member"), 0U);
}

// SoftHSM hands out the padding of CKM_AES_KEY_WRAP_PAD with the key: a clone would be another key.
TEST_F(GroupObjects, ASecretThatCannotBeWrappedTrulyStaysOnItsMember) {
  const std::string label = "odd";
  CK_ULONG length = 65;
  CK_MECHANISM generation{CKM_GENERIC_SECRET_KEY_GEN, nullptr, 0};
  Template wanted{flag(CKA_TOKEN),       flag(CKA_PRIVATE),     flag(CKA_SIGN),
                  flag(CKA_SENSITIVE),   flag(CKA_EXTRACTABLE), {CKA_VALUE_LEN, &length, sizeof length},
                  text(CKA_LABEL, label)};
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(client.f->C_GenerateKey(session, &generation, wanted.data(), wanted.size(), &key), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, label)}), "1 0 0");
  EXPECT_EQ(logged("is on 1 of 3 members: its length is no multiple of 8 bytes"), 1U) << log();
  Bytes first;
  ASSERT_EQ(sign(session, CKM_SHA256_HMAC, key, first), CKR_OK);
  for (int i = 0; i < 6; ++i) {
    Bytes again;
    ASSERT_EQ(sign(session, CKM_SHA256_HMAC, key, again), CKR_OK);
    EXPECT_EQ(again, first);
  }
}

}  // namespace
}  // namespace p11ha::tests
