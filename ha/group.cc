#include "ha/group.h"

namespace p11ha::ha {

GroupView makeView(MemberMask up, MemberMask standby) {
  const MemberMask active = up & ~standby;
  return {active != 0 ? active : up, up};
}

Group::Group(GroupPolicy groupPolicy, const base::Clock& groupClock, halog::Sink& groupLog)
    : policy(std::move(groupPolicy)), clock(groupClock), log_(groupLog) {
  publish({});
}

void Group::publish(const GroupView& next) {
  base::Lock lock(viewsMutex_);
  auto& interned = views_[{next.serving, next.synced}];
  if (interned == nullptr) interned = std::make_unique<const GroupView>(next);
  view_.store(interned.get(), std::memory_order_seq_cst);
}

MemberMask Group::callable() const {
  const GroupView& now = view();
  const auto present = [this](MemberMask mask) {
    for (MemberMask rest = mask; rest != 0; rest &= rest - 1) {
      const auto index = static_cast<unsigned>(std::countr_zero(rest));
      if (members[index]->isSuspect()) mask &= ~bit(index);
    }
    return mask;
  };
  const MemberMask serving = present(now.serving);
  return serving != 0 ? serving : present(now.synced);
}

void Group::lose(GroupMember& member, std::uint32_t epoch, Loss loss, CK_RV rv) {
  if (member.epoch.load(std::memory_order_acquire) != epoch) return;
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
