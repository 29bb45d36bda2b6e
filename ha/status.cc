#include "ha/status.h"

namespace p11ha::ha {

std::string_view stateName(const MemberStatus& member) {
  switch (member.state.phase) {
    case Phase::Active:
      return member.standby ? "standby" : "active";
    case Phase::Down:
      return "down";
    case Phase::Recovering:
      return "recovering";
    case Phase::GivenUp:
      return "given up";
    case Phase::Removed:
      break;
  }
  return "removed";
}

std::string_view causeName(Cause cause) {
  switch (cause) {
    case Cause::None:
      break;
    case Cause::Unreachable:
      return "not there at start";
    case Cause::Dropped:
      return "dropped";
    case Cause::NotActivated:
      return "not activated at start";
    case Cause::Deactivated:
      return "deactivated";
    case Cause::Revoked:
      return "revoked";
    case Cause::LoginRefused:
      return "login refused";
    case Cause::Replaced:
      return "replaced by another token";
    case Cause::Unfit:
      return "unfit for the group";
  }
  return "";
}

}  // namespace p11ha::ha
