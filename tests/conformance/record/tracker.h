// Which states a script has brought a module to, as far as its answers tell: for the report's rows and columns.
#pragma once

#include <array>
#include <map>
#include <string>

#include "cryptoki/call.h"

namespace p11ha::conformance {

/// Follows the calls to one module. One thread.
class Tracker {
 public:
  /// "none", "Sign", "Sign fed", "Digest + Encrypt fed": of the session that the call names.
  std::string state(const cryptoki::Call& call) const;
  /// "RW user", "RO public"; "no session", "uninitialised".
  std::string standing(const cryptoki::Call& call) const;

  void answered(const cryptoki::Call& call, CK_RV rv);

 private:
  enum class Progress : std::uint8_t { None, Begun, Fed };
  struct Session {
    bool writable = false;
    std::array<Progress, cryptoki::kOpCount> operations{};
  };

  void openings(const cryptoki::Call& call, CK_RV rv);
  void operations(const cryptoki::Call& call, CK_RV rv);

  bool initialised_ = false;
  std::map<CK_SESSION_HANDLE, Session> sessions_;
  std::string user_ = "public";
};

}  // namespace p11ha::conformance
