// The keys of a load test: known beforehand, so that every output can be checked without the token.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cryptoki/call.h"

namespace p11ha::testbed {

using Bytes = std::vector<std::uint8_t>;

struct FreeEvp {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using EvpKey = std::unique_ptr<EVP_PKEY, FreeEvp>;

/// Made here and imported, extractable: every member of a group holds them. Constant after import; any thread.
struct LoadKeys {
  Bytes aes;
  Bytes hmac;
  EvpKey ec;
  EvpKey rsa;
  std::string label;  // of all

  CK_OBJECT_HANDLE aesHandle = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE hmacHandle = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE ecPublicHandle = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE ecHandle = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE rsaHandle = CK_INVALID_HANDLE;

  /// Makes them and puts them on the token, through a session that is logged in. The error is ready to be shown.
  static base::Result<LoadKeys, std::string> import(const cryptoki::FunctionList& functions, CK_SESSION_HANDLE session);
  void destroy(const cryptoki::FunctionList& functions, CK_SESSION_HANDLE session) const;
};

}  // namespace p11ha::testbed
