// What a token should say, from OpenSSL. Any thread; fails only without memory.
#pragma once

#include "testbed/load/keys.h"

namespace p11ha::testbed {

Bytes expectedSha256(const Bytes& data);
Bytes expectedHmac(const Bytes& key, const Bytes& data);
/// AES-256-CBC with PKCS padding.
Bytes expectedCbc(const Bytes& key, const Bytes& iv, const Bytes& data);
/// AES-256-GCM, the tag behind.
Bytes expectedGcm(const Bytes& key, const Bytes& iv, const Bytes& additional, const Bytes& data);
/// Raw, r and s, over that digest.
bool verifiesEcdsa(EVP_PKEY* key, const Bytes& digest, const Bytes& signature);
/// PKCS #1 v1.5 with SHA-256, over the data.
bool verifiesRsa(EVP_PKEY* key, const Bytes& data, const Bytes& signature);

}  // namespace p11ha::testbed
