#include "ha/cloning.h"

#include <array>

#include "cryptoki/attribute.h"
#include "cryptoki/attribute_reader.h"

namespace p11ha::ha {

using base::SecureBytes;
using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

namespace {

constexpr CK_ULONG kTransferKeyBytes = 32;
constexpr CK_ULONG kHandOverBits = 2048;
constexpr CK_ULONG kWrapBlock = 8;                   // RFC 3394
constexpr CK_ULONG kMaxWrapped = CK_ULONG{1} << 20;  // what a member may make us allocate for a wrapped key

Copied failedAt(Copied::Result lost, const Outcome& outcome, const std::string& what) {
  return {isLoss(outcome) ? lost : Copied::Result::Refused, CK_INVALID_HANDLE,
          what + " answers " + cryptoki::returnCodeName(outcome.rv), outcome};
}

// C_WrapKey by the convention of section 5.2: asked for the length, then for the bytes.
Outcome wrap(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_MECHANISM& mechanism, CK_OBJECT_HANDLE with,
             CK_OBJECT_HANDLE key, SecureBytes& wrapped) {
  CK_ULONG length = 0;
  Outcome outcome = member.execute(makeCall<Fn::WrapKey>(session, &mechanism, with, key, nullptr, &length));
  if (outcome.rv != CKR_OK) return outcome;
  if (length > kMaxWrapped) return {CKR_GENERAL_ERROR};
  wrapped.resize(length);
  outcome = member.execute(makeCall<Fn::WrapKey>(session, &mechanism, with, key, wrapped.data(), &length));
  if (outcome.rv == CKR_OK && length > wrapped.size()) outcome = {CKR_GENERAL_ERROR};
  wrapped.resize(outcome.rv == CKR_OK ? length : 0);
  return outcome;
}

Template transferKeyTemplate() {
  Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  wanted.addUlong(CKA_KEY_TYPE, CKK_AES);
  wanted.addBool(CKA_TOKEN, false);
  wanted.addBool(CKA_PRIVATE, true);
  wanted.addBool(CKA_SENSITIVE, true);
  wanted.addBool(CKA_EXTRACTABLE, true);  // to be handed to members that come later
  wanted.addBool(CKA_WRAP, true);
  wanted.addBool(CKA_UNWRAP, true);
  wanted.addBool(CKA_ENCRYPT, false);
  wanted.addBool(CKA_DECRYPT, false);
  return wanted;
}

}  // namespace

// The two members of a copy, with their control sessions held.
struct Cloner::Ends {
  GroupMember& source;
  ControlSession::Use& sourceUse;
  GroupMember& target;
  ControlSession::Use& targetUse;

  Outcome atSource(const Call& call) { return source.token->execute(call); }
  Outcome atTarget(const Call& call) { return target.token->execute(call); }
};

std::string Cloner::obstacle(const Template& attributes, CloningPolicy policy) {
  if (policy == CloningPolicy::None) return "CloningPolicy is none";
  const CK_OBJECT_CLASS objectClass = attributes.ulong(CKA_CLASS).value_or(CK_UNAVAILABLE_INFORMATION);
  if (objectClass != CKO_PRIVATE_KEY && objectClass != CKO_SECRET_KEY) return {};
  if (!attributes.boolean(CKA_EXTRACTABLE).value_or(false))
    return "it is not extractable, and there is no cloning domain";
  if (attributes.boolean(CKA_WRAP_WITH_TRUSTED).value_or(false))
    return "it wants a trusted key to wrap it, and there is no cloning domain";
  // CKM_AES_KEY_WRAP_PAD pads a secret to whole blocks, and some tokens hand the padding out as part of the key.
  const bool wrapped = attributes.boolean(CKA_SENSITIVE).value_or(false);
  if (objectClass == CKO_SECRET_KEY && wrapped && attributes.ulong(CKA_VALUE_LEN).value_or(0) % kWrapBlock != 0)
    return "its length is no multiple of 8 bytes";
  return {};
}

Copied Cloner::copy(GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object, const Target& target) {
  // Two control sessions at once are always taken in the order of the list.
  const bool sourceFirst = source.index < target.member.index;
  ControlSession::Use first((sourceFirst ? source : target.member).control);
  ControlSession::Use second((sourceFirst ? target.member : source).control);
  Ends ends{source, sourceFirst ? first : second, target.member, sourceFirst ? second : first};
  if (const Outcome opened = ends.sourceUse.open(*source.token, sourceEpoch); opened.rv != CKR_OK) {
    return failedAt(Copied::Result::SourceLost, opened, "C_OpenSession");
  }
  if (const Outcome opened = ends.targetUse.open(*target.member.token, target.epoch); opened.rv != CKR_OK) {
    return failedAt(Copied::Result::TargetLost, opened, "C_OpenSession");
  }
  return copyBetween(ends, object, target);
}

Copied Cloner::copyBetween(Ends& ends, CK_OBJECT_HANDLE object, const Target& target) {
  const CK_SESSION_HANDLE reading = ends.sourceUse.handle();
  Template nature;
  Outcome outcome = cryptoki::readAttributes(*ends.source.token, reading, object, kNature, nature);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::SourceLost, outcome, "C_GetAttributeValue");
  if (std::string why = obstacle(nature, group_.policy.cloning); !why.empty()) {
    return {Copied::Result::Refused, CK_INVALID_HANDLE, std::move(why), {CKR_KEY_UNEXTRACTABLE}};
  }
  const CK_OBJECT_CLASS objectClass = nature.ulong(CKA_CLASS).value_or(CK_UNAVAILABLE_INFORMATION);
  if (cryptoki::copyAttributes(objectClass).empty()) {
    return {
        Copied::Result::Refused, CK_INVALID_HANDLE, "objects of its class are not cloned", {CKR_TEMPLATE_INCONSISTENT}};
  }
  const bool key = objectClass == CKO_PRIVATE_KEY || objectClass == CKO_SECRET_KEY;
  const bool readable = !key || !nature.boolean(CKA_SENSITIVE).value_or(false);
  Template wanted;
  outcome = cryptoki::readForCopy(*ends.source.token, reading, object, objectClass,
                                  key && readable ? cryptoki::CopyValue::With : cryptoki::CopyValue::Without, wanted);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::SourceLost, outcome, "C_GetAttributeValue");
  wanted.setBool(CKA_TOKEN, target.token);
  if (!readable) return copyWrapped(ends, object, wanted, target);
  const CK_SESSION_HANDLE making = target.session != CK_INVALID_HANDLE ? target.session : ends.targetUse.handle();
  Copied copied;
  outcome = ends.atTarget(makeCall<Fn::CreateObject>(making, wanted.data(), wanted.count(), &copied.handle));
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::TargetLost, outcome, "C_CreateObject");
  return copied;
}

Copied Cloner::copyWrapped(Ends& ends, CK_OBJECT_HANDLE object, Template& wanted, const Target& target) {
  if (auto failed = shareTransferKey(ends)) return *failed;
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
  SecureBytes wrapped;
  Outcome outcome = wrap(*ends.source.token, ends.sourceUse.handle(), mechanism, ends.sourceUse.transferKey().handle,
                         object, wrapped);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::SourceLost, outcome, "C_WrapKey");
  const CK_SESSION_HANDLE making = target.session != CK_INVALID_HANDLE ? target.session : ends.targetUse.handle();
  Copied copied;
  outcome =
      ends.atTarget(makeCall<Fn::UnwrapKey>(making, &mechanism, ends.targetUse.transferKey().handle, wrapped.data(),
                                            wrapped.size(), wanted.data(), wanted.count(), &copied.handle));
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::TargetLost, outcome, "C_UnwrapKey");
  return copied;
}

// Gives both ends the same transfer key, made on one if neither has one. Nothing on success.
std::optional<Copied> Cloner::shareTransferKey(Ends& ends) {
  const std::uint64_t login = group_.login.generation();
  TransferKey& atSource = ends.sourceUse.transferKey();
  TransferKey& atTarget = ends.targetUse.transferKey();
  for (TransferKey* key : {&atSource, &atTarget}) {
    if (key->login != login) *key = {};
  }
  if (atSource.handle != CK_INVALID_HANDLE && atSource.generation == atTarget.generation) return std::nullopt;
  // The key of the end that has one goes to the other; the newer one of two, so that the members agree in the end.
  const bool fromTarget = atTarget.handle != CK_INVALID_HANDLE && atTarget.generation > atSource.generation;
  GroupMember& giver = fromTarget ? ends.target : ends.source;
  GroupMember& taker = fromTarget ? ends.source : ends.target;
  ControlSession::Use& giverUse = fromTarget ? ends.targetUse : ends.sourceUse;
  ControlSession::Use& takerUse = fromTarget ? ends.sourceUse : ends.targetUse;
  const auto giverLost = fromTarget ? Copied::Result::TargetLost : Copied::Result::SourceLost;
  const auto takerLost = fromTarget ? Copied::Result::SourceLost : Copied::Result::TargetLost;

  if (giverUse.transferKey().handle == CK_INVALID_HANDLE) {
    Template wanted = transferKeyTemplate();
    wanted.addUlong(CKA_VALUE_LEN, kTransferKeyBytes);
    wanted.erase(CKA_CLASS);
    wanted.erase(CKA_KEY_TYPE);
    CK_MECHANISM generate{CKM_AES_KEY_GEN, nullptr, 0};
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    const Outcome outcome = giver.token->execute(
        makeCall<Fn::GenerateKey>(giverUse.handle(), &generate, wanted.data(), wanted.count(), &made));
    if (outcome.rv != CKR_OK) return failedAt(giverLost, outcome, "C_GenerateKey of a transfer key");
    group_.objects.hide(giver.index, made);
    giverUse.transferKey() = {made, nextGeneration_.fetch_add(1), login};
  }

  // The taker's RSA pair, for this hand-over only.
  struct Temporary {
    GroupMember& member;
    CK_SESSION_HANDLE session;
    ObjectTable& table;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    ~Temporary() {
      if (handle == CK_INVALID_HANDLE) return;
      member.token->execute(makeCall<Fn::DestroyObject>(session, handle));
      table.unhide(member.index, handle);
    }
  };
  Temporary takerPublic{taker, takerUse.handle(), group_.objects};
  Temporary takerPrivate{taker, takerUse.handle(), group_.objects};
  Temporary giverPublic{giver, giverUse.handle(), group_.objects};

  Template forPublic;
  forPublic.addBool(CKA_TOKEN, false);
  forPublic.addBool(CKA_PRIVATE, false);
  forPublic.addBool(CKA_WRAP, true);
  forPublic.addUlong(CKA_MODULUS_BITS, kHandOverBits);
  static constexpr std::array<std::uint8_t, 3> kF4 = {1, 0, 1};
  forPublic.addBytes(CKA_PUBLIC_EXPONENT, kF4);
  Template forPrivate;
  forPrivate.addBool(CKA_TOKEN, false);
  forPrivate.addBool(CKA_PRIVATE, true);
  forPrivate.addBool(CKA_SENSITIVE, true);
  forPrivate.addBool(CKA_EXTRACTABLE, false);
  forPrivate.addBool(CKA_UNWRAP, true);
  CK_MECHANISM pairGeneration{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
  Outcome outcome = taker.token->execute(
      makeCall<Fn::GenerateKeyPair>(takerUse.handle(), &pairGeneration, forPublic.data(), forPublic.count(),
                                    forPrivate.data(), forPrivate.count(), &takerPublic.handle, &takerPrivate.handle));
  if (outcome.rv != CKR_OK) return failedAt(takerLost, outcome, "C_GenerateKeyPair for the hand-over");
  group_.objects.hide(taker.index, takerPublic.handle);
  group_.objects.hide(taker.index, takerPrivate.handle);

  static constexpr CK_ATTRIBUTE_TYPE kMaterial[] = {CKA_MODULUS, CKA_PUBLIC_EXPONENT};
  Template material;
  outcome = cryptoki::readAttributes(*taker.token, takerUse.handle(), takerPublic.handle, kMaterial, material);
  if (outcome.rv != CKR_OK) return failedAt(takerLost, outcome, "C_GetAttributeValue");
  // Half a public key, or another than was asked for, is not handed to a giver that may trust its own objects.
  const auto modulus = material.find(CKA_MODULUS);
  if (!modulus || modulus->size() != kHandOverBits / 8 || !material.has(CKA_PUBLIC_EXPONENT))
    return Copied{Copied::Result::Refused, CK_INVALID_HANDLE, "it shows no public key", {CKR_GENERAL_ERROR}};
  Template publicKey;
  publicKey.addUlong(CKA_CLASS, CKO_PUBLIC_KEY);
  publicKey.addUlong(CKA_KEY_TYPE, CKK_RSA);
  publicKey.addBool(CKA_TOKEN, false);
  publicKey.addBool(CKA_PRIVATE, false);
  publicKey.addBool(CKA_WRAP, true);
  publicKey.append(material);
  outcome = giver.token->execute(
      makeCall<Fn::CreateObject>(giverUse.handle(), publicKey.data(), publicKey.count(), &giverPublic.handle));
  if (outcome.rv != CKR_OK) return failedAt(giverLost, outcome, "C_CreateObject for the hand-over");
  group_.objects.hide(giver.index, giverPublic.handle);

  CK_RSA_PKCS_OAEP_PARAMS oaep{CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, nullptr, 0};
  CK_MECHANISM mechanism{CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep};
  SecureBytes wrapped;
  outcome =
      wrap(*giver.token, giverUse.handle(), mechanism, giverPublic.handle, giverUse.transferKey().handle, wrapped);
  if (outcome.rv != CKR_OK) return failedAt(giverLost, outcome, "C_WrapKey of the transfer key");
  Template wanted = transferKeyTemplate();
  CK_OBJECT_HANDLE taken = CK_INVALID_HANDLE;
  outcome =
      taker.token->execute(makeCall<Fn::UnwrapKey>(takerUse.handle(), &mechanism, takerPrivate.handle, wrapped.data(),
                                                   wrapped.size(), wanted.data(), wanted.count(), &taken));
  if (outcome.rv != CKR_OK) return failedAt(takerLost, outcome, "C_UnwrapKey of the transfer key");
  group_.objects.hide(taker.index, taken);
  takerUse.transferKey() = {taken, giverUse.transferKey().generation, login};
  return std::nullopt;
}

}  // namespace p11ha::ha
