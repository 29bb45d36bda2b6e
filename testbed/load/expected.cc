#include "testbed/load/expected.h"

#include <openssl/hmac.h>

#include "testbed/sign_loop/ecdsa_der.h"

namespace p11ha::testbed {
namespace {

constexpr std::size_t kTagSize = 16;
constexpr std::size_t kBlockSize = 16;

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};

int sizeOf(const Bytes& bytes) { return static_cast<int>(bytes.size()); }

}  // namespace

Bytes expectedSha256(const Bytes& data) {
  Bytes digest(32);
  EVP_Digest(data.data(), data.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  return digest;
}

Bytes expectedHmac(const Bytes& key, const Bytes& data) {
  Bytes mac(32);
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), sizeOf(key), data.data(), data.size(), mac.data(), &size);
  return mac;
}

Bytes expectedCbc(const Bytes& key, const Bytes& iv, const Bytes& data) {
  const std::unique_ptr<EVP_CIPHER_CTX, FreeCipher> context(EVP_CIPHER_CTX_new());
  Bytes out(data.size() + kBlockSize);
  int body = 0;
  int rest = 0;
  EVP_EncryptInit_ex(context.get(), EVP_aes_256_cbc(), nullptr, key.data(), iv.data());
  EVP_EncryptUpdate(context.get(), out.data(), &body, data.data(), sizeOf(data));
  EVP_EncryptFinal_ex(context.get(), out.data() + body, &rest);
  out.resize(static_cast<std::size_t>(body) + static_cast<std::size_t>(rest));
  return out;
}

Bytes expectedGcm(const Bytes& key, const Bytes& iv, const Bytes& additional, const Bytes& data) {
  const std::unique_ptr<EVP_CIPHER_CTX, FreeCipher> context(EVP_CIPHER_CTX_new());
  Bytes out(data.size() + kTagSize);
  int size = 0;
  EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), iv.data());
  EVP_EncryptUpdate(context.get(), nullptr, &size, additional.data(), sizeOf(additional));
  EVP_EncryptUpdate(context.get(), out.data(), &size, data.data(), sizeOf(data));
  EVP_EncryptFinal_ex(context.get(), out.data() + size, &size);
  EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, out.data() + data.size());
  return out;
}

bool verifiesEcdsa(EVP_PKEY* key, const Bytes& digest, const Bytes& signature) {
  const Bytes der = ecdsaDer(signature);
  const std::unique_ptr<EVP_PKEY_CTX, FreeCipher> context(EVP_PKEY_CTX_new(key, nullptr));
  return EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_verify(context.get(), der.data(), der.size(), digest.data(), digest.size()) == 1;
}

bool verifiesRsa(EVP_PKEY* key, const Bytes& data, const Bytes& signature) {
  const std::unique_ptr<EVP_MD_CTX, FreeCipher> context(EVP_MD_CTX_new());
  return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), data.data(), data.size()) == 1;
}

}  // namespace p11ha::testbed
