#include "ha/domain/trial_mechanisms.h"

#include <span>

namespace p11ha::ha::domain {
namespace {

template <class T>
CK_MECHANISM with(CK_MECHANISM_TYPE type, T& parameter) {
  return {type, &parameter, sizeof parameter};
}

std::vector<TrialMechanism> offered(const OnToken& token, std::span<const CK_MECHANISM> candidates) {
  std::vector<TrialMechanism> found;
  for (const CK_MECHANISM& candidate : candidates) {
    CK_MECHANISM_INFO info{};
    if (token.mechanismInfo(candidate.mechanism, info).rv == CKR_OK) found.push_back({candidate, info.flags});
  }
  return found;
}

}  // namespace

TrialMechanisms::TrialMechanisms(const OnToken& token) {
  const CK_MECHANISM ofAes[] = {
      {CKM_AES_ECB, nullptr, 0},
      with(CKM_AES_CBC, bytes_),
      with(CKM_AES_CBC_PAD, bytes_),
      with(CKM_AES_OFB, bytes_),
      with(CKM_AES_CFB128, bytes_),
      with(CKM_AES_CFB8, bytes_),
      with(CKM_AES_CTS, bytes_),
      with(CKM_AES_CTR, counter_),
      with(CKM_AES_GCM, gcm_),
      {CKM_AES_MAC, nullptr, 0},
      with(CKM_AES_MAC_GENERAL, macLength_),
      {CKM_AES_CMAC, nullptr, 0},
      with(CKM_AES_CMAC_GENERAL, macLength_),
      with(CKM_AES_ECB_ENCRYPT_DATA, data_),
      with(CKM_AES_CBC_ENCRYPT_DATA, cbcData_),
      {CKM_AES_KEY_WRAP, nullptr, 0},
      {CKM_AES_KEY_WRAP_KWP, nullptr, 0},
  };
  ofAes_ = offered(token, ofAes);
  const CK_MECHANISM shortDerivations[] = {
      with(CKM_EXTRACT_KEY_FROM_KEY, firstBit_),
      with(CKM_XOR_BASE_AND_DATA, data_),
      with(CKM_CONCATENATE_BASE_AND_DATA, data_),
      with(CKM_CONCATENATE_DATA_AND_BASE, data_),
  };
  shortDerivations_ = offered(token, shortDerivations);
}

}  // namespace p11ha::ha::domain
