// What can be measured: one description of each workload.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cryptoki/call.h"

namespace p11ha::bench {

/// The keys that workloads use. A token has one of each, found by its label and made where it is missing.
enum class KeyKind : std::uint8_t { None, EcP256, Rsa2048, Aes256, Hmac };

/// What one thread works with: a session of its own and buffers that are used again and again. Owned and used by that
/// thread; `functions` outlives it.
struct Lane {
  const cryptoki::FunctionList* functions = nullptr;
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  std::vector<CK_BYTE> input;
  std::vector<CK_BYTE> output;
};

/// One row of the table. Constant.
struct Workload {
  std::string_view name;   // on the command line and in JSON
  std::string_view title;  // in tables
  KeyKind key = KeyKind::None;
  std::size_t inputSize = 0;
  /// Once, on the lane's thread: the rv of the first call that did not answer CKR_OK.
  CK_RV (*run)(Lane& lane) = nullptr;
  /// Slow beside all others: only where it is asked for.
  bool onDemand = false;
};

std::span<const Workload> workloads();

/// Null if there is none of that name.
const Workload* findWorkload(std::string_view name);

}  // namespace p11ha::bench
