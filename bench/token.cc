#include "bench/token.h"

#include <array>

#include "cryptoki/modules.h"
#include "cryptoki/return_codes.h"

namespace p11ha::bench {

using cryptoki::FunctionList;

namespace {

constexpr CK_FLAGS kReadWrite = CKF_SERIAL_SESSION | CKF_RW_SESSION;
constexpr std::size_t kOutputBytes = 64;  // beyond the input: what any workload adds to it, or makes of it
constexpr std::size_t kLongestSignature = 256;

std::string answered(std::string_view what, CK_RV rv) {
  return std::string(what) + " answers " + cryptoki::returnCodeName(rv);
}

// What a key is made with. Extractable, so that a group of several members can clone it.
class KeyTemplate {
 public:
  explicit KeyTemplate(std::string_view label) : label_(label) {}
  KeyTemplate(const KeyTemplate&) = delete;
  KeyTemplate& operator=(const KeyTemplate&) = delete;

  KeyTemplate& add(CK_ATTRIBUTE_TYPE type, void* value, CK_ULONG size) {
    attributes_.push_back({type, value, size});
    return *this;
  }
  KeyTemplate& number(CK_ATTRIBUTE_TYPE type, CK_ULONG& value) { return add(type, &value, sizeof value); }
  KeyTemplate& yes(CK_ATTRIBUTE_TYPE type) { return add(type, &true_, sizeof true_); }
  KeyTemplate& label() { return add(CKA_LABEL, label_.data(), label_.size()); }
  KeyTemplate& secret() { return yes(CKA_TOKEN).yes(CKA_PRIVATE).yes(CKA_SENSITIVE).yes(CKA_EXTRACTABLE).label(); }

  CK_ATTRIBUTE* data() { return attributes_.data(); }
  CK_ULONG size() const { return attributes_.size(); }

 private:
  std::string label_;
  CK_BBOOL true_ = CK_TRUE;
  std::vector<CK_ATTRIBUTE> attributes_;
};

std::string_view labelOf(KeyKind kind) {
  switch (kind) {
    case KeyKind::EcP256:
      return "p11ha-bench P-256";
    case KeyKind::Rsa2048:
      return "p11ha-bench RSA-2048";
    case KeyKind::Aes256:
      return "p11ha-bench AES-256";
    case KeyKind::Hmac:
      return "p11ha-bench HMAC";
    case KeyKind::None:
      break;
  }
  return "";
}

CK_RV find(const FunctionList& functions, CK_SESSION_HANDLE session, KeyKind kind, CK_OBJECT_HANDLE& handle) {
  const bool pair = kind == KeyKind::EcP256 || kind == KeyKind::Rsa2048;
  CK_ULONG objectClass = pair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
  KeyTemplate wanted(labelOf(kind));
  wanted.number(CKA_CLASS, objectClass).label();
  CK_RV rv = functions.C_FindObjectsInit(session, wanted.data(), wanted.size());
  if (rv != CKR_OK) return rv;
  CK_ULONG found = 0;
  rv = functions.C_FindObjects(session, &handle, 1, &found);
  if (rv == CKR_OK && found == 0) handle = CK_INVALID_HANDLE;
  functions.C_FindObjectsFinal(session);
  return rv;
}

CK_RV makePair(const FunctionList& functions, CK_SESSION_HANDLE session, KeyKind kind, CK_OBJECT_HANDLE& handle) {
  const bool ec = kind == KeyKind::EcP256;
  CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
  CK_ULONG bits = 2048;
  KeyTemplate publicKey(labelOf(kind));
  publicKey.yes(CKA_TOKEN).yes(CKA_VERIFY).label();
  if (ec) {
    publicKey.add(CKA_EC_PARAMS, p256, sizeof p256);
  } else {
    publicKey.number(CKA_MODULUS_BITS, bits);
  }
  KeyTemplate privateKey(labelOf(kind));
  privateKey.secret().yes(CKA_SIGN);
  CK_MECHANISM mechanism{ec ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
  CK_OBJECT_HANDLE publicHandle = CK_INVALID_HANDLE;
  return functions.C_GenerateKeyPair(session, &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                     privateKey.size(), &publicHandle, &handle);
}

CK_RV makeSecret(const FunctionList& functions, CK_SESSION_HANDLE session, KeyKind kind, CK_OBJECT_HANDLE& handle) {
  const bool aes = kind == KeyKind::Aes256;
  CK_ULONG size = 32;
  KeyTemplate key(labelOf(kind));
  key.secret().yes(aes ? CKA_ENCRYPT : CKA_SIGN).number(CKA_VALUE_LEN, size);
  CK_MECHANISM mechanism{aes ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN, nullptr, 0};
  return functions.C_GenerateKey(session, &mechanism, key.data(), key.size(), &handle);
}

}  // namespace

base::Result<std::unique_ptr<Token>, std::string> Token::open(const Spec& spec) {
  static auto* const modules = new cryptoki::Modules;  // as long as what it loads: for good
  auto module = modules->open({spec.module, ""});
  if (!module) return base::Failure{module.error()};
  std::unique_ptr<Token> token(new Token(std::move(*module)));
  if (std::string wrong = token->logIn(spec); !wrong.empty()) return base::Failure{spec.module + ": " + wrong};
  return token;
}

std::string Token::logIn(const Spec& spec) {
  const auto tokens = module_->tokens();
  if (!tokens) return answered("C_GetSlotList", tokens.error());
  const cryptoki::TokenInSlot* found = nullptr;
  for (const cryptoki::TokenInSlot& token : *tokens) {
    if (token.label == spec.label) found = &token;
  }
  if (found == nullptr) return "no token \"" + spec.label + "\"";
  slot_ = found->slot;
  const FunctionList& functions = module_->functions();
  CK_RV rv = functions.C_OpenSession(slot_, kReadWrite, nullptr, nullptr, &session_);
  if (rv != CKR_OK) return answered("C_OpenSession", rv);
  std::string pin = spec.pin;
  rv = functions.C_Login(session_, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size());
  return rv == CKR_OK ? "" : answered("C_Login", rv);
}

base::Result<std::vector<CK_OBJECT_HANDLE>, std::string> Token::list() {
  std::vector<CK_OBJECT_HANDLE> handles;
  CK_RV rv = functions().C_FindObjectsInit(session_, nullptr, 0);
  if (rv != CKR_OK) return base::Failure{answered("C_FindObjectsInit", rv)};
  for (CK_ULONG found = 1; rv == CKR_OK && found != 0;) {
    std::array<CK_OBJECT_HANDLE, 256> some{};
    rv = functions().C_FindObjects(session_, some.data(), some.size(), &found);
    if (rv == CKR_OK) handles.insert(handles.end(), some.begin(), some.begin() + found);
  }
  functions().C_FindObjectsFinal(session_);
  if (rv != CKR_OK) return base::Failure{answered("C_FindObjects", rv)};
  return handles;
}

CK_RV Token::key(KeyKind kind, CK_OBJECT_HANDLE& handle) {
  if (kind == KeyKind::None) return CKR_OK;
  if (const auto known = keys_.find(kind); known != keys_.end()) {
    handle = known->second;
    return CKR_OK;
  }
  const FunctionList& functions = module_->functions();
  CK_RV rv = find(functions, session_, kind, handle);
  if (rv == CKR_OK && handle == CK_INVALID_HANDLE) {
    const bool pair = kind == KeyKind::EcP256 || kind == KeyKind::Rsa2048;
    rv = (pair ? makePair : makeSecret)(functions, session_, kind, handle);
  }
  if (rv == CKR_OK) keys_[kind] = handle;
  return rv;
}

base::Result<Lane, std::string> Token::openLane(const Workload& workload) {
  Lane lane;
  lane.functions = &module_->functions();
  lane.input.assign(workload.inputSize, 0x5a);
  lane.output.resize(std::max(workload.inputSize + kOutputBytes, kLongestSignature));
  CK_RV rv = key(workload.key, lane.key);
  if (rv != CKR_OK) return base::Failure{std::string(labelOf(workload.key)) + ": " + cryptoki::returnCodeName(rv)};
  rv = lane.functions->C_OpenSession(slot_, kReadWrite, nullptr, nullptr, &lane.session);
  if (rv != CKR_OK) return base::Failure{answered("C_OpenSession", rv)};
  return lane;
}

}  // namespace p11ha::bench
