// Single calls on single members, in the session's own session there.
#pragma once

#include "ha/catalog.h"
#include "ha/session.h"

namespace p11ha::ha {

/// Any thread that holds the session.
class MemberCalls {
 public:
  explicit MemberCalls(Group& group) : group_(group) {}

  /// Makes one call on one member, with no second try; its handles are that member's. A member found gone by it, or
  /// deactivated (CKR_DEVICE_ERROR), is reported and avoided.
  cryptoki::Outcome callOn(GroupMember& member, std::uint32_t epoch, Session& session, cryptoki::Call call)
      P11HA_REQUIRES(session.mutex);

  /// A call of ours was answered CKR_USER_NOT_LOGGED_IN: true if the member has ended our login, which is then
  /// reported.
  bool noticeDeactivation(Session& session, GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(session.mutex);

  /// A call of ours was answered so: true if the member turns out not to be well, which is then reported.
  bool noticeLoss(Session& session, GroupMember& member, std::uint32_t epoch, CK_RV rv) P11HA_REQUIRES(session.mutex);

  /// True if the member, just back, had not heard of the group's login, and has now.
  bool catchUpLogin(Session& session, GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(session.mutex);

  /// Opens the session's own session on that member unless it has one.
  cryptoki::Outcome sessionOn(Session& session, GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(session.mutex);

  /// The session there is never used again: it is closed when the member can be talked to. Operations in it have lost
  /// their place.
  void discardSession(Session& session, GroupMember& member) P11HA_REQUIRES(session.mutex);
  /// The same where the member is well: closed at once, or, with objects of the application in it, with the
  /// application's own.
  void abandonSession(Session& session, GroupMember& member) P11HA_REQUIRES(session.mutex);

  /// The member is none any more: whatever the session has there is noted to be closed.
  void leave(Session& session, GroupMember& member) P11HA_REQUIRES(session.mutex);

  /// Ends the sessions on members that are kept for their objects.
  void closeAside(Session& session) P11HA_REQUIRES(session.mutex);

 protected:
  /// The call itself, seen by balancing and by the watchdog.
  cryptoki::Outcome execute(GroupMember& member, std::uint32_t epoch, Session& session, const cryptoki::Call& call)
      P11HA_REQUIRES(session.mutex) {
    RunningCall& running = session.running;
    running.what.store({epoch, static_cast<std::uint8_t>(member.index), call.fn}, std::memory_order_relaxed);
    running.since.store(group_.coarseNow(), std::memory_order_release);
    // Nobody else counts here, so that it costs no locked instruction.
    std::atomic<std::uint64_t>& calls = session.calls[member.index];
    calls.store(calls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    member.outstanding.fetch_add(1, std::memory_order_relaxed);
    const cryptoki::Outcome outcome = member.token->unwatched().execute(call);
    member.outstanding.fetch_sub(1, std::memory_order_relaxed);
    running.since.store(0, std::memory_order_release);
    return outcome;
  }

  Group& group_;

 private:
  void drop(Session& session, GroupMember& member, std::uint32_t epoch, CK_RV rv) P11HA_REQUIRES(session.mutex);
};

}  // namespace p11ha::ha
