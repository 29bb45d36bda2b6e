#include "tests/conformance/script/keys.h"

#include <functional>

namespace p11ha::conformance {

namespace material {
namespace {

Attributes key(CK_OBJECT_CLASS objectClass, CK_KEY_TYPE type) {
  return Attributes().number(CKA_CLASS, objectClass).number(CKA_KEY_TYPE, type);
}

Attributes dsa(CK_OBJECT_CLASS objectClass) {
  return key(objectClass, CKK_DSA)
      .bytes(CKA_PRIME, fixed::dsaPrime())
      .bytes(CKA_SUBPRIME, fixed::dsaSubprime())
      .bytes(CKA_BASE, fixed::dsaBase());
}

Attributes dh(CK_OBJECT_CLASS objectClass) {
  return key(objectClass, CKK_DH).bytes(CKA_PRIME, fixed::dhPrime()).bytes(CKA_BASE, fixed::dhBase());
}

}  // namespace

Attributes data() {
  return Attributes().number(CKA_CLASS, CKO_DATA).text(CKA_APPLICATION, "tests").bytes(CKA_VALUE, counting(20));
}

Attributes certificate() {
  return Attributes()
      .number(CKA_CLASS, CKO_CERTIFICATE)
      .number(CKA_CERTIFICATE_TYPE, CKC_X_509)
      .bytes(CKA_SUBJECT, fromHex("300f310d300b06035504030c0474657374"))
      .bytes(CKA_VALUE, fromHex("3003020101"));
}

Attributes secret(CK_KEY_TYPE type, const Bytes& value) { return key(CKO_SECRET_KEY, type).bytes(CKA_VALUE, value); }

Attributes rsaPublic() {
  return key(CKO_PUBLIC_KEY, CKK_RSA)
      .bytes(CKA_MODULUS, fixed::rsaModulus())
      .bytes(CKA_PUBLIC_EXPONENT, fixed::rsaPublicExponent());
}

Attributes rsaPrivate() {
  return key(CKO_PRIVATE_KEY, CKK_RSA)
      .bytes(CKA_MODULUS, fixed::rsaModulus())
      .bytes(CKA_PUBLIC_EXPONENT, fixed::rsaPublicExponent())
      .bytes(CKA_PRIVATE_EXPONENT, fixed::rsaPrivateExponent())
      .bytes(CKA_PRIME_1, fixed::rsaPrime1())
      .bytes(CKA_PRIME_2, fixed::rsaPrime2())
      .bytes(CKA_EXPONENT_1, fixed::rsaExponent1())
      .bytes(CKA_EXPONENT_2, fixed::rsaExponent2())
      .bytes(CKA_COEFFICIENT, fixed::rsaCoefficient());
}

Attributes p256Public() {
  return key(CKO_PUBLIC_KEY, CKK_EC)
      .bytes(CKA_EC_PARAMS, fixed::p256Parameters())
      .bytes(CKA_EC_POINT, fixed::p256Point());
}

Attributes p256Private() {
  return key(CKO_PRIVATE_KEY, CKK_EC)
      .bytes(CKA_EC_PARAMS, fixed::p256Parameters())
      .bytes(CKA_VALUE, fixed::p256Value());
}

Attributes ed25519Public() {
  return key(CKO_PUBLIC_KEY, CKK_EC_EDWARDS)
      .bytes(CKA_EC_PARAMS, fixed::ed25519Parameters())
      .bytes(CKA_EC_POINT, fixed::ed25519Point());
}

Attributes ed25519Private() {
  return key(CKO_PRIVATE_KEY, CKK_EC_EDWARDS)
      .bytes(CKA_EC_PARAMS, fixed::ed25519Parameters())
      .bytes(CKA_VALUE, fixed::ed25519Value());
}

Attributes dsaPublic() { return dsa(CKO_PUBLIC_KEY).bytes(CKA_VALUE, fixed::dsaPublicValue()); }
Attributes dsaPrivate() { return dsa(CKO_PRIVATE_KEY).bytes(CKA_VALUE, fixed::dsaValue()); }
Attributes dhPublic() { return dh(CKO_PUBLIC_KEY).bytes(CKA_VALUE, fixed::dhPublicValue()); }
Attributes dhPrivate() { return dh(CKO_PRIVATE_KEY).bytes(CKA_VALUE, fixed::dhValue()); }

}  // namespace material

namespace {

CK_ULONG numberIn(const Attributes& object, CK_ATTRIBUTE_TYPE type) {
  CK_ULONG number = CK_UNAVAILABLE_INFORMATION;
  for (const auto& value : object.values()) {
    if (value.type == type) std::copy(value.bytes.begin(), value.bytes.end(), reinterpret_cast<CK_BYTE*>(&number));
  }
  return number;
}

Bytes firstOf(Bytes value, std::size_t count) {
  value.resize(count);
  return value;
}

struct Kind {
  const char* name;
  std::function<Attributes()> make;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind>* const all = new std::vector<Kind>{
      {"data", material::data},
      {"certificate", material::certificate},
      {"aes", [] { return material::secret(CKK_AES, fixed::aesValue()); }},
      {"aes 2", [] { return material::secret(CKK_AES, firstOf(fixed::aesValue(), 16)); }},
      {"des", [] { return material::secret(CKK_DES, firstOf(fixed::des3Value(), 8)); }},
      {"des2", [] { return material::secret(CKK_DES2, firstOf(fixed::des3Value(), 16)); }},
      {"des3", [] { return material::secret(CKK_DES3, fixed::des3Value()); }},
      {"generic", [] { return material::secret(CKK_GENERIC_SECRET, fixed::genericValue()); }},
      {"rsa public", material::rsaPublic},
      {"rsa private", material::rsaPrivate},
      {"p256 public", material::p256Public},
      {"p256 private", material::p256Private},
      {"ed25519 public", material::ed25519Public},
      {"ed25519 private", material::ed25519Private},
      {"dsa public", material::dsaPublic},
      {"dsa private", material::dsaPrivate},
      {"dh public", material::dhPublic},
      {"dh private", material::dhPrivate},
  };
  return *all;
}

}  // namespace

Attributes usable(Attributes object, const std::string& label, bool token) {
  object.flag(CKA_TOKEN, token).flag(CKA_PRIVATE, false).text(CKA_LABEL, label);
  const CK_OBJECT_CLASS objectClass = numberIn(object, CKA_CLASS);
  const CK_KEY_TYPE type = numberIn(object, CKA_KEY_TYPE);
  if (objectClass == CKO_DATA || objectClass == CKO_CERTIFICATE) return object;
  object.text(CKA_ID, label);
  const bool cipher = type != CKK_EC && type != CKK_EC_EDWARDS && type != CKK_DSA && type != CKK_DH;
  const bool derives = type != CKK_RSA && type != CKK_EC_EDWARDS && type != CKK_DSA;
  const bool signs = type != CKK_DH;
  if (objectClass != CKO_PRIVATE_KEY) object.flag(CKA_ENCRYPT, cipher).flag(CKA_WRAP, cipher).flag(CKA_VERIFY, signs);
  if (objectClass != CKO_PUBLIC_KEY) {
    object.flag(CKA_DECRYPT, cipher).flag(CKA_UNWRAP, cipher).flag(CKA_SIGN, signs);
    object.flag(CKA_DERIVE, derives).flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE);
  }
  if (type == CKK_RSA) object.flag(objectClass == CKO_PUBLIC_KEY ? CKA_VERIFY_RECOVER : CKA_SIGN_RECOVER);
  return object;
}

Attributes objectNamed(const std::string& name, bool token) {
  for (const Kind& kind : kinds()) {
    if (kind.name == name) return usable(kind.make(), name, token);
  }
  throw std::out_of_range("no object " + name);
}

CK_OBJECT_HANDLE Keys::operator[](const std::string& name) {
  const auto found = made_.find(name);
  if (found != made_.end()) return found->second;
  return made_[name] = client_.create(session_, name, objectNamed(name, token_));
}

void Keys::findAgain(CK_SESSION_HANDLE session) {
  session_ = session;
  for (auto& [name, handle] : made_) {
    Prepared begin(cryptoki::Fn::FindObjectsInit, {name, false, {}, {}});
    client_.call(begin.value(0, session).attributes(1, Attributes().text(CKA_LABEL, name)));
    Prepared found(cryptoki::Fn::FindObjects, {name, false, name, {}});
    found.memory<CK_OBJECT_HANDLE>(1);
    found.value(0, session).value(2, 1).memory<CK_ULONG>(3);
    if (client_.call(found) == CKR_OK) handle = found.handle(1);
    client_.call<cryptoki::Fn::FindObjectsFinal>({name, false, {}, {}}, session);
  }
}

void Keys::makeAll() {
  for (const Kind& kind : kinds()) (*this)[kind.name];
}

}  // namespace p11ha::conformance
