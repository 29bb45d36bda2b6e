#include "tests/conformance/record/tracker.h"

namespace p11ha::conformance {

using cryptoki::EffectKind;
using cryptoki::Fn;
using cryptoki::Op;
using cryptoki::Route;

namespace {

constexpr std::string_view kOpNames[cryptoki::kOpCount] = {
    "none",   "Find",          "Encrypt",        "Decrypt",        "Digest",      "Sign",         "SignRecover",
    "Verify", "VerifyRecover", "MessageEncrypt", "MessageDecrypt", "MessageSign", "MessageVerify"};

// Does that answer of a Whole or Final call leave the operation as it was?
bool goesOn(const cryptoki::Call& call, CK_RV rv) {
  if (rv == CKR_BUFFER_TOO_SMALL || rv == CKR_ARGUMENTS_BAD) return true;
  const auto* out = cryptoki::function(call.fn).find(cryptoki::RoleKind::OutBytes);
  return rv == CKR_OK && out != nullptr && call.words[out->word] == 0;
}

}  // namespace

std::string Tracker::state(const cryptoki::Call& call) const {
  if (cryptoki::function(call.fn).route != Route::Session) return "none";
  const auto found = sessions_.find(call.session());
  std::string text;
  if (found != sessions_.end()) {
    for (std::size_t op = 1; op < cryptoki::kOpCount; ++op) {
      const Progress progress = found->second.operations[op];
      if (progress == Progress::None) continue;
      if (!text.empty()) text += " + ";
      text += kOpNames[op];
      if (progress == Progress::Fed) text += " fed";
    }
  }
  return text.empty() ? "none" : text;
}

std::string Tracker::standing(const cryptoki::Call& call) const {
  if (!initialised_) return "uninitialised";
  if (cryptoki::function(call.fn).route != Route::Session) return user_;
  const auto found = sessions_.find(call.session());
  if (found == sessions_.end()) return "no session";
  return (found->second.writable ? "RW " : "RO ") + user_;
}

void Tracker::answered(const cryptoki::Call& call, CK_RV rv) {
  openings(call, rv);
  operations(call, rv);
}

void Tracker::openings(const cryptoki::Call& call, CK_RV rv) {
  if (rv != CKR_OK) return;
  switch (call.fn) {
    case Fn::Initialize:
      initialised_ = true;
      break;
    case Fn::Finalize:
      *this = {};
      break;
    case Fn::OpenSession:
      sessions_[*call.get<CK_SESSION_HANDLE*>(4)] = {(call.get<CK_FLAGS>(1) & CKF_RW_SESSION) != 0, {}};
      break;
    case Fn::CloseSession:
      sessions_.erase(call.session());
      if (sessions_.empty()) user_ = "public";
      break;
    case Fn::CloseAllSessions:
      sessions_.clear();
      user_ = "public";
      break;
    case Fn::Login:
    case Fn::LoginUser:
      if (call.get<CK_USER_TYPE>(1) != CKU_CONTEXT_SPECIFIC) {
        user_ = call.get<CK_USER_TYPE>(1) == CKU_SO ? "SO" : "user";
      }
      break;
    case Fn::Logout:
      user_ = "public";
      break;
    default:
      break;
  }
}

void Tracker::operations(const cryptoki::Call& call, CK_RV rv) {
  const auto& effect = cryptoki::function(call.fn).effect;
  const auto found = sessions_.find(call.session());
  if (effect.kind == EffectKind::None || found == sessions_.end()) return;
  Progress& progress = found->second.operations[static_cast<std::size_t>(effect.op)];
  switch (effect.kind) {
    case EffectKind::Begin:
      if (rv == CKR_OK) progress = Progress::Begun;
      break;
    case EffectKind::Whole:
    case EffectKind::Final:
      if (!goesOn(call, rv)) progress = Progress::None;
      break;
    case EffectKind::Part:
      if (rv == CKR_OK) progress = Progress::Fed;
      break;
    case EffectKind::Dual:
      if (rv == CKR_OK) {
        progress = Progress::Fed;
        found->second.operations[static_cast<std::size_t>(effect.second)] = Progress::Fed;
      }
      break;
    case EffectKind::Cancel:
      if (rv == CKR_OK) found->second.operations = {};
      break;
    case EffectKind::None:
    case EffectKind::Message:
    case EffectKind::Restore:
      break;
  }
}

}  // namespace p11ha::conformance
