#include "ha/turns.h"

#include <algorithm>

namespace p11ha::ha {

namespace {

// Well within the patience of others.
constexpr std::chrono::seconds kRenewal{2};

}  // namespace

Turns::Turns(Group& group, MemberMask members, const std::array<std::uint32_t, kMaxMembers>& epochs,
             std::uint64_t owner)
    : renewed_(base::now()) {
  std::vector<GroupMember*> all;
  for (GroupMember& member : group.each(members)) all.push_back(&member);
  std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->serial < b->serial; });
  for (GroupMember* const member : all) {
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    if (member->lostSince(epochs.at(member->index)) ||
        openSession(*member->token, CKF_RW_SESSION, session).rv != CKR_OK)
      continue;
    held_.push_back(
        {*member, epochs.at(member->index), session, std::make_unique<Turn>(*member->token, session, owner)});
    renew();
  }
}

Turns::~Turns() {
  for (Held& held : held_) {
    if (held.member.lostSince(held.epoch)) {
      held.turn->forget();
      continue;
    }
    held.turn.reset();
    held.member.token->execute(cryptoki::makeCall<cryptoki::Fn::CloseSession>(held.session));
  }
}

void Turns::renew() {
  if (base::now() - renewed_ < kRenewal) return;
  renewed_ = base::now();
  for (Held& held : held_) held.turn->renew();
}

}  // namespace p11ha::ha
