#include "ha/signers.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/x509.h>

#include <algorithm>
#include <memory>

namespace p11ha::ha {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

struct KeyOnCurve {
  std::string name;
  Bytes parameters;  // CKA_EC_PARAMS
  std::size_t half = 0;
  Key key{nullptr, &EVP_PKEY_free};

  explicit KeyOnCurve(const std::string& curve) : name(curve), key(EVP_EC_gen(curve.c_str()), &EVP_PKEY_free) {
    ASN1_OBJECT* const object = OBJ_txt2obj(curve.c_str(), 0);
    parameters.resize(static_cast<std::size_t>(i2d_ASN1_OBJECT(object, nullptr)));
    std::uint8_t* end = parameters.data();
    i2d_ASN1_OBJECT(object, &end);
    ASN1_OBJECT_free(object);
    half = (static_cast<std::size_t>(EVP_PKEY_get_bits(key.get())) + 7) / 8;
  }

  // As CKM_ECDSA gives it.
  Bytes sign(const Bytes& digest) const {
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(EVP_PKEY_CTX_new(key.get(), nullptr),
                                                                              &EVP_PKEY_CTX_free);
    EVP_PKEY_sign_init(context.get());
    Bytes der(256);
    std::size_t length = der.size();
    EXPECT_EQ(EVP_PKEY_sign(context.get(), der.data(), &length, digest.data(), digest.size()), 1);
    const std::uint8_t* next = der.data();
    ECDSA_SIG* const signature = d2i_ECDSA_SIG(nullptr, &next, static_cast<long>(length));
    Bytes raw(2 * half);
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw.data(), static_cast<int>(half));
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw.data() + half, static_cast<int>(half));
    ECDSA_SIG_free(signature);
    return raw;
  }

  // CKA_EC_POINT.
  Bytes point() const {
    Bytes raw(1 + 2 * ((static_cast<std::size_t>(EC_GROUP_get_degree(group().get())) + 7) / 8));
    std::size_t length = 0;
    EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_PUB_KEY, raw.data(), raw.size(), &length);
    EXPECT_EQ(length, raw.size());
    Bytes der = raw.size() < 128 ? Bytes{4, static_cast<std::uint8_t>(raw.size())}
                                 : Bytes{4, 0x81, static_cast<std::uint8_t>(raw.size())};
    der.insert(der.end(), raw.begin(), raw.end());
    return der;
  }

 private:
  std::unique_ptr<EC_GROUP, decltype(&EC_GROUP_free)> group() const {
    return {EC_GROUP_new_by_curve_name(OBJ_txt2nid(name.c_str())), &EC_GROUP_free};
  }
};

std::vector<Bytes> both(const std::vector<Bytes>& one, const std::vector<Bytes>& other) {
  std::vector<Bytes> all;
  for (const Bytes& each : one) {
    if (std::find(other.begin(), other.end(), each) != other.end()) all.push_back(each);
  }
  return all;
}

class Signers : public testing::TestWithParam<const char*> {};

TEST_P(Signers, OfTwoSignaturesOneKeyIsWhose) {
  const KeyOnCurve made(GetParam());
  for (std::uint8_t i = 0; i < 8; ++i) {
    const Bytes one(32, i);
    const Bytes other(32, static_cast<std::uint8_t>(0xf0 + i));
    const auto ofOne = signersOf(made.parameters, one, made.sign(one));
    EXPECT_GE(ofOne.size(), 2U);
    EXPECT_EQ(both(ofOne, signersOf(made.parameters, other, made.sign(other))), std::vector<Bytes>{made.point()});
  }
}

TEST_P(Signers, OfAnotherKeysSignatureNoneIsIt) {
  const KeyOnCurve made(GetParam());
  const KeyOnCurve another(GetParam());
  const Bytes digest(32, 7);
  const auto found = signersOf(made.parameters, digest, another.sign(digest));
  EXPECT_EQ(both(found, {made.point()}), std::vector<Bytes>{});
  EXPECT_EQ(both(found, {another.point()}), std::vector<Bytes>{another.point()});
}

INSTANTIATE_TEST_SUITE_P(OnCurves, Signers,
                         testing::Values("secp224r1", "prime256v1", "secp384r1", "secp521r1", "secp256k1",
                                         "brainpoolP256r1"),
                         [](const auto& curve) { return std::string(curve.param); });

TEST(SignersOf, OfNoSignatureThereIsNoneAndNoErrorIsLeft) {
  const KeyOnCurve made("prime256v1");
  const Bytes digest(32, 7);
  const Bytes signature = made.sign(digest);
  ERR_clear_error();
  EXPECT_TRUE(signersOf({}, digest, signature).empty());
  EXPECT_TRUE(signersOf(made.parameters, digest, {}).empty());
  EXPECT_TRUE(signersOf(made.parameters, digest, std::span(signature).first(63)).empty());
  EXPECT_TRUE(signersOf(made.parameters, digest, Bytes(64)).empty());
  EXPECT_TRUE(signersOf(made.parameters, digest, Bytes(64, 0xff)).empty());
  EXPECT_TRUE(signersOf(std::span(made.parameters).first(3), digest, signature).empty());
  signersOf(made.parameters, {}, signature);
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(SignersOf, ACurveThatIsNotNamedIsNone) {
  const std::unique_ptr<EC_GROUP, decltype(&EC_GROUP_free)> group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1),
                                                                  &EC_GROUP_free);
  EC_GROUP_set_asn1_flag(group.get(), OPENSSL_EC_EXPLICIT_CURVE);
  Bytes parameters(static_cast<std::size_t>(i2d_ECPKParameters(group.get(), nullptr)));
  std::uint8_t* end = parameters.data();
  i2d_ECPKParameters(group.get(), &end);
  const Bytes digest(32, 7);
  EXPECT_TRUE(signersOf(parameters, digest, KeyOnCurve("prime256v1").sign(digest)).empty());
}

}  // namespace
}  // namespace p11ha::ha
