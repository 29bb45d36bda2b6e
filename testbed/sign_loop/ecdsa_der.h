// ECDSA signatures as OpenSSL wants them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace p11ha::testbed {

/// SEQUENCE { INTEGER r, INTEGER s } of a PKCS#11 signature, which is r and s one after the other, each half of it (at
/// most 60 bytes each, which all curves below P-521 keep to). Pure; any thread.
std::vector<std::uint8_t> ecdsaDer(std::span<const std::uint8_t> raw);

}  // namespace p11ha::testbed
