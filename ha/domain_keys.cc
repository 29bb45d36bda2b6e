#include "ha/domain_keys.h"

#include <algorithm>

namespace p11ha::ha {

using cryptoki::Outcome;

void DomainKeys::refresh(MemberMask members, OwnSession own) {
  for (GroupMember& member : group_.each(members)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    const Outcome outcome = read(member, epoch, own);
    if (isLoss(outcome)) group_.lose(member, epoch, Loss::Dropped, outcome.rv);
  }
}

Outcome DomainKeys::read(GroupMember& member, std::uint32_t epoch, OwnSession own) {
  if (group_.policy().cloning != CloningPolicy::Domain) return {};
  ControlSession::Use session(member.*own);
  if (const Outcome opened = session.open(*member.token, epoch); opened.rv != CKR_OK) return opened;
  return readIn(member, session.handle());
}

Outcome DomainKeys::readIn(GroupMember& member, CK_SESSION_HANDLE session) {
  auto holding = std::make_shared<domain::Holding>();
  const Outcome outcome = domain::readHolding({*member.token, session}, *holding);
  // Half of what it holds could name a generation that was put out of use.
  if (outcome.rv != CKR_OK) *holding = {};
  set(member.index, std::move(holding));
  return outcome;
}

void DomainKeys::set(unsigned member, std::shared_ptr<const domain::Holding> holding) {
  base::Lock lock(mutex_);
  holdings_[member] = std::move(holding);
}

std::shared_ptr<const domain::Holding> DomainKeys::of(unsigned member) const {
  static const auto kNone = std::make_shared<const domain::Holding>();
  base::Lock lock(mutex_);
  return holdings_[member] != nullptr ? holdings_[member] : kNone;
}

bool DomainKeys::any() const {
  base::Lock lock(mutex_);
  return std::any_of(holdings_.begin(), holdings_.end(),
                     [](const auto& holding) { return holding != nullptr && !holding->keys.empty(); });
}

bool DomainKeys::carries(unsigned member, const domain::Kind& kind) const {
  if (group_.policy().cloning != CloningPolicy::Domain) return false;
  std::vector<domain::Holding> holdings;
  base::Lock lock(mutex_);
  for (const auto& holding : holdings_) holdings.push_back(holding != nullptr ? *holding : domain::Holding{});
  return domain::carries(kind, holdings, member);
}

}  // namespace p11ha::ha
