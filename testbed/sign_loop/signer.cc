#include "testbed/sign_loop/signer.h"

#include <dlfcn.h>

#include <iterator>

#include "cryptoki/return_codes.h"
#include "cryptoki/text.h"

namespace p11ha::testbed {
namespace {

constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kLongestSignature = 256;

CK_BYTE_PTR bytes(std::string& text) { return reinterpret_cast<CK_BYTE_PTR>(text.data()); }

std::string answered(const char* what, CK_RV rv) { return std::string(what) + ": " + cryptoki::returnCodeName(rv); }

}  // namespace

base::Result<Signer, std::string> Signer::open(Settings settings) {
  void* library = dlopen(settings.module.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return base::Failure{std::string(dlerror())};
  const auto getList = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST_PTR functions = nullptr;
  if (getList == nullptr || getList(&functions) != CKR_OK) {
    return base::Failure{settings.module + " is no PKCS#11 module"};
  }
  cryptoki::InitializeArgs arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  CK_RV rv = functions->C_Initialize(&arguments);
  if (rv != CKR_OK) return base::Failure{answered("C_Initialize", rv)};
  Signer signer(functions);
  if (std::string wrong = signer.openToken(settings.tokenLabel); !wrong.empty()) return base::Failure{wrong};
  rv = functions->C_Login(signer.session_, CKU_USER, settings.pin.empty() ? nullptr : bytes(settings.pin),
                          settings.pin.size());
  if (rv != CKR_OK) return base::Failure{answered("C_Login", rv)};
  if (std::string wrong = signer.openKey(settings.keyLabel, settings.generate); !wrong.empty())
    return base::Failure{wrong};
  return signer;
}

std::string Signer::openToken(const std::string& label) {
  CK_ULONG count = 0;
  CK_RV rv = f_->C_GetSlotList(CK_TRUE, nullptr, &count);
  if (rv != CKR_OK) return answered("C_GetSlotList", rv);
  std::vector<CK_SLOT_ID> slots(count);
  rv = f_->C_GetSlotList(CK_TRUE, slots.data(), &count);
  if (rv != CKR_OK) return answered("C_GetSlotList", rv);
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    if (f_->C_GetTokenInfo(slot, &info) != CKR_OK || cryptoki::unpad(info.label) != label) continue;
    rv = f_->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session_);
    return rv == CKR_OK ? "" : answered("C_OpenSession", rv);
  }
  return "no token \"" + label + "\"";
}

std::string Signer::openKey(const std::string& label, bool generate) {
  std::string wanted = label;
  CK_OBJECT_CLASS objectClass = CKO_PRIVATE_KEY;
  CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &objectClass, sizeof objectClass},
                               {CKA_LABEL, wanted.data(), wanted.size()}};
  CK_ULONG found = 0;
  CK_RV rv = f_->C_FindObjectsInit(session_, attributes, std::size(attributes));
  if (rv == CKR_OK) rv = f_->C_FindObjects(session_, &key_, 1, &found);
  if (rv == CKR_OK) rv = f_->C_FindObjectsFinal(session_);
  if (rv != CKR_OK) return answered("C_FindObjects", rv);
  if (found == 0 && generate) {
    rv = generateKey(label);
    return rv == CKR_OK ? "" : answered("C_GenerateKeyPair", rv);
  }
  return found == 1 ? "" : "no private key \"" + label + "\"";
}

// Extractable: so that every member can have it.
CK_RV Signer::generateKey(std::string label) {
  CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
  CK_BBOOL yes = CK_TRUE;
  CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
  CK_ATTRIBUTE publicKey[] = {{CKA_TOKEN, &yes, sizeof yes},
                              {CKA_VERIFY, &yes, sizeof yes},
                              {CKA_EC_PARAMS, p256, sizeof p256},
                              {CKA_LABEL, label.data(), label.size()}};
  CK_ATTRIBUTE privateKey[] = {{CKA_TOKEN, &yes, sizeof yes},       {CKA_PRIVATE, &yes, sizeof yes},
                               {CKA_SIGN, &yes, sizeof yes},        {CKA_SENSITIVE, &yes, sizeof yes},
                               {CKA_EXTRACTABLE, &yes, sizeof yes}, {CKA_LABEL, label.data(), label.size()}};
  CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
  return f_->C_GenerateKeyPair(session_, &mechanism, publicKey, std::size(publicKey), privateKey, std::size(privateKey),
                               &made, &key_);
}

base::Result<std::vector<std::uint8_t>, CK_RV> Signer::sign(std::string message) {
  CK_MECHANISM sha256{CKM_SHA256, nullptr, 0};
  CK_MECHANISM ecdsa{CKM_ECDSA, nullptr, 0};
  CK_BYTE digest[kDigestBytes];
  CK_ULONG digestSize = sizeof digest;
  std::vector<std::uint8_t> signature(kLongestSignature);
  CK_ULONG size = signature.size();
  CK_RV rv = f_->C_DigestInit(session_, &sha256);
  if (rv == CKR_OK) rv = f_->C_Digest(session_, bytes(message), message.size(), digest, &digestSize);
  if (rv == CKR_OK) rv = f_->C_SignInit(session_, &ecdsa, key_);
  if (rv == CKR_OK) rv = f_->C_Sign(session_, digest, digestSize, signature.data(), &size);
  if (rv != CKR_OK) return base::Failure{rv};
  signature.resize(size);
  return signature;
}

void Signer::close() { f_->C_Finalize(nullptr); }

}  // namespace p11ha::testbed
