#include "ha/turns.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "base/quiet_thread.h"

namespace p11ha::ha {
namespace {

constexpr std::chrono::milliseconds kNotable{1000};  // a turn of a process that lives is rarely longer
constexpr std::chrono::milliseconds kUnchanged = Turn::Patience().unchanged;

}  // namespace

Turns::Turns(Group& group, MemberMask members, const std::array<std::uint32_t, kMaxMembers>& epochs,
             std::uint64_t owner) {
  base::Lock lock(mutex_);
  for (GroupMember& member : group.each(members)) {
    const std::uint32_t epoch = epochs.at(member.index);
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    if (member.lostSince(epoch) || openSession(*member.token, CKF_RW_SESSION, session).rv != CKR_OK) continue;
    held_.push_back({member, epoch, session, std::make_unique<Turn>(*member.token, session, owner, Turn::Patience())});
  }
  std::uint64_t highest = 0;
  for (Held& held : held_) highest = std::max(highest, held.turn->enter());
  for (Held& held : held_) held.turn->draw(highest + 1);
  bool isTold = false;
  for (Held& held : held_) {
    held.turn->wait([&](std::chrono::nanoseconds waited) P11HA_NO_THREAD_SAFETY_ANALYSIS {
      renewAll();
      if (!isTold && waited >= kNotable) {
        isTold = true;
        group.log(halog::TurnAwaited{held.member.serial, static_cast<std::uint64_t>(kUnchanged.count())});
      }
      return !group.waitingEnded();
    });
  }
  if (held_.empty()) return;
  try {
    renewing_ = base::quietThread([this] { stayAlive(); });
  } catch (const std::system_error&) {
    // Then it is alive as often as renew() is called.
  }
}

Turns::~Turns() {
  {
    base::Lock lock(mutex_);
    isOver_ = true;
    ended_.notifyAll();
  }
  if (renewing_.joinable()) renewing_.join();
  base::Lock lock(mutex_);
  for (Held& held : held_) {
    if (held.member.lostSince(held.epoch)) {
      held.turn->forget();
      continue;
    }
    held.turn.reset();
    held.member.token->execute(cryptoki::makeCall<cryptoki::Fn::CloseSession>(held.session));
  }
}

void Turns::stayAlive() {
  base::Lock lock(mutex_);
  while (!isOver_) {
    ended_.waitUntil(mutex_, base::now() + Turn::Patience().renewal());
    if (!isOver_) renewAll();
  }
}

MemberMask Turns::members() const {
  base::Lock lock(mutex_);
  return ours();
}

MemberMask Turns::renew() {
  base::Lock lock(mutex_);
  renewAll();
  return ours();
}

MemberMask Turns::ours() const {
  MemberMask all = 0;
  for (const Held& held : held_) {
    if (held.turn->isOurs() && !held.member.lostSince(held.epoch)) all |= bit(held.member.index);
  }
  return all;
}

void Turns::renewAll() {
  for (Held& held : held_) {
    if (!held.member.lostSince(held.epoch)) held.turn->renew();
  }
}

}  // namespace p11ha::ha
