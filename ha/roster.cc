#include "ha/roster.h"

namespace p11ha::ha {

std::size_t GroupMember::closeSessions() {
  std::size_t closed = 0;
  {
    ControlSession::Use own(resync);
    if (own.handle() != CK_INVALID_HANDLE) ++closed;
    own.close(*token);
  }
  ControlSession::Use own(control);
  for (const MemberSession& pooled : sessions.takeAll()) {
    token->execute(cryptoki::makeCall<cryptoki::Fn::CloseSession>(pooled.handle));
    ++closed;
  }
  // Last, as the login ends with it.
  if (own.handle() != CK_INVALID_HANDLE) ++closed;
  own.close(*token);
  return closed;
}

GroupMember* Roster::find(const std::string& serial) const {
  for (GroupMember& member : each(everyone())) {
    if (member.serial == serial) return &member;
  }
  return nullptr;
}

GroupMember* Roster::add(std::shared_ptr<cryptoki::Member> token, bool standby) {
  const MemberMask before = everyone();
  const auto index = static_cast<unsigned>(std::popcount(before));
  if (index == kMaxMembers) return nullptr;
  members_[index] = std::make_unique<GroupMember>(index, std::move(token), standby);
  // Whoever finds the index in a mask finds the member.
  everyone_.store(before | bit(index), std::memory_order_release);
  return members_[index].get();
}

}  // namespace p11ha::ha
