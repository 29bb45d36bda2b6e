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

// A token object, which a group has on each member before the call returns.
CK_RV makeAesKey(Lane& lane) {
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  CK_BBOOL yes = CK_TRUE;
  CK_ULONG length = 32;
  CK_ATTRIBUTE wanted[] = {
      {CKA_TOKEN, &yes, sizeof yes}, {CKA_ENCRYPT, &yes, sizeof yes}, {CKA_VALUE_LEN, &length, sizeof length}};
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  const CK_RV rv = lane.functions->C_GenerateKey(lane.session, &mechanism, wanted, std::size(wanted), &key);
  return rv == CKR_OK ? lane.functions->C_DestroyObject(lane.session, key) : rv;
}

CK_RV makeP256Pair(Lane& lane) {
  CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
  CK_BBOOL yes = CK_TRUE;
  CK_BYTE curve[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
  CK_ATTRIBUTE forPublic[] = {{CKA_TOKEN, &yes, sizeof yes}, {CKA_EC_PARAMS, curve, sizeof curve}};
  CK_ATTRIBUTE forPrivate[] = {{CKA_TOKEN, &yes, sizeof yes}, {CKA_SIGN, &yes, sizeof yes}};
  CK_OBJECT_HANDLE keys[2] = {};
  CK_RV rv = lane.functions->C_GenerateKeyPair(lane.session, &mechanism, forPublic, std::size(forPublic), forPrivate,
                                               std::size(forPrivate), &keys[0], &keys[1]);
  for (const CK_OBJECT_HANDLE key : keys) {
    if (rv == CKR_OK) rv = lane.functions->C_DestroyObject(lane.session, key);
  }
  return rv;
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
    {"aes-key", "GenerateKey (AES-256, token) + DestroyObject", KeyKind::None, 0, &makeAesKey, true},
    {"p256-key", "GenerateKeyPair (P-256, token) + DestroyObject of both", KeyKind::None, 0, &makeP256Pair, true},
};

}  // namespace

std::span<const Workload> workloads() { return kWorkloads; }

const Workload* findWorkload(std::string_view name) {
  const auto* found = std::find_if(std::begin(kWorkloads), std::end(kWorkloads),
                                   [name](const Workload& workload) { return workload.name == name; });
  return found == std::end(kWorkloads) ? nullptr : found;
}

}  // namespace p11ha::bench
