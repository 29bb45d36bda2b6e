#include "tests/conformance/script/standard.h"

#include <algorithm>
#include <cstring>

namespace p11ha::conformance {

using cryptoki::Argument;
using cryptoki::EffectKind;
using cryptoki::Fn;
using cryptoki::kFunctionCount;
using cryptoki::Op;
using cryptoki::RoleKind;

namespace {

constexpr CK_ULONG kCapacity = 1024;

Bytes plainText() { return counting(32); }  // whole blocks

const Fn* findFunction(EffectKind kind, Op op) {
  for (std::size_t i = 0; i < kFunctionCount; ++i) {
    const auto& function = cryptoki::function(static_cast<Fn>(i));
    if (function.effect.kind == kind && function.effect.op == op) return cryptoki::findFunction(function.name);
  }
  return nullptr;
}

bool verifies(Fn fn) {
  const auto op = cryptoki::function(fn).effect.op;
  return op == Op::Verify || op == Op::MessageVerify;
}

// What a message takes: a parameter for AES-GCM, with room for the tag.
void messageParameter(Prepared& prepared, std::size_t word) {
  struct WithRoom {
    CK_GCM_MESSAGE_PARAMS parameters;
    CK_BYTE iv[12];
    CK_BYTE tag[16];
  };
  auto& room = prepared.memory<WithRoom>(word);
  room.parameters = {room.iv, sizeof room.iv, 0, CKG_NO_GENERATE, room.tag, 128};
  prepared.value(word + 1, sizeof room.parameters);
}

}  // namespace

std::vector<Fn> Standard::functions() {
  std::vector<Fn> all;
  for (std::size_t i = 0; i < kFunctionCount; ++i) {
    const Fn fn = static_cast<Fn>(i);
    if (fn != Fn::Initialize && fn != Fn::Finalize && fn != Fn::InitToken) all.push_back(fn);
  }
  all.push_back(Fn::InitToken);
  return all;
}

Fn Standard::beginning(Op op) { return *findFunction(EffectKind::Begin, op); }

const Fn* Standard::feeding(Op op) { return findFunction(EffectKind::Part, op); }

Fn Standard::completing(Op op, bool fed) {
  const Fn* whole = findFunction(EffectKind::Whole, op);
  if (whole == nullptr) whole = findFunction(EffectKind::Message, op);
  const Fn* final = findFunction(EffectKind::Final, op);
  return *((fed && final != nullptr) || whole == nullptr ? final : whole);
}

void Standard::prepare(CK_SESSION_HANDLE session) {
  const auto produce = [&](Op op, const std::string& what) {
    Bytes made(16);
    if (!establish(session, op, false)) return made;
    Prepared prepared = of(completing(op, false), session);
    prepared.note.situation = what;
    if (client_.call(prepared) == CKR_OK) made = prepared.taken(prepared.wordOf(RoleKind::OutBytes));
    return made;
  };
  ciphertext_ = produce(Op::Encrypt, "to have a ciphertext");
  signature_ = produce(Op::Sign, "to have a signature");
  recoverable_ = produce(Op::SignRecover, "to have a signature to recover from");
  Prepared wrap = of(Fn::WrapKey, session);
  wrap.note.situation = "to have a wrapped key";
  wrapped_ = client_.call(wrap) == CKR_OK ? wrap.taken(wrap.wordOf(RoleKind::OutBytes)) : Bytes(24);
}

Prepared Standard::of(Fn fn, CK_SESSION_HANDLE session) {
  Prepared prepared(fn);
  prepared.note.random = fn == Fn::GenerateKey || fn == Fn::GenerateKeyPair || fn == Fn::GetOperationState;
  for (const Argument& one : cryptoki::function(fn).args()) argument(prepared, one, session);
  return prepared;
}

void Standard::argument(Prepared& prepared, const Argument& argument, CK_SESSION_HANDLE session) {
  const std::size_t word = argument.word;
  const Fn fn = prepared.call.fn;
  const TokenAccess& access = client_.access();
  switch (argument.role) {
    case RoleKind::SlotId:
      prepared.value(word, client_.slot());
      return;
    case RoleKind::SessionId:
      prepared.value(word, session);
      return;
    case RoleKind::ObjectId:
      prepared.value(word, fn == Fn::DestroyObject ? CK_INVALID_HANDLE : keys_["generic"]);
      return;
    case RoleKind::KeyId:
      prepared.value(word, keyFor(fn));
      return;
    case RoleKind::WrappingKeyId:
    case RoleKind::UnwrappingKeyId:
      prepared.value(word, keys_["aes"]);
      return;
    case RoleKind::OptionalKeyId:
      prepared.value(word, CK_INVALID_HANDLE);
      return;
    case RoleKind::NewObject:
    case RoleKind::NewSession:
      (prepared.note.makes.empty() ? prepared.note.makes : prepared.note.makesToo) =
          "made by " + std::string(cryptoki::function(fn).name);
      prepared.memory<CK_ULONG>(word);
      return;
    case RoleKind::OutNumber:
    case RoleKind::OutSlot:
      prepared.memory<CK_ULONG>(word);
      return;
    case RoleKind::FoundObjects:
      prepared.memory(word, 64 * sizeof(CK_OBJECT_HANDLE));
      prepared.value(word + 1, 1).memory<CK_ULONG>(word + 2);
      prepared.note.random = true;
      return;
    case RoleKind::Mechanism:
      prepared.mechanism(word, mechanismFor(fn));
      return;
    case RoleKind::InTemplate:
      prepared.attributes(word, templateFor(prepared, word));
      return;
    case RoleKind::OutTemplate:
      prepared.wanted(word, {{CKA_CLASS, sizeof(CK_ULONG)}, {CKA_LABEL, 32}});
      return;
    case RoleKind::InBytes:
      bytesIn(prepared, word);
      return;
    case RoleKind::OutBytes:
      prepared.out(word, kCapacity);
      return;
    case RoleKind::FilledBytes:
      prepared.fill(word, 32);
      return;
    case RoleKind::MessageParameter:
      messageParameter(prepared, word);
      return;
    case RoleKind::Pin:
      prepared.in(word, bytesOf(fn == Fn::InitToken ? access.soPin : access.pin));
      return;
    case RoleKind::UserName:
      prepared.in(word, bytesOf("user"));
      return;
    case RoleKind::Label32:
      std::memset(prepared.memory(word, 32), ' ', 32);
      return;
    case RoleKind::UserType:
      prepared.value(word, CKU_USER);
      return;
    case RoleKind::Flags:
      prepared.value(word, fn == Fn::OpenSession        ? CKF_SERIAL_SESSION | CKF_RW_SESSION
                           : fn == Fn::WaitForSlotEvent ? CKF_DONT_BLOCK
                           : fn == Fn::SessionCancel    ? CKF_ENCRYPT | CKF_DECRYPT | CKF_DIGEST | CKF_SIGN | CKF_VERIFY
                                                        : CKF_END_OF_MESSAGE);
      return;
    case RoleKind::Present:
      prepared.value(word, CK_TRUE);
      return;
    case RoleKind::MechanismType:
      prepared.value(word, CKM_AES_CBC);
      return;
    case RoleKind::OutSlots:
    case RoleKind::OutMechanisms:
    case RoleKind::OutInterfaces:
      prepared.memory(word, 512 * sizeof(CK_INTERFACE));
      prepared.memory<CK_ULONG>(word + 1) = 512;
      return;
    case RoleKind::OutInfo:
      prepared.memory(word, sizeof(CK_TOKEN_INFO));  // the largest of them
      return;
    case RoleKind::OutFunctionList:
      prepared.memory<void*>(word);
      return;
    case RoleKind::InterfaceRequest:
      prepared.memory<void*>(word + 2);
      return;
    case RoleKind::Callback:
    case RoleKind::InitializeArguments:
    case RoleKind::Reserved:
      return;  // NULL
  }
}

// The data of this argument; of two such arguments the last is the signature, or the data after those authenticated.
void Standard::bytesIn(Prepared& prepared, std::size_t word) {
  prepared.in(word, dataFor(prepared.call.fn, prepared.wordOf(RoleKind::InBytes) != word));
}

Bytes Standard::dataFor(Fn fn, bool second) const {
  if (verifies(fn) && (second || fn == Fn::VerifyFinal)) return signature_;
  if (fn == Fn::VerifyRecover) return recoverable_;
  if (fn == Fn::UnwrapKey) return wrapped_;
  const Op op = cryptoki::function(fn).effect.op;
  return op == Op::Decrypt ? ciphertext_ : plainText();
}

CK_OBJECT_HANDLE Standard::keyFor(Fn fn) {
  if (fn == Fn::DigestKey) return keys_["generic"];
  if (fn == Fn::WrapKey) return keys_["aes 2"];
  switch (cryptoki::function(fn).effect.op) {
    case Op::Sign:
    case Op::Verify:
    case Op::MessageSign:
    case Op::MessageVerify:
      return keys_["generic"];
    case Op::SignRecover:
      return keys_["rsa private"];
    case Op::VerifyRecover:
      return keys_["rsa public"];
    default:
      return keys_["aes"];
  }
}

MechanismSpec Standard::mechanismFor(Fn fn) const {
  switch (fn) {
    case Fn::GenerateKey:
      return CKM_AES_KEY_GEN;
    case Fn::GenerateKeyPair:
      return CKM_EC_KEY_PAIR_GEN;
    case Fn::WrapKey:
    case Fn::UnwrapKey:
      return CKM_AES_KEY_WRAP;
    case Fn::DeriveKey: {
      MechanismSpec derive(CKM_AES_ECB_ENCRYPT_DATA);
      return derive.parameter(CK_KEY_DERIVATION_STRING_DATA{derive.keep(counting(16)), 16});
    }
    default:
      break;
  }
  switch (cryptoki::function(fn).effect.op) {
    case Op::Digest:
      return CKM_SHA256;
    case Op::Sign:
    case Op::Verify:
    case Op::MessageSign:
    case Op::MessageVerify:
      return CKM_SHA256_HMAC;
    case Op::SignRecover:
    case Op::VerifyRecover:
      return CKM_RSA_PKCS;
    case Op::MessageEncrypt:
    case Op::MessageDecrypt:
      return CKM_AES_GCM;
    default:
      return MechanismSpec(CKM_AES_CBC, counting(16));
  }
}

Attributes Standard::templateFor(const Prepared& prepared, std::size_t word) const {
  Attributes wanted;
  switch (prepared.call.fn) {
    case Fn::CreateObject:
      return usable(material::data(), "made");
    case Fn::CopyObject:
    case Fn::SetAttributeValue:
      return wanted.text(CKA_LABEL, "generic");
    case Fn::FindObjectsInit:
      return wanted.text(CKA_LABEL, "aes");
    case Fn::GenerateKey:
      return wanted.flag(CKA_TOKEN, false).flag(CKA_PRIVATE, false).flag(CKA_EXTRACTABLE).number(CKA_VALUE_LEN, 16);
    case Fn::GenerateKeyPair:
      wanted.flag(CKA_TOKEN, false).flag(CKA_PRIVATE, false);
      return word == prepared.wordOf(RoleKind::InTemplate) ? wanted.bytes(CKA_EC_PARAMS, fixed::p256Parameters())
                                                           : wanted.flag(CKA_EXTRACTABLE);
    default:
      wanted.number(CKA_CLASS, CKO_SECRET_KEY).flag(CKA_TOKEN, false).flag(CKA_PRIVATE, false).flag(CKA_EXTRACTABLE);
      wanted.flag(CKA_SENSITIVE, false);
      return prepared.call.fn == Fn::DeriveKey
                 ? wanted.number(CKA_KEY_TYPE, CKK_GENERIC_SECRET).number(CKA_VALUE_LEN, 16)
                 : wanted.number(CKA_KEY_TYPE, CKK_AES);
  }
}

bool Standard::establish(CK_SESSION_HANDLE session, Op op, bool fed) {
  if (op == Op::None) return true;
  if (client_.call(of(beginning(op), session)) != CKR_OK) return false;
  return !fed || client_.call(of(*feeding(op), session)) == CKR_OK;
}

CK_RV Standard::complete(CK_SESSION_HANDLE session, Op op, bool fed, const std::string& situation) {
  Prepared prepared = of(completing(op, fed), session);
  prepared.note.situation = situation;
  return client_.call(prepared);
}

}  // namespace p11ha::conformance
