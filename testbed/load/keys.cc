#include "testbed/load/keys.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <unistd.h>

#include "cryptoki/return_codes.h"
#include "cryptoki/template.h"

namespace p11ha::testbed {

using cryptoki::FunctionList;
using cryptoki::Template;

namespace {

Bytes randomBytes(std::size_t size) {
  Bytes bytes(size);
  RAND_bytes(bytes.data(), static_cast<int>(size));
  return bytes;
}

struct FreeBignum {
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
};

// A number of the key, as many bytes as it has or as `size` says.
Bytes numberOf(const EVP_PKEY* key, const char* name, int size = 0) {
  BIGNUM* got = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &got) != 1) return {};
  const std::unique_ptr<BIGNUM, FreeBignum> number(got);
  if (size == 0) size = BN_num_bytes(number.get());
  Bytes bytes(static_cast<std::size_t>(size));
  BN_bn2binpad(number.get(), bytes.data(), size);
  return bytes;
}

Template keyTemplate(CK_OBJECT_CLASS objectClass, CK_KEY_TYPE type, const std::string& label) {
  Template key;
  key.addUlong(CKA_CLASS, objectClass);
  key.addUlong(CKA_KEY_TYPE, type);
  for (const CK_ATTRIBUTE_TYPE yes : {CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE}) key.addBool(yes, true);
  key.addText(CKA_LABEL, label);
  return key;
}

Template aesTemplate(const LoadKeys& keys) {
  Template key = keyTemplate(CKO_SECRET_KEY, CKK_AES, keys.label);
  key.addBool(CKA_ENCRYPT, true);
  key.addBool(CKA_DECRYPT, true);
  key.addBytes(CKA_VALUE, keys.aes);
  return key;
}

Template hmacTemplate(const LoadKeys& keys) {
  Template key = keyTemplate(CKO_SECRET_KEY, CKK_GENERIC_SECRET, keys.label);
  key.addBool(CKA_SIGN, true);
  key.addBool(CKA_VERIFY, true);
  key.addBytes(CKA_VALUE, keys.hmac);
  return key;
}

constexpr std::uint8_t kP256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

// The public half, by which a member that comes back shows that its private key is the same one.
Template ecPublicTemplate(const LoadKeys& keys) {
  Template key;
  key.addUlong(CKA_CLASS, CKO_PUBLIC_KEY);
  key.addUlong(CKA_KEY_TYPE, CKK_EC);
  key.addBool(CKA_TOKEN, true);
  key.addBool(CKA_VERIFY, true);
  key.addText(CKA_LABEL, keys.label);
  key.addText(CKA_ID, keys.label);
  key.addBytes(CKA_EC_PARAMS, kP256);
  Bytes point{0x04, 65};  // an OCTET STRING
  point.resize(2 + 65);
  std::size_t size = 0;
  EVP_PKEY_get_octet_string_param(keys.ec.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data() + 2, 65, &size);
  key.addBytes(CKA_EC_POINT, point);
  return key;
}

Template ecTemplate(const LoadKeys& keys) {
  Template key = keyTemplate(CKO_PRIVATE_KEY, CKK_EC, keys.label);
  key.addText(CKA_ID, keys.label);
  key.addBool(CKA_SIGN, true);
  key.addBytes(CKA_EC_PARAMS, kP256);
  key.addBytes(CKA_VALUE, numberOf(keys.ec.get(), OSSL_PKEY_PARAM_PRIV_KEY, 32));
  return key;
}

Template rsaTemplate(const LoadKeys& keys) {
  static constexpr std::pair<CK_ATTRIBUTE_TYPE, const char*> kNumbers[] = {
      {CKA_MODULUS, OSSL_PKEY_PARAM_RSA_N},
      {CKA_PUBLIC_EXPONENT, OSSL_PKEY_PARAM_RSA_E},
      {CKA_PRIVATE_EXPONENT, OSSL_PKEY_PARAM_RSA_D},
      {CKA_PRIME_1, OSSL_PKEY_PARAM_RSA_FACTOR1},
      {CKA_PRIME_2, OSSL_PKEY_PARAM_RSA_FACTOR2},
      {CKA_EXPONENT_1, OSSL_PKEY_PARAM_RSA_EXPONENT1},
      {CKA_EXPONENT_2, OSSL_PKEY_PARAM_RSA_EXPONENT2},
      {CKA_COEFFICIENT, OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};
  Template key = keyTemplate(CKO_PRIVATE_KEY, CKK_RSA, keys.label);
  key.addBool(CKA_SIGN, true);
  for (const auto& [type, name] : kNumbers) key.addBytes(type, numberOf(keys.rsa.get(), name));
  return key;
}

}  // namespace

base::Result<LoadKeys, std::string> LoadKeys::import(const FunctionList& functions, CK_SESSION_HANDLE session) {
  LoadKeys keys;
  keys.label = "p11ha-load " + std::to_string(getpid());
  keys.aes = randomBytes(32);
  keys.hmac = randomBytes(32);
  keys.ec.reset(EVP_EC_gen("P-256"));
  keys.rsa.reset(EVP_RSA_gen(2048));
  if (keys.ec == nullptr || keys.rsa == nullptr) return base::Failure{std::string("no key pairs")};
  const auto put = [&](Template key, CK_OBJECT_HANDLE& handle) {
    return functions.C_CreateObject(session, key.data(), key.count(), &handle);
  };
  CK_RV rv = put(aesTemplate(keys), keys.aesHandle);
  if (rv == CKR_OK) rv = put(hmacTemplate(keys), keys.hmacHandle);
  if (rv == CKR_OK) rv = put(ecPublicTemplate(keys), keys.ecPublicHandle);
  if (rv == CKR_OK) rv = put(ecTemplate(keys), keys.ecHandle);
  if (rv == CKR_OK) rv = put(rsaTemplate(keys), keys.rsaHandle);
  if (rv == CKR_OK) return keys;
  keys.destroy(functions, session);
  return base::Failure{"C_CreateObject: " + cryptoki::returnCodeName(rv)};
}

void LoadKeys::destroy(const FunctionList& functions, CK_SESSION_HANDLE session) const {
  for (const CK_OBJECT_HANDLE handle : {aesHandle, hmacHandle, ecPublicHandle, ecHandle, rsaHandle}) {
    if (handle != CK_INVALID_HANDLE) functions.C_DestroyObject(session, handle);
  }
}

}  // namespace p11ha::testbed
