#include "ha/turns.h"

#include <algorithm>

namespace p11ha::ha {

Turns::Turns(Group& group, MemberMask members, const std::array<std::uint32_t, kMaxMembers>& epochs,
             std::uint64_t owner) {
  for (GroupMember& member : group.each(members)) {
    const std::uint32_t epoch = epochs.at(member.index);
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    if (member.lostSince(epoch) || openSession(*member.token, CKF_RW_SESSION, session).rv != CKR_OK) continue;
    held_.push_back({member, epoch, session, std::make_unique<Turn>(*member.token, session, owner, Turn::Patience())});
  }
  std::uint64_t highest = 0;
  for (Held& held : held_) highest = std::max(highest, held.turn->enter());
  for (Held& held : held_) held.turn->draw(highest + 1);
  for (Held& held : held_) held.turn->wait([this] { renew(); });
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
