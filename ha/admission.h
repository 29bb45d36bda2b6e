// May a token be a member of this group now? What is asked of it before it is logged in.
#pragma once

#include <optional>

#include "ha/group.h"
#include "ha/member_state.h"

namespace p11ha::ha {

/// By its CKF_PROTECTED_AUTHENTICATION_PATH. Pure.
Kind kindOf(const CK_TOKEN_INFO& info);

/// What the log says of a group whose kind is known.
halog::Event configuredAs(Kind kind);

/// At C_Initialize, the members in the order of the list: attaches the member, lets the first that answers decide of
/// which kind the group is, and narrows the group's mechanisms by what it offers. Nothing: it is a member. A member
/// that is not activated narrows them too, so that it can join later; one that is refused does not. `info` is the
/// token's if it is a member or can become one. Blocks as the member does.
std::optional<MemberEvent> admitAtStart(Group& group, GroupMember& member, CK_TOKEN_INFO& info)
    P11HA_EXCLUDES(member.attempting);

/// At a recovery attempt, on its worker: the same for a member that is down under that epoch. The mechanisms are as
/// they are by then: a member that was not compared at C_Initialize has to offer them all. Where no member answered at
/// C_Initialize the first that is admitted decides the group's kind, and the log says so.
std::optional<MemberEvent> admit(Group& group, GroupMember& member, std::uint32_t epoch)
    P11HA_REQUIRES(member.attempting);

}  // namespace p11ha::ha
