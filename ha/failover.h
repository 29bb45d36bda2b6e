// The one loop in which the application's calls are made on members, retried and failed over.
#pragma once

#include <span>

#include "ha/catalog.h"
#include "ha/session.h"

namespace p11ha::ha {

/// An object handle of a call: the word it stands in, and the object the application means (null: none we know; the
/// member shall say so).
struct NamedObject {
  std::uint8_t word = 0;
  ObjectPtr object;
};

/// A call of the application on its way to a member.
struct Request {
  static constexpr unsigned kAnyMember = kMaxMembers;

  cryptoki::Call call;  // its handles are virtual
  std::span<const NamedObject> objects;
  Operation* operation = nullptr;   // that the call continues; its Init is run again where need be
  unsigned preferred = kAnyMember;  // where to try first
  /// Whose parameter names objects: each member is given a copy with its own handles, in place of the call's.
  const cryptoki::OwnedMechanism* mechanism = nullptr;

  // Set by run(): who gave the answer, if a member did.
  unsigned answeredBy = kAnyMember;
  std::uint32_t answeredUnder = 0;
};

/// Owned by the VirtualToken. Any thread that holds the request's session.
class Failover {
 public:
  Failover(Group& group, Catalog& catalog) : group_(group), catalog_(catalog) {}

  /// The answer for the application: a member's, or CKR_DEVICE_ERROR when none is left that could give one.
  CK_RV run(Session& session, Request& request) P11HA_REQUIRES(session.mutex);

  /// Makes one call on one member, in the session's own session there, with no second try; its handles are that
  /// member's. A member found gone by it is reported and avoided.
  cryptoki::Outcome callOn(GroupMember& member, std::uint32_t epoch, Session& session, cryptoki::Call call)
      P11HA_REQUIRES(session.mutex);

  /// Opens the session's own session on that member unless it has one.
  cryptoki::Outcome sessionOn(Session& session, GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(session.mutex);

 private:
  struct Tries;

  GroupMember* choose(Session& session, const Request& request, const Tries& tries) const P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome tryOn(GroupMember& member, Session& session, Request& request, Tries& tries)
      P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome beginAgain(GroupMember& member, Session& session, Request& request, Tries& tries)
      P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome execute(GroupMember& member, std::uint32_t epoch, Session& session, const cryptoki::Call& call)
      P11HA_REQUIRES(session.mutex);
  Judgement judgeTry(GroupMember& member, Session& session, const Request& request, Tries& tries,
                     const cryptoki::Outcome& outcome) P11HA_REQUIRES(session.mutex);
  void discardSession(Session& session, GroupMember& member) P11HA_REQUIRES(session.mutex);

  Group& group_;
  Catalog& catalog_;
};

}  // namespace p11ha::ha
