// The one loop in which the application's calls are made on members, retried and failed over.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "ha/member_calls.h"

namespace p11ha::ha {

/// An object handle of a call: the word it stands in, and the object the application means (null: none we know; the
/// member shall say so). The object is the session's (Session::recent) for as long as the call lasts.
struct NamedObject {
  std::uint8_t word = 0;
  const ObjectPtr* object = nullptr;

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

  // Set by run(): who gave the answer, if a member did.
  unsigned answeredBy = kAnyMember;
  std::uint32_t answeredUnder = 0;

  /// The call goes where this operation is.
  void follow(const Operation& operation) {
    if (preferred == kAnyMember) preferred = operation.member;
  }
};

/// Owned by the VirtualToken. Any thread that holds the request's session.
class Failover : public MemberCalls {
 public:
  Failover(Group& group, Catalog& catalog) : MemberCalls(group), catalog_(catalog) {}

  /// The answer for the application: a member's, or CKR_DEVICE_ERROR when none is left that could give one.
  CK_RV run(Session& session, Request& request) P11HA_REQUIRES(session.mutex);

 private:
  struct Tries;
  // Whose turn it is (nobody: not decided), and the try if it was made.
  struct Try {
    GroupMember* member = nullptr;
    bool made = false;
    std::uint32_t epoch = 0;
    cryptoki::Outcome outcome{};
  };

  Try straight(Session& session, Request& request) P11HA_REQUIRES(session.mutex);
  CK_RV persist(Session& session, Request& request, Try made) P11HA_REQUIRES(session.mutex);
  GroupMember* leastBusy(Session& session, cryptoki::Op op, MemberMask candidates) const P11HA_REQUIRES(session.mutex);

  GroupMember* choose(Session& session, const Request& request, const Tries& tries) const P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome tryOn(GroupMember& member, Session& session, Request& request, Tries& tries)
      P11HA_REQUIRES(session.mutex);
  Judgement judgeTry(GroupMember& member, Session& session, const Request& request, Tries& tries,
                     const cryptoki::Outcome& outcome) P11HA_REQUIRES(session.mutex);
  void loseSuspects(Session& session, const Tries& tries) P11HA_REQUIRES(session.mutex);
  static void endOperations(const Request& request);
  static CK_RV exhausted(Request& request, const Tries& tries);

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

}  // namespace p11ha::ha
