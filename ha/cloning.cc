#include "ha/cloning.h"

#include <array>

#include <algorithm>

#include "cryptoki/attribute.h"
#include "ha/domain/hand_over.h"
#include "ha/wrapping.h"

namespace p11ha::ha {

using base::SecureBytes;
using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

namespace {

constexpr CK_ULONG kTransferKeyBytes = 32;

Copied failedAt(Copied::Result lost, const domain::Problem& problem) {
  return {isLoss(problem.outcome) ? lost : Copied::Result::Refused, CK_INVALID_HANDLE, problem.text, problem.outcome};
}

Copied failedAt(Copied::Result lost, const Outcome& outcome, const std::string& what) {
  return failedAt(lost, domain::answered(what, outcome));
}

bool isStaleHandle(const Copied& copied) {
  const CK_RV rv = copied.outcome.rv;
  return copied.result == Copied::Result::Refused &&
         (rv == CKR_KEY_HANDLE_INVALID || rv == CKR_OBJECT_HANDLE_INVALID || rv == CKR_WRAPPING_KEY_HANDLE_INVALID ||
          rv == CKR_UNWRAPPING_KEY_HANDLE_INVALID);
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

// The two members of a copy, with p11ha's own sessions on them held.
struct Cloner::Ends {
  GroupMember& source;
  ControlSession::Use& sourceUse;
  GroupMember& target;
  ControlSession::Use& targetUse;

  Outcome atSource(const Call& call) { return source.token->execute(call); }
  Outcome atTarget(const Call& call) { return target.token->execute(call); }
};

std::string Cloner::obstacle(const Template& attributes, unsigned member) const {
  const CloningPolicy policy = group_.policy().cloning;
  if (policy == CloningPolicy::None) return "CloningPolicy is none";
  const CK_OBJECT_CLASS objectClass = attributes.ulong(CKA_CLASS).value_or(CK_UNAVAILABLE_INFORMATION);
  if (objectClass != CKO_PRIVATE_KEY && objectClass != CKO_SECRET_KEY) return {};
  const bool domain = policy == CloningPolicy::Domain && domainKeys_.any();
  if (!attributes.boolean(CKA_EXTRACTABLE).value_or(false))
    return domain ? "it is not extractable" : "it is not extractable, and there is no cloning domain";
  const bool sensitive = attributes.boolean(CKA_SENSITIVE).value_or(false);
  if (attributes.boolean(CKA_WRAP_WITH_TRUSTED).value_or(false)) {
    if (!domain) return "it wants a trusted key to wrap it, and there is no cloning domain";
    if (!sensitive) return {};
    const domain::Conveyance conveyance = domain::conveyanceOf(attributes);
    if (conveyance.way != domain::Conveyance::Way::Domain) return conveyance.reason;
    if (!domainKeys_.carries(member, conveyance.kind))
      return "it wants a trusted key to wrap it, and its member holds no domain key for it";
  }
  if (objectClass == CKO_SECRET_KEY && sensitive && !survivesWrapping(attributes.ulong(CKA_VALUE_LEN).value_or(0)))
    return "its length is no multiple of 8 bytes";
  return {};
}

Copied Cloner::copy(GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object, const Target& target,
                    OwnSession own) {
  std::optional<unsigned> through;
  Copied copied = copyHeld(source, sourceEpoch, object, target, own, &through);
  if (through) copied = copyThrough(group_.member(*through), source, sourceEpoch, object, target, own);
  return copied;
}

Copied Cloner::copyHeld(GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object, const Target& target,
                        OwnSession own, std::optional<unsigned>* through) {
  // Those of two members at once are always taken in the order of the list.
  const bool sourceFirst = source.index < target.member.index;
  ControlSession& former = (sourceFirst ? source : target.member).*own;
  ControlSession& latter = (sourceFirst ? target.member : source).*own;
  ControlSession::Use first(former);
  ControlSession::Use second(latter);
  Ends ends{source, sourceFirst ? first : second, target.member, sourceFirst ? second : first};
  if (const Outcome opened = ends.sourceUse.open(*source.token, sourceEpoch); opened.rv != CKR_OK) {
    return failedAt(Copied::Result::SourceLost, opened, "C_OpenSession");
  }
  if (const Outcome opened = ends.targetUse.open(*target.member.token, target.epoch); opened.rv != CKR_OK) {
    return failedAt(Copied::Result::TargetLost, opened, "C_OpenSession");
  }
  return copyBetween(ends, object, target, through);
}

// The third member holds the key for a moment, as a session object of ours.
Copied Cloner::copyThrough(GroupMember& third, GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object,
                           const Target& target, OwnSession own) {
  const std::uint32_t epoch = third.epoch.load(std::memory_order_acquire);
  const auto withoutThird = [&](Copied copied) {
    group_.lose(third, epoch, Loss::Dropped, copied.outcome.rv);
    copied.result = Copied::Result::Refused;
    return copied;
  };
  Copied there = copyHeld(source, sourceEpoch, object, {third, epoch, false}, own, nullptr);
  if (there.result == Copied::Result::TargetLost) return withoutThird(there);
  if (there.result != Copied::Result::Done) return there;
  group_.objects.hide(third.index, there.handle);
  Copied copied = copyHeld(third, epoch, there.handle, target, own, nullptr);
  if (!third.lostSince(epoch)) {
    ControlSession::Use session(third.*own);
    if (session.open(*third.token, epoch).rv == CKR_OK)
      third.token->execute(makeCall<Fn::DestroyObject>(session.handle(), there.handle));
  }
  group_.objects.unhide(third.index, there.handle);
  return copied.result == Copied::Result::SourceLost ? withoutThird(copied) : copied;
}

// Nothing where no domain key of that kind leads there.
std::optional<Cloner::DomainKeyPair> Cloner::domainKeysOf(const domain::Kind& kind, unsigned source, unsigned target) {
  std::vector<domain::Holding> holdings;
  std::vector<unsigned> members;
  for (const GroupMember& member : group_.each(group_.well(group_.view().synced) | bit(source) | bit(target))) {
    members.push_back(member.index);
    holdings.push_back(*domainKeys_.of(member.index));
  }
  const auto place = [&](unsigned member) {
    return static_cast<std::size_t>(std::find(members.begin(), members.end(), member) - members.begin());
  };
  const auto route = domain::chooseRoute(kind, holdings, place(source), place(target));
  if (!route) return std::nullopt;
  if (route->through) return DomainKeyPair{CK_INVALID_HANDLE, CK_INVALID_HANDLE, members[*route->through]};
  return DomainKeyPair{holdings[place(source)].find(route->first, kind)->handle,
                       holdings[place(target)].find(route->first, kind)->handle, std::nullopt};
}

// Nothing where no domain key of that kind leads there, or, if somebody asks for it, by a third member only.
std::optional<Copied> Cloner::copyByDomain(Ends& ends, CK_OBJECT_HANDLE object, const domain::Kind& kind,
                                           const Target& target, std::optional<unsigned>* through) {
  std::optional<Copied> failed;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto keys = domainKeysOf(kind, ends.source.index, ends.target.index);
    if (!keys) return failed;
    if (keys->through) {
      if (through != nullptr) *through = keys->through;
      return failed;
    }
    const CK_SESSION_HANDLE making = target.session != CK_INVALID_HANDLE ? target.session : ends.targetUse.handle();
    failed = domain::transferKey({{*ends.source.token, ends.sourceUse.handle()}, keys->atSource}, object,
                                 {{*ends.target.token, making}, keys->atTarget}, kind, target.token);
    if (!isStaleHandle(*failed)) return failed;
    // A token may give its objects other handles, as after a login; or somebody has destroyed a domain key.
    for (const auto& [member, session] :
         {std::pair{&ends.source, ends.sourceUse.handle()}, std::pair{&ends.target, ends.targetUse.handle()}}) {
      if (domainKeys_.readIn(*member, session).rv != CKR_OK) return failed;
    }
  }
  return failed;
}

Copied Cloner::copySealed(Ends& ends, CK_OBJECT_HANDLE object, const domain::Kind& kind, const Target& target,
                          std::optional<unsigned>* through) {
  if (auto copied = copyByDomain(ends, object, kind, target, through)) return *copied;
  return {Copied::Result::Refused,
          CK_INVALID_HANDLE,
          "no domain key that carries it is on both members",
          {CKR_KEY_UNEXTRACTABLE}};
}

std::optional<Copied> Cloner::lookAt(GroupMember& source, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                     Nature& nature) const {
  const Outcome outcome =
      cryptoki::readAttributes(*source.token, session, object, domain::kConveyanceNature, nature.attributes);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::SourceLost, outcome, "C_GetAttributeValue");
  if (std::string why = obstacle(nature.attributes, source.index); !why.empty()) {
    return Copied{Copied::Result::Refused, CK_INVALID_HANDLE, std::move(why), {CKR_KEY_UNEXTRACTABLE}};
  }
  nature.objectClass = nature.attributes.ulong(CKA_CLASS).value_or(CK_UNAVAILABLE_INFORMATION);
  // Every object has one: the member has not said, as SoftHSM 2.6.1 while another thread reads the object's file anew.
  if (nature.objectClass == CK_UNAVAILABLE_INFORMATION)
    return Copied{Copied::Result::Refused, CK_INVALID_HANDLE, "its class cannot be read", {CKR_GENERAL_ERROR}};
  if (cryptoki::copyAttributes(nature.objectClass).empty()) {
    return Copied{
        Copied::Result::Refused, CK_INVALID_HANDLE, "objects of its class are not cloned", {CKR_TEMPLATE_INCONSISTENT}};
  }
  const bool key = nature.objectClass == CKO_PRIVATE_KEY || nature.objectClass == CKO_SECRET_KEY;
  nature.readable = !key || !nature.attributes.boolean(CKA_SENSITIVE).value_or(false);
  return std::nullopt;
}

Copied Cloner::copyBetween(Ends& ends, CK_OBJECT_HANDLE object, const Target& target,
                           std::optional<unsigned>* through) {
  const CK_SESSION_HANDLE reading = ends.sourceUse.handle();
  Nature nature;
  if (auto refused = lookAt(ends.source, reading, object, nature)) return std::move(*refused);
  if (!nature.readable && group_.policy().cloning == CloningPolicy::Domain) {
    const domain::Conveyance conveyance = domain::conveyanceOf(nature.attributes);
    const bool byDomain = conveyance.way == domain::Conveyance::Way::Domain;
    if (byDomain && conveyance.kind.seal == domain::Seal::Sealed)
      return copySealed(ends, object, conveyance.kind, target, through);
    // What is extractable anyway has another way, too. An open domain key can be one that somebody has planted.
    if (byDomain) {
      auto copied = copyByDomain(ends, object, conveyance.kind, target, nullptr);
      if (copied && copied->result != Copied::Result::Refused) return *copied;
    }
  }
  Template wanted;
  Outcome outcome =
      cryptoki::readForCopy(*ends.source.token, reading, object, nature.objectClass, nature.value(), wanted);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::SourceLost, outcome, "C_GetAttributeValue");
  wanted.setBool(CKA_TOKEN, target.token);
  if (!nature.readable) return copyWrapped(ends, object, wanted, target);
  const CK_SESSION_HANDLE making = target.session != CK_INVALID_HANDLE ? target.session : ends.targetUse.handle();
  Copied copied;
  outcome = ends.atTarget(makeCall<Fn::CreateObject>(making, wanted.data(), wanted.count(), &copied.handle));
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::TargetLost, outcome, "C_CreateObject");
  return copied;
}

std::optional<Cloner::Parcel> Cloner::take(GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object,
                                           unsigned target, OwnSession own) {
  ControlSession::Use use(source.*own);
  if (use.open(*source.token, sourceEpoch).rv != CKR_OK) return std::nullopt;
  Nature nature;
  if (lookAt(source, use.handle(), object, nature)) return std::nullopt;
  Parcel parcel;
  if (nature.readable) {
    const Outcome read = cryptoki::readForCopy(*source.token, use.handle(), object, nature.objectClass, nature.value(),
                                               parcel.sent.wanted);
    if (read.rv != CKR_OK) return std::nullopt;
    parcel.sent.wanted.setBool(CKA_TOKEN, true);
    return parcel;
  }
  const domain::Conveyance conveyance = domain::conveyanceOf(nature.attributes);
  if (group_.policy().cloning != CloningPolicy::Domain || conveyance.way != domain::Conveyance::Way::Domain)
    return std::nullopt;
  const auto keys = domainKeysOf(conveyance.kind, source.index, target);
  if (!keys || keys->through) return std::nullopt;
  parcel.domainKey = keys->atTarget;
  const domain::TransferEnd end{{*source.token, use.handle()}, keys->atSource};
  if (domain::sendKey(end, object, conveyance.kind, true, parcel.sent)) return std::nullopt;
  return parcel;
}

Copied Cloner::put(Parcel& parcel, const Target& target, OwnSession own) {
  ControlSession::Use use(target.member.*own);
  if (const Outcome opened = use.open(*target.member.token, target.epoch); opened.rv != CKR_OK)
    return failedAt(Copied::Result::TargetLost, opened, "C_OpenSession");
  const domain::OnToken there{*target.member.token, use.handle()};
  if (parcel.isWrapped()) return domain::receiveKey({there, parcel.domainKey}, parcel.sent);
  Copied copied;
  const Outcome outcome = there.create(std::move(parcel.sent.wanted), copied.handle);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::TargetLost, outcome, "C_CreateObject");
  return copied;
}

Copied Cloner::copyWrapped(Ends& ends, CK_OBJECT_HANDLE object, Template& wanted, const Target& target) {
  if (auto failed = shareTransferKey(ends)) return *failed;
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
  SecureBytes wrapped;
  Outcome outcome = wrapKey(*ends.source.token, ends.sourceUse.handle(), mechanism, ends.sourceUse.transferKey().handle,
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

  const auto concealment = [this](unsigned member) {
    return domain::Concealment{[this, member](CK_OBJECT_HANDLE made) { group_.objects.hide(member, made); },
                               [this, member](CK_OBJECT_HANDLE gone) { group_.objects.unhide(member, gone); }};
  };
  domain::HandOverPair pair({*taker.token, takerUse.handle()}, true, concealment(taker.index));
  if (const auto problem = pair.make()) return failedAt(takerLost, *problem);
  const CK_OBJECT_HANDLE given = giverUse.transferKey().handle;
  auto wrapped = domain::handOver({*giver.token, giverUse.handle()}, {&given, 1}, pair.material(), false,
                                  concealment(giver.index));
  if (!wrapped) return failedAt(giverLost, wrapped.error());
  CK_OBJECT_HANDLE taken = CK_INVALID_HANDLE;
  const Outcome outcome = pair.take(wrapped->front(), transferKeyTemplate(), taken);
  if (outcome.rv != CKR_OK) return failedAt(takerLost, domain::answered("C_UnwrapKey of the transfer key", outcome));
  group_.objects.hide(taker.index, taken);
  takerUse.transferKey() = {taken, giverUse.transferKey().generation, login};
  return std::nullopt;
}

}  // namespace p11ha::ha
