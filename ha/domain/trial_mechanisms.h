// Mechanisms to try a secret key with that must not be used so.
#pragma once

#include <array>
#include <vector>

#include "ha/domain/on_token.h"

namespace p11ha::ha::domain {

/// A mechanism, with some valid parameter.
struct TrialMechanism {
  CK_MECHANISM mechanism;
  CK_FLAGS uses = 0;  // CKF_ENCRYPT and its kin: what the token offers it for
};

/// Those that a token offers, and what their parameters point to. Asks for each of a table of ours. One thread.
class TrialMechanisms {
 public:
  explicit TrialMechanisms(const OnToken& token);
  TrialMechanisms(const TrialMechanisms&) = delete;
  TrialMechanisms& operator=(const TrialMechanisms&) = delete;

  /// Of AES keys.
  const std::vector<TrialMechanism>& ofAes() const { return ofAes_; }
  /// Derivations that take a part of a key's bytes, or put bytes beside them (PKCS #11 v3.0 current mechanisms, 2.43).
  const std::vector<TrialMechanism>& shortDerivations() const { return shortDerivations_; }

 private:
  // Not constant: a token may write to a parameter.
  std::array<CK_BYTE, 16> bytes_{};
  CK_GCM_PARAMS gcm_{bytes_.data(), 12, 96, nullptr, 0, 128};
  CK_AES_CTR_PARAMS counter_{64, {}};
  CK_KEY_DERIVATION_STRING_DATA data_{bytes_.data(), bytes_.size()};
  CK_AES_CBC_ENCRYPT_DATA_PARAMS cbcData_{{}, bytes_.data(), bytes_.size()};
  CK_ULONG macLength_ = 8;
  CK_EXTRACT_PARAMS firstBit_ = 0;
  std::vector<TrialMechanism> ofAes_;
  std::vector<TrialMechanism> shortDerivations_;
};

}  // namespace p11ha::ha::domain
