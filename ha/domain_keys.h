// Which domain keys each member of a group holds, as far as is known (CLONING.md, "The domain").
#pragma once

#include <array>
#include <memory>

#include "ha/domain/choosing.h"
#include "ha/group.h"

namespace p11ha::ha {

/// Read after a login, at a recovery, and when a transfer failed over a handle; else what was read last is believed.
/// Owned by the VirtualToken. Any thread; the lock is never held across a call. Reading blocks as the member's calls
/// do.
class DomainKeys {
 public:
  explicit DomainKeys(Group& group) : group_(group) {}

  /// Reads what those members hold, each in p11ha's own session there. A member that fails at it is reported as lost.
  /// Nothing is read where the group's CloningPolicy is another than domain.
  void refresh(MemberMask members, OwnSession own = &GroupMember::control);
  /// The same for one member under an epoch that need not serve yet. The outcome is the member's if it failed.
  cryptoki::Outcome read(GroupMember& member, std::uint32_t epoch, OwnSession own);
  /// The same in a session that the caller holds.
  cryptoki::Outcome readIn(GroupMember& member, CK_SESSION_HANDLE session);

  /// What the member holds; never null.
  std::shared_ptr<const domain::Holding> of(unsigned member) const P11HA_EXCLUDES(mutex_);
  /// Does any member hold any? Without, all is as under CloningPolicy user.
  bool any() const P11HA_EXCLUDES(mutex_);
  /// Could that member wrap a key of that kind for the others?
  bool carries(unsigned member, const domain::Kind& kind) const P11HA_EXCLUDES(mutex_);

 private:
  void set(unsigned member, std::shared_ptr<const domain::Holding> holding) P11HA_EXCLUDES(mutex_);

  Group& group_;
  mutable base::Mutex mutex_;
  std::array<std::shared_ptr<const domain::Holding>, kMaxMembers> holdings_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::ha
