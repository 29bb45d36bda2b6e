// The one loop in which the application's calls are made on members, retried and failed over.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "ha/member_calls.h"
#include "ha/room.h"

namespace p11ha::ha {

/// An object handle of a call: the word it stands in, and the object the application means (null: none we know; the
/// member shall say so). The object is the session's (Session::recent) for as long as the call lasts.
struct NamedObject {
  std::uint8_t word;
  const ObjectPtr* object;

  explicit operator bool() const { return *object != nullptr; }
};

/// A call of the application on its way to a member.
struct Request {
  static constexpr unsigned kAnyMember = kMaxMembers;

  cryptoki::Call call;  // its handles are virtual
  std::span<const NamedObject> objects;
  /// The operations that the call continues (two for a dual-function call): begun again, and brought to where they
  /// were, on a member that does not have them.
  std::array<Operation*, 2> operations{};
  /// Where a part of an operation's output goes; what its members said before is compared and kept back.
  Operation* output = nullptr;
  unsigned preferred = kAnyMember;   // where to try first
  MemberMask only = ~MemberMask{0};  // where it makes sense at all
  /// Whose parameter names objects: each member is given a copy with its own handles, in place of the call's.
  const cryptoki::OwnedMechanism* mechanism = nullptr;
  std::optional<cryptoki::Replay> replay{};  // where it differs from the function's row
  std::optional<Room> room{};                // set by run(): what each member is asked with

  // Set by run(): who gave the answer, if a member did.
  unsigned answeredBy = kAnyMember;
  std::uint32_t answeredUnder = 0;

  /// The call goes where this operation is.
  void follow(const Operation& operation) {
    if (preferred == kAnyMember) preferred = operation.member;
  }
};

/// A call's first try.
struct Try {
  GroupMember* member = nullptr;  // whose turn it is; null: not decided
  std::uint32_t epoch = 0;        // the member's, under which it was made; 0: it was not
  cryptoki::Outcome outcome{CKR_DEVICE_ERROR};
  std::optional<CK_ULONG> room{};  // of the call's output, as it was before a member saw it; if that was noted

  bool made() const { return epoch != 0; }
  bool succeeded() const { return outcome.rv == CKR_OK; }
  /// Written out, so that one that succeeded never leaves the registers.
  Try copy(std::optional<CK_ULONG> noted = {}) const { return {member, epoch, {outcome.rv, outcome.fate}, noted}; }
};

/// Owned by the VirtualToken. Any thread that holds the request's session.
class Failover : public MemberCalls {
 public:
  static constexpr MemberMask kAnywhere = ~MemberMask{0};

  Failover(Group& group, Catalog& catalog) : MemberCalls(group), catalog_(catalog) {}

  /// The answer for the application: a member's, or Group::noAnswer() when none is left that could give one, and none
  /// came back within RecoverWait. `first` is what straight() made of the call.
  CK_RV run(Session& session, Request& request, const Try& first = {}) P11HA_REQUIRES(session.mutex);

  /// The usual case, where nothing has to be prepared: the call is tried, if all that it needs is at hand on the member
  /// it goes to, which is one of `where` and has the operation that the call continues, if any. Its handles become that
  /// member's. What did not succeed is for run().
  Try straight(Session& session, cryptoki::Call& call, std::span<const NamedObject> objects,
               MemberMask where = kAnywhere, const Operation* continued = nullptr) P11HA_REQUIRES(session.mutex);

 private:
  struct Tries;

  CK_RV persist(Session& session, Request& request, const Try& first) P11HA_REQUIRES(session.mutex);
  CK_RV tryAll(Session& session, Request& request, Tries& tries, Try first) P11HA_REQUIRES(session.mutex);
  GroupMember* leastBusy(Session& session, cryptoki::Op op, MemberMask candidates) const P11HA_REQUIRES(session.mutex);

  GroupMember* choose(Session& session, const Request& request, const Tries& tries) const P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome tryOn(GroupMember& member, Session& session, Request& request, Tries& tries)
      P11HA_REQUIRES(session.mutex);
  Judgement judgeTry(GroupMember& member, Session& session, const Request& request, Tries& tries,
                     const cryptoki::Outcome& outcome) P11HA_REQUIRES(session.mutex);
  GroupMember* whereBegun(const Request& request, MemberMask among) const;
  bool loseDead(Session& session, Tries& tries) P11HA_REQUIRES(session.mutex);
  bool isOverdue(const Request& request, const Tries& tries) const;
  void loseSuspects(Session& session, const Tries& tries) P11HA_REQUIRES(session.mutex);
  void acquitSuspects(Session& session, const Request& request, const Tries& tries) P11HA_REQUIRES(session.mutex);
  static void endOperations(const Request& request);
  CK_RV exhausted(Request& request, const Tries& tries) const;
  bool awaitMember(const Request& request, Tries& tries);

  // Bringing an operation to a member (restoring.cc).
  cryptoki::Outcome restore(GroupMember& member, Session& session, Operation& operation, Tries& tries)
      P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome beginAgain(GroupMember& member, Session& session, Operation& operation, Tries& tries)
      P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome replay(GroupMember& member, Session& session, Operation& operation, Tries& tries)
      P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome withOutput(GroupMember& member, Session& session, cryptoki::Call& call, Operation& operation,
                               Tries& tries) P11HA_REQUIRES(session.mutex);

  Catalog& catalog_;
};

inline Try Failover::straight(Session& session, cryptoki::Call& call, std::span<const NamedObject> objects,
                              MemberMask where, const Operation* continued) {
  Group& group = group_;
  MemberMask candidates = group.view().serving & where;
  if (continued != nullptr) candidates &= bit(continued->member);
  for (const NamedObject& named : objects) {
    if (!named) return {};
    candidates &= (*named.object)->usable();
  }
  if (candidates == 0) return {};
  GroupMember* member = &group.member(static_cast<unsigned>(std::countr_zero(candidates)));
  if ((candidates & (candidates - 1)) != 0) {
    const cryptoki::Function& row = cryptoki::function(call.fn);
    if (row.spread == cryptoki::Spread::Any || row.spread == cryptoki::Spread::Here)
      member = leastBusy(session, row.effect.op, candidates);
  }
  const std::uint32_t epoch = member->epoch.load(std::memory_order_acquire);
  if (member->suspect.load(std::memory_order_relaxed) == epoch) return {};
  if (continued != nullptr && continued->epoch != epoch) return {};
  const unsigned index = member->index;
  const MemberSession& own = session.members[index];
  if (own.epoch != epoch) return {member};
  for (const NamedObject& named : objects) {
    const Object& object = **named.object;
    if (object.holding(index, epoch) != Holding::Held) return {member};
    call.set(named.word, object.lastAt(index));
  }
  call.setSession(own.handle);
  return {member, epoch, execute(*member, epoch, session, call)};
}

}  // namespace p11ha::ha
