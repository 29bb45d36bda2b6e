#include "bench/mixed_objects.h"

#include <array>
#include <cstdint>
#include <vector>

#include "cryptoki/return_codes.h"
#include "cryptoki/template.h"

namespace p11ha::bench {

using cryptoki::FunctionList;
using cryptoki::Template;

namespace {

constexpr CK_BYTE kP256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr std::size_t kCertificateBytes = 700;
constexpr std::size_t kDataBytes = 256;

// Makes one object after the other, each with a name of its own.
class Maker {
 public:
  explicit Maker(Token& token) : functions_(token.functions()), session_(token.session()) {}

  CK_RV aesKey(bool mayLeave) {
    Template key = named();
    keep(key, mayLeave);
    key.addBool(CKA_ENCRYPT, true);
    key.addBool(CKA_DECRYPT, true);
    key.addUlong(CKA_VALUE_LEN, 32);
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    return functions_.C_GenerateKey(session_, &mechanism, key.data(), key.count(), &made_);
  }

  CK_RV pair(bool mayLeave) {
    Template publicKey = named();
    Template privateKey = publicKey;
    publicKey.addBytes(CKA_EC_PARAMS, kP256);
    publicKey.addBool(CKA_VERIFY, true);
    keep(privateKey, mayLeave);
    privateKey.addBool(CKA_SIGN, true);
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    CK_OBJECT_HANDLE other = CK_INVALID_HANDLE;
    return functions_.C_GenerateKeyPair(session_, &mechanism, publicKey.data(), publicKey.count(), privateKey.data(),
                                        privateKey.count(), &made_, &other);
  }

  // SoftHSM looks into none: these are just so many bytes.
  CK_RV certificate() {
    Template wanted = named();
    wanted.addUlong(CKA_CLASS, CKO_CERTIFICATE);
    wanted.addUlong(CKA_CERTIFICATE_TYPE, CKC_X_509);
    wanted.addText(CKA_SUBJECT, name());
    wanted.addBytes(CKA_VALUE, bytes(kCertificateBytes));
    return create(wanted);
  }

  CK_RV data() {
    Template wanted;
    wanted.addUlong(CKA_CLASS, CKO_DATA);
    wanted.addBool(CKA_TOKEN, true);
    wanted.addBool(CKA_PRIVATE, true);
    wanted.addText(CKA_LABEL, name());
    wanted.addText(CKA_APPLICATION, "an application");
    wanted.addBytes(CKA_VALUE, bytes(kDataBytes));
    return create(wanted);
  }

  void next() { ++number_; }

 private:
  std::string name() const { return std::string(kMixedLabel) + std::to_string(number_); }

  Template named() const {
    Template wanted;
    wanted.addBool(CKA_TOKEN, true);
    wanted.addText(CKA_LABEL, name());
    wanted.addText(CKA_ID, std::to_string(number_));
    return wanted;
  }

  static void keep(Template& key, bool mayLeave) {
    key.addBool(CKA_PRIVATE, true);
    key.addBool(CKA_SENSITIVE, true);
    key.addBool(CKA_EXTRACTABLE, mayLeave);
  }

  std::vector<std::uint8_t> bytes(std::size_t count) const {
    std::vector<std::uint8_t> all(count);
    for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<std::uint8_t>(number_ >> (8 * (i % 4)));
    return all;
  }

  CK_RV create(Template& wanted) { return functions_.C_CreateObject(session_, wanted.data(), wanted.count(), &made_); }

  const FunctionList& functions_;
  const CK_SESSION_HANDLE session_;
  CK_OBJECT_HANDLE made_ = CK_INVALID_HANDLE;
  std::uint32_t number_ = 0;
};

}  // namespace

std::string makeMixedObjects(Token& token, std::size_t sets) {
  constexpr std::array<CK_RV (*)(Maker&), 8> kSet = {
      [](Maker& maker) { return maker.aesKey(false); }, [](Maker& maker) { return maker.aesKey(false); },
      [](Maker& maker) { return maker.aesKey(true); },  [](Maker& maker) { return maker.aesKey(true); },
      [](Maker& maker) { return maker.pair(false); },   [](Maker& maker) { return maker.pair(true); },
      [](Maker& maker) { return maker.certificate(); }, [](Maker& maker) { return maker.data(); }};
  Maker maker(token);
  for (std::size_t set = 0; set < sets; ++set) {
    for (const auto& make : kSet) {
      if (const CK_RV rv = make(maker); rv != CKR_OK)
        return "object " + std::to_string(set) + " of a sort: " + cryptoki::returnCodeName(rv);
      maker.next();
    }
  }
  return "";
}

}  // namespace p11ha::bench
