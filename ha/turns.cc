#include "ha/turns.h"

#include <algorithm>
#include <utility>

namespace p11ha::ha {

Turns::Turns(Group& group, MemberMask members, const std::array<std::uint32_t, kMaxMembers>& epochs,
             std::uint64_t owner) {
  std::vector<GroupMember*> all;
  for (GroupMember& member : group.each(members)) all.push_back(&member);
  std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->serial < b->serial; });
  for (GroupMember* const member : all) {
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    if (member->lostSince(epochs.at(member->index)) ||
        openSession(*member->token, CKF_RW_SESSION, session).rv != CKR_OK)
      continue;
    auto turn = std::make_unique<Turn>(*member->token, session, owner, Turn::Patience(), [this] { renew(); });
    held_.push_back({*member, epochs.at(member->index), session, std::move(turn)});
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

MemberMask Turns::members() const {
  MemberMask all = 0;
  for (const Held& held : held_) {
    if (held.turn->isOurs() && !held.member.lostSince(held.epoch)) all |= bit(held.member.index);
  }
  return all;
}

MemberMask Turns::renew() {
  for (Held& held : held_) {
    if (!held.member.lostSince(held.epoch)) held.turn->renew();
  }
  return members();
}

}  // namespace p11ha::ha
