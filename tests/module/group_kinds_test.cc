// The table of tests/golden/object_kinds.md, made anew.
#include <functional>

#include "tests/module/group_domain_fixture.h"

namespace p11ha::tests::kinds {
namespace {

CK_KEY_TYPE rsa = CKK_RSA;
CK_KEY_TYPE ec = CKK_EC;
CK_KEY_TYPE ed25519 = CKK_EC_EDWARDS;
CK_KEY_TYPE aes = CKK_AES;
CK_KEY_TYPE des3 = CKK_DES3;
CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
CK_CERTIFICATE_TYPE x509 = CKC_X_509;
CK_OBJECT_CLASS certificates = CKO_CERTIFICATE;
CK_OBJECT_CLASS data = CKO_DATA;
CK_BYTE edwards25519[] = {0x13, 0x0c, 0x65, 0x64, 0x77, 0x61, 0x72, 0x64, 0x73, 0x32, 0x35, 0x35, 0x31, 0x39};
CK_ULONG secretLength = 32;

struct Kind {
  std::string name;
  CK_OBJECT_CLASS* objectClass;
  CK_KEY_TYPE* type;
  std::optional<CK_MECHANISM_TYPE> generation;
  bool isPair = false;
  std::vector<CK_ATTRIBUTE_TYPE> value;  // what an import gives besides class and type
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"RSA private key",
       &privateKeys,
       &rsa,
       CKM_RSA_PKCS_KEY_PAIR_GEN,
       true,
       {CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1,
        CKA_EXPONENT_2, CKA_COEFFICIENT}},
      {"EC private key", &privateKeys, &ec, CKM_EC_KEY_PAIR_GEN, true, {CKA_EC_PARAMS, CKA_VALUE}},
      {"Ed25519 private key", &privateKeys, &ed25519, CKM_EC_EDWARDS_KEY_PAIR_GEN, true, {CKA_EC_PARAMS, CKA_VALUE}},
      {"AES key", &secretKeys, &aes, CKM_AES_KEY_GEN, false, {CKA_VALUE}},
      {"DES3 key", &secretKeys, &des3, CKM_DES3_KEY_GEN, false, {CKA_VALUE}},
      {"generic secret", &secretKeys, &generic, CKM_GENERIC_SECRET_KEY_GEN, false, {CKA_VALUE}},
      {"RSA public key", &publicKeys, &rsa, CKM_RSA_PKCS_KEY_PAIR_GEN, true, {CKA_MODULUS, CKA_PUBLIC_EXPONENT}},
      {"EC public key", &publicKeys, &ec, CKM_EC_KEY_PAIR_GEN, true, {CKA_EC_PARAMS, CKA_EC_POINT}},
      {"certificate", &certificates, nullptr, std::nullopt, false, {}},
      {"data", &data, nullptr, std::nullopt, false, {}},
  };
  return all;
}

// How the application asks for it.
struct Asked {
  std::string name;
  bool token;
  bool isPrivate;
  std::optional<bool> extractable;  // nothing: it is no key
};

std::vector<Asked> asksFor(const Kind& kind) {
  if (kind.objectClass == &privateKeys || kind.objectClass == &secretKeys) {
    return {{"token, non-extractable", true, true, false},
            {"token, extractable", true, true, true},
            {"token, public, non-extractable", true, false, false},
            {"session, non-extractable", false, true, false},
            {"session, extractable", false, true, true}};
  }
  return {{"token, public", true, false, {}}, {"token, private", true, true, {}}, {"session", false, false, {}}};
}

class GroupKinds : public DomainGroup {
 public:
  bool isKey(const Kind& kind) const { return kind.objectClass == &privateKeys || kind.objectClass == &secretKeys; }

  std::string nextLabel() { return "object " + std::to_string(++made_); }

  Template wanted(const Kind& kind, const Asked& asked, const std::string& label) const {
    Template attributes{flag(CKA_TOKEN, asked.token), flag(CKA_PRIVATE, asked.isPrivate), text(CKA_LABEL, label)};
    if (kind.objectClass != &data) attributes.push_back(text(CKA_ID, label));
    if (asked.extractable) attributes.push_back(flag(CKA_EXTRACTABLE, *asked.extractable));
    if (asked.extractable) attributes.push_back(flag(CKA_SENSITIVE, !*asked.extractable || asked.isPrivate));
    return attributes;
  }
  static Template inFull(const Kind& kind, Template attributes) {
    attributes.push_back(ofClass(*kind.objectClass));
    if (kind.type != nullptr) attributes.push_back({CKA_KEY_TYPE, kind.type, sizeof *kind.type});
    return attributes;
  }

  CK_RV generateKey(const Kind& kind, const Template& attributes, CK_OBJECT_HANDLE& made,
                    const Template& ofOther = {}) const {
    CK_MECHANISM mechanism{*kind.generation, nullptr, 0};
    Template own = attributes;
    if (!kind.isPair) {
      if (kind.type != &des3) own.push_back({CKA_VALUE_LEN, &secretLength, sizeof secretLength});
      return client.f->C_GenerateKey(session, &mechanism, own.data(), own.size(), &made);
    }
    const bool wantsPublic = kind.objectClass == &publicKeys;
    Template forPublic = wantsPublic ? own : ofOther;
    Template forPrivate = wantsPublic ? ofOther : own;
    if (kind.type == &rsa) {
      forPublic.push_back({CKA_MODULUS_BITS, &rsaBits, sizeof rsaBits});
      forPublic.push_back({CKA_PUBLIC_EXPONENT, rsaExponent, sizeof rsaExponent});
    } else if (kind.type == &ec) {
      forPublic.push_back({CKA_EC_PARAMS, p256, sizeof p256});
    } else {
      forPublic.push_back({CKA_EC_PARAMS, edwards25519, sizeof edwards25519});
    }
    CK_OBJECT_HANDLE other = 0;
    return client.f->C_GenerateKeyPair(session, &mechanism, forPublic.data(), forPublic.size(), forPrivate.data(),
                                       forPrivate.size(), wantsPublic ? &made : &other, wantsPublic ? &other : &made);
  }

  /// A key that is there to be read or wrapped. 0: SoftHSM has none such.
  CK_OBJECT_HANDLE pattern(const Kind& kind) const {
    CK_OBJECT_HANDLE made = 0;
    const Template open{flag(CKA_TOKEN, false), flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE), flag(CKA_PRIVATE)};
    const Template any{flag(CKA_TOKEN, false)};
    if (kind.objectClass == &publicKeys) return generateKey(kind, any, made, open) == CKR_OK ? made : 0;
    return generateKey(kind, open, made, any) == CKR_OK ? made : 0;
  }
  bool read(CK_OBJECT_HANDLE from, const std::vector<CK_ATTRIBUTE_TYPE>& types, std::vector<Bytes>& values) const {
    for (const CK_ATTRIBUTE_TYPE type : types) {
      CK_ATTRIBUTE one{type, nullptr, 0};
      if (client.f->C_GetAttributeValue(session, from, &one, 1) != CKR_OK) return false;
      values.emplace_back(one.ulValueLen);
      one.pValue = values.back().data();
      if (client.f->C_GetAttributeValue(session, from, &one, 1) != CKR_OK) return false;
    }
    return true;
  }

  CK_RV generate(const Kind& kind, const Asked& asked, const std::string& label, CK_OBJECT_HANDLE& made) const {
    if (!kind.generation) return CKR_MECHANISM_INVALID;
    return generateKey(kind, wanted(kind, asked, label), made, {flag(CKA_TOKEN, asked.token)});
  }
  CK_RV create(const Kind& kind, const Asked& asked, const std::string& label, CK_OBJECT_HANDLE& made) const {
    Template attributes = inFull(kind, wanted(kind, asked, label));
    std::vector<Bytes> values;
    if (kind.generation) {
      const CK_OBJECT_HANDLE from = pattern(kind);
      if (from == 0 || !read(from, kind.value, values)) return CKR_MECHANISM_INVALID;
      for (std::size_t i = 0; i < values.size(); ++i)
        attributes.push_back({kind.value[i], values[i].data(), values[i].size()});
    } else {
      attributes.push_back(text(CKA_VALUE, "value of " + label));
      if (kind.objectClass == &certificates) {
        attributes.push_back({CKA_CERTIFICATE_TYPE, &x509, sizeof x509});
        attributes.push_back(text(CKA_SUBJECT, "subject"));
      }
    }
    return client.f->C_CreateObject(session, attributes.data(), attributes.size(), &made);
  }
  CK_RV unwrap(const Kind& kind, const Asked& asked, const std::string& label, CK_OBJECT_HANDLE& made) const {
    if (!isKey(kind)) return CKR_KEY_UNEXTRACTABLE;
    const CK_OBJECT_HANDLE from = pattern(kind);
    CK_OBJECT_HANDLE with = 0;
    if (from == 0 || generateAes("with " + label, with) != CKR_OK) return CKR_MECHANISM_INVALID;
    CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    Bytes wrapped(4096);
    CK_ULONG size = wrapped.size();
    CK_RV rv = client.f->C_WrapKey(session, &mechanism, with, from, wrapped.data(), &size);
    Template attributes = inFull(kind, wanted(kind, asked, label));
    if (rv == CKR_OK)
      rv = client.f->C_UnwrapKey(session, &mechanism, with, wrapped.data(), size, attributes.data(), attributes.size(),
                                 &made);
    client.f->C_DestroyObject(session, with);
    return rv;
  }
  CK_RV derive(const Kind& kind, const Asked& asked, const std::string& label, CK_OBJECT_HANDLE& made) const {
    if (kind.objectClass != &secretKeys) return CKR_MECHANISM_INVALID;
    const Kind& curve = kinds()[1];
    CK_OBJECT_HANDLE own = 0;
    CK_OBJECT_HANDLE peer = 0;
    const Template passing{flag(CKA_TOKEN, false)};
    EXPECT_EQ(generateKey(curve, {flag(CKA_TOKEN, false), flag(CKA_DERIVE)}, own, passing), CKR_OK);
    EXPECT_EQ(generateKey(kinds()[7], passing, peer, passing), CKR_OK);
    std::vector<Bytes> point;
    EXPECT_TRUE(read(peer, {CKA_EC_POINT}, point));
    CK_ECDH1_DERIVE_PARAMS parameters{CKD_NULL, 0, nullptr, point[0].size() - 2, point[0].data() + 2};
    CK_MECHANISM mechanism{CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
    Template attributes = inFull(kind, wanted(kind, asked, label));
    if (kind.type != &des3) attributes.push_back({CKA_VALUE_LEN, &secretLength, sizeof secretLength});
    return client.f->C_DeriveKey(session, &mechanism, own, attributes.data(), attributes.size(), &made);
  }
  CK_RV copy(const Kind& kind, const Asked& asked, const std::string& label, CK_OBJECT_HANDLE& made) const {
    CK_OBJECT_HANDLE from = 0;
    if (const CK_RV rv = create(kind, asked, "original of " + label, from); rv != CKR_OK) return rv;
    Template changes{text(CKA_LABEL, label)};
    return client.f->C_CopyObject(session, from, changes.data(), changes.size(), &made);
  }

  std::string cell(const Kind& kind, CK_RV rv, const std::string& label, CK_OBJECT_HANDLE made) const {
    if (rv != CKR_OK) return "-";
    const std::string counts = onEach({ofClass(*kind.objectClass), text(CKA_LABEL, label)});
    client.f->C_DestroyObject(session, made);
    if (counts == "1 1 1") return "each";
    return counts == "1 0 0" ? "one" : counts;
  }

 private:
  int made_ = 0;
};

TEST_F(GroupKinds, AreWhereTheTableSaysTheyAre) {
  using Way = CK_RV (GroupKinds::*)(const Kind&, const Asked&, const std::string&, CK_OBJECT_HANDLE&) const;
  const std::vector<Way> ways = {&GroupKinds::generate, &GroupKinds::create, &GroupKinds::unwrap, &GroupKinds::derive,
                                 &GroupKinds::copy};
  std::string table;
  for (const Kind& kind : kinds()) {
    for (const Asked& asked : asksFor(kind)) {
      table += "| " + kind.name + ", " + asked.name + " |";
      for (const Way way : ways) {
        const std::string label = nextLabel();
        CK_OBJECT_HANDLE made = 0;
        const CK_RV rv = (this->*way)(kind, asked, label, made);
        table += " " + cell(kind, rv, label, made) + " |";
      }
      table += "\n";
    }
  }
  std::ifstream file(P11HA_SOURCE_DIR "/tests/golden/object_kinds.md");
  std::ostringstream golden;
  golden << file.rdbuf();
  const std::string text = golden.str();
  const std::string rule = "|---|---|---|---|---|---|\n";
  EXPECT_EQ(text.substr(text.find(rule) + rule.size()), table);
}

}  // namespace
}  // namespace p11ha::tests::kinds
