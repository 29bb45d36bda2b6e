#include "bench/workload.h"

#include <algorithm>
#include <iterator>

namespace p11ha::bench {
namespace {

constexpr std::size_t kRandomBytes = 32;

CK_RV sessionInfo(Lane& lane) {
  CK_SESSION_INFO info;
  return lane.functions->C_GetSessionInfo(lane.session, &info);
}

CK_RV random(Lane& lane) { return lane.functions->C_GenerateRandom(lane.session, lane.output.data(), kRandomBytes); }

CK_RV attribute(Lane& lane) {
  CK_ATTRIBUTE label{CKA_LABEL, lane.output.data(), lane.output.size()};
  return lane.functions->C_GetAttributeValue(lane.session, lane.key, &label, 1);
}

CK_RV digest(Lane& lane) {
  CK_MECHANISM mechanism{CKM_SHA256, nullptr, 0};
  if (const CK_RV rv = lane.functions->C_DigestInit(lane.session, &mechanism); rv != CKR_OK) return rv;
  CK_ULONG size = lane.output.size();
  return lane.functions->C_Digest(lane.session, lane.input.data(), lane.input.size(), lane.output.data(), &size);
}

template <CK_MECHANISM_TYPE Type>
CK_RV sign(Lane& lane) {
  CK_MECHANISM mechanism{Type, nullptr, 0};
  if (const CK_RV rv = lane.functions->C_SignInit(lane.session, &mechanism, lane.key); rv != CKR_OK) return rv;
  CK_ULONG size = lane.output.size();
  return lane.functions->C_Sign(lane.session, lane.input.data(), lane.input.size(), lane.output.data(), &size);
}

// The same IV each time: nothing is kept secret with this key.
CK_RV encryptGcm(Lane& lane) {
  CK_BYTE iv[12] = {};
  CK_GCM_PARAMS parameters{iv, sizeof iv, 8 * sizeof iv, nullptr, 0, 128};
  CK_MECHANISM mechanism{CKM_AES_GCM, &parameters, sizeof parameters};
  if (const CK_RV rv = lane.functions->C_EncryptInit(lane.session, &mechanism, lane.key); rv != CKR_OK) return rv;
  CK_ULONG size = lane.output.size();
  return lane.functions->C_Encrypt(lane.session, lane.input.data(), lane.input.size(), lane.output.data(), &size);
}

constexpr Workload kWorkloads[] = {
    {"session-info", "C_GetSessionInfo", KeyKind::None, 0, &sessionInfo},
    {"random-32", "C_GenerateRandom, 32 bytes", KeyKind::None, 0, &random},
    {"attribute", "C_GetAttributeValue, CKA_LABEL", KeyKind::Aes256, 0, &attribute},
    {"sha256-64", "DigestInit + Digest, SHA-256, 64 bytes", KeyKind::None, 64, &digest},
    {"hmac-64", "SignInit + Sign, HMAC-SHA-256, 64 bytes", KeyKind::Hmac, 64, &sign<CKM_SHA256_HMAC>},
    {"gcm-256", "EncryptInit + Encrypt, AES-GCM, 256 bytes", KeyKind::Aes256, 256, &encryptGcm},
    {"gcm-16k", "EncryptInit + Encrypt, AES-GCM, 16 KiB", KeyKind::Aes256, 16384, &encryptGcm},
    {"p256", "SignInit + Sign, ECDSA P-256", KeyKind::EcP256, 32, &sign<CKM_ECDSA>},
    {"rsa-2048", "SignInit + Sign, RSA-2048 PKCS#1", KeyKind::Rsa2048, 32, &sign<CKM_RSA_PKCS>},
};

}  // namespace

std::span<const Workload> workloads() { return kWorkloads; }

const Workload* findWorkload(std::string_view name) {
  const auto* found = std::find_if(std::begin(kWorkloads), std::end(kWorkloads),
                                   [name](const Workload& workload) { return workload.name == name; });
  return found == std::end(kWorkloads) ? nullptr : found;
}

}  // namespace p11ha::bench
