// Whose an ECDSA signature may be: it gives its maker's public key away.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace p11ha::ha {

/// Pure. The public keys, each as CKA_EC_POINT has it (DER OCTET STRING of the uncompressed point), of all private keys
/// that may have made that signature (r and s of one length, as CKM_ECDSA gives them) of that digest, on the curve of
/// that CKA_EC_PARAMS: SEC 1 v2.0, section 4.1.6. Of two digests' sets one key is in both. None where the curve is not
/// known or the signature is none of it.
std::vector<std::vector<std::uint8_t>> signersOf(std::span<const std::uint8_t> curve,
                                                 std::span<const std::uint8_t> digest,
                                                 std::span<const std::uint8_t> signature);

}  // namespace p11ha::ha
