#include "ha/domain/hand_over.h"

#include <array>

namespace p11ha::ha::domain {

using base::SecureBytes;
using cryptoki::Outcome;
using cryptoki::Template;

namespace {

constexpr CK_ULONG kModulusBits = 2048;
constexpr std::array<std::uint8_t, 3> kF4 = {1, 0, 1};

struct Oaep {
  CK_RSA_PKCS_OAEP_PARAMS parameters{CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, nullptr, 0};
  CK_MECHANISM mechanism{CKM_RSA_PKCS_OAEP, &parameters, sizeof parameters};
};

void addUses(Template& key, CK_ATTRIBUTE_TYPE only, std::initializer_list<CK_ATTRIBUTE_TYPE> uses) {
  for (const CK_ATTRIBUTE_TYPE use : uses) key.addBool(use, use == only);
}

Template publicPart() {
  Template key;
  key.addBool(CKA_TOKEN, false);
  key.addBool(CKA_PRIVATE, false);
  addUses(key, CKA_WRAP, {CKA_ENCRYPT, CKA_VERIFY, CKA_WRAP, CKA_DERIVE});
  return key;
}

Template privatePart(bool isPrivate) {
  Template key;
  key.addBool(CKA_TOKEN, false);
  key.addBool(CKA_PRIVATE, isPrivate);
  key.addBool(CKA_SENSITIVE, true);
  key.addBool(CKA_EXTRACTABLE, false);
  addUses(key, CKA_UNWRAP, {CKA_DECRYPT, CKA_SIGN, CKA_UNWRAP, CKA_DERIVE});
  return key;
}

}  // namespace

HandOverPair::~HandOverPair() {
  for (const CK_OBJECT_HANDLE key : {publicKey_, privateKey_}) {
    if (key == CK_INVALID_HANDLE) continue;
    token_.destroy(key);
    concealment_.gone(key);
  }
}

std::optional<Problem> HandOverPair::make() {
  Template forPublic = publicPart();
  forPublic.addUlong(CKA_MODULUS_BITS, kModulusBits);
  forPublic.addBytes(CKA_PUBLIC_EXPONENT, kF4);
  Outcome outcome =
      token_.generatePair(CKM_RSA_PKCS_KEY_PAIR_GEN, forPublic, privatePart(isPrivate_), publicKey_, privateKey_);
  if (outcome.rv != CKR_OK) return answered("C_GenerateKeyPair for the hand-over", outcome);
  for (const CK_OBJECT_HANDLE key : {publicKey_, privateKey_}) concealment_.made(key);
  static constexpr CK_ATTRIBUTE_TYPE kMaterial[] = {CKA_MODULUS, CKA_PUBLIC_EXPONENT};
  outcome = token_.read(publicKey_, kMaterial, material_);
  if (outcome.rv != CKR_OK) return answered("C_GetAttributeValue of the public key for the hand-over", outcome);
  // Half a public key, or another than was asked for, is not handed to a giver that is to trust it.
  const auto modulus = material_.find(CKA_MODULUS);
  if (!modulus || modulus->size() != kModulusBits / 8 || !material_.has(CKA_PUBLIC_EXPONENT))
    return Problem{"it shows no public key for the hand-over", {CKR_GENERAL_ERROR}};
  return std::nullopt;
}

Outcome HandOverPair::take(SecureBytes& handedOver, const Template& wanted, CK_OBJECT_HANDLE& made) {
  Oaep oaep;
  return token_.unwrap(oaep.mechanism, privateKey_, handedOver, wanted, made);
}

base::Result<std::vector<SecureBytes>, Problem> handOver(const OnToken& giver, std::span<const CK_OBJECT_HANDLE> keys,
                                                         const Template& material, bool trusted,
                                                         const Concealment& concealment) {
  Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_PUBLIC_KEY);
  wanted.addUlong(CKA_KEY_TYPE, CKK_RSA);
  wanted.append(publicPart());
  if (trusted) wanted.addBool(CKA_TRUSTED, true);
  wanted.append(material);
  CK_OBJECT_HANDLE publicKey = CK_INVALID_HANDLE;
  Outcome outcome = giver.create(std::move(wanted), publicKey);
  if (outcome.rv != CKR_OK) return base::Failure{answered("C_CreateObject of a public key to hand over to", outcome)};
  concealment.made(publicKey);
  std::vector<SecureBytes> wrapped;
  for (const CK_OBJECT_HANDLE key : keys) {
    Oaep oaep;
    outcome = giver.wrap(oaep.mechanism, publicKey, key, wrapped.emplace_back());
    if (outcome.rv != CKR_OK) break;
  }
  giver.destroy(publicKey);
  concealment.gone(publicKey);
  if (outcome.rv != CKR_OK) return base::Failure{answered("C_WrapKey for the hand-over", outcome)};
  return wrapped;
}

}  // namespace p11ha::ha::domain
