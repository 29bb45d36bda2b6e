// A turn on each of several members.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "ha/group.h"
#include "ha/turn.h"

namespace p11ha::ha {

/// One number for all of them; in sessions of its own. On a member that does not answer there is none. One thread;
/// blocks as Turn does.
class Turns {
 public:
  /// `epochs`: of the members, by index.
  Turns(Group& group, MemberMask members, const std::array<std::uint32_t, kMaxMembers>& epochs, std::uint64_t owner);
  ~Turns();
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  /// Those on which it is this process's turn, as they were then.
  MemberMask members() const;
  /// To be called between the steps of what is done in the turn; members() after it.
  MemberMask renew();

 private:
  struct Held {
    GroupMember& member;
    std::uint32_t epoch;
    CK_SESSION_HANDLE session;
    std::unique_ptr<Turn> turn;
  };
  std::vector<Held> held_;
};

}  // namespace p11ha::ha
