#include "ha/retirement.h"

namespace p11ha::ha {

bool Retirement::run(GroupMember& member, std::uint32_t epoch) {
  const auto isRemoved = [&] { return member.epoch.load(std::memory_order_acquire) == epoch; };
  bool all = true;
  sessions_.visit([&](Session& session) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    if (session.owner.load(std::memory_order_acquire) != &owner_) return;
    // Its own call, or its end, is under way.
    if (!session.mutex.tryLock()) {
      all = false;
      return;
    }
    if (session.owner.load(std::memory_order_acquire) == &owner_ && isRemoved()) calls_.leave(session, member);
    sessions_.unlock(session);
  });

  // Who is added again opens its own, in an attempt.
  base::Lock alone(member.attempting);
  if (!isRemoved()) return true;
  const bool none = member.closeSessions() == 0;
  group_.objects.forgetMember(member.index);
  group_.notes.forgetMember(member.index);
  return all && none;
}

}  // namespace p11ha::ha
