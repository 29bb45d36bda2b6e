#include "testbed/history/proof.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>

#include "testbed/load/expected.h"

namespace p11ha::history {
namespace {

using testbed::EvpKey;

const Bytes kIv(16, 0);
Bytes question() { return ofText("what every key of a history is asked"); }

struct FreeParameters {
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
  void operator()(OSSL_PARAM* parameters) const { OSSL_PARAM_free(parameters); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
template <class T>
using Owned = std::unique_ptr<T, FreeParameters>;

EvpKey keyFrom(const char* type, OSSL_PARAM_BLD* builder) {
  const Owned<OSSL_PARAM> parameters(OSSL_PARAM_BLD_to_param(builder));
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return nullptr;
  }
  return EvpKey(key);
}

constexpr std::size_t kPointHead = 2;  // of the OCTET STRING that holds it
constexpr std::size_t kPointSize = 65;

EvpKey ecKey(const Bytes& point) {
  if (point.size() != kPointHead + kPointSize) return nullptr;
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data() + kPointHead, kPointSize);
  return keyFrom("EC", builder.get());
}

EvpKey rsaKey(const Bytes& modulus, const Bytes& exponent) {
  const Owned<BIGNUM> n(BN_bin2bn(modulus.data(), static_cast<int>(modulus.size()), nullptr));
  const Owned<BIGNUM> e(BN_bin2bn(exponent.data(), static_cast<int>(exponent.size()), nullptr));
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  return keyFrom("RSA", builder.get());
}

Proof sign(const Token& token, CK_OBJECT_HANDLE object, CK_MECHANISM_TYPE type, Bytes data) {
  CK_MECHANISM mechanism{type, nullptr, 0};
  Proof proof;
  proof.answer.resize(512);
  CK_ULONG size = proof.answer.size();
  proof.rv = token.functions().C_SignInit(token.session(), &mechanism, object);
  if (proof.rv == CKR_OK) {
    proof.rv = token.functions().C_Sign(token.session(), data.data(), data.size(), proof.answer.data(), &size);
  }
  proof.answer.resize(proof.rv == CKR_OK ? size : 0);
  return proof;
}

Proof encrypt(const Token& token, CK_OBJECT_HANDLE object) {
  Bytes iv = kIv;
  Bytes data = question();
  CK_MECHANISM mechanism{CKM_AES_CBC_PAD, iv.data(), iv.size()};
  Proof proof;
  proof.answer.resize(512);
  CK_ULONG size = proof.answer.size();
  proof.rv = token.functions().C_EncryptInit(token.session(), &mechanism, object);
  if (proof.rv == CKR_OK) {
    proof.rv = token.functions().C_Encrypt(token.session(), data.data(), data.size(), proof.answer.data(), &size);
  }
  proof.answer.resize(proof.rv == CKR_OK ? size : 0);
  return proof;
}

}  // namespace

Proof prove(const Token& token, CK_OBJECT_HANDLE object, const Attributes& attributes) {
  const CK_KEY_TYPE type = ulongOf(attributes, CKA_KEY_TYPE);
  switch (ulongOf(attributes, CKA_CLASS)) {
    case CKO_SECRET_KEY:
      return type == CKK_AES ? encrypt(token, object) : sign(token, object, CKM_SHA256_HMAC, question());
    case CKO_PRIVATE_KEY:
      return type == CKK_EC ? sign(token, object, CKM_ECDSA, testbed::expectedSha256(question()))
                            : sign(token, object, CKM_SHA256_RSA_PKCS, question());
    default:
      return {};
  }
}

Bytes proofOfValue(CK_KEY_TYPE type, const Bytes& value) {
  return type == CKK_AES ? testbed::expectedCbc(value, kIv, question()) : testbed::expectedHmac(value, question());
}

bool fits(const Attributes& publicKey, const Bytes& answer) {
  const auto part = [&](CK_ATTRIBUTE_TYPE type) {
    const auto found = publicKey.find(type);
    return found == publicKey.end() ? Bytes() : found->second;
  };
  const bool ec = publicKey.count(CKA_EC_POINT) != 0;
  const EvpKey key = ec ? ecKey(part(CKA_EC_POINT)) : rsaKey(part(CKA_MODULUS), part(CKA_PUBLIC_EXPONENT));
  if (key == nullptr) return false;
  return ec ? testbed::verifiesEcdsa(key.get(), testbed::expectedSha256(question()), answer)
            : testbed::verifiesRsa(key.get(), question(), answer);
}

Attributes publicParts(const Attributes& publicKey) {
  Attributes parts;
  for (const CK_ATTRIBUTE_TYPE type : {CKA_EC_POINT, CKA_MODULUS, CKA_PUBLIC_EXPONENT}) {
    const auto found = publicKey.find(type);
    if (found != publicKey.end()) parts.insert(*found);
  }
  return parts;
}

Bytes p256() { return {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}; }

Bytes newPoint() {
  const EvpKey key(EVP_EC_gen("P-256"));
  Bytes point{0x04, kPointSize};
  point.resize(kPointHead + kPointSize);
  std::size_t size = 0;
  EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data() + kPointHead, kPointSize, &size);
  return point;
}

}  // namespace p11ha::history
