// Keys that travel between members of a cloning domain, and prove that they have arrived.
#include <array>

#include "ha/domain/choosing.h"
#include "ha/domain/transfer.h"
#include "tests/module/domain_fixture.h"

namespace p11ha::tests::cloning {
namespace {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Template;
using ha::Copied;
using ha::domain::Conveyance;
using ha::domain::Holding;
using ha::domain::Kind;
using ha::domain::OnToken;
using ha::domain::Report;
using ha::domain::Seal;
using ha::domain::TokenSession;
using ha::domain::TransferEnd;

constexpr std::array<std::uint8_t, 10> kCurve = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr std::array<std::uint8_t, 3> kExponent = {1, 0, 1};

/// Two members of a domain, and their users' sessions.
class DomainTransfer : public DomainTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(join().result, Report::Result::Done);
    for (auto& member : members) {
      sessions.push_back(std::make_unique<TokenSession>(*member));
      ASSERT_EQ(sessions.back()->open().rv, CKR_OK);
      ASSERT_EQ(sessions.back()->login(CKU_USER, userPin).rv, CKR_OK);
      ASSERT_EQ(readHolding(sessions.back()->token(), holdings.emplace_back()).rv, CKR_OK);
    }
  }

  OnToken on(std::size_t member) const { return sessions[member]->token(); }

  static Template shape(bool wantsTrusted, bool derive = false) {
    Template key;
    key.addBool(CKA_TOKEN, true);
    key.addBool(CKA_PRIVATE, true);
    key.addText(CKA_LABEL, "a label");
    key.addText(CKA_ID, "an id");
    key.addBool(CKA_SENSITIVE, true);
    key.addBool(CKA_EXTRACTABLE, true);
    key.addBool(CKA_WRAP_WITH_TRUSTED, wantsTrusted);
    key.addBool(CKA_DERIVE, derive);
    return key;
  }
  CK_OBJECT_HANDLE makeSecret(bool wantsTrusted, bool derive = false) const {
    Template key = shape(wantsTrusted, derive);
    key.addBool(CKA_ENCRYPT, true);
    key.addBool(CKA_DECRYPT, true);
    key.addUlong(CKA_VALUE_LEN, 32);
    CK_OBJECT_HANDLE made = 0;
    EXPECT_EQ(on(0).generateKey(CKM_AES_KEY_GEN, key, made).rv, CKR_OK);
    return made;
  }
  struct Pair {
    CK_OBJECT_HANDLE publicKey = 0;
    CK_OBJECT_HANDLE privateKey = 0;
  };
  Pair makePair(CK_MECHANISM_TYPE mechanism) const {
    Template forPublic;
    forPublic.addBool(CKA_VERIFY, true);
    if (mechanism == CKM_EC_KEY_PAIR_GEN) {
      forPublic.addBytes(CKA_EC_PARAMS, kCurve);
    } else {
      forPublic.addUlong(CKA_MODULUS_BITS, 2048);
      forPublic.addBytes(CKA_PUBLIC_EXPONENT, kExponent);
    }
    Template forPrivate = shape(true);
    forPrivate.addBool(CKA_SIGN, true);
    Pair pair;
    EXPECT_EQ(on(0).generatePair(mechanism, forPublic, forPrivate, pair.publicKey, pair.privateKey).rv, CKR_OK);
    return pair;
  }

  Kind kindOf(CK_OBJECT_HANDLE object) const {
    Template read;
    EXPECT_EQ(on(0).read(object, ha::domain::kConveyanceNature, read).rv, CKR_OK);
    const Conveyance conveyance = ha::domain::conveyanceOf(read);
    EXPECT_EQ(conveyance.way, Conveyance::Way::Domain) << conveyance.reason;
    return conveyance.kind;
  }
  TransferEnd end(std::size_t member, const Kind& kind) const {
    const auto route = ha::domain::chooseRoute(kind, holdings, 0, 1);
    return {on(member), holdings[member].find(route->first, kind)->handle};
  }
  Copied transfer(CK_OBJECT_HANDLE object) const {
    const Kind kind = kindOf(object);
    return transferKey(end(0, kind), object, end(1, kind), kind, true);
  }

  template <Fn Init, Fn Do>
  base::SecureBytes crypt(std::size_t member, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key,
                          base::SecureBytes data) const {
    CK_MECHANISM mechanism{type, nullptr, 0};
    base::SecureBytes out(512);
    CK_ULONG size = out.size();
    const OnToken token = on(member);
    EXPECT_EQ(token.member.execute(makeCall<Init>(token.session, &mechanism, key)).rv, CKR_OK);
    EXPECT_EQ(token.member.execute(makeCall<Do>(token.session, data.data(), data.size(), out.data(), &size)).rv,
              CKR_OK);
    out.resize(size);
    return out;
  }
  CK_RV verify(CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, base::SecureBytes data,
               base::SecureBytes signature) const {
    CK_MECHANISM mechanism{type, nullptr, 0};
    const OnToken token = on(0);
    EXPECT_EQ(token.member.execute(makeCall<Fn::VerifyInit>(token.session, &mechanism, key)).rv, CKR_OK);
    return token.member
        .execute(makeCall<Fn::Verify>(token.session, data.data(), data.size(), signature.data(), signature.size()))
        .rv;
  }
  // What must be the same on both sides.
  void expectSame(CK_OBJECT_HANDLE original, CK_OBJECT_HANDLE copy) const {
    static constexpr CK_ATTRIBUTE_TYPE kAttributes[] = {
        CKA_CLASS,       CKA_KEY_TYPE,          CKA_TOKEN,  CKA_PRIVATE, CKA_LABEL, CKA_ID,   CKA_SENSITIVE,
        CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED, CKA_DERIVE, CKA_DECRYPT, CKA_SIGN,  CKA_WRAP, CKA_UNWRAP};
    Template here;
    Template there;
    EXPECT_EQ(on(0).read(original, kAttributes, here).rv, CKR_OK);
    EXPECT_EQ(on(1).read(copy, kAttributes, there).rv, CKR_OK);
    EXPECT_TRUE(here == there);
  }

  std::vector<std::unique_ptr<TokenSession>> sessions;
  std::vector<Holding> holdings;
};

TEST_F(DomainTransfer, PrivateKeysArriveAndSign) {
  const base::SecureBytes data = secret("01234567890123456789012345678901");
  const struct {
    CK_MECHANISM_TYPE generation;
    CK_MECHANISM_TYPE signing;
  } kTypes[] = {{CKM_EC_KEY_PAIR_GEN, CKM_ECDSA}, {CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS}};
  for (const auto& type : kTypes) {
    const Pair pair = makePair(type.generation);
    EXPECT_EQ(kindOf(pair.privateKey), (Kind{Seal::Sealed, CKO_PRIVATE_KEY, false}));
    const Copied copied = transfer(pair.privateKey);
    ASSERT_EQ(copied.result, Copied::Result::Done) << copied.reason;
    const auto signature = crypt<Fn::SignInit, Fn::Sign>(1, type.signing, copied.handle, data);
    EXPECT_EQ(verify(type.signing, pair.publicKey, data, signature), CKR_OK);
    expectSame(pair.privateKey, copied.handle);
  }
}

TEST_F(DomainTransfer, SecretKeysArriveAndDecrypt) {
  const base::SecureBytes data = secret("sixteen bytes it");
  for (const bool wantsTrusted : {true, false}) {
    for (const bool derive : {true, false}) {
      const CK_OBJECT_HANDLE key = makeSecret(wantsTrusted, derive);
      EXPECT_EQ(kindOf(key), (Kind{wantsTrusted ? Seal::Sealed : Seal::Open, CKO_SECRET_KEY, derive}));
      const Copied copied = transfer(key);
      ASSERT_EQ(copied.result, Copied::Result::Done) << copied.reason;
      const auto encrypted = crypt<Fn::EncryptInit, Fn::Encrypt>(0, CKM_AES_ECB, key, data);
      const auto decrypted = crypt<Fn::DecryptInit, Fn::Decrypt>(1, CKM_AES_ECB, copied.handle, encrypted);
      EXPECT_EQ(decrypted, data);
      expectSame(key, copied.handle);
    }
  }
}

TEST_F(DomainTransfer, AKeyThatMayNotBeModifiedArrivesSo) {
  Template key = shape(true);
  key.addUlong(CKA_VALUE_LEN, 32);
  key.addBool(CKA_MODIFIABLE, false);
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(on(0).generateKey(CKM_AES_KEY_GEN, key, made).rv, CKR_OK);
  const Copied copied = transfer(made);
  ASSERT_EQ(copied.result, Copied::Result::Done) << copied.reason;
  static constexpr CK_ATTRIBUTE_TYPE kModifiable[] = {CKA_MODIFIABLE};
  Template read;
  ASSERT_EQ(on(1).read(copied.handle, kModifiable, read).rv, CKR_OK);
  EXPECT_EQ(read.boolean(CKA_MODIFIABLE), false);
}

TEST_F(DomainTransfer, NothingButItsSealedKeyWrapsASealedKey) {
  const CK_OBJECT_HANDLE key = makeSecret(true);
  const Kind own = kindOf(key);
  for (const auto& held : holdings[0].keys) {
    const Copied copied = transferKey({on(0), held.handle}, key, end(1, own), held.kind, true);
    EXPECT_EQ(copied.result == Copied::Result::Done, held.kind == own) << nameOf(held.kind) << " " << copied.reason;
  }
  Template ownKey = shape(false);
  ownKey.addBool(CKA_WRAP, true);
  ownKey.addUlong(CKA_VALUE_LEN, 32);
  CK_OBJECT_HANDLE untrusted = 0;
  ASSERT_EQ(on(0).generateKey(CKM_AES_KEY_GEN, ownKey, untrusted).rv, CKR_OK);
  const Copied copied = transferKey({on(0), untrusted}, key, end(1, own), own, true);
  EXPECT_EQ(copied.reason, "C_WrapKey answers CKR_KEY_NOT_WRAPPABLE");
}

TEST_F(DomainTransfer, ALostMemberIsToldFromARefusal) {
  const CK_OBJECT_HANDLE key = makeSecret(true);
  const Kind kind = kindOf(key);
  const auto failAt = [](Fn fn) {
    return [fn](cryptoki::Member&, const cryptoki::Call& call) {
      std::optional<cryptoki::Outcome> answer;
      if (call.fn == fn) answer = {CKR_DEVICE_ERROR};
      return answer;
    };
  };
  members[0]->intercept = failAt(Fn::WrapKey);
  EXPECT_EQ(transferKey(end(0, kind), key, end(1, kind), kind, true).result, Copied::Result::SourceLost);
  members[0]->intercept = nullptr;
  members[1]->intercept = failAt(Fn::UnwrapKey);
  EXPECT_EQ(transferKey(end(0, kind), key, end(1, kind), kind, true).result, Copied::Result::TargetLost);
  members[1]->intercept = nullptr;
  EXPECT_EQ(transferKey(end(0, kind), key, end(1, kind), kind, true).result, Copied::Result::Done);
}

}  // namespace
}  // namespace p11ha::tests::cloning
