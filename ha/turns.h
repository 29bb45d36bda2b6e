// A turn on each of several members.
#pragma once

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
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
  MemberMask members() const P11HA_EXCLUDES(mutex_);
  /// To be called between the steps of what is done in the turn, as this process may have been stopped for so long that
  /// others took it for dead; members() after it.
  MemberMask renew() P11HA_EXCLUDES(mutex_);

 private:
  struct Held {
    GroupMember& member;
    std::uint32_t epoch;
    CK_SESSION_HANDLE session;
    std::unique_ptr<Turn> turn;
  };
  void renewAll() P11HA_REQUIRES(mutex_);
  MemberMask ours() const P11HA_REQUIRES(mutex_);
  void stayAlive() P11HA_EXCLUDES(mutex_);

  mutable base::Mutex mutex_;  // held across the members' calls, for which nobody else waits
  base::Condition ended_;
  std::vector<Held> held_ P11HA_GUARDED_BY(mutex_);
  bool isOver_ P11HA_GUARDED_BY(mutex_) = false;
  std::thread renewing_;
};

}  // namespace p11ha::ha
