// A key that is found, not made: used on a member only once it is proved to be the same key there.
#include <set>
#include <string>

#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupProof : public WorkingGroup {
 protected:
  using Functions = CK_FUNCTION_LIST_PTR;
  Functions group() const { return reinterpret_cast<Functions>(client.f); }

  CK_RV generateDeriving(Functions f, CK_SESSION_HANDLE in, Pair& made) const {
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    Template publicKey{
        flag(CKA_TOKEN), {CKA_EC_PARAMS, p256, sizeof p256}, text(CKA_LABEL, label), text(CKA_ID, label)};
    Template privateKey{flag(CKA_TOKEN),     flag(CKA_PRIVATE),     flag(CKA_SIGN, false),  flag(CKA_DERIVE),
                        flag(CKA_SENSITIVE), flag(CKA_EXTRACTABLE), text(CKA_LABEL, label), text(CKA_ID, label)};
    return f->C_GenerateKeyPair(in, &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                privateKey.size(), &made.publicKey, &made.privateKey);
  }
  /// As another process finds the group: nothing is known of its objects.
  void startAnew() {
    ASSERT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    session = client.open(0);
    ASSERT_EQ(client.login(session), CKR_OK);
  }
  /// A MAC under what the key agrees on with itself; each member makes some of nine.
  std::set<std::string> macs(CK_OBJECT_HANDLE privateKey, CK_OBJECT_HANDLE publicKey) const {
    Bytes point(100);
    CK_ATTRIBUTE asked{CKA_EC_POINT, point.data(), point.size()};
    EXPECT_EQ(client.f->C_GetAttributeValue(session, publicKey, &asked, 1), CKR_OK);
    CK_ECDH1_DERIVE_PARAMS parameters{CKD_NULL, 0, nullptr, asked.ulValueLen - 2, point.data() + 2};
    CK_MECHANISM mechanism{CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
    CK_OBJECT_CLASS object = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    Template wanted{{CKA_CLASS, &object, sizeof object},
                    {CKA_KEY_TYPE, &type, sizeof type},
                    flag(CKA_SIGN),
                    flag(CKA_SENSITIVE, false),
                    flag(CKA_EXTRACTABLE)};
    CK_OBJECT_HANDLE secret = 0;
    EXPECT_EQ(client.f->C_DeriveKey(session, &mechanism, privateKey, wanted.data(), wanted.size(), &secret), CKR_OK);
    std::set<std::string> all;
    for (int i = 0; i < 9; ++i) {
      Bytes mac;
      EXPECT_EQ(sign(session, CKM_SHA256_HMAC, secret, mac), CKR_OK);
      all.emplace(mac.begin(), mac.end());
    }
    return all;
  }

  Template privateOnes() { return {{CKA_CLASS, &privateKeys, sizeof privateKeys}, text(CKA_LABEL, label)}; }
  Template publicOnes() { return {{CKA_CLASS, &publicKeys, sizeof publicKeys}, text(CKA_LABEL, label)}; }
  const std::string label = "deriving";
};

TEST_F(GroupProof, AKeyThatMayOnlyDeriveIsProvedByAgreement) {
  Pair pair;
  ASSERT_EQ(generateDeriving(group(), session, pair), CKR_OK);
  startAnew();
  const std::vector<CK_OBJECT_HANDLE> found = find(privateOnes());
  ASSERT_EQ(found.size(), 1U);
  const unsigned long before = asked(1, "C_DeriveKey");
  EXPECT_EQ(macs(found.front(), find(publicOnes()).front()).size(), 1U);
  EXPECT_EQ(asked(1, "C_DeriveKey") - before, 3U) << "two for the proof, one for the application";
  EXPECT_EQ(logged("ambiguous"), 0U) << log();
}

TEST_F(GroupProof, AnotherKeyOfItsLookIsNotUsed) {
  Pair pair;
  ASSERT_EQ(generateDeriving(group(), session, pair), CKR_OK);
  for (const CK_OBJECT_HANDLE own : findOn(1, privateOnes())) {
    ASSERT_EQ(softHsm->C_DestroyObject(direct[1], own), CKR_OK);
  }
  Pair other;
  ASSERT_EQ(generateDeriving(softHsm, direct[1], other), CKR_OK);
  ASSERT_EQ(softHsm->C_DestroyObject(direct[1], other.publicKey), CKR_OK);
  startAnew();
  // Found twice: the group's, and the one that it does not know.
  for (const CK_OBJECT_HANDLE found : find(privateOnes())) {
    EXPECT_EQ(macs(found, find(publicOnes()).front()).size(), 1U);
  }
  EXPECT_EQ(logged("is ambiguous"), 1U) << log();
}

}  // namespace
}  // namespace p11ha::tests
