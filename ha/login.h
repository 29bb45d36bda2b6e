// C_Login, C_Logout and the PIN calls: the primary's verdict is the group's.
#pragma once

#include <functional>

#include "ha/group.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread; logins and logouts of a group take turns.
class Login {
 public:
  /// `onLoginStarted` tells Management that a new PIN is on its way (members whose login was refused get another
  /// chance), and which members have just been lost by it.
  Login(Group& group, std::function<void(MemberMask lost)> onLoginStarted)
      : group_(group), onLoginStarted_(std::move(onLoginStarted)) {}

  /// C_Login and C_LoginUser. A token that somebody else in this process is logged in to takes any PIN
  /// (CKR_USER_ALREADY_LOGGED_IN): it vouches for none as long as another member can. A member that is not activated
  /// does not decide either; where none is, what the last one says is the answer, and none of them is lost by it.
  CK_RV login(const cryptoki::Call& call) P11HA_EXCLUDES(turn_);
  CK_RV logout() P11HA_EXCLUDES(turn_);
  /// C_SetPIN and C_InitPIN: all members of the group, or none. CKR_DEVICE_ERROR where one is down, which would come
  /// back with its old PIN. A member that is lost amid C_InitPIN is left behind, and the log says so.
  CK_RV setPin(const cryptoki::Call& call) P11HA_EXCLUDES(turn_);
  CK_RV initPin(const cryptoki::Call& call) P11HA_EXCLUDES(turn_);

 private:
  template <class F>
  cryptoki::Outcome onControl(GroupMember& member, std::uint32_t epoch, F&& run);
  cryptoki::Outcome callOn(GroupMember& member, std::uint32_t epoch, cryptoki::Call call);
  CK_RV onPrimary(const cryptoki::Call& call, CK_RV otherwise);
  CK_RV foreseeable(const cryptoki::Call& call);
  void awaitMember();
  void lookAfterAll();
  static bool isDead(GroupMember& member, const cryptoki::Outcome& outcome);
  static void closeReadOnly(GroupMember& member);
  CK_RV onAll(const cryptoki::Call& call, const std::function<bool(GroupMember&, std::uint32_t)>& undo);
  CK_RV logoutLocked() P11HA_REQUIRES(turn_);

  Group& group_;
  const std::function<void(MemberMask lost)> onLoginStarted_;
  // Held across the members' calls: two logins at once would give a member two PINs. Nothing else waits for it.
  base::Mutex turn_;
};

}  // namespace p11ha::ha
