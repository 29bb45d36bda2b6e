#include "ha/admission.h"

#include <array>
#include <cstdio>

#include "cryptoki/mechanism.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

namespace {

std::string textOf(Kind kind) { return kind == Kind::Ped ? "PED based" : "PASSWORD based"; }

// True where nobody had decided before.
bool decideKind(Group& group, Kind kind) {
  Kind undecided = Kind::Unknown;
  return group.kind.compare_exchange_strong(undecided, kind);
}

std::optional<std::string> objectionToKind(const Group& group, Kind kind) {
  const Kind wanted = group.kind.load();
  if (kind == wanted) return std::nullopt;
  return "it is " + textOf(kind) + ", the group " + textOf(wanted);
}

std::string nameOf(CK_MECHANISM_TYPE type) {
  if (cryptoki::isKnownMechanism(type)) return std::string(cryptoki::mechanismName(type));
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "mechanism 0x%08lx", type);
  return number.data();
}

}  // namespace

Kind kindOf(const CK_TOKEN_INFO& info) {
  return (info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0 ? Kind::Ped : Kind::Password;
}

halog::Event configuredAs(Kind kind) {
  if (kind == Kind::Ped) return halog::ConfiguredAsPed{};
  return halog::ConfiguredAsPassword{};
}

std::optional<MemberEvent> admitAtStart(Group& group, GroupMember& member, CK_TOKEN_INFO& info) {
  base::Lock alone(member.attempting);
  CK_RV rv = member.token->attach();
  const auto standing = member.token->standing();
  if (rv == CKR_OK && standing == cryptoki::Standing::Revoked) rv = CKR_TOKEN_NOT_PRESENT;
  if (rv == CKR_OK) rv = cryptoki::readTokenInfo(*member.token, info).rv;
  if (rv == CKR_OK) {
    decideKind(group, kindOf(info));
    if (auto objection = objectionToKind(group, kindOf(info))) {
      return event::Refused{member.epoch.load(std::memory_order_acquire), std::move(*objection)};
    }
    rv = group.mechanisms.intersect(*member.token).rv;
  }
  if (rv != CKR_OK) return event::Unreachable{rv, member.token->problem()};
  member.isCompared = true;
  if (standing == cryptoki::Standing::Deactivated) return event::NotActivated{};
  return std::nullopt;
}

std::optional<MemberEvent> admit(Group& group, GroupMember& member, std::uint32_t epoch) {
  const CK_RV attached = member.token->attach();
  const auto standing = member.token->standing();
  // What the partition itself answers then is that it is not there.
  if (standing == cryptoki::Standing::Revoked && (attached == CKR_OK || attached == CKR_TOKEN_NOT_PRESENT))
    return event::AttemptFailed{epoch, CKR_TOKEN_NOT_PRESENT, Cause::Revoked};
  if (attached != CKR_OK) {
    return event::AttemptFailed{epoch, attached, attached == CKR_TOKEN_NOT_RECOGNIZED ? Cause::Replaced : Cause::None,
                                member.token->problem()};
  }
  if (standing == cryptoki::Standing::Deactivated)
    return event::AttemptFailed{epoch, CKR_USER_NOT_LOGGED_IN, Cause::NotActivated};
  CK_TOKEN_INFO info{};
  if (const Outcome asked = cryptoki::readTokenInfo(*member.token, info); asked.rv != CKR_OK)
    return event::AttemptFailed{epoch, asked.rv};
  if (decideKind(group, kindOf(info))) group.log(configuredAs(kindOf(info)));
  if (auto objection = objectionToKind(group, kindOf(info))) return event::Refused{epoch, std::move(*objection)};
  if (member.isCompared) return std::nullopt;
  std::optional<CK_MECHANISM_TYPE> lacking;
  if (const Outcome asked = group.mechanisms.compare(*member.token, lacking); asked.rv != CKR_OK)
    return event::AttemptFailed{epoch, asked.rv};
  if (lacking) return event::Refused{epoch, "it lacks " + nameOf(*lacking) + ", which the group offers"};
  member.isCompared = true;
  return std::nullopt;
}

}  // namespace p11ha::ha
