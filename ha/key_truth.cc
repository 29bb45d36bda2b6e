#include "ha/key_truth.h"

#include <algorithm>
#include <array>
#include <bit>

#include "cryptoki/attribute_reader.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::carriesValues;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::RoleKind;
using cryptoki::Template;
using notes::Truth;

namespace {

// Their template is for several keys, whose handles come back in the parameter.
bool makesSeveral(const CK_MECHANISM* mechanism) {
  if (mechanism == nullptr) return true;
  switch (mechanism->mechanism) {
    case CKM_SSL3_KEY_AND_MAC_DERIVE:
    case CKM_TLS_KEY_AND_MAC_DERIVE:
    case CKM_TLS12_KEY_AND_MAC_DERIVE:
    case CKM_WTLS_SERVER_KEY_AND_MAC_DERIVE:
    case CKM_WTLS_CLIENT_KEY_AND_MAC_DERIVE:
      return true;
    default:
      return false;
  }
}

// The length of a key that has none is not known to its member.
bool lacksLength(std::span<const CK_ATTRIBUTE> answered) {
  return std::any_of(answered.begin(), answered.end(), [](const CK_ATTRIBUTE& attribute) {
    return attribute.type == CKA_VALUE_LEN && attribute.pValue != nullptr && attribute.ulValueLen == sizeof(CK_ULONG) &&
           truthIn({&attribute, 1}).valueLength == 0;
  });
}

}  // namespace

bool isTemplateRefused(CK_RV rv) {
  switch (rv) {
    case CKR_ATTRIBUTE_READ_ONLY:
    case CKR_ATTRIBUTE_TYPE_INVALID:
    case CKR_ATTRIBUTE_VALUE_INVALID:
    case CKR_TEMPLATE_INCOMPLETE:
    case CKR_TEMPLATE_INCONSISTENT:
      return true;
    default:
      return false;
  }
}

Call withTemplate(Call call, Template& given) {
  const std::uint8_t word = cryptoki::function(call.fn).find(RoleKind::InTemplate)->word;
  call.set(word, given.data());
  call.set(word + 1U, given.count());
  return call;
}

CK_RV KeyTruth::natureOf(Session& session, CK_OBJECT_HANDLE handle, KeyNature& nature) {
  CK_BBOOL isPrivate = CK_FALSE;
  CK_BBOOL sensitive = CK_FALSE;
  CK_BBOOL extractable = CK_FALSE;
  CK_BBOOL wrapWithTrusted = CK_FALSE;
  CK_BBOOL derive = CK_FALSE;
  std::array<CK_ATTRIBUTE, 7> read{{{CKA_CLASS, &nature.objectClass, sizeof nature.objectClass},
                                    {CKA_PRIVATE, &isPrivate, sizeof isPrivate},
                                    {CKA_SENSITIVE, &sensitive, sizeof sensitive},
                                    {CKA_EXTRACTABLE, &extractable, sizeof extractable},
                                    {CKA_WRAP_WITH_TRUSTED, &wrapWithTrusted, sizeof wrapWithTrusted},
                                    {CKA_DERIVE, &derive, sizeof derive},
                                    {CKA_VALUE_LEN, &nature.length, sizeof nature.length}}};
  const Call call =
      makeCall<Fn::GetAttributeValue>(session.handle.load(std::memory_order_relaxed), handle, read.data(), read.size());
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  const CK_RV rv = failover_.run(session, request);
  if (!carriesValues(rv)) return rv;
  nature.isPrivate = isPrivate != CK_FALSE;
  nature.sensitive = sensitive != CK_FALSE;
  nature.extractable = extractable != CK_FALSE;
  nature.wrapWithTrusted = wrapWithTrusted != CK_FALSE;
  nature.derive = derive != CK_FALSE;
  return CKR_OK;
}

// Once sealed, a key stays so: none of the three attributes can be set back.
bool KeyTruth::isSealed(Session& session, const ObjectPtr& object, CK_RV& rv) {
  rv = CKR_OK;
  if (object->shape() == Shape::Sealed) return true;
  KeyNature nature;
  rv = natureOf(session, object->handle(), nature);
  if (rv != CKR_OK) return false;
  const bool sealed = nature.sealed() && !records_.truthOf(*object).value_or(Truth{}).asShaped;
  object->setShape(sealed ? Shape::Sealed : Shape::AsIs);
  return sealed;
}

CK_RV KeyTruth::read(Session& session, const Call& call) {
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  const CK_RV rv = failover_.run(session, request);
  if (named.first() == nullptr || !named.first()->mayBeGenerated() || !carriesValues(rv)) return rv;
  const std::span<CK_ATTRIBUTE> answered(call.get<CK_ATTRIBUTE*>(2), call.get<CK_ULONG>(3));
  const bool recorded = namesRecorded(answered);
  if (!recorded && !namesShape(answered)) return rv;
  const ObjectPtr object = session.recent[0];
  const std::optional<Truth> truth = records_.truthOf(*object);
  if (object->mayBeKey() && wouldReadOtherwise(answered, truth.value_or(Truth{}))) {
    CK_RV asked = CKR_OK;
    const bool sealed = isSealed(session, object, asked);
    // Better no answer than the wrong one.
    if (asked != CKR_OK) return asked;
    if (sealed) tellSealed(answered, truth.value_or(Truth{}));
  }
  if (!recorded) return rv;
  if (truth) {
    tellRecorded(answered, *truth);
  } else if (const auto common = asOthersSay(session, object, truthIn(answered), lacksLength(answered))) {
    tellRecorded(answered, *common);
  }
  return rv;
}

// What no clone says of itself: another member that says less has one, and so has one that is asked for a length and
// tells none. Nothing: there is no more to it.
std::optional<Truth> KeyTruth::asOthersSay(Session& session, const ObjectPtr& object, const Truth& said,
                                           bool lacksLength) {
  Truth beside = said;
  beside.valueLength = 0;
  if ((beside == Truth{} && !lacksLength) || std::popcount(object->usable()) < 2) return std::nullopt;
  Truth common = said;
  for (GroupMember& member : group_.each(group_.callable() & object->usable())) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    const CK_OBJECT_HANDLE there = object->at(member.index, epoch);
    Truth its;
    if (there == CK_INVALID_HANDLE || failover_.sessionOn(session, member, epoch).rv != CKR_OK) continue;
    if (readTruth(*member.token, session.members[member.index].handle, there, its).rv != CKR_OK) continue;
    // What was not asked for is not said.
    common = inCommon(
        common, {its.local, its.alwaysSensitive, its.neverExtractable, false,
                 said.keyGenMechanism == CK_UNAVAILABLE_INFORMATION ? said.keyGenMechanism : its.keyGenMechanism, false,
                 false, its.valueLength});
  }
  return common;
}

std::optional<Truth> KeyTruth::truthOf(Session& session, const ObjectPtr& object) {
  if (auto known = records_.truthOf(*object)) return known;
  for (GroupMember& member : group_.each(group_.callable() & object->usable())) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    const CK_OBJECT_HANDLE there = object->at(member.index, epoch);
    Truth said;
    if (there == CK_INVALID_HANDLE || failover_.sessionOn(session, member, epoch).rv != CKR_OK) continue;
    if (readTruth(*member.token, session.members[member.index].handle, there, said).rv != CKR_OK) continue;
    return asOthersSay(session, object, said, false).value_or(said);
  }
  return std::nullopt;
}

CK_RV KeyTruth::mayWrap(Session& session, CK_OBJECT_HANDLE key) {
  const ObjectPtr object = group_.objects.find(key);
  if (object == nullptr || !object->mayBeKey() || object->shape() == Shape::AsIs) return CKR_OK;
  CK_RV asked = CKR_OK;
  return isSealed(session, object, asked) ? CK_RV{CKR_KEY_UNEXTRACTABLE} : CK_RV{CKR_OK};
}

CK_RV KeyTruth::answerToWrap(Session& session, CK_OBJECT_HANDLE key, CK_RV rv) {
  if (rv != CKR_KEY_NOT_WRAPPABLE) return rv;
  // Another process may have sealed it since it was looked at.
  const ObjectPtr object = group_.objects.find(key);
  CK_RV asked = CKR_OK;
  return object != nullptr && object->mayBeKey() && isSealed(session, object, asked) ? CK_RV{CKR_KEY_UNEXTRACTABLE}
                                                                                     : rv;
}

bool KeyTruth::seals(const std::optional<domain::Kind>& kind) const {
  if (!kind || group_.login.user() != CKU_USER) return false;
  const MemberMask callable = group_.callable();
  return callable != 0 && domainKeys_.carries(static_cast<unsigned>(std::countr_zero(callable)), *kind);
}

CK_RV KeyTruth::shape(Session& session, const Call& call, Shaped& shaped) {
  const std::uint8_t word = cryptoki::function(call.fn).find(RoleKind::InTemplate)->word;
  // What is no template is the member's to refuse.
  const auto asked = Template::copyOf(call.get<CK_ATTRIBUTE*>(word), call.get<CK_ULONG>(word + 1U));
  if (!asked) return CKR_OK;
  const auto objectClass = (*asked).ulong(CKA_CLASS);
  const auto sealed = [&asked] {
    const Truth truth = withSealed({}, *asked);
    return Shaped{sealedTemplate(*asked), true, truth.notSensitive, truth.wrapWithTrusted};
  };
  switch (call.fn) {
    case Fn::CopyObject:
    case Fn::SetAttributeValue:
      return shapeChanges(session, call.get<CK_OBJECT_HANDLE>(1), *asked, shaped);
    case Fn::DeriveKey:
      if (makesSeveral(call.get<const CK_MECHANISM*>(1))) break;
      if (seals(kindOfNew(*asked, objectClass.value_or(CKO_SECRET_KEY)))) shaped = sealed();
      break;
    default:
      if (objectClass && seals(kindOfNew(*asked, *objectClass))) shaped = sealed();
      break;
  }
  return CKR_OK;
}

CK_RV KeyTruth::shapeChanges(Session& session, CK_OBJECT_HANDLE handle, const Template& asked, Shaped& shaped) {
  if (!namesShape(asked.attributes())) return CKR_OK;
  const ObjectPtr object = group_.objects.find(handle);
  if (object == nullptr || !object->mayBeKey()) return CKR_OK;
  KeyNature nature;
  // If it cannot be asked, the call itself will tell why.
  if (natureOf(session, handle, nature) != CKR_OK) return CKR_OK;
  const Truth truth = records_.truthOf(*object).value_or(Truth{});
  const bool becomesSensitive = asked.boolean(CKA_SENSITIVE).value_or(false);
  const bool becomesTrusted = asked.boolean(CKA_WRAP_WITH_TRUSTED).value_or(false);
  if (nature.sealed() && !truth.asShaped) {
    auto changes = changesOfSealed(asked, truth);
    if (!changes) return changes.error();
    shaped = {std::move(*changes), false, truth.notSensitive && !becomesSensitive,
              truth.wrapWithTrusted || becomesTrusted};
  } else if (seals(kindOfNarrowed(asked, nature))) {
    shaped = {narrowingChanges(asked), true, !nature.sensitive && !becomesSensitive,
              nature.wrapWithTrusted || becomesTrusted};
  }
  return CKR_OK;
}

}  // namespace p11ha::ha
