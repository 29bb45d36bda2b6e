#include "ha/group.h"

#include <algorithm>

namespace p11ha::ha {

GroupView makeView(MemberMask up, MemberMask standby) {
  const MemberMask active = up & ~standby;
  return {active != 0 ? active : up, up};
}

Group::Group(const GroupPolicy& groupPolicy, const base::Clock& groupClock, halog::Sink& groupLog)
    : clock(groupClock), log_(groupLog) {
  setPolicy(groupPolicy);
  publish({});
}

void Group::setPolicy(const GroupPolicy& next) {
  base::Lock lock(viewsMutex_);
  auto known = std::find_if(policies_.begin(), policies_.end(), [&](const auto& policy) { return *policy == next; });
  if (known == policies_.end()) {
    policies_.push_back(std::make_unique<const GroupPolicy>(next));
    known = std::prev(policies_.end());
  }
  policy_.store(known->get(), std::memory_order_release);
}

void Group::publish(const GroupView& next) {
  base::Lock lock(viewsMutex_);
  auto& interned = views_[{next.serving, next.synced}];
  if (interned == nullptr) interned = std::make_unique<const GroupView>(next);
  view_.store(interned.get(), std::memory_order_seq_cst);
  published_.notifyAll();
}

void Group::keepNote(unsigned member, CK_OBJECT_HANDLE handle, notes::Note note) {
  objects.hide(member, handle);
  notes.put(member, handle, std::move(note));
}

void Group::dropNote(unsigned member, CK_OBJECT_HANDLE handle) {
  notes.forget(member, handle);
  objects.unhide(member, handle);
}

bool Group::awaitMember(std::chrono::nanoseconds atMost) {
  const base::Monotonic until = base::now() + atMost;
  base::Lock lock(viewsMutex_);
  for (;;) {
    if (ended() || waitingEnded()) return false;
    if (callable() != 0) return true;
    if (base::now() >= until) return false;
    published_.waitUntil(viewsMutex_, until);
  }
}

void Group::end() {
  base::Lock lock(viewsMutex_);
  ended_.store(true, std::memory_order_release);
  published_.notifyAll();
}

void Group::endWaiting() {
  base::Lock lock(viewsMutex_);
  waitingEnded_.store(true, std::memory_order_release);
  published_.notifyAll();
}

MemberMask Group::callable() const {
  const GroupView& now = view();
  const MemberMask serving = well(now.serving);
  return serving != 0 ? serving : well(now.synced);
}

MemberMask Group::well(MemberMask mask) const {
  for (MemberMask rest = mask; rest != 0; rest &= rest - 1) {
    const auto index = static_cast<unsigned>(std::countr_zero(rest));
    if (members[index].isSuspect()) mask &= ~bit(index);
  }
  return mask;
}

void Group::lose(GroupMember& member, std::uint32_t epoch, Loss loss, CK_RV rv) {
  if (member.epoch.load(std::memory_order_acquire) != epoch) return;
  // Whoever recovers one that is down already finds out what it cannot do.
  if ((view().synced & bit(member.index)) == 0) return static_cast<void>(stopReceiving(member));
  // The first to notice tells; the others find it told.
  if (member.suspect.exchange(epoch, std::memory_order_acq_rel) == epoch) return;
  onLoss(member.index, epoch, loss, rv);
}

void Group::poisoned(std::string_view function, GroupMember& first, std::uint32_t firstEpoch, GroupMember& second,
                     std::uint32_t secondEpoch) {
  log(halog::CallPoisoned{std::string(function), first.serial, second.serial});
  onPoison(first.index, firstEpoch);
  onPoison(second.index, secondEpoch);
}

}  // namespace p11ha::ha
