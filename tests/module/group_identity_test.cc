// Keys that nothing but their material tells apart, and members that cannot show just now which key is which.
#include <set>

#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

using Keys = std::set<CK_OBJECT_HANDLE>;
using Signers = std::set<Keys>;

class GroupIdentity : public WorkingGroup {
 protected:
  /// An extractable pair; of label and CKA_ID, what is empty is left out.
  CK_RV makePair(CK_MECHANISM_TYPE type, const std::string& label, const std::string& id) const {
    CK_MECHANISM mechanism{type, nullptr, 0};
    Template publicKey{flag(CKA_TOKEN), flag(CKA_VERIFY)};
    Template privateKey{flag(CKA_TOKEN), flag(CKA_PRIVATE), flag(CKA_SIGN), flag(CKA_SENSITIVE), flag(CKA_EXTRACTABLE)};
    if (type == CKM_RSA_PKCS_KEY_PAIR_GEN) {
      publicKey.push_back({CKA_MODULUS_BITS, &rsaBits, sizeof rsaBits});
      publicKey.push_back({CKA_PUBLIC_EXPONENT, rsaExponent, sizeof rsaExponent});
    } else {
      publicKey.push_back({CKA_EC_PARAMS, p256, sizeof p256});
    }
    for (Template* each : {&publicKey, &privateKey}) {
      if (!label.empty()) each->push_back(text(CKA_LABEL, label));
      if (!id.empty()) each->push_back(text(CKA_ID, id));
    }
    Pair made;
    return client.f->C_GenerateKeyPair(session, &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                       privateKey.size(), &made.publicKey, &made.privateKey);
  }

  bool onlyOneIsLeft(std::size_t index) const {
    for (std::size_t i = 0; i < direct.size(); ++i) {
      if (i != index && !lose(i)) return false;
    }
    return true;
  }

  /// Past the group: under which of these public keys of member 0 the signature is good.
  Keys goodUnder(CK_MECHANISM_TYPE type, const std::vector<CK_OBJECT_HANDLE>& keys, Bytes signature) const {
    Keys good;
    for (const CK_OBJECT_HANDLE key : keys) {
      CK_MECHANISM mechanism{type, nullptr, 0};
      Bytes data(32, 7);
      EXPECT_EQ(softHsm->C_VerifyInit(direct[0], &mechanism, key), CKR_OK);
      if (softHsm->C_Verify(direct[0], data.data(), data.size(), signature.data(), signature.size()) == CKR_OK)
        good.insert(key);
    }
    return good;
  }
  /// Each signature's public keys, of several by one handle: a single set of one, if it is one key.
  Signers signersOf(CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, const std::vector<CK_OBJECT_HANDLE>& among) const {
    Signers all;
    for (int i = 0; i < 12; ++i) {
      Bytes signature;
      EXPECT_EQ(sign(session, type, key, signature), CKR_OK);
      all.insert(goodUnder(type, among, signature));
    }
    return all;
  }
};

struct Looks {
  std::string name;
  CK_MECHANISM_TYPE generation;
  CK_MECHANISM_TYPE signing;
  std::string label;
  std::string id;
};
void PrintTo(const Looks& looks, std::ostream* out) { *out << looks.name; }

/// Parametrised by what the two pairs have in common.
class GroupOfAlikePairs : public GroupIdentity, public testing::WithParamInterface<Looks> {
 protected:
  void eachHandleIsOneKey(const std::string& when) const {
    const std::vector<CK_OBJECT_HANDLE> found = find({ofClass(privateKeys)});
    EXPECT_EQ(found.size(), 2U) << when;
    EXPECT_EQ(find({ofClass(publicKeys)}).size(), 2U) << when;
    const std::vector<CK_OBJECT_HANDLE> among = findOn(0, {ofClass(publicKeys)});
    Signers seen;
    for (const CK_OBJECT_HANDLE key : found) {
      std::vector<unsigned long> before;
      for (std::size_t i = 0; i < direct.size(); ++i) before.push_back(asked(i, "C_Sign"));
      const auto signers = signersOf(GetParam().signing, key, among);
      for (std::size_t i = 0; i < direct.size(); ++i) {
        EXPECT_GE(asked(i, "C_Sign") - before[i], 3U) << when << ": member " << i;
      }
      EXPECT_EQ(signers.size(), 1U) << when;
      EXPECT_EQ(signers.begin()->size(), 1U) << when;
      EXPECT_TRUE(seen.insert(*signers.begin()).second) << when << ": two handles of one key";
    }
  }
};

TEST_P(GroupOfAlikePairs, AreNotTakenForOneAnother) {
  const Looks& looks = GetParam();
  for (int i = 0; i < 2; ++i) ASSERT_EQ(makePair(looks.generation, looks.label, looks.id), CKR_OK);
  startAnew();
  eachHandleIsOneKey("found by another process");
  ASSERT_TRUE(lose(1));
  ASSERT_TRUE(recover(1));
  eachHandleIsOneKey("a member has come back");
  EXPECT_EQ(onEach({ofClass(privateKeys)}), "2 2 2");
  EXPECT_EQ(onEach({ofClass(publicKeys)}), "2 2 2");
  EXPECT_EQ(logged("ambiguous"), 0U) << log();
}

INSTANTIATE_TEST_SUITE_P(Looks, GroupOfAlikePairs,
                         testing::Values(Looks{"EcWithoutNames", CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, "", ""},
                                         Looks{"EcOfOneName", CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, "k", "1"},
                                         Looks{"EcOfOneLabel", CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, "k", ""},
                                         Looks{"RsaWithoutNames", CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS, "", ""},
                                         Looks{"RsaOfOneName", CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS, "k", "1"}),
                         [](const auto& each) { return each.param.name; });

TEST_F(GroupIdentity, KeysThatOnlyTheirLabelsNameAreCopiedOnce) {
  const std::vector<std::string> labels = {"a", "b", "c"};
  for (const std::string& label : labels) ASSERT_EQ(makePair(CKM_EC_KEY_PAIR_GEN, label, ""), CKR_OK);
  startAnew();
  const auto check = [&](const std::string& when) {
    for (const std::string& label : labels) {
      const Template ownPrivate{ofClass(privateKeys), text(CKA_LABEL, label)};
      const Template ownPublic{ofClass(publicKeys), text(CKA_LABEL, label)};
      EXPECT_EQ(onEach(ownPrivate), "1 1 1") << when << ": " << label;
      EXPECT_EQ(onEach(ownPublic), "1 1 1") << when << ": " << label;
      const std::vector<CK_OBJECT_HANDLE> found = find(ownPrivate);
      EXPECT_EQ(found.size(), 1U) << when << ": " << label;
      EXPECT_EQ(find(ownPublic).size(), 1U) << when << ": " << label;
      const std::vector<CK_OBJECT_HANDLE> its = findOn(0, ownPublic);
      for (const CK_OBJECT_HANDLE key : found) {
        EXPECT_EQ(signersOf(CKM_ECDSA, key, findOn(0, {ofClass(publicKeys)})), (Signers{Keys(its.begin(), its.end())}))
            << when << ": " << label;
      }
    }
  };
  check("found by another process");
  for (int outage = 1; outage <= 2; ++outage) {
    ASSERT_TRUE(lose(1));
    ASSERT_TRUE(recover(1));
    check("after outage " + std::to_string(outage));
  }
  ASSERT_TRUE(onlyOneIsLeft(1));
  check("only that member is left");
  EXPECT_EQ(logged("ambiguous"), 0U) << log();
}

// They cannot sign, and to try a public key of the other curve is an error that SoftHSM takes for its own.
TEST_F(GroupIdentity, DerivingKeysOfTwoCurvesAreNotTakenForOneAnother) {
  CK_BYTE p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
  for (int i = 0; i < 4; ++i) {
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    Template publicKey{flag(CKA_TOKEN), i % 2 == 0 ? CK_ATTRIBUTE{CKA_EC_PARAMS, p256, sizeof p256}
                                                   : CK_ATTRIBUTE{CKA_EC_PARAMS, p384, sizeof p384}};
    Template privateKey{flag(CKA_TOKEN),  flag(CKA_PRIVATE),   flag(CKA_SIGN, false),
                        flag(CKA_DERIVE), flag(CKA_SENSITIVE), flag(CKA_EXTRACTABLE)};
    Pair made;
    ASSERT_EQ(client.f->C_GenerateKeyPair(session, &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                          privateKey.size(), &made.publicKey, &made.privateKey),
              CKR_OK);
  }
  startAnew();
  EXPECT_EQ(find({ofClass(privateKeys)}).size(), 4U);
  EXPECT_EQ(find({ofClass(publicKeys)}).size(), 4U);
  EXPECT_EQ(logged("ambiguous"), 0U) << log();
}

TEST_F(GroupIdentity, AMemberShortOfMemoryOnceIsNotWithoutItsKeys) {
  std::vector<Pair> pairs(4);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "key " + std::to_string(i), pairs[i]), CKR_OK);
  }
  ASSERT_TRUE(lose(1));
  ASSERT_TRUE(recover(1));
  const unsigned long before = refused(1, "C_Sign");
  // The first that signs there is the proof.
  tell("fail " + member(1) + " C_Sign CKR_HOST_MEMORY times 1");
  const auto allSign = [&] {
    for (const Pair& pair : pairs) {
      for (int i = 0; i < 6; ++i) EXPECT_EQ(sign(pair.privateKey), CKR_OK);
    }
  };
  allSign();
  EXPECT_EQ(refused(1, "C_Sign") - before, 1U);
  ASSERT_TRUE(onlyOneIsLeft(1));
  allSign();
  EXPECT_EQ(logged("ambiguous"), 0U) << log();
}

// As SoftHSM shows one that its process was killed at.
TEST_F(GroupIdentity, AnObjectThatIsHalfWrittenKeepsNoMemberAway) {
  Pair pair;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "key", pair), CKR_OK);
  ASSERT_TRUE(lose(1));
  tell("fail " + member(1) + " C_GetAttributeValue CKR_ATTRIBUTE_VALUE_INVALID times 1");
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(refused(1, "C_GetAttributeValue"), 1U);
  EXPECT_EQ(logged("recovery attempt 1 failed"), 0U) << log();
}

/// A secret key that only one way shows to be itself, and the call that the member cannot do for a while.
struct Shortage {
  std::string call;
  CK_KEY_TYPE type;
  CK_ATTRIBUTE_TYPE use;
};
void PrintTo(const Shortage& shortage, std::ostream* out) { *out << shortage.call; }

class GroupShortOfMemory : public GroupIdentity, public testing::WithParamInterface<Shortage> {
 protected:
  CK_RV create(CK_OBJECT_HANDLE& key) const {
    CK_KEY_TYPE type = GetParam().type;
    Bytes value(32, 9);
    Template wanted{ofClass(secretKeys),
                    {CKA_KEY_TYPE, &type, sizeof type},
                    {CKA_VALUE, value.data(), value.size()},
                    flag(CKA_TOKEN),
                    flag(CKA_PRIVATE),
                    flag(CKA_SENSITIVE),
                    flag(CKA_EXTRACTABLE)};
    for (const CK_ATTRIBUTE_TYPE use : {CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP})
      wanted.push_back(flag(use, use == GetParam().use));
    return client.f->C_CreateObject(session, wanted.data(), wanted.size(), &key);
  }
  CK_RV use(CK_OBJECT_HANDLE key) const {
    CK_BYTE bytes[32] = {7};
    CK_ULONG length = sizeof bytes;
    if (GetParam().use == CKA_SIGN) return sign(key, CKM_SHA256_HMAC);
    if (GetParam().use == CKA_ENCRYPT) {
      CK_MECHANISM mechanism{CKM_AES_ECB, nullptr, 0};
      if (const CK_RV rv = client.f->C_EncryptInit(session, &mechanism, key); rv != CKR_OK) return rv;
      return client.f->C_Encrypt(session, bytes, sizeof bytes, bytes, &length);
    }
    CK_MECHANISM mechanism{CKM_SHA256, nullptr, 0};
    if (const CK_RV rv = client.f->C_DigestInit(session, &mechanism); rv != CKR_OK) return rv;
    const CK_RV rv = client.f->C_DigestKey(session, key);
    const CK_RV ended = client.f->C_DigestFinal(session, bytes, &length);
    return rv != CKR_OK ? rv : ended;
  }
};

TEST_P(GroupShortOfMemory, ASecretKeyIsNotCopiedOnceMore) {
  if (GetParam().call != "C_DigestInit") tell("fail any C_DigestInit CKR_MECHANISM_INVALID");
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(create(key), CKR_OK);
  const Template every{ofClass(secretKeys)};
  ASSERT_EQ(onEach(every), "1 1 1");
  for (int outage = 1; outage <= 2; ++outage) {
    ASSERT_TRUE(lose(1));
    const unsigned long before = refused(1, GetParam().call);
    tell("fail " + member(1) + " " + GetParam().call + " CKR_HOST_MEMORY");
    ASSERT_TRUE(recover(1));
    EXPECT_GT(refused(1, GetParam().call), before) << "outage " << outage;
    EXPECT_EQ(onEach(every), "1 1 1") << "outage " << outage;
    EXPECT_EQ(find(every).size(), 1U) << "outage " << outage;
    tell("heal " + member(1));
  }
  ASSERT_TRUE(onlyOneIsLeft(1));
  EXPECT_EQ(use(key), CKR_OK);
  EXPECT_EQ(logged("ambiguous"), 0U) << log();
}

INSTANTIATE_TEST_SUITE_P(Of, GroupShortOfMemory,
                         testing::Values(Shortage{"C_DigestInit", CKK_GENERIC_SECRET, CKA_DERIVE},
                                         Shortage{"C_SignInit", CKK_GENERIC_SECRET, CKA_SIGN},
                                         Shortage{"C_EncryptInit", CKK_AES, CKA_ENCRYPT}),
                         [](const auto& each) { return each.param.call.substr(2); });

/// Imports: a private key, and beside it the public key of another under the same CKA_ID.
class GroupOfStrangers : public GroupIdentity {
 protected:
  struct Material {
    Bytes value;
    Bytes point;
  };
  Material newMaterial() const {
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    Template publicKey{flag(CKA_TOKEN, false), {CKA_EC_PARAMS, p256, sizeof p256}};
    Template privateKey{flag(CKA_TOKEN, false), flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE)};
    Pair made;
    EXPECT_EQ(softHsm->C_GenerateKeyPair(direct[0], &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                         privateKey.size(), &made.publicKey, &made.privateKey),
              CKR_OK);
    const auto read = [&](CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
      Bytes bytes(200);
      CK_ATTRIBUTE wanted{type, bytes.data(), bytes.size()};
      EXPECT_EQ(softHsm->C_GetAttributeValue(direct[0], object, &wanted, 1), CKR_OK);
      bytes.resize(wanted.ulValueLen);
      return bytes;
    };
    Material material{read(made.privateKey, CKA_VALUE), read(made.publicKey, CKA_EC_POINT)};
    EXPECT_EQ(softHsm->C_DestroyObject(direct[0], made.publicKey), CKR_OK);
    EXPECT_EQ(softHsm->C_DestroyObject(direct[0], made.privateKey), CKR_OK);
    return material;
  }
  CK_OBJECT_HANDLE importPrivate(CK_FUNCTION_LIST_PTR f, CK_SESSION_HANDLE in, Bytes value) {
    Template wanted{ofClass(privateKeys),
                    {CKA_KEY_TYPE, &ec, sizeof ec},
                    {CKA_EC_PARAMS, p256, sizeof p256},
                    {CKA_VALUE, value.data(), value.size()},
                    flag(CKA_TOKEN),
                    flag(CKA_PRIVATE),
                    flag(CKA_SIGN),
                    flag(CKA_SENSITIVE),
                    flag(CKA_EXTRACTABLE),
                    text(CKA_LABEL, name),
                    text(CKA_ID, name)};
    CK_OBJECT_HANDLE made = 0;
    EXPECT_EQ(f->C_CreateObject(in, wanted.data(), wanted.size(), &made), CKR_OK);
    return made;
  }
  CK_OBJECT_HANDLE importPublic(CK_FUNCTION_LIST_PTR f, CK_SESSION_HANDLE in, Bytes point, bool token) {
    Template wanted{ofClass(publicKeys),
                    {CKA_KEY_TYPE, &ec, sizeof ec},
                    {CKA_EC_PARAMS, p256, sizeof p256},
                    {CKA_EC_POINT, point.data(), point.size()},
                    flag(CKA_TOKEN, token),
                    flag(CKA_PRIVATE, false),
                    flag(CKA_VERIFY),
                    text(CKA_LABEL, name),
                    text(CKA_ID, name)};
    CK_OBJECT_HANDLE made = 0;
    EXPECT_EQ(f->C_CreateObject(in, wanted.data(), wanted.size(), &made), CKR_OK);
    return made;
  }
  CK_FUNCTION_LIST_PTR group() const { return reinterpret_cast<CK_FUNCTION_LIST_PTR>(client.f); }

  CK_KEY_TYPE ec = CKK_EC;
  const std::string name = "imported";
};

TEST_F(GroupOfStrangers, AnImportedKeyIsNotWhatThePublicKeyBesideItSays) {
  const Material own = newMaterial();
  const Material other = newMaterial();
  const CK_OBJECT_HANDLE made = importPrivate(group(), session, own.value);
  importPublic(group(), session, other.point, true);
  ASSERT_EQ(onEach({ofClass(privateKeys)}), "1 1 1");
  ASSERT_EQ(onEach({ofClass(publicKeys)}), "1 1 1");
  CK_OBJECT_HANDLE right = importPublic(softHsm, direct[0], own.point, false);
  EXPECT_EQ(signersOf(CKM_ECDSA, made, {right}), (Signers{Keys{right}}));

  // A member is given the key that the public key does belong to, in place of the group's.
  for (const CK_OBJECT_HANDLE there : findOn(1, {ofClass(privateKeys)})) {
    ASSERT_EQ(softHsm->C_DestroyObject(direct[1], there), CKR_OK);
  }
  importPrivate(softHsm, direct[1], other.value);
  startAnew();
  right = importPublic(softHsm, direct[0], own.point, false);
  const CK_OBJECT_HANDLE wrong = findOn(0, {ofClass(publicKeys), flag(CKA_TOKEN)}).at(0);
  Signers all;
  for (const CK_OBJECT_HANDLE found : find({ofClass(privateKeys)})) {
    const auto signers = signersOf(CKM_ECDSA, found, {right, wrong});
    EXPECT_EQ(signers.size(), 1U) << "two keys behind one handle";
    all.insert(signers.begin(), signers.end());
  }
  // What cannot be told from the group's own is left alone, and need not be found.
  EXPECT_EQ(all.count(Keys{right}), 1U) << "the group's own is there to be used";
}

TEST_F(GroupOfStrangers, APrivateKeyWithoutItsPublicKeyIsKnownByWhatItSigns) {
  importPrivate(group(), session, newMaterial().value);
  ASSERT_EQ(onEach({ofClass(privateKeys)}), "1 1 1");
  startAnew();
  const std::vector<CK_OBJECT_HANDLE> found = find({ofClass(privateKeys)});
  ASSERT_EQ(found.size(), 1U);
  ASSERT_EQ(group()->C_DestroyObject(session, found[0]), CKR_OK);
  EXPECT_EQ(onEach({ofClass(privateKeys)}), "0 0 0");

  // And is not taken for another of its name.
  importPrivate(group(), session, newMaterial().value);
  const std::vector<CK_OBJECT_HANDLE> there = findOn(1, {ofClass(privateKeys)});
  ASSERT_EQ(there.size(), 1U);
  ASSERT_EQ(softHsm->C_DestroyObject(direct[1], there[0]), CKR_OK);
  importPrivate(softHsm, direct[1], newMaterial().value);
  startAnew();
  EXPECT_EQ(find({ofClass(privateKeys)}).size(), 2U);
}

// As before, and behind the back of a group that runs.
TEST_F(GroupOfStrangers, ItIsNotTakenForTheKeyThatCameInItsPlace) {
  const Material own = newMaterial();
  const Material other = newMaterial();
  importPublic(group(), session, other.point, true);
  const CK_OBJECT_HANDLE made = importPrivate(group(), session, own.value);
  const CK_OBJECT_HANDLE right = importPublic(softHsm, direct[0], own.point, false);
  ASSERT_TRUE(lose(1));
  for (const CK_OBJECT_HANDLE there : findOn(1, {ofClass(privateKeys)})) {
    ASSERT_EQ(softHsm->C_DestroyObject(direct[1], there), CKR_OK);
  }
  importPrivate(softHsm, direct[1], other.value);
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(signersOf(CKM_ECDSA, made, {right}), (Signers{Keys{right}}));
}

}  // namespace
}  // namespace p11ha::tests
