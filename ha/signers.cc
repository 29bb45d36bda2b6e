#include "ha/signers.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include <algorithm>
#include <memory>

namespace p11ha::ha {
namespace {

using Bytes = std::vector<std::uint8_t>;

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Curve = std::unique_ptr<EC_GROUP, Free<EC_GROUP_free>>;
using Point = std::unique_ptr<EC_POINT, Free<EC_POINT_free>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Context = std::unique_ptr<BN_CTX, Free<BN_CTX_free>>;
using OctetString = std::unique_ptr<ASN1_OCTET_STRING, Free<ASN1_OCTET_STRING_free>>;

// The application's own errors, which this thread may hold, stay as they are.
class NoErrors {
 public:
  NoErrors() { ERR_set_mark(); }
  ~NoErrors() { ERR_pop_to_mark(); }
  NoErrors(const NoErrors&) = delete;
  NoErrors& operator=(const NoErrors&) = delete;
};

// One that is named: what a member makes up may be of any size.
Curve curveOf(std::span<const std::uint8_t> der) {
  const std::uint8_t* next = der.data();
  if (der.empty() || der[0] != V_ASN1_OBJECT) return nullptr;
  Curve curve(d2i_ECPKParameters(nullptr, &next, static_cast<long>(der.size())));
  const bool isKnown = curve != nullptr && EC_GROUP_get_field_type(curve.get()) == NID_X9_62_prime_field;
  return isKnown ? std::move(curve) : nullptr;
}

Number numberOf(std::span<const std::uint8_t> bytes) {
  return Number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
}

// Of a digest that is longer than the order, its first bits.
Number messageOf(std::span<const std::uint8_t> digest, const BIGNUM* order) {
  Number message = numberOf(digest);
  const int spare = static_cast<int>(digest.size()) * 8 - BN_num_bits(order);
  if (message != nullptr && spare > 0 && BN_rshift(message.get(), message.get(), spare) != 1) return nullptr;
  return message;
}

Bytes encoded(const EC_GROUP* curve, const EC_POINT* point, BN_CTX* context) {
  Bytes raw(EC_POINT_point2oct(curve, point, POINT_CONVERSION_UNCOMPRESSED, nullptr, 0, context));
  EC_POINT_point2oct(curve, point, POINT_CONVERSION_UNCOMPRESSED, raw.data(), raw.size(), context);
  const OctetString octets(ASN1_OCTET_STRING_new());
  if (octets == nullptr || ASN1_OCTET_STRING_set(octets.get(), raw.data(), static_cast<int>(raw.size())) != 1)
    return {};
  Bytes der(static_cast<std::size_t>(std::max(0, i2d_ASN1_OCTET_STRING(octets.get(), nullptr))));
  std::uint8_t* end = der.data();
  i2d_ASN1_OCTET_STRING(octets.get(), &end);
  return der;
}

}  // namespace

std::vector<Bytes> signersOf(std::span<const std::uint8_t> curve, std::span<const std::uint8_t> digest,
                             std::span<const std::uint8_t> signature) {
  const NoErrors quietly;
  const Curve group = curveOf(curve);
  const Context context(BN_CTX_new());
  if (group == nullptr || context == nullptr || signature.empty() || signature.size() % 2 != 0) return {};
  const BIGNUM* const order = EC_GROUP_get0_order(group.get());
  const Number r = numberOf(signature.first(signature.size() / 2));
  const Number s = numberOf(signature.subspan(signature.size() / 2));
  const Number message = messageOf(digest, order);
  if (r == nullptr || s == nullptr || message == nullptr) return {};
  // Q = r^-1 (sR - eG), for each point R whose x is r, or r and a multiple of the order.
  const Number inverse(BN_mod_inverse(nullptr, r.get(), order, context.get()));
  const Number ofG(BN_new());
  const Number ofR(BN_new());
  const Number x(BN_dup(r.get()));
  const Number prime(BN_new());
  if (inverse == nullptr || ofG == nullptr || ofR == nullptr || x == nullptr || prime == nullptr ||
      EC_GROUP_get_curve(group.get(), prime.get(), nullptr, nullptr, context.get()) != 1 ||
      BN_mod_mul(ofG.get(), message.get(), inverse.get(), order, context.get()) != 1 ||
      BN_sub(ofG.get(), order, ofG.get()) != 1 ||
      BN_mod_mul(ofR.get(), s.get(), inverse.get(), order, context.get()) != 1)
    return {};
  std::vector<Bytes> all;
  while (BN_cmp(x.get(), prime.get()) < 0) {
    for (const int isOdd : {0, 1}) {
      const Point point(EC_POINT_new(group.get()));
      const Point signer(EC_POINT_new(group.get()));
      if (point == nullptr || signer == nullptr ||
          EC_POINT_set_compressed_coordinates(group.get(), point.get(), x.get(), isOdd, context.get()) != 1 ||
          EC_POINT_mul(group.get(), signer.get(), ofG.get(), point.get(), ofR.get(), context.get()) != 1 ||
          EC_POINT_is_at_infinity(group.get(), signer.get()) == 1)
        continue;
      if (Bytes der = encoded(group.get(), signer.get(), context.get()); !der.empty()) all.push_back(std::move(der));
    }
    if (BN_add(x.get(), x.get(), order) != 1) return {};
  }
  return all;
}

}  // namespace p11ha::ha
